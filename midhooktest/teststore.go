package midhooktest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"math"
	mathrand "math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/midhook/midhook"
)

// TestStore checks a store, in memory or over a network, against the contract of
// [midhook.Store]. Each case is a subtest; one that fails says which rule is
// broken.
//
//	func TestRedisStore(t *testing.T) {
//		midhooktest.TestStore(t, func(t *testing.T) midhook.Store {
//			store, err := redisstore.New(client)
//			if err != nil {
//				t.Fatal(err)
//			}
//			return store
//		})
//	}
//
// newStore is called once for each subtest, by several at once, for the subtests
// run in parallel. It may return a new store each time or the same one: no two
// cases and no two runs share an event (but for the empty one, for which they
// wait). A store of limited size needs room for 4,096 events. What the cases leave
// behind is kept for a minute, one event for ever.
//
// Leases and keeps pass in real time, which takes some seconds; they may pass up
// to a second late, for a store whose clock has whole seconds, but never early.
// Up to 64 operations are under way at once in each subtest.
//
// A store without I/O can be tested inside a [testing/synctest] bubble, where
// nothing has to be waited for. A bubble has no subtests: there the cases run one
// after the other, and newStore gets the t of TestStore.
func TestStore(t *testing.T, newStore func(t *testing.T) midhook.Store) {
	t.Helper()
	test := func(t *testing.T, c storeCase) {
		t.Helper()
		store := newStore(t)
		if store == nil {
			t.Fatal("newStore returned nil")
		}
		if err := c.check(t.Context(), store); err != nil {
			t.Errorf("%s: %v\nThe rule: %s", c.name, err, c.rule)
		}
	}
	if inBubble(t) {
		for _, c := range storeCases {
			test(t, c)
		}
		return
	}
	// Without the group TestStore would return before its parallel subtests have
	// run, and the caller would close what they use.
	t.Run("store", func(t *testing.T) {
		for _, c := range storeCases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				test(t, c)
			})
		}
	})
}

// inBubble tells a bubble by what must not be called in one and panics.
func inBubble(t *testing.T) (in bool) {
	defer func() { in = recover() != nil }()
	_, _ = t.Deadline()
	return false
}

const (
	longEnough   = time.Minute            // for what is not to pass during a case
	soon         = 300 * time.Millisecond // for what is
	storeSlack   = time.Second            // by which a period may be too long
	storeEarly   = 10 * time.Millisecond  // by which rounding may cut it short
	storePoll    = 20 * time.Millisecond
	storeTimeout = 10 * time.Second // of one operation
	racers       = 32
)

// storeCase is one rule of the contract and how to see it broken.
type storeCase struct {
	name string
	rule string
	play func(s *storeScript)
}

func (c storeCase) check(ctx context.Context, store midhook.Store) error {
	s := &storeScript{ctx: ctx, store: store, id: rand.Text()}
	c.play(s)
	return s.err
}

func stateName(s midhook.ClaimState) string {
	if s == 0 {
		return "no answer"
	}
	return s.String()
}

// storeScript plays a case. The first answer that is wrong ends it: what follows
// does nothing.
type storeScript struct {
	ctx   context.Context
	store midhook.Store
	id    string // in every event and subject, so that they are nobody else's

	mu  sync.Mutex
	err error
}

func (s *storeScript) failf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = fmt.Errorf(format, args...)
	}
}

func (s *storeScript) failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err != nil
}

// claim is owner's claim on an event, at a stage of the case's own subject.
func (s *storeScript) claim(owner, event string, stage int) midhook.Claim {
	return midhook.Claim{Key: s.id + event, Subject: s.id + " subject", Stage: stage, Owner: owner, Lease: longEnough}
}

func brief(c midhook.Claim) midhook.Claim {
	c.Lease = soon
	return c
}

// alone is a claim on an event of a subject of its own.
func alone(c midhook.Claim) midhook.Claim {
	c.Subject = c.Key + " alone"
	return c
}

// hang acquires events of one subject so that all are in flight at once: each is
// renewed and has lost its hold when the next one begins.
func (s *storeScript) hang(claims ...midhook.Claim) {
	for _, c := range claims {
		s.acquire(acquired, brief(c))
		s.acquire(acquired, c)
		s.outlast()
	}
}

// shown is a claim as a failure shows it.
func (s *storeScript) shown(c midhook.Claim) string {
	short := func(k string) string {
		if k = strings.ReplaceAll(k, s.id, "…"); len(k) > 40 {
			return fmt.Sprintf("%q… (%d bytes)", k[:40], len(k))
		}
		return strconv.Quote(k)
	}
	return fmt.Sprintf("event %s of subject %s, stage %d, by owner %s", short(c.Key), short(c.Subject), c.Stage, short(c.Owner))
}

// moment is when something happened in the store: between two times of ours.
type moment struct{ earliest, latest time.Time }

func (m moment) plus(d time.Duration) moment { return moment{m.earliest.Add(d), m.latest.Add(d)} }

func (s *storeScript) do(operation func(context.Context) error) (moment, error) {
	ctx, cancel := context.WithTimeout(s.ctx, storeTimeout)
	defer cancel()
	m := moment{earliest: time.Now()}
	err := operation(ctx)
	m.latest = time.Now()
	return m, err
}

func (s *storeScript) ask(c midhook.Claim) (state midhook.ClaimState, m moment, err error) {
	m, err = s.do(func(ctx context.Context) (err error) {
		state, err = s.store.Acquire(ctx, c)
		return err
	})
	return state, m, err
}

