package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/midhook/midhook"
)

// ErrFinished is what [Store.FinishTx] returns when the event was marked before by
// the same delivery. A handler that runs its transaction again, because it could
// not tell whether the first was committed, learns from it that it was: roll back
// and return nil, the effects exist.
var ErrFinished = errors.New("sqlstore: this delivery has marked the event before")

// errNoClaim is a programming error.
var errNoClaim = errors.New("sqlstore: FinishTx needs the context of a running midhook handler")

// FinishTx marks the event of the running delivery as handled, in the handler's own
// transaction: the handler's effects and the mark are committed together or not at
// all, so that no effect happens twice, whenever the process dies. ctx is the
// handler's, or derived from it; tx is one of the store's database.
//
//	func notified(ctx context.Context, n *midhook.Notification) error {
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
// middleware then finishes the event once more, which changes nothing. Any other
// answer has Midtrans come again for nothing, and is logged as a claim that could not
// be released.
//
// How long the event is remembered is the store's [WithKeep].
func (s *Store) FinishTx(ctx context.Context, tx *sql.Tx) error {
	c, ok := midhook.ClaimFromContext(ctx)
	switch {
	case tx == nil:
		return errors.New("sqlstore: FinishTx needs a transaction")
	case !ok:
		return errNoClaim
	}
	f, err := s.engine.finish(ctx, s.db, tx, newClaim(c), micros(s.keep))
	switch {
	case err != nil:
		return fmt.Errorf("sqlstore: %w", err)
	case f == before:
		return ErrFinished
	case f != marked:
		return midhook.ErrNotOwner
	}
	return nil
}
