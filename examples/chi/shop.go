package main

import (
	"context"
	"log"
)

// shop ships each order once, however many events say that it is paid: a card payment
// is captured and later settled, and a customer can pay an order twice. It stands in
// for a database and forgets everything at a restart. A real shop has a table with a
// unique index on the order, and inserts into it in the transaction of what it books.
type shop struct {
	ship    func(ctx context.Context, orderID string) error
	busy    chan struct{} // has room for one, who may use shipped
	shipped map[string]bool
}

func newShop(ship func(ctx context.Context, orderID string) error) *shop {
	return &shop{ship: ship, busy: make(chan struct{}, 1), shipped: map[string]bool{}}
}

// shipOnce marks an order as shipped when it is, so that an order whose shipping
// fails is shipped when the notification comes again.
func (s *shop) shipOnce(ctx context.Context, orderID string) error {
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.shipped[orderID] {
		return nil
	}
	if err := s.ship(ctx, orderID); err != nil {
		return err
	}
	s.shipped[orderID] = true
	return nil
}

// ship is where the parcel leaves.
func ship(_ context.Context, orderID string) error {
	log.Printf("ship order %s", orderID)
	return nil
}