func (s *storeScript) acquire(want midhook.ClaimState, c midhook.Claim) moment {
	if s.failed() {
		return moment{}
	}
	got, m, err := s.ask(c)
	switch {
	case err != nil:
		s.failf("Acquire of %s: error %q, want %s", s.shown(c), err, stateName(want))
	case got != want:
		s.failf("Acquire of %s: %s, want %s", s.shown(c), stateName(got), stateName(want))
	}
	return m
}

func (s *storeScript) finish(want error, c midhook.Claim, keep time.Duration) moment {
	return s.end("Finish", want, c, func(ctx context.Context) error { return s.store.Finish(ctx, c, keep) })
}

func (s *storeScript) release(want error, c midhook.Claim) {
	s.end("Release", want, c, func(ctx context.Context) error { return s.store.Release(ctx, c) })
}

func (s *storeScript) end(name string, want error, c midhook.Claim, operation func(context.Context) error) moment {
	if s.failed() {
		return moment{}
	}
	m, err := s.do(operation)
	if !errors.Is(err, want) {
		s.failf("%s of %s: %s, want %s", name, s.shown(c), errorName(err), errorName(want))
	}
	return m
}

func errorName(err error) string {
	switch {
	case err == nil:
		return "no error"
	case errors.Is(err, midhook.ErrNotOwner):
		return "ErrNotOwner"
	}
	return fmt.Sprintf("error %q", err)
}

// handle is a delivery that succeeds.
func (s *storeScript) handle(c midhook.Claim) {
	s.acquire(midhook.Acquired, c)
	s.finish(nil, c, longEnough)
}

// turns asks for c for as long as the answer is before: until end, and no longer.
// Then it has to be after.
func (s *storeScript) turns(end moment, before, after midhook.ClaimState, c midhook.Claim) {
	for !s.failed() {
		got, asked, err := s.ask(c)
		switch {
		case err != nil:
			s.failf("Acquire of %s: error %q", s.shown(c), err)
		case got == before && asked.earliest.After(end.latest.Add(storeSlack)):
			s.failf("Acquire of %s: still %s, more than %v too late", s.shown(c), stateName(before), storeSlack)
		case got == before:
			time.Sleep(storePoll)
		case got != after:
			s.failf("Acquire of %s: %s, want %s and in the end %s", s.shown(c), stateName(got), stateName(before), stateName(after))
		case asked.latest.Before(end.earliest.Add(-storeEarly)):
			s.failf("Acquire of %s: %s %v too early", s.shown(c), stateName(after), end.earliest.Sub(asked.latest))
		default:
			return
		}
	}
}

// outlast returns when leases and keeps of soon that have begun are over.
func (s *storeScript) outlast() {
	event := "sentinel " + rand.Text()
	began := s.acquire(midhook.Acquired, brief(alone(s.claim("sentinel", event, 0))))
	s.turns(began.plus(soon), midhook.InFlight, midhook.Acquired, alone(s.claim("another", event, 0)))
}

// race calls call n times at once, in any order: who is started last may well be
// the first to run.
func (s *storeScript) race(n int, call func(i int)) {
	start := make(chan struct{})
	var all sync.WaitGroup
	for _, i := range mathrand.Perm(n) {
		all.Go(func() { <-start; call(i) })
	}
	close(start)
	all.Wait()
}

// each takes n through one step after the other, racers at once.
func (s *storeScript) each(n int, steps ...func(i int)) {
	for _, step := range steps {
		for from := 0; from < n; from += racers {
			s.race(min(racers, n-from), func(i int) { step(from + i) })
		}
	}
}

// tally plays n operations at once, counts their outcomes and wants the counts
// to be one of several.
func (s *storeScript) tally(n int, operation func(i int) string, want ...map[string]int) {
	if s.failed() {
		return
	}
	outcomes := make([]string, n)
	s.race(n, func(i int) { outcomes[i] = operation(i) })
	got := map[string]int{}
	for _, o := range outcomes {
		got[o]++
	}
	if !slices.ContainsFunc(want, func(w map[string]int) bool { return maps.Equal(w, got) }) {
		s.failf("%d operations at once: %v, want one of %v", n, got, want)
	}
}

// The operations of a tally.

func (s *storeScript) acquired(c midhook.Claim) string {
	state, _, err := s.ask(c)
	if err != nil {
		return errorName(err)
	}
	return stateName(state)
}

func (s *storeScript) finished(c midhook.Claim) string {
	_, err := s.do(func(ctx context.Context) error { return s.store.Finish(ctx, c, longEnough) })
	return errorName(err)
}

func (s *storeScript) released(c midhook.Claim) string {
	_, err := s.do(func(ctx context.Context) error { return s.store.Release(ctx, c) })
	return errorName(err)
}

// rounds repeats a race: fewer times where each takes long.
func (s *storeScript) rounds(play func(event string)) {
	began := time.Now()
	for round := 0; round < 50 && !s.failed() && (round < 10 || time.Since(began) < 2*time.Second); round++ {
		play(fmt.Sprint("event ", round))
	}
}

// lapsed returns events whose claims by owner a have passed.
func (s *storeScript) lapsed() []string {
	events := make([]string, 20)
	s.race(len(events), func(i int) {
		events[i] = fmt.Sprint("event ", i)
		s.acquire(midhook.Acquired, brief(alone(s.claim("a", events[i], 0))))
	})
	s.outlast()
	return events
}

