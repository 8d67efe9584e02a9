package midhooktest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Mishap is where a [Scenario] has things go wrong inside the merchant's handler.
// Call Happen in a test double of what the handler needs to fulfil an order, the
// database or the shop, immediately before the order is fulfilled there:
//
//	func (s *fakeShop) Fulfil(ctx context.Context, orderID string) error {
//		if err := s.mishap.Happen(ctx); err != nil {
//			return err
//		}
//		…
//	}
//
// The zero value is ready; nothing happens until a scenario says so.
type Mishap struct {
	mu  sync.Mutex
	now func(context.Context) error
	met int
}

var errMishap = errors.New("midhooktest: a mishap, as the scenario has it")

// Happen does what the scenario wants: it returns an error that must be treated
// as the double's own, takes its time, panics, or, mostly, returns nil at once. Like
// a call to a database it returns an error when ctx has ended. A nil Mishap does
// nothing, ever.
func (m *Mishap) Happen(ctx context.Context) error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	m.met++
	now := m.now
	m.mu.Unlock()
	if now == nil {
		return nil
	}
	return now(ctx)
}

// be arms the mishap.
func (m *Mishap) be(now func(context.Context) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now, m.met = now, 0
}

// unmet reports whether Happen was not called since the mishap was armed.
func (m *Mishap) unmet() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.met == 0
}

// first is a mishap that happens once.
func first(now func(context.Context) error) func(context.Context) error {
	var happened atomic.Bool
	return func(ctx context.Context) error {
		if happened.Swap(true) {
			return nil
		}
		return now(ctx)
	}
}

// takes is a mishap that does nothing but take its time.
func takes(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error { return sleep(ctx, d, 1) }
}
