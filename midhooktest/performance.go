package midhooktest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/midhook/midhook"
)

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
func (p *performance) total() string { return cmp.Or(p.Price, "25000.00") }

// share is that share of the total, as gross_amount has it.
func (p *performance) share(percent int64) string {
	return amountOf(p.hundredths(p.total()) * percent / 100)
}

// amountOf is an amount as gross_amount has it.
func amountOf(hundredths int64) string { return fmt.Sprintf("%d.%02d", hundredths/100, hundredths%100) }

// hundredths are those of an amount, 0 if it is none.
func (p *performance) hundredths(amount string) int64 {
	n, err := midhook.ParseAmount(amount)
	if err != nil {
		p.fail(err)
	}
	return n
}

// order makes an order that nobody has paid for.
func (p *performance) order() string {
	if p.Place != nil {
		return p.Place(p.total())
	}
	p.orders++
	return fmt.Sprintf("%s-%d", p.Name, p.orders)
}

// notification is a sample about an order's transaction number nr.
func (p *performance) notification(sample, order string, nr int, tweaks ...Tweak) *midhook.Notification {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s#%d", order, nr))
	id := hex.EncodeToString(sum[:])
	uuid := fmt.Sprintf("%s-%s-4%s-8%s-%s", id[:8], id[8:12], id[13:16], id[17:20], id[20:32])
	return Sample(sample, append([]Tweak{Order(order), Transaction(uuid), Amount(p.total()), Time(p.start)}, tweaks...)...)
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

// fulfilledAtMostOnce checks orders that were fulfilled and whose money has gone
// back since: a shop may have counted them back.
func (p *performance) fulfilledAtMostOnce(orders ...string) {
	if p.Fulfilled == nil {
		return
	}
	p.Engine.Wait()
	for _, order := range orders {
		if got := p.Fulfilled(order); got > 1 {
			p.broken(p.Rule, "order %s was fulfilled %s, want once at most%s", order, times(got), p.attempts(order))
		}
	}
}

// refunded checks how much of an order's payment was given back.
func (p *performance) refunded(want, order string) {
	if p.Refunded == nil {
		return
	}
	p.Engine.Wait()
	if got, want := p.Refunded(order), p.hundredths(want); got != want {
		p.broken(p.Rule, "of order %s %d hundredths are refunded by Subject.Refunded, want %d%s", order, got, want, p.attempts(order))
	}
}

// reversed checks whether an order's payment was taken back.
func (p *performance) reversed(want bool, order string) {
	if p.Reversed == nil {
		return
	}
	p.Engine.Wait()
	if got := p.Reversed(order); got != want {
		p.broken(p.Rule, "the payment of order %s is reversed by Subject.Reversed: %t, want %t%s", order, got, want, p.attempts(order))
	}
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
