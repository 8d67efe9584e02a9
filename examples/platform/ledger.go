package main

import (
	"context"
	"log"
)

// payment is one that a merchant has received.
type payment struct {
	merchant, orderID string
	key               string // the notification's PaymentKey
	amount            int64  // hundredths
}

// account names what is booked once. Two merchants may both have an order 1001, and
// PaymentKey does not tell whose it is: the merchant belongs into the unique index.
type account struct{ merchant, key string }

// ledger credits each payment to its merchant once, although a card payment is paid
// by its capture and by its settlement. It stands in for a table with a unique index
// on (merchant, payment_key), and forgets everything at a restart.
type ledger struct {
	credit   func(context.Context, payment) error
	busy     chan struct{} // has room for one, who may use credited
	credited map[account]bool
}

func newLedger(credit func(context.Context, payment) error) *ledger {
	return &ledger{credit: credit, busy: make(chan struct{}, 1), credited: map[account]bool{}}
}

func (l *ledger) creditOnce(ctx context.Context, p payment) error {
	select {
	case l.busy <- struct{}{}:
		defer func() { <-l.busy }()
	case <-ctx.Done():
		return ctx.Err()
	}
	booked := account{p.merchant, p.key}
	if l.credited[booked] {
		return nil
	}
	if err := l.credit(ctx, p); err != nil {
		return err
	}
	l.credited[booked] = true
	return nil
}

// credit is where the merchant's balance grows.
func credit(_ context.Context, p payment) error {
	log.Printf("credit %d.%02d to %s for order %s", p.amount/100, p.amount%100, p.merchant, p.orderID)
	return nil
}
