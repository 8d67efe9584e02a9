package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/sqlstore"
)

// retry runs a transaction again that the database has refused because of another
// one, or whose end is unknown because the connection was lost. Whatever else fails
// fails again, which costs three tries.
func retry(ctx context.Context, transaction func(context.Context) error) error {
	for try := 1; ; try++ {
		err := transaction(ctx)
		switch {
		case err == nil, errors.Is(err, sqlstore.ErrFinished): // an earlier try was committed after all
			return nil
		case errors.Is(err, midhook.ErrNotOwner), try == 3:
			return err
		}
		select {
		case <-time.After(time.Duration(try) * 20 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// A handler under serializable isolation, where a database refuses transactions that
// others would have to wait for.
func ExampleStore_FinishTx_serializable() {
	var (
		db    *sql.DB
		store *sqlstore.Store
		hook  *midhook.Middleware
	)
	pay := func(ctx context.Context, orderID string) error {
		tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if err := store.FinishTx(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE orders SET paid = true WHERE id = $1", orderID); err != nil {
			return err
		}
		return tx.Commit()
	}
	notified := func(ctx context.Context, n *midhook.Notification) error {
		if !n.Paid() {
			return nil
		}
		return retry(ctx, func(ctx context.Context) error { return pay(ctx, n.OrderID) })
	}
	_ = hook.HandlerFunc(notified)
}
