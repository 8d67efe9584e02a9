package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// A handler that says that it has succeeded, and whose transaction was not committed,
// has lost its effects. It is delivered again, whatever has kept the transaction from
// being committed.
func TestUncommittedIsDeliveredAgain(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		for name, handle := range map[string]func(s *shop, ctx context.Context, tx *sql.Tx) error{
			"rolled back": func(s *shop, ctx context.Context, tx *sql.Tx) error {
				require.NoError(t, s.store.FinishTx(ctx, tx))
				require.NoError(t, s.pay(ctx, tx))
				return tx.Rollback()
			},
			"forgotten commit": func(s *shop, ctx context.Context, tx *sql.Tx) error {
				require.NoError(t, s.store.FinishTx(ctx, tx))
				return s.pay(ctx, tx)
			},
			"ended context": func(s *shop, ctx context.Context, tx *sql.Tx) error {
				_ = tx.Rollback()
				brief, cancel := context.WithCancel(ctx)
				tx, err := s.db.BeginTx(brief, nil)
				require.NoError(t, err)
				require.NoError(t, s.store.FinishTx(ctx, tx))
				require.NoError(t, s.pay(ctx, tx))
				cancel()
				_ = tx.Commit() // context.Canceled or sql.ErrTxDone, which nobody looks at
				return nil
			},
			"refused mark": func(s *shop, ctx context.Context, tx *sql.Tx) error {
				require.NoError(t, tx.Rollback())
				_ = s.store.FinishTx(ctx, tx) // sql.ErrTxDone, which nobody looks at
				return nil
			},
		} {
			t.Run(name, func(t *testing.T) {
				s := newShop(t, d)
				assert.Equal(t, 503, s.deliver(func(ctx context.Context, tx *sql.Tx) error { return handle(s, ctx, tx) }))
				assert.ErrorIs(t, s.last.Err, midhook.ErrUncommitted)
				assert.Zero(t, s.paid())
				assert.Equal(t, 200, s.deliver(s.good))
				assert.Equal(t, midhook.OutcomeHandled, s.last.Outcome)
				assert.Equal(t, 1, s.paid())
			})
		}
	})
}

// PostgreSQL rolls a transaction back at COMMIT when any of its statements has failed.
func TestUncommittedAfterAFailedStatement(t *testing.T) {
	s := newShop(t, start(t, "PostgreSQL"))
	assert.Equal(t, 503, s.deliver(func(ctx context.Context, tx *sql.Tx) error {
		defer tx.Commit() //nolint:errcheck // that is the mistake
		if err := s.store.FinishTx(ctx, tx); err != nil {
			return err
		}
		if err := s.pay(ctx, tx); err != nil {
			return err
		}
		_, _ = tx.ExecContext(ctx, "INSERT INTO a_log_that_is_not_there VALUES (1)") // best effort
		return nil
	}))
	assert.ErrorIs(t, s.last.Err, midhook.ErrUncommitted)
	assert.Equal(t, 200, s.deliver(s.good))
	assert.Equal(t, 1, s.paid())
}

// PostgreSQL may find out only at COMMIT that transactions cannot be serialized.
func TestUncommittedAfterASerializationFailure(t *testing.T) {
	s := newShop(t, start(t, "PostgreSQL"))
	serializable := &sql.TxOptions{Isolation: sql.LevelSerializable}
	assert.Equal(t, 503, s.notify(midhooktest.Sample("gopay"), func(ctx context.Context) error {
		var txs [2]*sql.Tx
		for i := range txs { // each reads what the other writes
			tx, err := s.db.BeginTx(ctx, serializable)
			require.NoError(t, err)
			defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
			require.NoError(t, tx.QueryRowContext(ctx, "SELECT count(*) FROM "+s.orders).Scan(new(int)))
			txs[i] = tx
		}
		require.NoError(t, s.store.FinishTx(ctx, txs[0]))
		require.NoError(t, s.pay(ctx, txs[0]))
		_, err := txs[1].ExecContext(ctx, "INSERT INTO "+s.orders+" VALUES ('another')")
		require.NoError(t, err)
		require.NoError(t, txs[1].Commit())
		require.ErrorContains(t, txs[0].Commit(), "40001")
		return nil
	}))
	assert.ErrorIs(t, s.last.Err, midhook.ErrUncommitted)
	assert.Equal(t, 200, s.deliver(s.good))
	assert.Equal(t, 2, s.paid(), "the other transaction's and the second delivery's")
}

// A handler that rolls back and wants no retry says so with Permanent, and gets none.
func TestUncommittedAndPermanent(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		s := newShop(t, d)
		refused := errors.New("the order is closed")
		assert.Equal(t, 200, s.deliver(func(ctx context.Context, tx *sql.Tx) error {
			s.rollBack(ctx, tx)
			return midhook.Permanent(refused)
		}))
		assert.ErrorIs(t, s.last.Err, refused)
		assert.Equal(t, 200, s.deliver(s.good))
		assert.Equal(t, midhook.OutcomeDuplicate, s.last.Outcome)
		assert.Zero(t, s.paid())
	})
}

