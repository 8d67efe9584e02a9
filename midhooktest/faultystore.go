package midhooktest

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/midhook/midhook"
)

// ErrStoreFault is what a [FaultyStore] answers where the fault is its own.
var ErrStoreFault = errors.New("injected fault of the store")

// StoreFault is what becomes of one operation on a [FaultyStore]: it calls
// operation or not, before or after whatever else it does, and returns what the
// caller is told. With an error the store's answer to an Acquire is lost, too.
// There are [LostRequest], [LostAnswer], [Delayed] and [Hanging]; a test can write
// others.
type StoreFault func(ctx context.Context, operation func(context.Context) error) error

// LostRequest is a [StoreFault]: nothing is done, and an error returned.
func LostRequest(context.Context, func(context.Context) error) error { return ErrStoreFault }

// LostAnswer is a [StoreFault]: the operation is done, and an error returned
// nevertheless.
func LostAnswer(ctx context.Context, operation func(context.Context) error) error {
	_ = operation(ctx)
	return ErrStoreFault
}

// Delayed is a [StoreFault] that waits for d before the operation. If the context
// ends before that, nothing is done and the context's error returned.
func Delayed(d time.Duration) StoreFault {
	return func(ctx context.Context, operation func(context.Context) error) error {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return operation(ctx)
		}
	}
}

// Hanging is a [StoreFault] that waits for d before the operation, as a driver
// does that knows no contexts: even if the context ends meanwhile, it returns no
// sooner and the operation is done.
func Hanging(d time.Duration) StoreFault {
	return func(ctx context.Context, operation func(context.Context) error) error {
		time.Sleep(d)
		return operation(context.WithoutCancel(ctx))
	}
}

// FaultyStore is a [midhook.Store] that fails as one over a network does, at
// random, by a script or for a while, and hands everything else to another store.
// It is made by [NewFaultyStore], has no faults at first, and is safe for
// concurrent use, also inside a [testing/synctest] bubble.
//
//	store := midhooktest.NewFaultyStore(midhook.NewLRUStore(100))
//	store.OnFinish(midhooktest.LostAnswer)
//	hook, err := midhook.New(key, midhook.WithStore(store))
//
// Of several faults for one call, an outage goes before a script, and a script
// before chance. For faults upon faults, put one FaultyStore in front of another.
type FaultyStore struct {
	store midhook.Store

	mu                           sync.Mutex
	down                         bool
	outages                      []callRange
	acquires, finishes, releases []StoreFault // scripts
	random                       func() StoreFault
	calls, faulty                int
}

type callRange struct{ first, last int }

// NewFaultyStore returns a FaultyStore in front of store.
func NewFaultyStore(store midhook.Store) *FaultyStore { return &FaultyStore{store: store} }

// OnAcquire scripts the next Acquire calls, one fault for each in this order, nil
// for none. It adds to the script there is.
func (s *FaultyStore) OnAcquire(faults ...StoreFault) { s.script(&s.acquires, faults) }

// OnFinish scripts the next Finish calls, as OnAcquire does.
func (s *FaultyStore) OnFinish(faults ...StoreFault) { s.script(&s.finishes, faults) }

// OnRelease scripts the next Release calls, as OnAcquire does.
func (s *FaultyStore) OnRelease(faults ...StoreFault) { s.script(&s.releases, faults) }

func (s *FaultyStore) script(script *[]StoreFault, faults []StoreFault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*script = append(*script, faults...)
}

// Random has each call meet a fault with probability rate, between 0 and 1: one
// of faults, all equally likely, or of [LostRequest] and [LostAnswer] if none is
// given. The seed decides which calls, in the order in which they come. It
// replaces what an earlier Random has set.
func (s *FaultyStore) Random(seed uint64, rate float64, faults ...StoreFault) {
	if len(faults) == 0 {
		faults = []StoreFault{LostRequest, LostAnswer}
	}
	chance := rand.New(rand.NewPCG(seed, 0))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.random = func() StoreFault {
		if chance.Float64() >= rate {
			return nil
		}
		return faults[chance.IntN(len(faults))]
	}
}

// Outage loses the requests of the calls from first to last, both included: of
// all operations together, counted from 1 as Calls does.
func (s *FaultyStore) Outage(first, last int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outages = append(s.outages, callRange{first, last})
}

// SetDown begins an outage, in which every request is lost, or ends it.
func (s *FaultyStore) SetDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// Heal ends all faults, planned ones included. Calls that have met theirs still
// end as they would have.
func (s *FaultyStore) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down, s.outages, s.random = false, nil, nil
	s.acquires, s.finishes, s.releases = nil, nil, nil
}

// Calls returns how many operations there were, and how many of them met a fault.
func (s *FaultyStore) Calls() (all, faulty int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls, s.faulty
}

// Acquire is the store's, or a fault.
func (s *FaultyStore) Acquire(ctx context.Context, c midhook.Claim) (midhook.ClaimState, error) {
	var state midhook.ClaimState
	err := s.meet(ctx, &s.acquires, func(ctx context.Context) (err error) {
		state, err = s.store.Acquire(ctx, c)
		return err
	})
	if err != nil {
		return 0, err // the answer is lost, too
	}
	return state, nil
}

// Finish is the store's, or a fault.
func (s *FaultyStore) Finish(ctx context.Context, c midhook.Claim, keep time.Duration) error {
	return s.meet(ctx, &s.finishes, func(ctx context.Context) error { return s.store.Finish(ctx, c, keep) })
}

// Release is the store's, or a fault.
func (s *FaultyStore) Release(ctx context.Context, c midhook.Claim) error {
	return s.meet(ctx, &s.releases, func(ctx context.Context) error { return s.store.Release(ctx, c) })
}

// meet does one operation, or what its fault makes of it.
func (s *FaultyStore) meet(ctx context.Context, script *[]StoreFault, operation func(context.Context) error) error {
	if fault := s.next(script); fault != nil {
		return fault(ctx, operation)
	}
	return operation(ctx)
}

func (s *FaultyStore) next(script *[]StoreFault) StoreFault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	fault := s.choose(script)
	if fault != nil {
		s.faulty++
	}
	return fault
}

func (s *FaultyStore) choose(script *[]StoreFault) StoreFault {
	out := func(o callRange) bool { return o.first <= s.calls && s.calls <= o.last }
	switch {
	case s.down || slices.ContainsFunc(s.outages, out):
		return LostRequest
	case len(*script) > 0:
		fault := (*script)[0]
		*script = (*script)[1:]
		return fault
	case s.random != nil:
		return s.random()
	}
	return nil
}
