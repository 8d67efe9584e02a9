package midhooktest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/midhook/midhook"
)

// Subject is a merchant's handler for a [Scenario] to play against.
type Subject struct {
	// Engine has the handler, or a server's URL, and the server key. Give the
	// whole endpoint: with the router, the sessions and the recovery in front of it.
	Engine *Engine

	// Fulfilled says how many times an order was fulfilled so far: goods were
	// shipped, a balance was credited. Without it, a scenario sees the answers only.
	Fulfilled func(orderID string) int

	// Refunded, if set, says how much of an order's payment was given back so far, all
	// refunds together, in hundredths of the currency unit.
	Refunded func(orderID string) int64

	// Reversed, if set, says whether the shop knows that the money of an order it was
	// paid for is gone again: a chargeback, a deny after the settlement (the bank has
	// taken it back), or a cancel after the capture. A refund, or a part of the money,
	// need not count.
	Reversed func(orderID string) bool

	// Place, if set, makes an order of that total, which a scenario will pay for,
	// and returns its order_id: for a handler that knows its orders. By default
	// scenarios make up ids, the same each time.
	Place func(grossAmount string) (orderID string)

	// Price, if set, is what every order costs, as in gross_amount: "25000.00", which
	// is also the default. With a Price, or a Place, the handler is expected to know
	// what an order costs, and WrongAmount is played.
	Price string

	// Status, if set, is told what Midtrans' status API says from now on, for a
	// handler that asks it: [StatusServer.Put]. With it, scenarios also send what a
	// signature alone cannot tell from the truth: a signed cancel or refund of
	// status_code 200 that was edited to settlement.
	Status func(*midhook.Notification)

	// Mishap is what the handler's code calls before it fulfils an order. Some
	// scenarios need it; others happen in front of the handler without it.
	Mishap *Mishap

	// NextKey is a second server key that the handler accepts, for KeyRotation.
	NextKey string
}

// Scenario is something that happens to every merchant's handler sooner or later,
// and the rule that keeps it from costing money.
type Scenario struct {
	Name string // as a subtest's name: "duplicate-storm"
	Rule string // what the handler must do, in one sentence

	play func(*performance)
}

// TestHandler tests a handler in all [Scenarios], each in a subtest of its name.
// A failure names the rule that is broken, and shows the attempts.
//
//	func TestNotifications(t *testing.T) {
//		midhooktest.TestHandler(t, func(t *testing.T) midhooktest.Subject {
//			shop := newFakeShop()
//			return midhooktest.Subject{
//				Engine:    &midhooktest.Engine{Handler: newServer(shop, key), Secret: key},
//				Fulfilled: shop.fulfilled,
//				Mishap:    &shop.mishap,
//			}
//		})
//	}
//
// See [Scenario.Test] for what newSubject may do.
func TestHandler(t *testing.T, newSubject func(t *testing.T) Subject) {
	t.Helper()
	for _, s := range Scenarios() {
		t.Run(s.Name, func(t *testing.T) { s.Test(t, newSubject) })
	}
}

// Test tests a handler in one scenario.
//
// The scenario is played in a bubble of testing/synctest, so that hours pass in a
// moment. newSubject is called inside the bubble and makes a new handler; the t it
// gets is the bubble's, without Run and Parallel. What it starts must have ended
// with the test (t.Cleanup), and must not be waiting for the world outside: a
// handler that talks to a database or any other real socket stands still in a
// bubble. Test such a one with [Scenario.Play], at an [Engine].Speed of its own.
//
// A handler or a test double that holds a mutex while it works stops the bubble's
// clock for ever as soon as another delivery waits for the mutex. Test notices
// within seconds, fails, and names the goroutines; the bubble is left behind. A
// channel with room for one does what the mutex does, and stops no clock.
//
// The test is skipped if the scenario needs what the Subject has not.
func (s Scenario) Test(t *testing.T, newSubject func(t *testing.T) Subject) {
	t.Helper()
	var lacking error
	testInBubble(t, func(t *testing.T) {
		t.Helper()
		subject := newSubject(t)
		switch {
		case subject.Engine == nil || subject.Engine.Handler == nil:
			t.Fatal("midhooktest: Subject.Engine needs a Handler: a bubble has no network")
		case subject.Fulfilled == nil:
			t.Fatal("midhooktest: Subject.Fulfilled is required")
		}
		_, err := s.Play(t.Context(), subject)
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			lacking = err
		case err != nil:
			t.Error(err)
		}
	})
	if lacking != nil {
		t.Skip(lacking) // inside of the bubble it would say that the test has passed
	}
}

// Play plays the scenario by the clock there is, and returns all deliveries in
// the order in which they ended. The error tells the rules that were broken, what
// kept the scenario from being played, or, then as [errors.ErrUnsupported], what
// the subject lacks for it.
//
//	for _, s := range midhooktest.Scenarios() {
//		t.Run(s.Name, func(t *testing.T) {
//			if _, err := s.Play(t.Context(), newSubject(t)); err != nil {
//				t.Error(err)
//			}
//		})
//	}
//
// At an [Engine].Speed of 3600 a scenario takes ten seconds or less, and six more
// for each notification that is lost. With a Mishap, those whose handlers are slow, SlowHandler and Burst, are played at 60 at
// most, so that retries leave the handler some time, and take some minutes.
func (s Scenario) Play(ctx context.Context, subject Subject) ([]Delivery, error) {
	switch {
	case s.play == nil:
		return nil, errors.New("midhooktest: this is none of Scenarios")
	case subject.Engine == nil || subject.Engine.Secret == "":
		return nil, errors.New("midhooktest: Subject.Engine and its Secret are required")
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	p := &performance{Scenario: s, Subject: subject, ctx: ctx, start: time.Now(), speed: subject.Engine.speed()}
	if subject.Mishap != nil {
		p.Mishap.be(nil)
		defer p.Mishap.be(nil)
	}
	s.play(p)
	p.Engine.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.deliveries, errors.Join(p.problems...)
}