// rollBack is a handler that marks its event and then does not commit.
func (s *shop) rollBack(ctx context.Context, tx *sql.Tx) midhook.Claim {
	s.t.Helper()
	c, _ := midhook.ClaimFromContext(ctx)
	require.NoError(s.t, s.store.FinishTx(ctx, tx))
	require.NoError(s.t, tx.Rollback())
	return c
}

// Finish says ErrUncommitted once, and marks the event if it is called once more. It
// marks a claim that FinishTx has not worked on at once.
func TestFinishConfirms(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		s := newShop(t, d)
		assert.Equal(t, 200, s.deliver(func(ctx context.Context, tx *sql.Tx) error {
			c := s.rollBack(ctx, tx)
			assert.ErrorIs(t, s.store.Finish(ctx, c, time.Hour), midhook.ErrUncommitted)
			other := c
			other.Owner, other.Key = "other", "other"
			acquire(t, midhook.Busy, s.store, other)
			assert.NoError(t, s.store.Finish(ctx, c, time.Hour))
			return nil
		}))
		handle(t, s.store, midhook.Claim{Key: "untouched", Owner: "a", Lease: time.Minute}, time.Hour)
	})
}

// A handler whose lease has passed, and whose transaction was not committed, has not
// handled the event, although the delivery that took it over may have.
func TestUncommittedOfAStaleOwner(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		s := newShop(t, d)
		assert.Equal(t, 200, s.deliver(func(ctx context.Context, tx *sql.Tx) error {
			stale := s.rollBack(ctx, tx)
			s.lapse(stale)
			successor := stale
			successor.Owner = "successor"
			handle(t, s.store, successor, time.Hour)
			return nil
		}))
		assert.ErrorIs(t, s.last.Err, midhook.ErrNotOwner)
	})
}

// A claim that was given back is nobody's to confirm: whoever acquires it again marks it.
func TestFinishAfterARelease(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		s := newShop(t, d)
		assert.Equal(t, 200, s.deliver(func(ctx context.Context, tx *sql.Tx) error {
			c := s.rollBack(ctx, tx)
			require.NoError(t, s.store.Release(ctx, c))
			acquire(t, midhook.Acquired, s.store, c)
			return nil
		}))
		assert.NoError(t, s.last.Err)
	})
}

// A transaction that is still open when its handler has returned may be committed by the
// server all the same, for a client that has lost its connection. Finish waits for its
// end: if it is committed meanwhile, the event counts as handled, and if it is committed
// after that, its next delivery is a duplicate.
func TestCommitWhileFinishLooks(t *testing.T) {
	for _, name := range []string{"PostgreSQL", "MariaDB"} {
		t.Run(name, func(t *testing.T) {
			d := start(t, name)
			db, calls := openIntercepted(t, d)
			committed := 0
			for n := 1; ; n++ {
				s := newShop(t, d)
				s.store = storeIn(t, d, db, s.table)
				var tx *sql.Tx
				var ending sync.WaitGroup
				passed, began, status := false, false, 0
				reached := calls.during(n, func(call func() error) error {
					passed, began = true, tx != nil
					if began {
						ending.Go(func() {
							time.Sleep(20 * time.Millisecond) // so that a look that does not wait comes before it
							assert.NoError(t, tx.Commit())
						})
					}
					return call()
				}, func() {
					status = s.notify(midhooktest.Sample("gopay"), func(ctx context.Context) error {
						var err error
						tx, err = s.db.BeginTx(context.WithoutCancel(ctx), nil)
						require.NoError(t, err)
						require.NoError(t, s.store.FinishTx(ctx, tx))
						require.NoError(t, s.pay(ctx, tx))
						if passed { // the call was one of Acquire's
							return tx.Commit()
						}
						return nil
					})
				})
				ending.Wait()
				require.True(t, reached)
				if !began {
					continue
				}
				assert.Equal(t, 1, s.paid(), "call %d", n)
				if status != 200 { // Finish has given up
					assert.ErrorIs(t, s.last.Err, midhook.ErrUncommitted)
					assert.Equal(t, 200, s.deliver(s.good))
					assert.Equal(t, midhook.OutcomeDuplicate, s.last.Outcome)
					break
				}
				committed++
			}
			assert.GreaterOrEqual(t, committed, 3, "it looks, reads the answer, and looks again")
		})
	}
}

// Where nobody can tell whether the transaction was committed, the event is delivered
// again: it is then answered as a duplicate, or handled.
func TestUncommittedWhereNobodyCanTell(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		s := newShop(t, d)
		asked, err := sql.Open(d.driver, d.dsn)
		require.NoError(t, err)
		defer asked.Close()
		effects := s.db
		s.store = storeIn(t, d, asked, s.table)
		s.t.Cleanup(func() { s.db = effects })
		assert.Equal(t, 503, s.deliver(func(ctx context.Context, tx *sql.Tx) error {
			require.NoError(t, s.good(ctx, tx))
			return asked.Close()
		}))
		assert.ErrorIs(t, s.last.Err, midhook.ErrUncommitted)
		assert.Equal(t, 1, s.paid())
	})
}
