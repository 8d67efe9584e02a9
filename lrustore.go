package midhook

import (
	"context"
	"errors"
	"hash/maphash"
	"math"
	"sync"
	"time"

	"github.com/midhook/midhook/internal/slab"
)

// errStoreFull is answered with 503: to forget a claim in flight would be to
// run its handler twice at once.
var errStoreFull = errors.New("store is full of claims in flight")

// maxHandled is how many handled events of one subject are remembered: far more
// than a transaction has, and few enough that one which somebody floods does not
// drive out the others.
const maxHandled = 1024

// NewLRUStore returns a [Store] in this process's memory that remembers the
// size events that were used last, in about 160 bytes each, of one subject at most
// 1,024 that were handled. It forgets everything when the process ends, and other
// processes do not see it: merchants who run several need a shared one. It never
// forgets a claim in flight; when there are size of them, Acquire fails, unless
// the lease of one has passed. It runs no goroutine and no timer.
//
// A size below 1 is refused by [New], and fails every Acquire.
func NewLRUStore(size int) Store {
	return &lruStore{
		size:  size,
		epoch: time.Now(),
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
	}
}

type lruStore struct {
	size  int
	epoch time.Time // times are durations since, free of jumps of the wall clock
	seeds [2]maphash.Seed

	mu       sync.Mutex
	events   slab.Table[lruEvent]
	subjects slab.Table[lruSubject]
	claims   lruList // the events in flight by the end of their leases, the first to end first
	handled  lruList // the handled events by their last use, the oldest first
}

// lruEvent is an event in flight or handled. Events and subjects name one another
// by their places in the tables, where 0 is nobody's.
type lruEvent struct {
	expires  time.Duration // when the lease or the keep is over
	owner    uint64        // a hash, which keeps no body alive
	subject  int32
	links    [2]lruLinks
	inFlight bool
}

// lruSubject is what is known of a subject, for as long as one of its events is.
type lruSubject struct {
	stage     int // the highest that was finished
	stageKept time.Duration
	holdEnds  time.Duration
	holder    int32   // the event whose owner holds the subject
	handled   int32   // number of handled events
	events    lruList // first those in flight, then the handled ones in the order of Finish
}