// refuses wants an operation to fail, and not to call it a matter of ownership,
// when its context is done.
func (s *storeScript) refuses(name string, operation func(context.Context) error) {
	cancelled, cancel := context.WithCancel(s.ctx)
	cancel()
	passed, cancel := context.WithDeadline(s.ctx, time.Now().Add(-time.Second))
	defer cancel()
	for _, ctx := range []context.Context{cancelled, passed} {
		if err := operation(ctx); !s.failed() && (err == nil || errors.Is(err, midhook.ErrNotOwner)) {
			s.failf("%s with a context that is done (%v): %s", name, ctx.Err(), errorName(err))
		}
	}
}

func (s *storeScript) refusesAcquire(c midhook.Claim) {
	s.refuses("Acquire", func(ctx context.Context) error { _, err := s.store.Acquire(ctx, c); return err })
}

const (
	acquired   = midhook.Acquired
	inFlight   = midhook.InFlight
	done       = midhook.Done
	superseded = midhook.Superseded
	busy       = midhook.Busy
)

var notOwner = midhook.ErrNotOwner

var storeCases = slices.Concat([]storeCase{
	{"acquire", "an event is in flight for every other owner while one holds it", func(s *storeScript) {
		s.acquire(acquired, s.claim("a", "E", 40))
		s.acquire(inFlight, s.claim("b", "E", 40))
		s.acquire(inFlight, s.claim("c", "E", 40))
	}},
	{"done", "a finished event is done for everyone, its owner included", func(s *storeScript) {
		s.handle(s.claim("a", "E", 40))
		s.acquire(done, s.claim("b", "E", 40))
		s.acquire(done, s.claim("a", "E", 40))
	}},
	{"release", "a released event is the next delivery's to acquire", func(s *storeScript) {
		s.acquire(acquired, s.claim("a", "E", 40))
		s.release(nil, s.claim("a", "E", 40))
		s.handle(s.claim("b", "E", 40))
	}},
	{"release-again", "who has released its claim no longer owns it", func(s *storeScript) {
		s.acquire(acquired, s.claim("a", "E", 40))
		s.release(nil, s.claim("a", "E", 40))
		s.release(notOwner, s.claim("a", "E", 40))
		s.finish(notOwner, s.claim("a", "E", 40), longEnough)
		s.acquire(acquired, s.claim("b", "E", 40))
	}},
	{"release-finished", "what is finished can be released by nobody and stays done", func(s *storeScript) {
		s.handle(s.claim("a", "E", 40))
		s.release(notOwner, s.claim("a", "E", 40))
		s.release(notOwner, s.claim("b", "E", 40))
		s.acquire(done, s.claim("c", "E", 40))
	}},
	{"finish-again", "Finish succeeds again for the owner that has finished the event", func(s *storeScript) {
		s.handle(s.claim("a", "E", 40))
		s.finish(nil, s.claim("a", "E", 40), longEnough)
		s.acquire(done, s.claim("b", "E", 40))
		s.finish(nil, s.claim("a", "E", 40), longEnough)
	}},
	{"finish-again-by-another", "Finish of a finished event by anyone but its owner gets ErrNotOwner and changes nothing", func(s *storeScript) {
		s.handle(s.claim("a", "E", 40))
		s.finish(notOwner, s.claim("b", "E", 40), longEnough)
		s.acquire(done, s.claim("c", "E", 40))
		s.finish(nil, s.claim("a", "E", 40), longEnough)
	}},
	{"stranger", "who never claimed an event gets ErrNotOwner and changes nothing", func(s *storeScript) {
		s.finish(notOwner, s.claim("a", "E", 40), longEnough)
		s.release(notOwner, s.claim("a", "E", 40))
		s.acquire(acquired, s.claim("b", "E", 40))
		s.finish(notOwner, s.claim("a", "E", 40), longEnough)
		s.release(notOwner, s.claim("a", "E", 40))
		s.acquire(inFlight, s.claim("c", "E", 40))
		s.release(nil, s.claim("b", "E", 40))
		s.acquire(acquired, s.claim("d", "lower", 10)) // nothing was finished
	}},
	{"crowd", "a claim in flight is not forgotten for others, nor a finished event", func(s *storeScript) {
		claim := func(owner string, i int) midhook.Claim { return alone(s.claim(owner, fmt.Sprint("event ", i), 0)) }
		s.each(300,
			func(i int) { s.acquire(acquired, claim("a", i)) },
			func(i int) { s.acquire(inFlight, claim("b", i)) },
			func(i int) { s.finish(nil, claim("a", i), longEnough) },
			func(i int) { s.acquire(done, claim("b", i)) })
	}},

	{"events-apart", "other events, even such as look alike beside their subjects, are not touched", func(s *storeScript) {
		one, two := s.claim("a", "E", 40), s.claim("a", "ES", 40)
		one.Subject, two.Subject = "S"+s.id, s.id
		s.acquire(acquired, one)
		s.acquire(acquired, two)
		s.finish(nil, one, longEnough)
		two.Owner = "b"
		s.acquire(inFlight, two)
	}},
	{"subjects-apart", "events and subjects have names of their own: an event named as a subject is another thing", func(s *storeScript) {
		c := s.claim("a", "E", 40)
		s.handle(c)
		twin := s.claim("b", "", 10)
		twin.Key, twin.Subject = c.Subject, c.Key
		s.handle(twin)
		s.acquire(superseded, s.claim("c", "lower", 30))
	}},

	{"lease", "a claim holds as long as its lease; a lease that has passed is anyone's", func(s *storeScript) {
		began := s.acquire(acquired, brief(s.claim("a", "E", 40)))
		s.turns(began.plus(soon), inFlight, acquired, s.claim("b", "E", 40))
		s.acquire(inFlight, s.claim("a", "E", 40))
		longer := alone(s.claim("a", "F", 40))
		longer.Lease = 3 * soon
		began = s.acquire(acquired, longer)
		s.turns(began.plus(3*soon), inFlight, acquired, alone(s.claim("b", "F", 40)))
	}},
	{"renew", "Acquire by the owner that holds the claim is Acquired, and its lease begins anew", func(s *storeScript) {
		s.acquire(acquired, brief(s.claim("a", "E", 40)))
		s.acquire(acquired, s.claim("a", "E", 40))
		s.outlast()
		s.acquire(inFlight, s.claim("b", "E", 40))
		s.finish(nil, s.claim("a", "E", 40), longEnough)
	}},
	{"renew-late", "a lease that has passed can be renewed by its owner, too, if nobody took the claim over", func(s *storeScript) {
		s.acquire(acquired, brief(s.claim("a", "E", 40)))
		s.outlast()
		s.acquire(acquired, s.claim("a", "E", 40))
		s.acquire(inFlight, s.claim("b", "E", 40))
		s.finish(nil, s.claim("a", "E", 40), longEnough)
	}},
	{"late-finish", "Finish succeeds after the lease has passed, as long as nobody took the claim over", func(s *storeScript) {
		s.acquire(acquired, brief(s.claim("a", "E", 40)))
		s.outlast()
		s.finish(nil, s.claim("a", "E", 40), longEnough)
		s.acquire(done, s.claim("b", "E", 40))
	}},
	{"stale-owner", "whose claim was taken over can neither finish nor release its successor's", func(s *storeScript) {
		s.acquire(acquired, brief(s.claim("a", "E", 40)))
		s.outlast()
		s.acquire(acquired, s.claim("b", "E", 40))
		s.finish(notOwner, s.claim("a", "E", 40), longEnough)
		s.release(notOwner, s.claim("a", "E", 40))
		s.acquire(inFlight, s.claim("c", "E", 40))
		s.release(nil, s.claim("b", "E", 40))
		s.acquire(acquired, s.claim("d", "lower", 10)) // nothing was finished
	}},
	{"stale-owner-done", "whose claim was taken over can neither finish nor release what its successor finished", func(s *storeScript) {
		s.acquire(acquired, brief(s.claim("a", "E", 40)))
		s.outlast()
		s.handle(s.claim("b", "E", 40))
		s.finish(notOwner, s.claim("a", "E", 40), longEnough)
		s.release(notOwner, s.claim("a", "E", 40))
		s.acquire(done, s.claim("c", "E", 40))
	}},
	{"stale-owner-released", "whose claim was taken over does not have it back when its successor releases", func(s *storeScript) {
		s.acquire(acquired, brief(s.claim("a", "E", 40)))
		s.outlast()
		s.acquire(acquired, s.claim("b", "E", 40))
		s.release(nil, s.claim("b", "E", 40))
		s.finish(notOwner, s.claim("a", "E", 40), longEnough)
		s.release(notOwner, s.claim("a", "E", 40))
		s.acquire(acquired, s.claim("c", "E", 40))
	}},

	{"busy", "a subject is held by one owner at a time: another owner's other event is Busy until the claim ends", func(s *storeScript) {
		s.acquire(acquired, s.claim("a", "E", 40))
		s.acquire(busy, s.claim("b", "F", 40))
		s.acquire(busy, s.claim("c", "lower", 10))
		s.acquire(busy, s.claim("d", "none", 0))
		s.release(nil, s.claim("a", "E", 40))
		s.acquire(acquired, s.claim("b", "F", 40))
		s.acquire(busy, s.claim("c", "E", 40))
		s.finish(nil, s.claim("b", "F", 40), longEnough)
		s.acquire(acquired, s.claim("c", "E", 40))
	}},
	{"busy-unclaimed", "what is Busy is not claimed", func(s *storeScript) {
		s.acquire(acquired, s.claim("a", "E", 40))
		s.acquire(busy, s.claim("b", "F", 40))
		s.finish(notOwner, s.claim("b", "F", 40), longEnough)
		s.release(notOwner, s.claim("b", "F", 40))
		s.finish(nil, s.claim("a", "E", 40), longEnough)
		s.acquire(acquired, s.claim("c", "F", 40))
	}},
	{"busy-order", "Done and InFlight are answered before Busy, and Busy before Superseded", func(s *storeScript) {
		s.handle(s.claim("a", "handled", 30))
		s.acquire(acquired, s.claim("b", "E", 40))
		s.acquire(done, s.claim("c", "handled", 30))
		s.acquire(inFlight, s.claim("c", "E", 40))
		s.acquire(busy, s.claim("c", "lower", 10))
		s.finish(nil, s.claim("b", "E", 40), longEnough)
		s.acquire(superseded, s.claim("c", "lower", 10))
	}},
	{"busy-ends", "the hold lasts for the lease with which the event was first acquired, and no longer", func(s *storeScript) {
		began := s.acquire(acquired, brief(s.claim("a", "E", 40)))
		s.turns(began.plus(soon), busy, acquired, s.claim("b", "F", 40))
		s.acquire(inFlight, s.claim("c", "F", 40))
		s.acquire(busy, s.claim("c", "G", 40))
	}},
	{"busy-renewal", "a renewal keeps the event and not the hold", func(s *storeScript) {
		began := s.acquire(acquired, brief(s.claim("a", "E", 40)))
		s.acquire(acquired, s.claim("a", "E", 40))
		s.turns(began.plus(soon), busy, acquired, s.claim("b", "F", 40))
		s.acquire(acquired, s.claim("a", "E", 40))
		s.acquire(inFlight, s.claim("b", "E", 40))
		s.finish(nil, s.claim("b", "F", 40), longEnough)
		s.finish(nil, s.claim("a", "E", 40), longEnough)
	}},
	{"move", "who holds an event and acquires another one of its subject has moved its claim, which leaves no trace on the former", func(s *storeScript) {
		s.acquire(acquired, s.claim("a", "E", 40))
		s.acquire(acquired, s.claim("a", "F", 40))
		s.finish(notOwner, s.claim("a", "E", 40), longEnough)
		s.release(notOwner, s.claim("a", "E", 40))
		s.acquire(inFlight, s.claim("b", "F", 40))
		s.acquire(busy, s.claim("b", "E", 40))
		s.finish(nil, s.claim("a", "F", 40), longEnough)
		s.handle(s.claim("b", "E", 40))
		s.acquire(done, s.claim("c", "F", 40))
	}},
	{"move-superseded", "a move is never Superseded", func(s *storeScript) {
		s.handle(s.claim("a", "later", 40))
		s.acquire(acquired, s.claim("b", "E", 50))
		s.acquire(acquired, s.claim("b", "lower", 10))
		s.finish(nil, s.claim("b", "lower", 10), longEnough)
		s.acquire(acquired, s.claim("c", "equal", 40))
	}},
	{"move-in-flight", "a move takes no event that another owner's lease still holds, and none that was handled", func(s *storeScript) {
		s.hang(s.claim("a", "E", 40))
		s.handle(s.claim("b", "handled", 40))
		s.acquire(acquired, s.claim("c", "F", 40))
		s.acquire(inFlight, s.claim("c", "E", 40))
		s.acquire(done, s.claim("c", "handled", 40))
		s.finish(nil, s.claim("c", "F", 40), longEnough)
		s.finish(nil, s.claim("a", "E", 40), longEnough)
	}},
	{"alternates", "finishing an event that alternates forgets the subject's other handled events and their stages", func(s *storeScript) {
		linked, unlinked := s.claim("a", "linked", 0), s.claim("b", "unlinked", 0)
		linked.Alternates, unlinked.Alternates = true, true
		s.handle(s.claim("x", "later", 40))
		s.handle(linked)
		s.acquire(done, s.claim("c", "linked", 0))
		s.handle(unlinked)
		linked.Owner = "c"
		s.handle(linked)
		s.acquire(done, s.claim("d", "linked", 0))
		s.handle(s.claim("y", "lower", 10))
		s.acquire(acquired, s.claim("d", "later", 40))
	}},

	{"superseded", "a stage below the highest one finished for its subject is superseded, every time", func(s *storeScript) {
		s.handle(s.claim("a", "first", 10))
		s.handle(s.claim("a", "later", 40))
		s.acquire(superseded, s.claim("b", "lower", 30))
		s.acquire(superseded, s.claim("b", "lower", 30))
		s.acquire(superseded, s.claim("c", "lowest", 1))
	}},
	{"superseded-unclaimed", "what is superseded is not claimed", func(s *storeScript) {
		s.handle(s.claim("a", "later", 40))
		s.acquire(superseded, s.claim("b", "lower", 10))
		s.finish(notOwner, s.claim("b", "lower", 10), longEnough)
		s.release(notOwner, s.claim("b", "lower", 10))
		s.acquire(superseded, s.claim("c", "lower", 10))
	}},
	{"superseded-order", "Done and InFlight are answered before Superseded", func(s *storeScript) {
		s.hang(s.claim("a", "running", 10))
		s.handle(s.claim("b", "handled", 10))
		s.handle(s.claim("c", "later", 40))
		s.acquire(done, s.claim("d", "handled", 10))
		s.acquire(inFlight, s.claim("d", "running", 10))
	}},
	{"superseded-renewal", "a renewal by the owner that holds the claim is not superseded", func(s *storeScript) {
		s.hang(s.claim("a", "E", 10))
		s.handle(s.claim("b", "later", 40))
		s.acquire(acquired, s.claim("a", "E", 10))
		s.acquire(inFlight, s.claim("c", "E", 10))
		s.finish(nil, s.claim("a", "E", 10), longEnough)
	}},
	{"superseded-lapsed", "a superseded event whose lease has passed is superseded for others, and still its owner's to finish", func(s *storeScript) {
		s.acquire(acquired, brief(s.claim("a", "E", 10)))
		s.outlast()
		s.handle(s.claim("b", "later", 40))
		s.acquire(superseded, s.claim("c", "E", 10))
		s.finish(nil, s.claim("a", "E", 10), longEnough)
		s.acquire(done, s.claim("c", "E", 10))
	}},
	{"stage-equal", "an equal stage is not superseded", func(s *storeScript) {
		s.handle(s.claim("a", "settlement", 40))
		s.handle(s.claim("b", "reversal", 40))
	}},
	{"stage-higher", "a higher stage is not superseded, and is the highest when it is finished", func(s *storeScript) {
		s.handle(s.claim("a", "first", 10))
		s.handle(s.claim("b", "second", 20))
		s.handle(s.claim("c", "third", math.MaxInt32))
		s.acquire(superseded, s.claim("d", "late", math.MaxInt32-1))
	}},
	{"stage-unfinished", "only what is finished supersedes", func(s *storeScript) {
		s.hang(s.claim("a", "running", 40))
		s.acquire(acquired, s.claim("b", "failed", 50))
		s.release(nil, s.claim("b", "failed", 50))
		s.acquire(acquired, s.claim("c", "lower", 10))
	}},
	{"stage-lowered", "a lower stage that is finished later does not lower the highest", func(s *storeScript) {
		s.hang(s.claim("a", "lower", 10))
		s.handle(s.claim("b", "later", 40))
		s.finish(nil, s.claim("a", "lower", 10), longEnough)
		s.acquire(superseded, s.claim("c", "late", 30))
	}},
	{"stage-none", "a stage of 0 or less is never superseded", func(s *storeScript) {
		s.handle(s.claim("a", "later", 40))
		s.handle(s.claim("b", "zero", 0))
		s.handle(s.claim("c", "negative", -1))
		s.handle(s.claim("d", "most negative", math.MinInt32))
	}},
	{"stage-none-finished", "a stage of 0 or less supersedes nothing, and does not lower the highest", func(s *storeScript) {
		s.handle(s.claim("a", "negative", -1))
		s.handle(s.claim("a", "more negative", -2))
		s.handle(s.claim("a", "first", 20))
		s.handle(s.claim("a", "zero", 0))
		s.handle(s.claim("a", "negative again", -1))
		s.acquire(superseded, s.claim("b", "lower", 10))
	}},
	{"subject-none", "an event without a subject neither is superseded nor supersedes", func(s *storeScript) {
		none := func(event string, stage int) midhook.Claim {
			c := s.claim("a", event, stage)
			c.Subject = ""
			return c
		}
		s.handle(none("later", 40))
		s.handle(none("lower", 10))
		s.handle(s.claim("a", "with a subject", 5))
	}},
	{"subject-other", "a subject's stages say nothing about another subject", func(s *storeScript) {
		other := s.claim("b", "lower", 10)
		other.Subject += " of another"
		s.handle(s.claim("a", "later", 40))
		s.handle(other)
	}},

	{"keep", "a finished event is done for keep, counted from Finish, and then forgotten", func(s *storeScript) {
		s.acquire(acquired, s.claim("a", "E", 40))
		time.Sleep(2 * soon)
		began := s.finish(nil, s.claim("a", "E", 40), soon)
		s.turns(began.plus(soon), done, acquired, s.claim("b", "E", 40))
		s.finish(notOwner, s.claim("a", "E", 40), longEnough) // it is another's now
		s.finish(nil, s.claim("b", "E", 40), longEnough)
		s.acquire(done, s.claim("c", "E", 40))
	}},
	{"keep-stage", "the highest stage of a subject is remembered for keep, and then forgotten", func(s *storeScript) {
		s.acquire(acquired, s.claim("a", "later", 40))
		began := s.finish(nil, s.claim("a", "later", 40), soon)
		s.turns(began.plus(soon), superseded, acquired, s.claim("b", "lower", 10))
		s.finish(nil, s.claim("b", "lower", 10), longEnough)
		s.handle(s.claim("c", "middle", 20)) // the highest is now the new one
	}},
	{"keep-stage-lengthened", "a subject's highest stage is remembered for as long as the event of it that was finished last", func(s *storeScript) {
		s.hang(s.claim("a", "lower", 10))
		s.acquire(acquired, s.claim("b", "later", 40))
		s.finish(nil, s.claim("b", "later", 40), soon)
		s.finish(nil, s.claim("a", "lower", 10), longEnough)
		s.outlast()
		s.acquire(superseded, s.claim("c", "middle", 30))
	}},
	{"keep-stage-shortened", "a Finish with a shorter keep does not shorten what an earlier one remembers", func(s *storeScript) {
		s.hang(s.claim("a", "lower", 10))
		s.acquire(acquired, s.claim("b", "later", 40))
		s.finish(nil, s.claim("b", "later", 40), longEnough)
		s.finish(nil, s.claim("a", "lower", 10), soon)
		s.outlast()
		s.acquire(superseded, s.claim("c", "middle", 30))
		s.acquire(done, s.claim("c", "later", 40))
	}},
	{"for-ever", "the longest lease and the longest keep there are do not overflow into one that is over", func(s *storeScript) {
		c := s.claim("a", "E", 40)
		c.Lease = math.MaxInt64
		s.acquire(acquired, c)
		s.acquire(inFlight, s.claim("b", "E", 40))
		s.finish(nil, c, math.MaxInt64)
		s.acquire(done, s.claim("b", "E", 40))
		s.acquire(superseded, s.claim("b", "lower", 10))
	}},

	{"context-acquire", "an Acquire whose context is done returns an error and changes nothing", func(s *storeScript) {
		s.refusesAcquire(s.claim("a", "E", 40))
		s.acquire(acquired, s.claim("b", "E", 40))
		s.finish(nil, s.claim("b", "E", 40), longEnough)
		s.refusesAcquire(s.claim("c", "E", 40)) // what it would answer is no matter
		began := s.acquire(acquired, brief(s.claim("a", "F", 40)))
		s.refusesAcquire(s.claim("a", "F", 40)) // does not renew
		s.refusesAcquire(s.claim("a", "G", 40)) // does not move
		s.turns(began.plus(soon), inFlight, acquired, s.claim("b", "F", 40))
	}},
	{"context-finish", "a Finish whose context is done returns an error and changes nothing", func(s *storeScript) {
		c := s.claim("a", "E", 40)
		s.acquire(acquired, c)
		s.refuses("Finish", func(ctx context.Context) error { return s.store.Finish(ctx, c, longEnough) })
		s.acquire(inFlight, s.claim("b", "E", 40))
		s.acquire(busy, s.claim("b", "lower", 10))
		s.finish(nil, c, longEnough)
		s.acquire(done, s.claim("b", "E", 40))
	}},
	{"context-release", "a Release whose context is done returns an error and changes nothing", func(s *storeScript) {
		c := s.claim("a", "E", 40)
		s.acquire(acquired, c)
		s.refuses("Release", func(ctx context.Context) error { return s.store.Release(ctx, c) })
		s.acquire(inFlight, s.claim("b", "E", 40))
		s.finish(nil, c, longEnough)
	}},

	{"race-acquire", "Acquire is atomic: of many at once exactly one acquires", func(s *storeScript) {
		s.rounds(func(event string) {
			s.tally(racers, func(i int) string {
				return s.acquired(alone(s.claim(fmt.Sprint("owner ", i), event, 0)))
			}, map[string]int{"acquired": 1, "in_flight": racers - 1})
		})
	}},
	{"race-take-over", "Acquire is atomic: of many at once exactly one takes over a claim whose lease has passed", func(s *storeScript) {
		for _, event := range s.lapsed() {
			s.tally(racers, func(i int) string {
				return s.acquired(alone(s.claim(fmt.Sprint("owner ", i), event, 0)))
			}, map[string]int{"acquired": 1, "in_flight": racers - 1})
		}
	}},
	{"race-finish", "Finish is atomic: after the lease has passed either it succeeds or another takes the claim over, never both", func(s *storeScript) {
		for _, event := range s.lapsed() {
			s.tally(2*racers, func(i int) string {
				if i%2 == 0 {
					return s.finished(alone(s.claim("a", event, 0)))
				}
				return s.acquired(alone(s.claim(fmt.Sprint("owner ", i), event, 0)))
			},
				map[string]int{"no error": racers, "done": racers},
				map[string]int{"ErrNotOwner": racers, "acquired": 1, "in_flight": racers - 1})
		}
	}},
	{"race-release", "Release is atomic: it succeeds once, and gives back nothing that another has acquired since", func(s *storeScript) {
		s.rounds(func(event string) {
			s.acquire(acquired, alone(s.claim("a", event, 0)))
			winners := make(chan midhook.Claim, racers)
			s.tally(2*racers, func(i int) string {
				if i%2 == 0 {
					return s.released(alone(s.claim("a", event, 0)))
				}
				c := alone(s.claim(fmt.Sprint("owner ", i), event, 0))
				outcome := s.acquired(c)
				if outcome == stateName(acquired) {
					winners <- c
				}
				return outcome
			},
				map[string]int{"no error": 1, "ErrNotOwner": racers - 1, "in_flight": racers},
				map[string]int{"no error": 1, "ErrNotOwner": racers - 1, "in_flight": racers - 1, "acquired": 1})
			select {
			case winner := <-winners:
				s.acquire(inFlight, alone(s.claim("late", event, 0)))
				s.finish(nil, winner, longEnough)
			default:
				s.acquire(acquired, alone(s.claim("late", event, 0)))
			}
		})
	}},
	{"race-stage", "Finish is atomic: of several stages finished at once the highest is remembered", func(s *storeScript) {
		const subjects, stages = 40, 3
		claim := func(subject, stage int) midhook.Claim {
			c := s.claim(fmt.Sprint("owner ", stage), fmt.Sprint("event ", subject, " at ", stage), stage)
			c.Subject += fmt.Sprint(subject)
			return c
		}
		for stage := 1; stage <= stages; stage++ {
			s.each(subjects, func(i int) { s.acquire(acquired, brief(claim(i, stage))) })
			s.outlast()
		}
		for i := range subjects {
			s.race(stages, func(stage int) { s.finish(nil, claim(i, stage+1), longEnough) })
			late := claim(i, stages-1)
			late.Key += " late"
			s.acquire(superseded, late)
		}
	}},

	{"empty-event", "Event may hold any bytes, and none", func(s *storeScript) {
		c := midhook.Claim{Owner: s.id, Lease: storeTimeout / 2}
		// This one event is every run's: another may hold it.
		began := time.Now()
		for s.acquired(c) == stateName(inFlight) && time.Since(began) < storeTimeout {
			time.Sleep(storePoll)
		}
		s.acquire(acquired, c)
		s.acquire(inFlight, midhook.Claim{Owner: "b" + s.id, Lease: storeTimeout / 2})
		s.release(nil, c)
	}},
	{"empty-owner", "Owner may hold any bytes, and none", func(s *storeScript) {
		s.acquire(acquired, s.claim("", "E", 40))
		s.acquire(inFlight, s.claim("b", "E", 40))
		s.acquire(acquired, s.claim("", "E", 40))
		s.finish(notOwner, s.claim("b", "E", 40), longEnough)
		s.finish(nil, s.claim("", "E", 40), longEnough)
		s.finish(nil, s.claim("", "E", 40), longEnough)
		s.acquire(done, s.claim("b", "E", 40))
		s.finish(notOwner, s.claim("b", "F", 40), longEnough)
		s.finish(notOwner, s.claim("", "F", 40), longEnough) // no owner is not an empty one
		s.acquire(acquired, s.claim("a", "G", 40))
		s.release(nil, s.claim("a", "G", 40))
		s.finish(notOwner, s.claim("", "G", 40), longEnough)
	}},
}, keyCases())

