package midhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
)

// check is a step between claim and handler that may keep a message from the
// handler, or replace it by one that says what is true.
type check func(context.Context, Message) (Message, Outcome, error)

// confirm replaces what was notified by what the API says, if that is the same
// transaction and not less.
func (c *StatusClient) confirm(ctx context.Context, msg Message) (Message, Outcome, error) {
	n, ok := msg.Value.(*Notification)
	if !ok || n.Kind() != Payment || n.confirmed || msg.Test {
		return msg, proceed, nil
	}
	now, err := c.get(ctx, cmp.Or(n.TransactionID, n.OrderID), n.PaymentType == "dana")
	if err != nil {
		return msg, OutcomeStatusUnavailable, err
	}
	if err := now.contradicts(n); err != nil {
		return msg, OutcomeContradicted, err
	}
	if now.OrderID != n.OrderID {
		if outcome, err := c.ownedBy(ctx, now, n.OrderID); outcome != proceed {
			return msg, outcome, err
		}
		now.OrderID = n.OrderID
	}
	now.notified = n
	return now.Message(msg.KeyLabel), proceed, nil
}

// ownedBy asks whether a transaction belongs to an order, where the API does not
// say so: with the transaction of an order that is paid and a leaked body of one
// that is not, the latter could be passed off as paid. Another transaction of a
// paid order is no contradiction: a reusable payment link has many.
func (c *StatusClient) ownedBy(ctx context.Context, n *Notification, orderID string) (Outcome, error) {
	own, err := c.Get(ctx, orderID)
	switch {
	case errors.Is(err, ErrTransactionNotFound):
		return proceed, nil // it has no other one
	case err != nil:
		return OutcomeStatusUnavailable, err
	case own.TransactionID != n.TransactionID && !own.Paid():
		return OutcomeContradicted, fmt.Errorf("%w: the transaction is another order's", ErrUnconfirmed)
	}
	return proceed, nil
}

// contradicts compares what the API says of a transaction with what was
// notified. status_code and signature_key differ even for the same facts. The
// order_id of DANA's and some banks' transactions is the transaction_id in the
// API's answer.
func (n *Notification) contradicts(notified *Notification) error {
	differ := func(now, then string) bool { return now != "" && then != "" && now != then }
	var field string
	switch {
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
	case n.isBehind(notified):
		field = "transaction_status"
	default:
		return nil
	}
	return fmt.Errorf("%w: %s is not what the status API says", ErrUnconfirmed, field)
}

// isBehind reports whether the API does not say yet, or says no more, what was
// notified: its answer lags, or the notification was edited. Either way a retry
// finds out. What is notified while the API is ahead is only late.
func (n *Notification) isBehind(notified *Notification) bool {
	switch {
	case n.stage() != notified.stage():
		return n.stage() > 0 && n.stage() < notified.stage()
	case n.TransactionStatus != notified.TransactionStatus:
		reversal := notified.is(StatusSettlement) && n.is(StatusDeny)
		return !reversal
	}
	refunded, err1 := ParseAmount(n.RefundAmount)
	claimed, err2 := ParseAmount(notified.RefundAmount)
	if n.reverses() && err1 == nil && err2 == nil && refunded < claimed {
		return true
	}
	return len(n.Refunds) > 0 && n.bankConfirmed() < notified.bankConfirmed()
}

// bankConfirmed counts the refunds that the bank has confirmed.
func (n *Notification) bankConfirmed() (count int) {
	for _, r := range n.Refunds {
		if r.BankConfirmedAt != "" {
			count++
		}
	}
	return count
}