func (s *lruStore) Acquire(ctx context.Context, c Claim) (ClaimState, error) {
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	key, owner := s.key(c.Key), s.owner(c.Owner)
	var subjectKey slab.Key
	if c.Subject != "" {
		subjectKey = s.key(c.Subject)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetch(key, subjectKey)
	now := time.Since(s.epoch)

	id := s.events.Find(key)
	if id != 0 {
		switch event := s.events.At(id); {
		case !event.inFlight && now < event.expires:
			s.use(id)
			return Done, nil
		case event.inFlight && event.owner == owner:
			s.lease(id, after(now, c.Lease))
			return Acquired, nil
		case event.inFlight && now < event.expires:
			return InFlight, nil
		}
	}
	if c.Subject != "" {
		if state := s.acquireInSubject(subjectKey, key, id, owner, now, c); state != 0 {
			return state, nil
		}
	}
	// What is left in the place of id is nobody's any more.
	s.forget(id)
	if !s.makeRoom(now) {
		return 0, errStoreFull
	}
	id = s.events.Insert(key)
	s.events.At(id).owner = owner
	if c.Subject != "" {
		s.hold(id, subjectKey, after(now, c.Lease))
	}
	s.lease(id, after(now, c.Lease))
	return Acquired, nil
}

// fetch reads at once what a new event takes: its own slots, and those of the event that
// has to go for it and of that one's subject. It changes nothing but the time: a quarter
// less where a million events are remembered.
func (s *lruStore) fetch(key, subjectKey slab.Key) {
	s.events.Fetch(key)
	s.subjects.Fetch(subjectKey)
	oldest := s.handled.first
	if oldest == 0 || s.events.Len() < s.size {
		return
	}
	s.events.FetchAt(oldest)
	if subject := s.events.At(oldest).subject; subject != 0 {
		s.subjects.FetchAt(subject)
	}
}

// acquireInSubject answers what the other events of the subject decide, or 0.
func (s *lruStore) acquireInSubject(subjectKey, key slab.Key, id int32, owner uint64, now time.Duration, c Claim) ClaimState {
	place := s.subjects.Find(subjectKey)
	if place == 0 {
		return 0
	}
	subject := s.subjects.At(place)
	own := s.claimOf(subject, owner)
	switch {
	case own != 0:
		s.forget(id)
		s.events.Rename(own, key)
		s.lease(own, after(now, c.Lease))
		return Acquired
	case subject.holder != 0 && subject.holder != id && now < subject.holdEnds:
		return Busy
	case c.Stage > 0 && c.Stage < subject.stage && now < subject.stageKept:
		s.use(subject.events.last)
		return Superseded
	}
	return 0
}

// claimOf returns the event of a subject that is in flight for an owner, or 0. Few
// events of a subject are in flight at once: one, unless handlers hang.
func (s *lruStore) claimOf(subject *lruSubject, owner uint64) int32 {
	for id := subject.events.first; id != 0; {
		event := s.events.At(id)
		if !event.inFlight {
			break
		}
		if event.owner == owner {
			return id
		}
		id = event.links[inSubject].next
	}
	return 0
}

// hold gives a new event to its subject, and the subject to the event's owner.
func (s *lruStore) hold(id int32, subjectKey slab.Key, ends time.Duration) {
	place := s.subjects.Find(subjectKey)
	if place == 0 {
		place = s.subjects.Insert(subjectKey)
	}
	s.events.At(id).subject = place
	subject := s.subjects.At(place)
	subject.holder, subject.holdEnds = id, ends
	s.insertAfter(0, &subject.events, inSubject, id)
}

// lease keeps the order of claims. Where all leases are as long as they are for the
// deliveries of one Middleware, a new one ends last.
func (s *lruStore) lease(id int32, ends time.Duration) {
	event := s.events.At(id)
	if event.inFlight {
		s.remove(&s.claims, inUse, id)
	}
	event.inFlight, event.expires = true, ends
	last := s.claims.last
	for last != 0 && s.events.At(last).expires > ends {
		last = s.events.At(last).links[inUse].before
	}
	s.insertAfter(last, &s.claims, inUse, id)
}

// use makes a handled event the last to be forgotten.
func (s *lruStore) use(id int32) {
	if !s.events.At(id).inFlight {
		s.remove(&s.handled, inUse, id)
		s.insertAfter(s.handled.last, &s.handled, inUse, id)
	}
}

// makeRoom forgets the handled event whose last use is the longest ago, or else a
// claim that was abandoned.
func (s *lruStore) makeRoom(now time.Duration) bool {
	switch {
	case s.events.Len() < s.size:
	case s.handled.first != 0:
		s.forget(s.handled.first)
	case s.events.At(s.claims.first).expires <= now:
		s.forget(s.claims.first)
	default:
		return false
	}
	return true
}

// forget removes an event, in flight or handled, and its subject with the last one.
// It does nothing for 0.
func (s *lruStore) forget(id int32) {
	if id == 0 {
		return
	}
	event := s.events.At(id)
	if event.inFlight {
		s.remove(&s.claims, inUse, id)
	} else {
		s.remove(&s.handled, inUse, id)
	}
	if event.subject != 0 {
		s.leave(event.subject, id)
	}
	s.events.Delete(id)
}

func (s *lruStore) leave(place, id int32) {
	subject := s.subjects.At(place)
	s.remove(&subject.events, inSubject, id)
	if !s.events.At(id).inFlight {
		subject.handled--
	}
	if subject.holder == id {
		subject.holder = 0
	}
	if subject.events.first == 0 {
		s.subjects.Delete(place)
	}
}

func (s *lruStore) Finish(ctx context.Context, c Claim, keep time.Duration) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	key, owner := s.key(c.Key), s.owner(c.Owner)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Since(s.epoch)

	id := s.events.Find(key)
	if id == 0 || s.events.At(id).owner != owner {
		return ErrNotOwner
	}
	event := s.events.At(id)
	if !event.inFlight {
		return nil
	}
	s.remove(&s.claims, inUse, id)
	event.inFlight, event.expires = false, after(now, keep)
	s.insertAfter(s.handled.last, &s.handled, inUse, id)
	if event.subject != 0 {
		s.finishInSubject(s.subjects.At(event.subject), id, now, c)
	}
	return nil
}

