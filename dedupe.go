package midhook

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

var (
	// ErrNotOwner is what a [Store] returns to whoever finishes or releases a claim
	// that is not, or no longer, its own.
	ErrNotOwner = errors.New("claim is not held by this owner")

	// ErrUncommitted is what Finish returns where the handler has marked the event in
	// a transaction of its own (sqlstore's FinishTx) that was not committed: the
	// handler's effects do not exist, whatever it returned. Midhook then gives the
	// claim back and answers 503. Finish marks the event if it is called once more.
	ErrUncommitted = errors.New("the transaction in which the event was marked as handled was not committed")
)

// ClaimState is what a [Store] answers to a claim. The zero value is no answer.
type ClaimState int

const (
	Acquired   ClaimState = iota + 1 // the claim is the caller's: run the handler
	InFlight                         // another owner holds it
	Done                             // the event was handled
	Superseded                       // a later stage of the same subject was handled
	Busy                             // another owner handles another event of the same subject
)

// String is the state's name: acquired, in_flight, done, superseded or busy.
func (s ClaimState) String() string {
	switch s {
	case Acquired:
		return "acquired"
	case InFlight:
		return "in_flight"
	case Done:
		return "done"
	case Superseded:
		return "superseded"
	case Busy:
		return "busy"
	}
	return fmt.Sprintf("ClaimState(%d)", int(s))
}

// Claim is one delivery's claim on an event.
type Claim struct {
	Key        string        // names the event that is to be handled once; it has the same Subject in every claim
	Subject    string        // what events in an order have in common; "" for an event that stands alone
	Stage      int           // place in that order; 0 or less for none: never superseded, supersedes nothing
	Alternates bool          // the event comes again after others of its subject: linked, unlinked, linked
	Owner      string        // random for each delivery
	Lease      time.Duration // how long the claim holds unless it is renewed, finished or released
}

// Store remembers which events are in flight and which were handled. Each method
// is atomic. With a store that several machines share, the guarantees of
// [Middleware] hold for all of them together. An operation whose context is done
// returns an error and changes nothing. Key, Subject and Owner may hold any bytes.
//
// An owner who acquires an event also holds its subject, so that the events of one
// subject are handled one after the other. The hold lasts for the lease with which
// the event was first acquired, and ends with the claim. A renewal keeps the event
// and not the hold: a handler that hangs must not cost the other events of its
// subject. Events without a subject stand alone.
//
// midhooktest.TestStore checks a store against this contract.
type Store interface {
	// Acquire claims an event. A lease that has passed is anyone's. Acquire answers
	// with the first of these that applies:
	//
	//   - [Done]: the event was finished and is still kept.
	//   - [Acquired]: the same owner holds the event, and its lease begins anew.
	//   - [InFlight]: another owner's lease on the event lasts.
	//   - [Acquired]: the same owner holds another event of the subject. The claim
	//     moves to this one, with a new lease, and leaves no trace on the other.
	//   - [Busy]: another owner holds the subject.
	//   - [Superseded]: a finished event of the subject had a higher stage.
	//   - [Acquired]: in every other case.
	Acquire(ctx context.Context, c Claim) (ClaimState, error)

	// Finish marks the event as handled and remembers it, with the highest stage of
	// its subject, for keep. If the claim Alternates, the subject's other handled
	// events and their stages are forgotten, so that each can come again. Finish
	// changes nothing else of the subject: no other claim, mark or keep.
	//
	// Finish succeeds after the lease has passed, as long as nobody took the claim
	// over, and again for the owner that has finished it. Anyone else gets
	// [ErrNotOwner] and changes nothing.
	Finish(ctx context.Context, c Claim, keep time.Duration) error

	// Release gives the claim back, for the next delivery to acquire, and changes
	// nothing else of the subject. Anyone but its owner gets [ErrNotOwner] and
	// changes nothing.
	Release(ctx context.Context, c Claim) error
}

// errStoreFull is answered with 503: to forget a claim in flight would be to
// run its handler twice at once.
var errStoreFull = errors.New("store is full of claims in flight")

