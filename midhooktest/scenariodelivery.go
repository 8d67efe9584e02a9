package midhooktest

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/midhook/midhook"
)

// DuplicateStorm sends one settlement 32 times at once, and three times more in
// the hours after.
var DuplicateStorm = Scenario{
	Name: "duplicate-storm",
	Rule: "Midtrans may send one event many times, even at once: it must be answered 2xx in the end, and fulfil its order once.",
	play: (*performance).duplicateStorm,
}

func (p *performance) duplicateStorm() {
	p.mishap(takes(time.Second)) // so that the runs overlap
	order := p.order()
	n := p.happened(p.paid(order))
	ds := make([]Delivery, 32)
	p.together(len(ds), func(i int) { ds[i] = p.deliver(n) })
	for range 3 {
		p.pause(time.Hour)
		ds = append(ds, p.deliver(n))
	}
	p.delivered(ds...)
	p.fulfilled(1, order)
	p.met()
}

// OutOfOrder sends the pending and the settlement of one order in their order, of
// another the wrong way round, and for a third a denial and then the settlement of
// a second transaction.
var OutOfOrder = Scenario{
	Name: "out-of-order",
	Rule: "An order is fulfilled once, when a transaction of it is paid, whatever was notified of the order before or comes after.",
	play: (*performance).outOfOrder,
}

func (p *performance) outOfOrder() {
	usual, reversed, denied := p.order(), p.order(), p.order()
	ds := []Delivery{p.deliver(p.happened(p.pending(usual)))}
	p.fulfilled(0, usual)
	ds = append(ds, p.deliver(p.happened(p.paid(usual))))

	ds = append(ds, p.deliver(p.happened(p.paid(reversed))))
	ds = append(ds, p.deliver(p.pending(reversed)))

	ds = append(ds, p.deliver(p.happened(p.notification("credit-card-deny", denied, 1))))
	p.fulfilled(0, denied)
	ds = append(ds, p.deliver(p.happened(p.notification("bca-va", denied, 2))))

	p.delivered(ds...)
	p.fulfilled(1, usual, reversed, denied)
}

// CaptureThenSettlement sends the capture of a card payment, and hours later its
// settlement. Both say that the order is paid.
var CaptureThenSettlement = Scenario{
	Name: "capture-then-settlement",
	Rule: "A card payment is captured and later settled: two events that both mean paid, and one order to fulfil.",
	play: (*performance).captureThenSettlement,
}

func (p *performance) captureThenSettlement() {
	order := p.order()
	ds := []Delivery{p.deliver(p.happened(p.notification("credit-card", order, 1)))}
	p.pause(5 * time.Hour)
	ds = append(ds, p.deliver(p.happened(p.notification("credit-card", order, 1, Status("200", midhook.StatusSettlement)))))
	p.delivered(ds...)
	p.fulfilled(1, order)
}

// slowSpeed is the highest speed at which a retry leaves a slow handler some time.
const slowSpeed = 60

// SlowHandler has each order take longer than Midtrans waits, and then one stand
// still until its retry has come. It needs a Mishap.
var SlowHandler = Scenario{
	Name: "slow-handler",
	Rule: "A handler that is slower than the 15 s Midtrans waits must still succeed, and its retry must not fulfil the order beside it.",
	play: (*performance).slowHandler,
}

func (p *performance) slowHandler() {
	if !p.needs("a Mishap, to be slow", p.Mishap != nil) {
		return
	}
	p.speed = min(p.speed, slowSpeed)
	policy := p.Engine.policy()

	slow := p.order()
	p.mishap(takes(policy.Timeout + 5*time.Second))
	p.delivered(p.deliver(p.happened(p.paid(slow))))
	p.fulfilled(1, slow)
	p.met()

	stuck := p.order()
	wait := policy.Timeout + 5*time.Second
	if len(policy.Waits) > 0 {
		wait += time.Duration(float64(policy.Waits[0]) / p.speed)
	}
	p.mishap(first(func(ctx context.Context) error {
		_ = sleep(p.ctx, wait, 1) // as a driver does that notices the end of ctx when it is through
		return ctx.Err()
	}))
	p.delivered(p.deliver(p.happened(p.paid(stuck))))
	if err := sleep(p.ctx, wait, 1); err != nil { // for a URL: no one says when its handler is through
		p.fail(err)
	}
	p.fulfilled(1, stuck)
}