func (s *lruStore) finishInSubject(subject *lruSubject, id int32, now time.Duration, c Claim) {
	if subject.holder == id {
		subject.holder = 0
	}
	s.remove(&subject.events, inSubject, id)
	s.insertAfter(subject.events.last, &subject.events, inSubject, id)
	subject.handled++
	for c.Alternates && subject.handled > 1 {
		s.forget(s.events.At(id).links[inSubject].before)
	}
	if c.Alternates || now >= subject.stageKept {
		subject.stage, subject.stageKept = 0, 0
	}
	if c.Stage > 0 {
		subject.stage = max(subject.stage, c.Stage)
		subject.stageKept = max(subject.stageKept, s.events.At(id).expires)
	}
	if subject.handled > maxHandled {
		s.forget(s.oldestHandled(subject))
	}
}

// oldestHandled returns the event of a subject that was finished the longest ago.
// It comes after those in flight, which are few.
func (s *lruStore) oldestHandled(subject *lruSubject) int32 {
	id := subject.events.first
	for s.events.At(id).inFlight {
		id = s.events.At(id).links[inSubject].next
	}
	return id
}

func (s *lruStore) Release(ctx context.Context, c Claim) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	key, owner := s.key(c.Key), s.owner(c.Owner)
	s.mu.Lock()
	defer s.mu.Unlock()

	id := s.events.Find(key)
	if id == 0 || !s.events.At(id).inFlight || s.events.At(id).owner != owner {
		return ErrNotOwner
	}
	s.forget(id)
	return nil
}

// after is now+d, for a d that may mean for ever.
func after(now, d time.Duration) time.Duration {
	return now + min(d, math.MaxInt64-now)
}

func (s *lruStore) usable(ctx context.Context) error {
	if s.size < 1 {
		return errors.New("LRU store: the size must be positive")
	}
	return ctx.Err()
}

// key is 128 bits of hash under seeds nobody knows: as good as the name itself, a
// third of its memory, and it keeps no body alive.
func (s *lruStore) key(name string) slab.Key {
	return slab.Key{maphash.String(s.seeds[0], name), maphash.String(s.seeds[1], name)}
}

func (s *lruStore) owner(name string) uint64 { return maphash.String(s.seeds[0], name) }

// The lists that an event is in: its subject's, and claims or handled.
const (
	inSubject = iota
	inUse
)

// lruList is a list of events by their places, whose links are in the events.
type lruList struct{ first, last int32 }

type lruLinks struct{ before, next int32 }

// insertAfter puts an event behind another one of the list, or first for 0.
func (s *lruStore) insertAfter(before int32, l *lruList, which int, id int32) {
	next := l.first
	if before == 0 {
		l.first = id
	} else {
		links := &s.events.At(before).links[which]
		next, links.next = links.next, id
	}
	if next == 0 {
		l.last = id
	} else {
		s.events.At(next).links[which].before = id
	}
	s.events.At(id).links[which] = lruLinks{before, next}
}

func (s *lruStore) remove(l *lruList, which int, id int32) {
	links := s.events.At(id).links[which]
	if links.before == 0 {
		l.first = links.next
	} else {
		s.events.At(links.before).links[which].next = links.next
	}
	if links.next == 0 {
		l.last = links.before
	} else {
		s.events.At(links.next).links[which].before = links.before
	}
}

// Interface guards
var (
	_ Store = (*lruStore)(nil)
)
