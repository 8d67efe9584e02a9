package midhooktest

import (
	"fmt"
	"time"

	"github.com/midhook/midhook"
)

// refund says that an order's first transaction was refunded in so many parts, each
// a percentage of the total, so far.
func (p *performance) refund(order string, parts ...int64) *midhook.Notification {
	var sum int64
	var refunds []map[string]any
	for i, part := range parts {
		sum += part
		amount := p.hundredths(p.share(sum)) - p.hundredths(p.share(sum-part)) // so that they add up
		refunds = append(refunds, map[string]any{
			"refund_chargeback_id":   101 + i,
			"refund_chargeback_uuid": fmt.Sprintf("00000000-0000-4000-8000-%012d", 901+i),
			"refund_amount":          amountOf(amount),
			"created_at":             p.start.In(jakarta).Format(time.DateTime),
			"reason":                 "customer changed their mind",
			"refund_key":             fmt.Sprint(order, "-refund-", i+1),
			"refund_method":          "online",
		})
	}
	status := midhook.StatusPartialRefund
	if sum == 100 {
		status = midhook.StatusRefund
	}
	return p.notification("gopay", order, 1, Status("200", status),
		Field("refund_amount", p.share(sum)), Field("refunds", refunds))
}

// Refunds has the payments of fulfilled orders refunded: in parts, one part told
// twice because the bank has confirmed it, as a whole, without a list of refunds, and
// with an older notification that comes after a newer one.
var Refunds = Scenario{
	Name: "refunds",
	Rule: "A refund is to be answered 2xx and fulfils nothing. Its refund_amount is all that was refunded so far: an older notification that comes late says less, and takes nothing back.",
	play: (*performance).refunds,
}

func (p *performance) refunds() {
	const half = 50
	whole, parts, disorder, flat := p.order(), p.order(), p.order(), p.order()
	var ds []Delivery
	for _, order := range []string{whole, parts, disorder, flat} {
		ds = append(ds, p.deliver(p.happened(p.paid(order))))
		p.refunded("0.00", order)
	}
	p.delivered(ds...)
	p.fulfilled(1, whole, parts, disorder, flat)
	p.pause(time.Hour)
	tell := func(order string, n *midhook.Notification, refunded int64) {
		p.delivered(p.deliver(n))
		p.refunded(p.share(refunded), order)
	}

	part := p.refund(whole, 20)
	tell(whole, p.happened(p.refund(whole, 100)), 100)
	tell(whole, part, 100)

	first := p.happened(p.refund(parts, 20))
	tell(parts, first, 20)
	tell(parts, first, 20) // once more
	tell(parts, p.happened(p.refund(parts, 20, half-20)), half)
	tell(parts, p.happened(p.bankConfirmed(parts, 20, half-20)), half)
	tell(parts, p.happened(p.refund(parts, 20, half-20, 100-half)), 100)

	older := p.refund(disorder, 20)
	tell(disorder, p.happened(p.refund(disorder, 20, half-20)), half)
	tell(disorder, older, half)

	unlisted := p.refund(flat, 20)
	unlisted.Refunds, unlisted.RefundKey = nil, "refund-1"
	tell(flat, p.happened(unlisted), 20)

	p.fulfilledAtMostOnce(whole, parts, disorder, flat)
}

// bankConfirmed is refund, after the bank has confirmed the latest part.
func (p *performance) bankConfirmed(order string, parts ...int64) *midhook.Notification {
	n := p.refund(order, parts...)
	n.Refunds[len(parts)-1].BankConfirmedAt = p.start.In(jakarta).Format(time.DateTime)
	return n
}

// RefundFirst has refunds and chargebacks come before the settlement they take back,
// whose delivery was held up.
var RefundFirst = Scenario{
	Name: "refund-first",
	Rule: "A refund or a chargeback is not a payment. If it comes before the settlement, the goods are owed when that comes and only a part was given back, and not when all was.",
	play: (*performance).refundFirst,
}

func (p *performance) refundFirst() {
	type takenBack func(order string) *midhook.Notification
	asChargeback := func(status midhook.TransactionStatus, percent int64) takenBack {
		return func(order string) *midhook.Notification {
			return p.notification("gopay", order, 1, Status("200", status), Field("refund_amount", p.share(percent)))
		}
	}
	for _, c := range []struct {
		first takenBack
		owed  int
	}{
		{func(order string) *midhook.Notification { return p.refund(order, 20) }, 1},
		{asChargeback(midhook.StatusPartialChargeback, 20), 1},
		{func(order string) *midhook.Notification { return p.refund(order, 100) }, 0},
		{asChargeback(midhook.StatusChargeback, 100), 0},
	} {
		order := p.order()
		late := p.happened(p.paid(order))
		p.delivered(p.deliver(p.happened(c.first(order))))
		p.fulfilled(0, order)
		p.pause(10 * time.Minute)
		p.delivered(p.deliver(late))
		p.fulfilled(c.owed, order)
	}
}

// TakenBack has the money of fulfilled orders go: charged back by the cardholder,
// reversed by the bank, which is a deny after the settlement, or canceled by the
// merchant after the capture. Some of the payments are notified once more after that.
var TakenBack = Scenario{
	Name: "taken-back",
	Rule: "A chargeback, a deny after the settlement and a cancel after the capture take the money back: take note of it, answer 2xx, for it is true, and fulfil nothing for it.",
	play: (*performance).takenBack,
}

func (p *performance) takenBack() {
	for _, c := range []struct {
		sample string // paid
		code   string
		status midhook.TransactionStatus
		part   bool
	}{
		{"permata-va", "202", midhook.StatusDeny, false},
		{"mandiri-bill", "202", midhook.StatusDeny, false},
		{"indomaret", "202", midhook.StatusDeny, false},
		{"credit-card", "202", midhook.StatusCancel, false},
		{"credit-card", "200", midhook.StatusChargeback, false},
		{"credit-card", "200", midhook.StatusPartialChargeback, true},
	} {
		order := p.order()
		paid := p.notification(c.sample, order, 1)
		if c.sample == "credit-card" && c.status != midhook.StatusCancel {
			paid = p.notification(c.sample, order, 1, Status("200", midhook.StatusSettlement))
		}
		p.delivered(p.deliver(p.happened(paid)))
		p.fulfilled(1, order)
		p.reversed(false, order)
		p.pause(time.Hour)

		tweaks := []Tweak{Status(c.code, c.status)}
		if c.part {
			tweaks = append(tweaks, Field("refund_amount", p.share(20)))
		}
		p.delivered(p.deliver(p.happened(p.notification(c.sample, order, 1, tweaks...))), p.deliver(paid))
		p.fulfilledAtMostOnce(order)
		if !c.part {
			p.reversed(true, order)
		}
	}
}
