package midhooktest

import (
	"strings"
	"time"

	"github.com/midhook/midhook"
)

// EveryMethod has an order paid by each payment method of the [Samples]: a card is
// captured and then settled, all others are settled at once.
var EveryMethod = Scenario{
	Name: "every-method",
	Rule: "An order is paid by a settlement or an accepted capture of status_code 200, whatever the payment method, and then it is fulfilled once.",
	play: (*performance).everyMethod,
}

func (p *performance) everyMethod() {
	for _, sample := range Samples() {
		n := Sample(sample)
		if !n.Paid() || strings.HasPrefix(sample, "dashboard-") || strings.HasPrefix(sample, "credit-card-challenge") {
			continue
		}
		order := p.order()
		ds := []Delivery{p.deliver(p.happened(p.notification(sample, order, 1)))}
		if n.TransactionStatus == midhook.StatusCapture {
			ds = append(ds, p.deliver(p.happened(p.notification(sample, order, 1, Status("200", midhook.StatusSettlement)))))
		}
		p.delivered(ds...)
		p.fulfilled(1, order)
	}
}

// NewFields sends payments as they are written now and then: with fields that are
// not known yet, with a number where there was a text, without fraud_status, and with
// one in upper case.
var NewFields = Scenario{
	Name: "new-fields",
	Rule: "Midtrans adds fields at any time, leaves others out, and changes the types of those that are not signed: a payment is a payment all the same.",
	play: (*performance).newFields,
}

func (p *performance) newFields() {
	for _, tweak := range []Tweak{
		func(o *object) { *o = decodeObject(withNewFields(o.encode())) },
		Field("installment_term", 3),
		Field("installment_term", "3"),
		Field("custom_field1", map[string]any{"a": []int{1}}),
		Field("merchant_id", nil),
		Field("currency", nil),
		Fraud(""),
		Fraud("ACCEPT"),
	} {
		order := p.order()
		p.delivered(p.deliver(p.happened(p.notification("credit-card", order, 1, Status("200", midhook.StatusSettlement), tweak))))
		p.fulfilled(1, order)
	}
}

// WrongAmount has orders paid by less than they cost, as signed by Midtrans: a
// customer has changed the amount before he was sent to the payment page. Each is
// then paid in full by another transaction. It needs a Place or a Price.
var WrongAmount = Scenario{
	Name: "wrong-amount",
	Rule: "A payment fulfils an order only if gross_amount is what the order costs by the merchant's own record: Midtrans signs what was paid, not what was due.",
	play: (*performance).wrongAmount,
}

func (p *performance) wrongAmount() {
	if !p.needs("a Place or a Price, for the handler to know what an order costs", p.Place != nil || p.Price != "") {
		return
	}
	once := p.Engine.policy().once()
	due := p.hundredths(p.total())
	for _, less := range []int64{1_00, due - 1, due / 2, due / 10, due / 100} {
		if less <= 0 || less >= due {
			continue
		}
		order := p.order()
		p.ship(shipment{n: p.happened(p.notification("gopay", order, 1, Amount(amountOf(less)))), policy: &once})
		p.fulfilled(0, order)
		p.delivered(p.deliver(p.happened(p.notification("bca-va", order, 2))))
		p.fulfilled(1, order)
	}
}

// Challenge has Midtrans' fraud detection hold back card payments. The
// merchant accepts one of them and denies another.
var Challenge = Scenario{
	Name: "challenge",
	Rule: "A payment that is challenged is not paid yet: its order is fulfilled, once, when the challenge is accepted, and never when it is denied.",
	play: (*performance).challenge,
}

func (p *performance) challenge() {
	accepted, denied, canceled := p.order(), p.order(), p.order()
	var ds []Delivery
	for _, order := range []string{accepted, denied, canceled} {
		n := p.happened(p.notification("credit-card-challenge", order, 1))
		ds = append(ds, p.deliver(n), p.deliver(n))
	}
	p.delivered(ds...)
	p.fulfilled(0, accepted, denied, canceled)
	p.pause(time.Hour)

	ds = []Delivery{p.deliver(p.happened(p.notification("credit-card-challenge-accepted", accepted, 1)))}
	p.delivered(ds...)
	p.fulfilled(1, accepted)
	ds = append(ds,
		p.deliver(p.happened(p.notification("credit-card-challenge-accepted", accepted, 1, Status("200", midhook.StatusSettlement)))),
		p.deliver(p.happened(p.notification("credit-card-deny", denied, 1))),
		p.deliver(p.happened(p.notification("credit-card-challenge", canceled, 1, Status("202", midhook.StatusCancel)))))
	p.delivered(ds...)
	p.fulfilled(1, accepted)
	p.fulfilled(0, denied, canceled)
}

// Authorize has money set aside on cards. It is captured for one order, and given
// back for others.
var Authorize = Scenario{
	Name: "authorize",
	Rule: "An authorization only sets money aside: its order is fulfilled, once, when the money is captured, and never when it is not.",
	play: (*performance).authorize,
}

func (p *performance) authorize() {
	captured := p.order()
	endings := []midhook.TransactionStatus{midhook.StatusCancel, midhook.StatusExpire, midhook.StatusDeny}
	orders := []string{captured}
	for range endings {
		orders = append(orders, p.order())
	}
	var ds []Delivery
	for _, order := range orders {
		ds = append(ds, p.deliver(p.happened(p.notification("authorize", order, 1))))
	}
	p.delivered(ds...)
	p.fulfilled(0, orders...)
	p.pause(time.Hour)
	ds = nil
	for i, status := range endings {
		ds = append(ds, p.deliver(p.happened(p.notification("authorize", orders[i+1], 1, Status("202", status)))))
	}
	for _, status := range []midhook.TransactionStatus{midhook.StatusCapture, midhook.StatusSettlement} {
		ds = append(ds, p.deliver(p.happened(p.notification("authorize", captured, 1, Status("200", status)))))
	}
	p.delivered(ds...)
	p.fulfilled(1, captured)
	p.fulfilled(0, orders[1:]...)
}
