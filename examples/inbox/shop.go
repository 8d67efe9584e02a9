package main

import (
	"context"
	"database/sql"
	"errors"
	"log"

	"github.com/midhook/midhook"
)

// shop ships what is paid, by way of a warehouse's API that is slow and sometimes
// down: nothing that should happen within five seconds.
type shop struct {
	db   *sql.DB
	ship func(ctx context.Context, orderID string) error
}

func (s *shop) migrate(ctx context.Context) error {
	_, err := s.db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS shipments (order_id text PRIMARY KEY)")
	return err
}

// handle ships an order once. A process that dies between the two statements leaves
// the job to be run again, and the warehouse, which is told the order, must know that
// it has it already.
func (s *shop) handle(ctx context.Context, n *midhook.Notification) error {
	if !n.Paid() {
		return nil
	}
	var shipped string
	switch err := s.db.QueryRowContext(ctx, "SELECT order_id FROM shipments WHERE order_id = $1", n.OrderID).Scan(&shipped); {
	case err == nil:
		return nil // by the capture of a card payment, say, whose settlement this is
	case !errors.Is(err, sql.ErrNoRows):
		return err
	}
	if err := s.ship(ctx, n.OrderID); err != nil {
		return err
	}
	_, err := s.db.ExecContext(ctx, "INSERT INTO shipments (order_id) VALUES ($1) ON CONFLICT DO NOTHING", n.OrderID)
	return err
}

// ship stands for the warehouse.
func ship(_ context.Context, orderID string) error {
	log.Printf("ship order %s", orderID)
	return nil
}
