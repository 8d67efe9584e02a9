package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/sqlstore"
)

//go:embed schema.sql
var schema string

// migrate creates the shop's own tables. The lock keeps processes that start together
// from creating them at once, which PostgreSQL answers with an error.
func migrate(ctx context.Context, pool *pgxpool.Pool) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext('shop'));\n"+schema)
		return err
	})
}

// prices is the catalogue, in hundredths of a rupiah. What an order costs is never
// taken from the customer's browser.
var prices = map[string]int64{"coffee": 25000_00, "teapot": 154600_00}

type shop struct {
	pool  *pgxpool.Pool
	store *sqlstore.Store
}

// placeOrder makes an order of a product. A real shop then asks Midtrans' Snap for a
// payment page with this order_id and amount.
func (s *shop) placeOrder(w http.ResponseWriter, r *http.Request) {
	price, ok := prices[r.FormValue("product")]
	if !ok {
		http.Error(w, "unknown product", http.StatusNotFound)
		return
	}
	id, err := s.place(r.Context(), price)
	if err != nil {
		slog.ErrorContext(r.Context(), "order not placed", "error", err)
		http.Error(w, "try again later", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"order_id": id, "gross_amount": fmt.Sprintf("%d.%02d", price/100, price%100)})
}

func (s *shop) place(ctx context.Context, amount int64) (id string, err error) {
	id = "order-" + rand.Text()
	_, err = s.pool.Exec(ctx, "INSERT INTO orders (id, amount) VALUES ($1, $2)", id, amount)
	return id, err
}

// expected is what an order costs.
func (s *shop) expected(ctx context.Context, n *midhook.Notification) (midhook.Expectation, error) {
	var amount int64
	err := s.pool.QueryRow(ctx, "SELECT amount FROM orders WHERE id = $1", n.OrderID).Scan(&amount)
	if errors.Is(err, pgx.ErrNoRows) {
		return midhook.Expectation{}, midhook.ErrUnknownOrder
	}
	return midhook.Expectation{Amount: amount, Currency: "IDR"}, err
}

// notified books a notification. What it changes and the mark that the event was
// handled are one transaction, so that a crash repeats nothing and loses nothing.
func (s *shop) notified(ctx context.Context, n *midhook.Notification) error {
	if n.Kind() != midhook.Payment {
		return nil // a linked GoPay account: this shop has none
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// First, so that two deliveries that meet wait for each other here.
		if err := s.store.FinishTx(ctx, sqlstore.PgxTx(tx)); err != nil {
			return err
		}
		return book(ctx, tx, n)
	})
	if errors.Is(err, sqlstore.ErrFinished) {
		return nil // an earlier run of this delivery was committed
	}
	return err
}

// book is the shop's bookkeeping.
func book(ctx context.Context, tx pgx.Tx, n *midhook.Notification) error {
	key := n.PaymentKey()
	if _, err := tx.Exec(ctx, "INSERT INTO payments (key, order_id, transaction_id) VALUES ($1, $2, nullif($3, '')) ON CONFLICT (key) DO NOTHING",
		key, n.OrderID, n.TransactionID); err != nil {
		return err
	}
	switch status := n.TransactionStatus; {
	case n.Paid():
		return deliver(ctx, tx, n.OrderID, key)
	case status == midhook.StatusRefund || status == midhook.StatusPartialRefund:
		amount, err := midhook.ParseAmount(n.RefundAmount)
		if err != nil {
			return midhook.Permanent(err) // no retry mends a notification
		}
		// refund_amount is the sum so far: an older notification that comes late says less.
		_, err = tx.Exec(ctx, "UPDATE payments SET refunded = greatest(refunded, $2) WHERE key = $1", key, amount)
		return err
	case status == midhook.StatusChargeback:
		_, err := tx.Exec(ctx, "UPDATE payments SET reversed = true WHERE key = $1", key)
		return err
	case status == midhook.StatusDeny || status == midhook.StatusCancel:
		// After the payment the money is gone again. Before it, nothing has happened.
		_, err := tx.Exec(ctx, "UPDATE payments SET reversed = true WHERE key = $1 AND paid", key)
		return err
	default:
		return nil // pending, expired and the like: the order keeps waiting
	}
}

// deliver sends the goods for an order's first payment. The settlement of a card
// payment that was captured before finds the order paid by itself, and a second
// payment finds it paid by another, which someone must refund.
func deliver(ctx context.Context, tx pgx.Tx, orderID, key string) error {
	if _, err := tx.Exec(ctx, "UPDATE payments SET paid = true WHERE key = $1", key); err != nil {
		return err
	}
	first, err := tx.Exec(ctx, "UPDATE orders SET paid_by = $2 WHERE id = $1 AND paid_by IS NULL", orderID, key)
	if err != nil {
		return err
	}
	if first.RowsAffected() > 0 {
		_, err := tx.Exec(ctx, "INSERT INTO parcels (order_id) VALUES ($1)", orderID)
		return err
	}
	var twice bool
	if err := tx.QueryRow(ctx, "SELECT paid_by <> $2 FROM orders WHERE id = $1", orderID, key).Scan(&twice); err != nil {
		return err
	}
	if twice {
		slog.WarnContext(ctx, "order is paid twice: refund the later payment", "order", orderID)
	}
	return nil
}