// kilobytes is longer than any index.
var kilobytes = strings.Repeat("x", 10_000)

// hostileKeys are keys that some database, some protocol or some library takes
// for one another, or for something else.
var hostileKeys = []struct {
	name, what string
	keys       []string
}{
	{"bytes", "any bytes", []string{
		"\x00", "\x00\x00", "\x00a", "a\x00", "a\x00b", "\x01", "\x1b", "\x7f", "\n", "\r\n", "'", "''", `"`, "`", "'; --",
		`\`, `\\`, `\0`, `\x00`, `\n`, "%", "%%", "%s", "%00", "_", "*", "?", "[a]", "{", "}", "{}", "{a}", "{a}b", "$1", ":", "|", "/", "../", "&amp;", "&",
	}},
	{"encoding", "bytes that are not UTF-8", []string{
		"\xff", "\xfe", "\xff\xff", "\uFFFD", "\xc3", "\xc3\x28", "\xe9", "\u00e9", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\xff", "a\xfe",
	}},
	{"case", "letters that differ in case only", []string{"a", "A", "event", "Event", "EVENT", "é", "É", "ß", "ẞ", "ss", "SS", "i", "I", "ı", "İ", "σ", "ς", "Σ", "k", "\u212a"}},
	{"space", "white space and what cannot be seen", []string{
		"", " ", "  ", "\t", "a", "a ", " a", "a  ", "a\t", "a\n", "\na", "a\r\n", "a\u00a0", "a\u3000", "a\u200b", "\ufeffa", "a\u00ad", "a\x00",
	}},
	{"unicode", "texts that Unicode takes for equal", []string{
		"\u00e9", "e\u0301", "e", "\u00c5", "\u212b", "A\u030a", "ﬁ", "fi", "１", "1", "²", "2", "한", "\u1112\u1161\u11ab", "ä", "ae", "01", "1.0", "1e0",
	}},
	{"long", "10,000 bytes that differ in one", []string{
		kilobytes, kilobytes + "a", kilobytes + "b", "a" + kilobytes, "b" + kilobytes, kilobytes[1:], kilobytes[:len(kilobytes)/2] + "a" + kilobytes[len(kilobytes)/2:],
	}},
}

// keyCases are three for each list of keys.
func keyCases() (cases []storeCase) {
	for _, k := range hostileKeys {
		rule := " may hold any bytes, and different ones are different: " + k.what
		cases = append(cases,
			storeCase{"events-" + k.name, "Event" + rule, func(s *storeScript) { s.eventsDiffer(k.keys) }},
			storeCase{"subjects-" + k.name, "Subject" + rule, func(s *storeScript) { s.subjectsDiffer(k.keys) }},
			storeCase{"owners-" + k.name, "Owner" + rule, func(s *storeScript) { s.ownersDiffer(k.keys) }},
		)
	}
	return cases
}

// unique makes each key this case's own, once at its end and once at its
// beginning, for what is lost may be at either.
func (s *storeScript) unique(keys []string) []string {
	var all []string
	for _, k := range keys {
		all = append(all, s.id+k)
		if k != "" {
			all = append(all, k+s.id)
		}
	}
	return all
}

func (s *storeScript) eventsDiffer(keys []string) {
	keys = s.unique(keys)
	claim := func(i int, owner string) midhook.Claim {
		return midhook.Claim{Key: keys[i], Owner: owner + strconv.Itoa(i), Lease: longEnough}
	}
	s.each(len(keys),
		func(i int) { s.acquire(acquired, claim(i, "a")) },
		func(i int) { s.acquire(inFlight, claim(i, "b")) },
		func(i int) { s.finish(nil, claim(i, "a"), longEnough) },
		func(i int) { s.acquire(done, claim(i, "b")) })
}

// subjectsDiffer gives each subject a highest stage of its own: of two that are
// taken for one, the lower is superseded by the higher.
func (s *storeScript) subjectsDiffer(keys []string) {
	keys = s.unique(keys)
	claim := func(i int, event string, stage int) midhook.Claim {
		return midhook.Claim{Key: fmt.Sprint(s.id, event, i), Subject: keys[i], Stage: 10*(i+1) + stage, Owner: "a", Lease: longEnough}
	}
	s.each(len(keys),
		func(i int) { s.acquire(acquired, claim(i, "highest", 0)) },
		func(i int) { s.finish(nil, claim(i, "highest", 0), longEnough) },
		func(i int) { s.acquire(acquired, claim(i, "as high", 0)) },
		func(i int) { s.release(nil, claim(i, "as high", 0)) },
		func(i int) { s.acquire(superseded, claim(i, "lower", -1)) })
}

func (s *storeScript) ownersDiffer(keys []string) {
	s.each(len(keys), func(i int) {
		event := fmt.Sprint("event ", i)
		own, other := alone(s.claim(keys[i], event, 0)), alone(s.claim(keys[(i+1)%len(keys)], event, 0))
		s.acquire(acquired, own)
		s.acquire(inFlight, other)
		s.finish(notOwner, other, longEnough)
		s.release(notOwner, other)
		s.finish(nil, own, longEnough)
		s.finish(notOwner, other, longEnough)
		s.finish(nil, own, longEnough)
	})
}
