package midhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
)

// Expectation is what an order costs by the merchant's own record.
type Expectation struct {
	Amount   int64  // the total, in hundredths of the currency unit: 1000000 for 10000.00
	Currency string // ISO 4217; "" accepts any

	// OrMore accepts a larger gross_amount, too: where the dashboard adds a fee that
	// the customer pays and that depends on the method he picks (Automatic Fee
	// Imposition), the total is the order's amount and that fee.
	OrMore bool
}

// accepts compares an amount with the expected one.
func (e Expectation) accepts(amount int64) bool {
	return amount == e.Amount || e.OrMore && amount > e.Amount
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
		if err != nil || !want.accepts(amount) {
			return msg, OutcomeUnexpectedAmount, fmt.Errorf("%w: gross_amount differs", ErrExpectation)
		}
		// Midtrans leaves the currency out of some bodies; then it is rupiah.
		if want.Currency != "" && !strings.EqualFold(want.Currency, cmp.Or(n.Currency, "IDR")) {
			return msg, OutcomeUnexpectedAmount, fmt.Errorf("%w: currency differs", ErrExpectation)
		}
		return msg, proceed, nil
	}
}

var (
	// ErrUnknownOrder is what the function of [WithExpectation] returns for an
	// order it does not know.
	ErrUnknownOrder = errors.New("unknown order")
	// ErrExpectation marks a payment of another amount or currency than the
	// order's.
	ErrExpectation = errors.New("amount or currency is not the order's")
)
