package midhooktest

import (
	"github.com/midhook/midhook"
)

// EditedStatus sends signed notifications of payments that are pending, challenged,
// denied, canceled, expired or failed, edited to a settlement and to a capture: the
// signature fits, for transaction_status and fraud_status are not in it. With a
// Subject.Status, so are those of status_code 200 that only the status API can tell
// from the truth. Signed pending notifications are edited to an end, too, and then
// come the payments.
var EditedStatus = Scenario{
	Name: "edited-status",
	Rule: "transaction_status and fraud_status are not signed, status_code is: nobody has paid unless that is 200, and what was edited must not keep a payment from its order.",
	play: (*performance).editedStatus,
}

func (p *performance) editedStatus() {
	for _, c := range []struct {
		code   string
		status midhook.TransactionStatus
		fraud  midhook.FraudStatus
	}{
		{"201", midhook.StatusPending, midhook.FraudAccept},
		{"201", midhook.StatusCapture, midhook.FraudChallenge},
		{"201", midhook.StatusAuthorize, midhook.FraudChallenge},
		{"202", midhook.StatusDeny, midhook.FraudDeny},
		{"202", midhook.StatusExpire, midhook.FraudAccept},
		{"407", midhook.StatusExpire, midhook.FraudAccept},
		{"202", midhook.StatusCancel, midhook.FraudAccept},
		{"202", midhook.StatusFailure, midhook.FraudAccept},
	} {
		p.editedToPaid(c.code, c.status, c.fraud)
	}
	if p.Status != nil {
		for _, status := range []midhook.TransactionStatus{
			midhook.StatusAuthorize, midhook.StatusCancel, midhook.StatusRefund, midhook.StatusChargeback,
		} {
			p.editedToPaid("200", status, midhook.FraudAccept)
		}
	}
	for _, status := range []midhook.TransactionStatus{
		midhook.StatusExpire, midhook.StatusCancel, midhook.StatusDeny, midhook.StatusFailure,
		midhook.StatusRefund, midhook.StatusPartialRefund, midhook.StatusChargeback,
	} {
		p.editedToEnded(status)
	}
}

// editedToPaid edits what was signed of an unpaid order until it says paid. In the end
// another transaction pays.
func (p *performance) editedToPaid(code string, status midhook.TransactionStatus, fraud midhook.FraudStatus) {
	order := p.order()
	n := p.happened(p.notification("credit-card", order, 1, Status(code, status), Fraud(fraud)))
	check := func(as midhook.TransactionStatus) {
		p.edited(n, as)
		if p.fulfillments(order) > 0 {
			p.broken(p.Rule, "a notification of status_code %s that said %s was edited to %s, and fulfilled its order%s", code, status, as, p.attempts(order))
		}
	}
	check(midhook.StatusSettlement) // before the genuine one and after it: a duplicate need not be looked at
	if code != "200" {
		p.delivered(p.deliver(n))
	}
	check(midhook.StatusCapture)
	p.delivered(p.deliver(p.happened(p.notification("bca-va", order, 2))))
	p.fulfilled(1, order)
}

// editedToEnded edits what was signed of a pending order to an end, before it is paid.
func (p *performance) editedToEnded(status midhook.TransactionStatus) {
	order := p.order()
	n := p.happened(p.pending(order))
	p.edited(n, status)
	paid := p.deliver(p.happened(p.paid(order)))
	if got := p.fulfillments(order); got != 1 && p.Fulfilled != nil {
		p.broken(p.Rule, "a notification of status_code 201 that said pending was edited to %s, and then came the settlement: the order was fulfilled %s, want once%s",
			status, times(got), p.attempts(order))
	}
	p.delivered(paid)
}

// edited sends n once with another status, and with the signature it has.
func (p *performance) edited(n *midhook.Notification, as midhook.TransactionStatus) {
	body := decodeObject(Body(n, p.Engine.Secret))
	Field("transaction_status", as)(&body)
	Fraud(midhook.FraudAccept)(&body)
	once := p.Engine.policy().once()
	p.ship(shipment{n: n, body: body.encode(), policy: &once})
}

