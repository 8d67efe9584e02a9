package midhook

import (
	"context"
	"errors"
	"fmt"
)

// check is a step between claim and handler that may keep a message from the
// handler, or replace it by one that says what is true.
type check func(context.Context, Message) (Message, Outcome, error)

// confirm replaces what was notified by what the API says, if that is the same
// transaction or account and not less.
func (c *StatusClient) confirm(ctx context.Context, msg Message) (Message, Outcome, error) {
	n, ok := msg.Value.(*Notification)
	if !ok || n.confirmed || msg.Test {
		return msg, proceed, nil
	}
	now, err := c.present(ctx, n)
	if err != nil {
		return msg, OutcomeStatusUnavailable, err
	}
	if err := now.contradicts(n); err != nil {
		return msg, OutcomeContradicted, err
	}
	if n.Kind() == Payment && now.OrderID != n.OrderID {
		if outcome, err := c.ownedBy(ctx, now, n); outcome != proceed {
			return msg, outcome, err
		}
		now.setOrderID(n.OrderID)
	}
	facts, err := now.Confirm(n)
	if err != nil {
		return msg, OutcomeContradicted, err
	}
	facts.notified = n
	return facts.Message(msg.KeyLabel), proceed, nil
}

// present asks what is true now of what n is about. payment_type is not signed, so
// that it only says which kind of request is made first.
func (c *StatusClient) present(ctx context.Context, n *Notification) (*Notification, error) {
	switch {
	case n.Kind() == PayAccount:
		return c.GetAccount(ctx, n.AccountID)
	case n.TransactionID == "":
		return c.Get(ctx, n.OrderID)
	}
	snap := n.PaymentType == "dana"
	now, err := c.getStatus(ctx, n.TransactionID, snap)
	if errors.Is(err, ErrTransactionNotFound) {
		now, err = c.getStatus(ctx, n.TransactionID, !snap)
	}
	return now, err
}

// ownedBy asks whether a transaction belongs to an order, where the API does not
// say so: with the transaction of an order that is paid and a leaked body of one
// that is not, the latter could be passed off as paid.
//
// Only a body with the status_code 200 can do that, and an order has one without
// having been paid where a transaction of its own was answered with that code: it
// was cancelled, or only authorized. Another transaction that is pending, was denied
// or expired is an attempt before this one, and one that was paid, even if the money
// went back since, is no contradiction: a reusable payment link has many.
//
// A body with another status_code is not handed on as a payment unless the order's
// own answer is that transaction: the genuine one's own notification has 200.
func (c *StatusClient) ownedBy(ctx context.Context, n, notified *Notification) (Outcome, error) {
	isIt := func(own *Notification) bool { return own.TransactionID == n.TransactionID }
	own, err := c.getBoth(ctx, notified.OrderID, isIt)
	if err != nil && !errors.Is(err, ErrTransactionNotFound) {
		return OutcomeStatusUnavailable, err
	}
	cancelled := false
	for _, other := range own {
		switch {
		case isIt(other):
			n.alsoPaid = false
			return proceed, nil
		case other.wasPaid():
			n.alsoPaid = true
		case other.StatusCode == "200":
			cancelled = true
		}
	}
	unpaid := n.wasPaid() && notified.StatusCode != "200" || cancelled && !n.alsoPaid
	if unpaid {
		return OutcomeContradicted, fmt.Errorf("%w: the status API does not say whose transaction it is, and one of this order was cancelled or not paid: look at both in the dashboard", ErrUnconfirmed)
	}
	return proceed, nil
}

// wasPaid reports whether the money came in, even if it went back since.
func (n *Notification) wasPaid() bool { return n.Paid() || n.reverses() }

// contradicts compares what the API says of a transaction with what was
// notified, but for its status. status_code and signature_key differ even for the
// same facts. The order_id of DANA's and some banks' transactions is the
// transaction_id in the API's answer.
func (n *Notification) contradicts(notified *Notification) error {
	differ := func(now, then string) bool { return now != "" && then != "" && now != then }
	var field string
	switch {
	case n.Kind() != notified.Kind() || n.AccountID != notified.AccountID && n.Kind() == PayAccount:
		field = "account_id"
	case n.Kind() == PayAccount:
	case differ(n.TransactionID, notified.TransactionID):
		field = "transaction_id"
	case n.OrderID != notified.OrderID && n.OrderID != n.TransactionID:
		field = "order_id"
	case n.GrossAmount != notified.GrossAmount:
		field = "gross_amount"
	case differ(n.Currency, notified.Currency):
		field = "currency"
	case differ(n.MerchantID, notified.MerchantID):
		field = "merchant_id"
	}
	return unconfirmed(field)
}

// unconfirmed is nil if there is no field that differs.
func unconfirmed(field string) error {
	if field == "" {
		return nil
	}
	return fmt.Errorf("%w: %s is not what the status API says", ErrUnconfirmed, field)
}
