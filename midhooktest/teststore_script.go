package midhooktest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/midhook/midhook"
)

const (
	acquired   = midhook.Acquired
	inFlight   = midhook.InFlight
	done       = midhook.Done
	superseded = midhook.Superseded
	busy       = midhook.Busy
)

var notOwner = midhook.ErrNotOwner

// storeScript plays a case. The first answer that is wrong ends it: what follows
// does nothing.
type storeScript struct {
	ctx       context.Context
	store     midhook.Store
	newHandle func() midhook.Store // another handle of the store, or another store
	bubble    bool                 // whether hours pass at once
	id        string               // in every event and subject, so that they are nobody else's

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

func stateName(s midhook.ClaimState) string {
	if s == 0 {
		return "no answer"
	}
	return s.String()
}

func leased(c midhook.Claim, lease time.Duration) midhook.Claim {
	c.Lease = lease
	return c
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