// Crash has the handler panic once, before it has fulfilled the order. Without a
// Mishap, the connection breaks after the handler has answered.
var Crash = Scenario{
	Name: "crash",
	Rule: "A notification whose handling crashed is not handled: its retry must fulfil the order, once.",
	play: (*performance).crash,
}

func (p *performance) crash() {
	order := p.order()
	s := shipment{n: p.happened(p.paid(order))}
	if p.Mishap == nil {
		s.between = func(attempt int, send func() answer) answer {
			ans := send()
			if attempt == 1 {
				ans = answer{err: errMishap}
			}
			return ans
		}
	}
	p.mishap(first(func(context.Context) error { panic(errMishap) }))
	p.delivered(p.ship(s))
	p.fulfilled(1, order)
	p.met()
}

// Outage has what the handler needs fail for 20 minutes, while 20 orders are
// paid. Without a Mishap, what stands in front of the handler answers 503.
var Outage = Scenario{
	Name: "outage",
	Rule: "An outage of 20 minutes must not lose a payment: answer it with 503, which Midtrans retries four times, and not with 500, which it retries once.",
	play: (*performance).outage,
}

func (p *performance) outage() {
	const long, orders = 20 * time.Minute, 20
	// By Midtrans' clock the third attempt for the first order is always within the
	// outage; by the clock of a busy machine at a high speed, it might not be.
	var third atomic.Bool
	down := func() bool { return p.passed() < long || !third.Load() }
	p.mishap(func(context.Context) error {
		if down() {
			return errMishap
		}
		return nil
	})
	ns, ids := make([]*midhook.Notification, orders), make([]string, orders)
	for i := range ns {
		ids[i] = p.order()
		ns[i] = p.happened(p.paid(ids[i]))
	}
	ds := make([]Delivery, orders)
	p.together(orders, func(i int) {
		p.pause(time.Duration(i) * long / orders)
		ds[i] = p.ship(shipment{n: ns[i], between: func(attempt int, send func() answer) answer {
			if i == 0 && attempt >= 3 {
				defer third.Store(true)
			}
			if p.Mishap == nil && down() {
				return answer{status: http.StatusServiceUnavailable}
			}
			return send()
		}})
		if i == 0 {
			third.Store(true)
		}
	})
	p.delivered(ds...)
	p.fulfilled(1, ids...)
	p.met()
}

// Burst has a thousand orders notified at once, as when Midtrans delivers what an
// outage has held up. With a Mishap, five can be fulfilled at a time, in a tenth
// of a second.
var Burst = Scenario{
	Name: "burst",
	Rule: "When a thousand notifications come at once, after an outage, each of their orders must be fulfilled, and once.",
	play: (*performance).burst,
}

func (p *performance) burst() {
	const orders, connections, work = 1000, 5, 100 * time.Millisecond
	if p.Mishap != nil {
		p.speed = min(p.speed, slowSpeed)
		pool := make(chan struct{}, connections)
		p.mishap(func(ctx context.Context) error {
			select {
			case pool <- struct{}{}:
				defer func() { <-pool }()
				return sleep(ctx, work, 1)
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}
	ns, ids := make([]*midhook.Notification, orders), make([]string, orders)
	for i := range ns {
		ids[i] = p.order()
		ns[i] = p.happened(p.paid(ids[i]))
	}
	ds := make([]Delivery, orders)
	p.together(orders, func(i int) { ds[i] = p.deliver(ns[i]) })
	p.delivered(ds...)
	p.fulfilled(1, ids...)
	p.met()
}
