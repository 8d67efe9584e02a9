package midhooktest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
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

	// Place, if set, makes an order of that total, which a scenario will pay for,
	// and returns its order_id: for a handler that knows its orders. By default
	// scenarios make up ids, the same each time.
	Place func(grossAmount string) (orderID string)

	// Status, if set, is told what Midtrans' status API says from now on, for a
	// handler that asks it: [StatusServer.Put].
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
// The test is skipped if the scenario needs what the Subject has not.
func (s Scenario) Test(t *testing.T, newSubject func(t *testing.T) Subject) {
	t.Helper()
	var lacking error
	synctest.Test(t, func(t *testing.T) {
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
// At an [Engine].Speed of 3600 a scenario takes six seconds or less. With a
// Mishap, those whose handlers are slow, SlowHandler and Burst, are played at 60 at
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

// performance is a scenario being played.
type performance struct {
	Scenario
	Subject
	ctx    context.Context
	start  time.Time
	speed  float64
	orders int

	mu         sync.Mutex
	deliveries []Delivery
	problems   []error
}

// total is what every order costs.
const total = "25000.00"

// order makes an order that nobody has paid for.
func (p *performance) order() string {
	if p.Place != nil {
		return p.Place(total)
	}
	p.orders++
	return fmt.Sprintf("%s-%d", p.Name, p.orders)
}

// notification is a sample about an order's transaction number nr.
func (p *performance) notification(sample, order string, nr int, tweaks ...Tweak) *midhook.Notification {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s#%d", order, nr))
	id := hex.EncodeToString(sum[:])
	uuid := fmt.Sprintf("%s-%s-4%s-8%s-%s", id[:8], id[8:12], id[13:16], id[17:20], id[20:32])
	return Sample(sample, append([]Tweak{Order(order), Transaction(uuid), Amount(total), Time(p.start)}, tweaks...)...)
}

// paid says that an order's first transaction was paid.
func (p *performance) paid(order string) *midhook.Notification {
	return p.notification("gopay", order, 1)
}

// pending says that it was not, yet.
func (p *performance) pending(order string) *midhook.Notification {
	return p.notification("gopay", order, 1, Status("201", midhook.StatusPending), Field("settlement_time", nil))
}

// happened makes n true, before it is delivered.
func (p *performance) happened(n *midhook.Notification) *midhook.Notification {
	if p.Status != nil {
		p.Status(n)
	}
	return n
}

// deliver delivers n until it is delivered or lost.
func (p *performance) deliver(n *midhook.Notification) Delivery {
	return p.ship(shipment{n: n})
}

// ship delivers what needs more than a notification and the engine's own ways.
func (p *performance) ship(s shipment) Delivery {
	if s.body == nil {
		s.body = Body(s.n, p.Engine.Secret)
	}
	s.speed = p.speed
	d, err := p.Engine.deliver(p.ctx, s)
	if err != nil {
		p.fail(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deliveries = append(p.deliveries, d)
	return d
}

// together does what has to happen n times at once.
func (p *performance) together(n int, do func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	all.Wait()
}

// pause lets d of Midtrans' time pass.
func (p *performance) pause(d time.Duration) {
	if err := sleep(p.ctx, d, p.speed); err != nil {
		p.fail(err)
	}
}

// passed is how much of Midtrans' time has passed since the beginning.
func (p *performance) passed() time.Duration {
	return time.Duration(float64(time.Since(p.start)) * p.speed)
}

// needs reports whether the subject has what the scenario cannot do without.
func (p *performance) needs(what string, has bool) bool {
	if !has {
		p.problem(fmt.Errorf("midhooktest: %s needs %s: %w", p.Name, what, errors.ErrUnsupported))
	}
	return has
}

// mishap arms the subject's.
func (p *performance) mishap(now func(context.Context) error) {
	if p.Mishap != nil {
		p.Mishap.be(now)
	}
}

// met checks that the mishap could happen, for otherwise nothing was tested.
func (p *performance) met() {
	p.mu.Lock()
	sound := len(p.problems) == 0
	p.mu.Unlock()
	if sound && p.Mishap != nil && p.Mishap.unmet() {
		p.fail(errors.New("nothing called Subject.Mishap.Happen: the handler's code must, before it fulfils an order"))
	}
}

// delivered checks that no delivery was lost.
func (p *performance) delivered(ds ...Delivery) {
	var lost []Delivery
	for _, d := range ds {
		if !d.Delivered && len(d.Attempts) > 0 { // without any, why not is told already
			lost = append(lost, d)
		}
	}
	if len(lost) > 0 {
		p.broken(p.Rule, "%d of %d notifications were lost, one of them by\n%s", len(lost), len(ds), lost[0])
	}
}

// fulfilled checks that the orders were fulfilled so many times each.
func (p *performance) fulfilled(want int, orders ...string) {
	if p.Fulfilled == nil {
		return
	}
	p.Engine.Wait()
	for _, order := range orders {
		if got := p.Fulfilled(order); got != want {
			p.broken(p.Rule, "order %s was fulfilled %s, want %s%s", order, times(got), times(want), p.attempts(order))
			return // one is enough to see why
		}
	}
}

func times(n int) string {
	switch n {
	case 0:
		return "never"
	case 1:
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// attempts shows the first deliveries about an order.
func (p *performance) attempts(order string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	shown := 0
	for _, d := range p.deliveries {
		if d.Notification != nil && d.Notification.OrderID == order && shown < 3 {
			shown++
			fmt.Fprintf(&b, "\n%s:\n%s", d.Notification.TransactionStatus, d)
		}
	}
	return b.String()
}

// broken reports that a rule was, and how that was seen.
func (p *performance) broken(rule, seen string, args ...any) {
	how := strings.ReplaceAll(fmt.Sprintf(seen, args...), "\n", "\n\t")
	p.problem(fmt.Errorf("%s: %s\n\t%s", p.Name, rule, how))
}

// fail reports that the scenario could not be played.
func (p *performance) fail(err error) { p.problem(fmt.Errorf("midhooktest: %s: %w", p.Name, err)) }

// problem reports each once: what ends one delivery may end a thousand.
func (p *performance) problem(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, other := range p.problems {
		if other.Error() == err.Error() {
			return
		}
	}
	p.problems = append(p.problems, err)
}