// fulfillments is how many times an order was fulfilled, 0 if nobody can tell.
func (p *performance) fulfillments(order string) int {
	if p.Fulfilled == nil {
		return 0
	}
	p.Engine.Wait()
	return p.Fulfilled(order)
}

// LookAlikeNames sends signed notifications to which a customer has added names that
// differ from the signed ones in their case only, or not at all: "Order_ID", and
// "ſtatus_code" with a long s, which many JSON packages bind to the same field, the
// last one winning.
var LookAlikeNames = Scenario{
	Name: "look-alike-names",
	Rule: "A body means one thing: where \"order_id\" is signed, \"Order_ID\" or a second \"order_id\" must not be what the handler reads. Refuse such a body, or read the names as they are written.",
	play: (*performance).lookAlikeNames,
}

// spellings are names that are not the field's, or not the only ones.
var spellings = map[string][]string{
	"order_id":           {"Order_ID", "ORDER_ID", "order_Id", "order_id"},
	"transaction_status": {"Transaction_Status", "TRANSACTION_STATUS", "tran\u017faction_\u017ftatu\u017f", "transaction_status"},
	"status_code":        {"Status_Code", "STATUS_CODE", "\u017ftatus_code", "status_code"},
	"gross_amount":       {"Gross_Amount", "GROSS_AMOUNT", "gro\u017f\u017f_amount", "gross_amount"},
	"fraud_status":       {"Fraud_Status", "FRAUD_STATUS", "fraud_\u017ftatus", "fraud_status"},
}

func (p *performance) lookAlikeNames() {
	victim, part := p.order(), p.share(50)
	paid := [][2]string{{"transaction_status", "settlement"}, {"status_code", "200"}, {"fraud_status", "accept"}}
	stolen := append([][2]string{{"order_id", victim}}, paid...)
	for spelling := range spellings["order_id"] {
		for _, front := range []bool{true, false} {
			for _, c := range []struct {
				what    string
				genuine *midhook.Notification
				added   [][2]string
			}{
				{"a pending order's, which makes it paid", p.pending(p.order()), paid},
				{"a pending order's, which makes another one paid", p.pending(p.order()), stolen},
				{"a paid order's, which makes another one paid", p.paid(p.order()), stolen[:1]},
				{"a challenged order's, which makes it paid", p.notification("credit-card-challenge", p.order(), 1), paid},
				{"an order's paid in part, which makes it paid in full", p.notification("gopay", p.order(), 1, Amount(part)), [][2]string{{"gross_amount", p.total()}}},
			} {
				if c.genuine.GrossAmount == part && p.Place == nil && p.Price == "" {
					continue // it is taken to be paid in full
				}
				p.happened(c.genuine)
				d := p.addedTo(c.genuine, spelling, front, c.added)
				mine := c.genuine.OrderID
				stands := c.genuine.Paid() && c.genuine.GrossAmount == p.total()
				if p.fulfillments(victim) > 0 || !stands && p.fulfillments(mine) > 0 {
					p.broken(p.Rule, "%q was added to a signed body, %s:\n%s", spellings[c.added[0][0]][spelling], c.what, d)
					return // the victim may be fulfilled by now
				}
			}
		}
	}
	p.delivered(p.deliver(p.happened(p.paid(victim))))
	p.fulfilled(1, victim)
}

// addedTo sends a signed notification once, with members that were added to it.
func (p *performance) addedTo(n *midhook.Notification, spelling int, front bool, added [][2]string) Delivery {
	genuine := decodeObject(Body(n, p.Engine.Secret))
	var more object
	for _, pair := range added {
		more = append(more, member{spellings[pair[0]][spelling], marshal(pair[1])})
	}
	body := append(append(object{}, genuine...), more...)
	if front {
		body = append(more, genuine...)
	}
	once := p.Engine.policy().once()
	return p.ship(shipment{n: n, body: body.encode(), policy: &once})
}