// NewLRUStore returns a [Store] in this process's memory that remembers the
// size events that were used last, in about 300 bytes each when it has just
// filled up and about 410 after long use. It forgets everything when the process
// ends, and other processes do not see it: merchants who run several need a
// shared one. It never forgets a claim in flight; when there are size of them,
// Acquire fails, unless the lease of one has passed. It runs no goroutine and no
// timer.
//
// A size below 1 is refused by [New], and fails every Acquire.
func NewLRUStore(size int) Store {
	s := &lruStore{
		size:   size,
		epoch:  time.Now(),
		seeds:  [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		claims: map[lruKey]inFlight{},
	}
	// The error is for a size below 1, of which Acquire speaks.
	s.done, _ = simplelru.NewLRU[lruKey, handled](max(1, size), nil)
	s.stages, _ = simplelru.NewLRU[lruKey, reached](max(1, size), nil)
	return s
}

type lruStore struct {
	size  int
	epoch time.Time // times are durations since, free of jumps of the wall clock
	seeds [2]maphash.Seed

	mu     sync.Mutex
	claims map[lruKey]inFlight
	done   *simplelru.LRU[lruKey, handled]
	stages *simplelru.LRU[lruKey, reached] // by subject
}

// lruKey is 128 bits of hash under seeds nobody knows: as good as the key
// itself, a third of its memory, and it keeps no body alive.
type lruKey [2]uint64

type inFlight struct {
	owner   string
	expires time.Duration
}

type handled struct {
	owner   uint64 // hash, so that Finish can be repeated
	expires time.Duration
}

type reached struct {
	stage   int
	expires time.Duration
}

func (s *lruStore) Acquire(ctx context.Context, c Claim) (ClaimState, error) {
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now, event := time.Since(s.epoch), s.key(c.Key)

	if d, ok := s.done.Get(event); ok {
		if now < d.expires {
			return Done, nil
		}
		s.done.Remove(event)
	}
	held, exists := s.claims[event]
	own := exists && held.owner == c.Owner
	switch {
	case exists && !own && now < held.expires:
		return InFlight, nil
	case !own && s.superseded(c, now):
		return Superseded, nil
	case !exists && !s.makeRoom(now):
		return 0, errStoreFull
	}
	s.claims[event] = inFlight{owner: c.Owner, expires: after(now, c.Lease)}
	return Acquired, nil
}

func (s *lruStore) superseded(c Claim, now time.Duration) bool {
	if c.Stage <= 0 || c.Subject == "" {
		return false
	}
	r, ok := s.stages.Get(s.key(c.Subject))
	return ok && now < r.expires && c.Stage < r.stage
}

// makeRoom forgets the oldest event that is not in flight, or a claim that was
// abandoned.
func (s *lruStore) makeRoom(now time.Duration) bool {
	if len(s.claims)+s.done.Len() < s.size {
		return true
	}
	if _, _, forgotten := s.done.RemoveOldest(); forgotten {
		return true
	}
	for event, held := range s.claims {
		if now >= held.expires {
			delete(s.claims, event)
			return true
		}
	}
	return false
}

func (s *lruStore) Finish(ctx context.Context, c Claim, keep time.Duration) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now, event, owner := time.Since(s.epoch), s.key(c.Key), maphash.String(s.seeds[0], c.Owner)

	if held, ok := s.claims[event]; !ok || held.owner != c.Owner {
		if d, ok := s.done.Get(event); ok && d.owner == owner {
			return nil
		}
		return ErrNotOwner
	}
	delete(s.claims, event)
	s.done.Add(event, handled{owner: owner, expires: after(now, keep)})
	if c.Stage > 0 && c.Subject != "" {
		s.reach(s.key(c.Subject), c.Stage, now, keep)
	}
	return nil
}

// reach remembers the highest stage of a subject.
func (s *lruStore) reach(subject lruKey, stage int, now, keep time.Duration) {
	expires := after(now, keep)
	if r, ok := s.stages.Get(subject); ok && now < r.expires {
		stage, expires = max(stage, r.stage), max(expires, r.expires)
	}
	s.stages.Add(subject, reached{stage: stage, expires: expires})
}

func (s *lruStore) Release(ctx context.Context, c Claim) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	event := s.key(c.Key)
	if held, ok := s.claims[event]; !ok || held.owner != c.Owner {
		return ErrNotOwner
	}
	delete(s.claims, event)
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

func (s *lruStore) key(k string) lruKey {
	return lruKey{maphash.String(s.seeds[0], k), maphash.String(s.seeds[1], k)}
}
