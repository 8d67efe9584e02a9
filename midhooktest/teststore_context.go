package midhooktest

import (
	"context"
	"errors"
	"time"

	"github.com/midhook/midhook"
)

var contextCases = []storeCase{
	{"context-acquire", "an Acquire whose context is done returns an error and changes nothing", func(s *storeScript) {
		s.refusesAcquire(s.claim("a", "E", 40))
		s.acquire(acquired, s.claim("b", "D", 40)) // nor is its subject held
		s.release(nil, s.claim("b", "D", 40))
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
