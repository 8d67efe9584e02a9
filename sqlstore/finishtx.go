package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"

	"github.com/midhook/midhook"
)

// ErrFinished is what [Store.FinishTx] returns when the event was marked before by
// the same delivery. A handler that runs its transaction again, because it could
// not tell whether the first was committed, learns from it that it was: roll back
// and return nil, the effects exist.
var ErrFinished = errors.New("sqlstore: this delivery has marked the event before")

// errNoClaim is a programming error.
var errNoClaim = errors.New("sqlstore: FinishTx needs the context of a running midhook handler")

// Tx is a transaction that a handler has begun in the store's database:
//
//	*sql.Tx       store.FinishTx(ctx, tx)
//	*sqlx.Tx      store.FinishTx(ctx, tx)
//	GORM          store.FinishTx(ctx, tx.Statement.ConnPool)  // in db.Transaction(func(tx *gorm.DB) error { … })
//	ent           store.FinishTx(ctx, tx)                     // *ent.Tx, generated with --feature sql/execquery
//	pgx, pgxpool  store.FinishTx(ctx, sqlstore.PgxTx(tx))
//
// Whatever executes a statement in a transaction can be one.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Interface guards
var (
	_ Tx = (*sql.Tx)(nil)
	_ Tx = pgxTx[interface{ RowsAffected() int64 }]{}
)

// PgxTransaction is what [PgxTx] needs of a pgx.Tx. Tag is a pgconn.CommandTag.
type PgxTransaction[Tag interface{ RowsAffected() int64 }] interface {
	Exec(ctx context.Context, query string, args ...any) (Tag, error)
	Commit(ctx context.Context) error
}

// PgxTx makes a [Tx] of a pgx.Tx, as pgx.Conn and pgxpool.Pool begin it. The store
// itself has a [sql.DB] of the same database: stdlib.OpenDBFromPool makes one of a
// pool.
func PgxTx[Tag interface{ RowsAffected() int64 }](tx PgxTransaction[Tag]) Tx {
	if isNil(tx) {
		return nil
	}
	return pgxTx[Tag]{tx}
}

type pgxTx[Tag interface{ RowsAffected() int64 }] struct{ tx PgxTransaction[Tag] }

func (t pgxTx[Tag]) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	tag, err := t.tx.Exec(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return driver.RowsAffected(tag.RowsAffected()), nil
}

// FinishTx marks the event of the running delivery as handled, in the handler's own
// transaction: the handler's effects and the mark are committed together or not at
// all, so that no effect happens twice, whenever the process dies. ctx is the
// handler's, or derived from it; tx is one of the store's database.
//
//	func notified(ctx context.Context, n *midhook.Notification) error {
//		if !n.Paid() {
//			return nil
//		}
//		tx, err := db.BeginTx(ctx, nil)
//		if err != nil {
//			return err
//		}
//		defer tx.Rollback()
//		if err := store.FinishTx(ctx, tx); err != nil {
//			return err
//		}
//		if _, err := tx.ExecContext(ctx, "UPDATE orders SET paid = true WHERE id = $1", n.OrderID); err != nil {
//			return err
//		}
//		return tx.Commit()
//	}
//
// Call it first in the transaction: then two that meet wait for each other there,
// instead of in a deadlock later. If it fails, for whatever reason, roll back and
// return the error, upon which Midtrans comes again; all but one that is
// [ErrFinished]. [midhook.ErrNotOwner] says that the lease has passed and another
// delivery has taken the event over: its effects are that one's to have.
//
// Once the transaction is committed return nil (with Handler, answer 2xx). The
// middleware's own Finish then finds the mark. Any other answer has Midtrans come
// again for nothing, and is logged as a claim that could not be released.
//
// A handler that returns nil without having committed has lost its effects: because
// it forgot to commit or ignored the error of Commit, because PostgreSQL rolls back a
// transaction in which any statement has failed, or because the transaction's context
// ended. The middleware's Finish then returns [midhook.ErrUncommitted], the delivery
// is answered 503, and Midtrans comes again. So whoever calls FinishTx and then
// decides not to commit must not return nil: [midhook.Permanent] acknowledges an event
// that is to have no effect.
//
// How long the event is remembered is the store's [WithKeep]. FinishTx writes the
// event's own row and reads no other. So the highest stage of the event's subject,
// where another event has reached it since this one was acquired, is kept as long as
// that other one asked for, and not for this one's keep.
func (s *Store) FinishTx(ctx context.Context, tx Tx) error {
	c, ok := midhook.ClaimFromContext(ctx)
	switch {
	case isNil(tx):
		return errors.New("sqlstore: FinishTx needs a transaction")
	case beginsTransactions(tx):
		return fmt.Errorf("sqlstore: FinishTx needs a transaction, and a %T is not one", tx)
	case !ok:
		return errNoClaim
	}
	stored := newClaim(c)
	s.transactions.remember(stored)
	do := s.engine.inTransaction(stored, micros(s.keep))
	switch n, err := do.mark.exec(ctx, tx); {
	case err != nil:
		return fmt.Errorf("sqlstore: %w", err)
	case n == 0:
		return notMarked(ctx, tx, do.touch)
	}
	if stored.alternates {
		if _, err := do.forget.exec(ctx, tx); err != nil {
			return fmt.Errorf("sqlstore: %w", err)
		}
	}
	return nil
}

// notMarked tells whose the event is.
func notMarked(ctx context.Context, tx Tx, touch statement) error {
	switch n, err := touch.exec(ctx, tx); {
	case err != nil:
		return fmt.Errorf("sqlstore: %w", err)
	case n > 0:
		return ErrFinished
	default:
		return midhook.ErrNotOwner
	}
}

// txStatements are for a transaction whose owner offers no more than to execute
// statements and to count the rows: mark affects one row unless the event is not the
// owner's to finish, and touch then affects one row if the owner has finished it.
type txStatements struct{ mark, touch, forget statement }

type statement struct {
	text string
	args []any
}

func (s statement) exec(ctx context.Context, tx Tx) (int64, error) {
	return affected(tx.ExecContext(ctx, s.text, s.args...))
}

func isNil(tx any) bool {
	v := reflect.ValueOf(tx)
	return !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
}

// beginsTransactions tells a database or a connection, outside of whose transactions
// the mark would stay whatever becomes of the effects.
func beginsTransactions(tx Tx) bool {
	_, ok := tx.(interface {
		BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
	})
	return ok
}
