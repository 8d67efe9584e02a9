package midhook

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

var (
	// ErrUnknownOrder is what the function of [WithExpectation] returns for an
	// order it does not know.
	ErrUnknownOrder = errors.New("unknown order")
	// ErrExpectation marks a payment of another amount or currency than the
	// order's.
	ErrExpectation = errors.New("amount or currency is not the order's")
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
	if n.stage() >= stageRefunds && err1 == nil && err2 == nil && refunded < claimed {
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

// Expectation is what an order costs by the merchant's own record.
type Expectation struct {
	Amount   int64  // the total, in hundredths of the currency unit: 1000000 for 10000.00
	Currency string // ISO 4217; "" accepts any
}

// expectation checks payments against the merchant's record.
func expectation(fn func(context.Context, *Notification) (Expectation, error)) check {
	return func(ctx context.Context, msg Message) (Message, Outcome, error) {
		n, ok := msg.Value.(*Notification)
		if !ok || n.Kind() != Payment || msg.Test {
			return msg, proceed, nil
		}
		want, err := fn(ctx, n)
		switch {
		case errors.Is(err, ErrUnknownOrder):
			return msg, OutcomeUnknownOrder, err
		case err != nil:
			return msg, OutcomeOrderUnavailable, err
		}
		amount, err := n.Amount()
		if err != nil || amount != want.Amount {
			return msg, OutcomeUnexpectedAmount, fmt.Errorf("%w: gross_amount differs", ErrExpectation)
		}
		// Midtrans leaves the currency out of some bodies; then it is rupiah.
		if want.Currency != "" && !strings.EqualFold(want.Currency, cmp.Or(n.Currency, "IDR")) {
			return msg, OutcomeUnexpectedAmount, fmt.Errorf("%w: currency differs", ErrExpectation)
		}
		return msg, proceed, nil
	}
}

// OutcomeError is what [Middleware.Reconcile] and [Middleware.HandleMessage]
// return for an event that was not handled.
type OutcomeError struct {
	Outcome Outcome
	Err     error // may be nil
}

func (e *OutcomeError) Error() string {
	if e.Err == nil {
		return "midhook: " + e.Outcome.String()
	}
	return fmt.Sprintf("midhook: %s: %v", e.Outcome, e.Err)
}

func (e *OutcomeError) Unwrap() error { return e.Err }

// Reconcile asks the status API about a transaction (by transaction_id or
// order_id) whose notification did not come, and hands its status to next as if
// it had: once, whether a notification comes before, after or at the same time.
// It needs [WithStatusCheck]. Ask by order_id where the customer may have paid by
// DANA or by a virtual account of Danamon, BSI, Seabank or Saqu.
//
// Its errors are those of [StatusClient.Get] and of [Middleware.HandleMessage],
// which next's request comes from, with the API's answer for a body.
func (m *Middleware) Reconcile(ctx context.Context, id string, next http.Handler) error {
	if m.midtrans == nil || m.midtrans.status == nil {
		return errors.New("midhook: Reconcile needs WithStatusCheck")
	}
	if next == nil {
		return errNoHandler
	}
	n, err := m.midtrans.status.Get(ctx, id)
	if err != nil {
		return fmt.Errorf("midhook: reconcile: %w", err)
	}
	if n.OrderID == n.TransactionID {
		return fmt.Errorf("midhook: reconcile: %w: the status API tells the order of this transaction only to who asks by order_id", ErrUnknownOrder)
	}
	return m.HandleMessage(ctx, n.Message(""), n.Raw(), next)
}

var errNoHandler = errors.New("midhook: nil handler")

// HandleMessage hands an event that was not delivered to next as if it had been:
// the same pipeline from the claim on, so that next runs once, whether a delivery
// of the event comes before, after or at the same time. It is for events that the
// sender's API was asked for, and it trusts msg: msg.Value and msg.Event must be
// what the [Gateway] makes of the same event when it is delivered.
//
// It returns nil if next succeeded, or the event had been handled; otherwise an
// [OutcomeError], such as OutcomeInFlight while a delivery of the event is being
// handled. next is the merchant's own handler, or what Handler, HandlerFunc or
// HandleValue have made of it. It gets a POST request with body, which is JSON, and a
// context that ends with ctx, and after budget and grace. What next answers goes
// nowhere, but decides as in [Middleware.Handler].
func (m *Middleware) HandleMessage(ctx context.Context, msg Message, body []byte, next http.Handler) error {
	if next == nil {
		return errNoHandler
	}
	if msg.Event == "" {
		return fmt.Errorf("midhook: %w", errNoEvent)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "/", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("midhook: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")

	now := time.Now()
	d := &delivery{
		Middleware: m,
		w:          bufferedWriter{inner: nowhere{}},
		r:          r,
		body:       body,
		values:     context.WithoutCancel(ctx),
		ctx:        ctx,
		arrived:    now,
		deadline:   now.Add(m.budget),
	}
	d.message.Store(&msg)
	d.renewal.Store(time.AfterFunc(m.lease/2, d.renew))
	handle := answering(next)
	if made, ok := next.(*receiver); ok { // it would meet the claim of this very call
		handle = made.handle
	}
	d.process(handle)
	if d.outcome.final() {
		return nil
	}
	return &OutcomeError{d.outcome, d.err}
}

// nowhere is the client of a delivery that has none.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) WriteHeader(int)             {}
