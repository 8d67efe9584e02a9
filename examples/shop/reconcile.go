package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/midhook/midhook"
)

// Orders that are paid are paid within a day; by then Midtrans' payment pages have
// expired. A notification that is on its way comes within minutes.
const (
	reconcileAfter = 15 * time.Minute
	reconcileUntil = 48 * time.Hour
)

// reconcileEvery asks Midtrans about the orders that stay pending until ctx ends: a
// notification that was lost for good is a customer who has paid and gets nothing.
func (s *shop) reconcileEvery(ctx context.Context, every time.Duration, hook *midhook.Middleware, notifications http.Handler) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := s.reconcile(ctx, hook, notifications); err != nil && ctx.Err() == nil {
			slog.ErrorContext(ctx, "orders not reconciled", "error", err)
		}
	}
}

// reconcile asks about each pending order once. The middleware hands on what it is
// told as if it had been notified, and at most once, whether the notification comes
// before or after, and in whichever process of the shop.
func (s *shop) reconcile(ctx context.Context, hook *midhook.Middleware, notifications http.Handler) error {
	ids, err := s.pending(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		err := hook.Reconcile(ctx, id, notifications)
		if errors.Is(err, midhook.ErrTransactionNotFound) {
			continue // the customer has chosen no payment method yet
		}
		errs = append(errs, err)
		if errors.Is(err, midhook.ErrRateLimited) || errors.Is(err, midhook.ErrUnauthorized) || ctx.Err() != nil {
			break // the next order would fare no better
		}
	}
	return errors.Join(errs...)
}

// pending is the ids of the orders that nobody has paid for some time, the oldest
// first, and no more than can be asked about before the next round.
func (s *shop) pending(ctx context.Context) ([]string, error) {
	now := time.Now()
	rows, err := s.pool.Query(ctx, "SELECT id FROM orders WHERE paid_by IS NULL AND placed_at BETWEEN $1 AND $2 ORDER BY placed_at LIMIT 500",
		now.Add(-reconcileUntil), now.Add(-reconcileAfter))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
