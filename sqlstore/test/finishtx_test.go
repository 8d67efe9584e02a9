package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/sqlstore"
)

const testKey = "SB-Mid-server-test-key-0001"

// shop delivers notifications to a handler that runs in transactions.
type shop struct {
	t      *testing.T
	store  *sqlstore.Store
	db     *sql.DB
	table  string // the store's, quoted
	orders string
	last   midhook.Event // of the latest delivery
}

func newShop(t *testing.T, d *database, opts ...sqlstore.Option) *shop {
	store, db, table := newStore(t, d, append(opts, sqlstore.WithPurgeInterval(0))...)
	s := &shop{t: t, store: store, db: db, table: table, orders: table[:len(table)-1] + "_o" + table[len(table)-1:]}
	_, err := db.ExecContext(t.Context(), "CREATE TABLE "+s.orders+" (id VARCHAR(64))")
	require.NoError(t, err)
	return s
}

// deliver makes one delivery to a handler that gets a transaction, and returns the
// status it is answered with.
func (s *shop) deliver(handle func(ctx context.Context, tx *sql.Tx) error) int {
	s.t.Helper()
	return s.notify(midhooktest.Sample("gopay"), func(ctx context.Context) error {
		tx, err := s.db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
		return handle(ctx, tx)
	})
}

// notify makes one delivery, and returns the status it is answered with.
func (s *shop) notify(n *midhook.Notification, handle func(ctx context.Context) error) int {
	s.t.Helper()
	hook, err := midhook.New(testKey,
		midhook.WithStore(s.store),
		midhook.WithLogger(slog.New(slog.DiscardHandler)),
		midhook.WithObserver(func(_ context.Context, e midhook.Event) { s.last = e }),
	)
	require.NoError(s.t, err)
	w := httptest.NewRecorder()
	hook.HandlerFunc(func(ctx context.Context, _ *midhook.Notification) error { return handle(ctx) }).
		ServeHTTP(w, midhooktest.NewRequest(n, testKey))
	return w.Code
}

// pay is a handler's effect.
func (s *shop) pay(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO "+s.orders+" VALUES ('paid')")
	return err
}

func (s *shop) paid() int { return count(s.t, s.db, s.orders) }

// good is a handler as it should be.
func (s *shop) good(ctx context.Context, tx *sql.Tx) error {
	if err := s.store.FinishTx(ctx, tx); err != nil {
		return err
	}
	if err := s.pay(ctx, tx); err != nil {
		return err
	}
	return tx.Commit()
}

// Effect and mark are committed together, and the middleware's own finish has
// nothing left to do and nothing to complain of.
func TestFinishTxCommits(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		s := newShop(t, d)
		assert.Equal(t, 200, s.deliver(s.good))
		assert.Equal(t, midhook.OutcomeHandled, s.last.Outcome)
		assert.NoError(t, s.last.Err)
		assert.Equal(t, 200, s.deliver(s.good))
		assert.Equal(t, midhook.OutcomeDuplicate, s.last.Outcome)
		assert.Equal(t, 1, s.paid())
	})
}

// The mark vanishes with the effect, and the claim is given back for the retry.
func TestFinishTxRollsBack(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		s := newShop(t, d)
		failure := errors.New("failure")
		assert.Equal(t, 503, s.deliver(func(ctx context.Context, tx *sql.Tx) error {
			require.NoError(t, s.store.FinishTx(ctx, tx))
			require.NoError(t, s.pay(ctx, tx))
			require.NoError(t, tx.Rollback())
			return failure
		}))
		assert.EqualError(t, s.last.Err, "failure", "the claim must have been released")
		assert.Zero(t, s.paid())
		assert.Equal(t, 200, s.deliver(s.good))
		assert.Equal(t, 1, s.paid())
	})
}

// A handler that could not tell whether it has committed runs again and is told:
// by the same delivery, and by its own claim, an effect is not had twice.
func TestFinishTxOnce(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		s := newShop(t, d)
		assert.Equal(t, 200, s.deliver(func(ctx context.Context, tx *sql.Tx) error {
			require.NoError(t, s.good(ctx, tx))
			again, err := s.db.BeginTx(ctx, nil)
			require.NoError(t, err)
			defer again.Rollback() //nolint:errcheck // it is to be rolled back
			assert.ErrorIs(t, s.store.FinishTx(ctx, again), sqlstore.ErrFinished)
			return nil
		}))
		assert.Equal(t, 1, s.paid())
	})
}

// A handler whose lease has passed has its effect no more once another delivery has
// taken the event over, whether that one runs or is through.
func TestFinishTxOfAStaleOwner(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		s := newShop(t, d)
		assert.Equal(t, 503, s.deliver(func(ctx context.Context, tx *sql.Tx) error {
			_ = tx.Rollback() // SQLite has one writer at a time
			stale, _ := midhook.ClaimFromContext(ctx)
			s.lapse(stale)
			successor := stale
			successor.Owner = "successor"
			for _, step := range []func(){
				func() { acquire(t, midhook.Acquired, s.store, successor) },
				func() { require.NoError(t, s.store.Finish(ctx, successor, time.Hour)) },
			} {
				step()
				tx, err := s.db.BeginTx(ctx, nil)
				require.NoError(t, err)
				assert.ErrorIs(t, s.store.FinishTx(ctx, tx), midhook.ErrNotOwner)
				require.NoError(t, tx.Rollback())
			}
			return midhook.ErrNotOwner
		}))
		assert.ErrorContains(t, s.last.Err, "releasing the claim")
	})
}

// lapse ends the lease of a claim that its owner holds.
func (s *shop) lapse(c midhook.Claim) {
	s.t.Helper()
	c.Lease = 0
	acquire(s.t, midhook.Acquired, s.store, c)
}

// While a transaction that finishes an event is open, no other delivery gets the
// event, even when the lease has passed, and none waits for the transaction's end.
// Its own delivery is not told that it has lost the claim.
func TestFinishTxUncommitted(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		if d.dialect == sqlstore.SQLite {
			// There the transaction keeps all writers out.
			d = &database{dialect: d.dialect, driver: d.driver,
				dsn: "file:" + t.TempDir() + "/shop.db?_pragma=journal_mode(WAL)&_txlock=immediate"}
		}
		s := newShop(t, d)
		handle(t, s.store, midhook.Claim{Key: "another", Owner: "a", Lease: time.Minute}, time.Hour) // its row is locked by nobody
		assert.Equal(t, 200, s.deliver(func(ctx context.Context, tx *sql.Tx) error {
			own, _ := midhook.ClaimFromContext(ctx)
			_ = tx.Rollback()
			s.lapse(own)
			tx, err := s.db.BeginTx(ctx, nil)
			require.NoError(t, err)
			defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
			require.NoError(t, s.store.FinishTx(ctx, tx))
			require.NoError(t, s.pay(ctx, tx))

			other := own
			other.Owner = "other"
			soon, cancel := context.WithTimeout(ctx, 20*time.Second) // MariaDB waits for a lock for 50 s
			defer cancel()
			state, err := s.store.Acquire(soon, other)
			assert.NoError(t, err)
			assert.Equal(t, midhook.InFlight, state)
			state, err = s.store.Acquire(ctx, own)
			assert.Error(t, err, "the answer to the owner is %v", state)
			return tx.Commit()
		}))
		assert.NoError(t, s.last.Err)
		assert.Equal(t, 1, s.paid())
		assert.Equal(t, 200, s.deliver(s.good))
		assert.Equal(t, 1, s.paid())
	})
}

// What FinishTx has marked supersedes, and is forgotten after the store's keep,
// whatever the middleware's own finish says.
func TestFinishTxRemembers(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		s := newShop(t, d, sqlstore.WithKeep(500*time.Millisecond))
		var c midhook.Claim
		require.Equal(t, 200, s.deliver(func(ctx context.Context, tx *sql.Tx) error {
			c, _ = midhook.ClaimFromContext(ctx)
			return s.good(ctx, tx)
		}))
		var stage, expires int64
		var done bool
		require.NoError(t, s.db.QueryRowContext(t.Context(), "SELECT stage, expires, done FROM "+s.table).Scan(&stage, &expires, &done))
		assert.True(t, done)
		assert.EqualValues(t, c.Stage, stage)
		assert.Less(t, expires, time.Now().Add(time.Minute).UnixMicro())
		require.Eventually(t, func() bool {
			state, err := s.store.Acquire(t.Context(), c)
			return err == nil && state == midhook.Acquired
		}, time.Minute, 20*time.Millisecond)

		s = newShop(t, d)
		require.Equal(t, 200, s.deliver(s.good))
		lower := c
		lower.Key, lower.Stage = "lower", c.Stage-1
		acquire(t, midhook.Superseded, s.store, lower)
	})
}

// Where there is nothing to mark, FinishTx must not look as if it had.
func TestFinishTxRefuses(t *testing.T) {
	s := newShop(t, start(t, "SQLite"))
	tx, err := s.db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	assert.ErrorContains(t, s.store.FinishTx(t.Context(), tx), "context of a running midhook handler")
	require.NoError(t, tx.Rollback())
	assert.Equal(t, 503, s.deliver(func(ctx context.Context, _ *sql.Tx) error { return s.store.FinishTx(ctx, nil) }))
	assert.ErrorContains(t, s.last.Err, "needs a transaction")
	assert.Equal(t, 503, s.deliver(func(ctx context.Context, tx *sql.Tx) error {
		require.NoError(t, tx.Rollback())
		return s.store.FinishTx(ctx, tx)
	}))
	assert.ErrorIs(t, s.last.Err, sql.ErrTxDone)

	// A mark that does not depend on the effect's commit is worse than none.
	conn, err := s.db.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	for _, tx := range []sqlstore.Tx{s.db, conn} {
		assert.Equal(t, 503, s.deliver(func(ctx context.Context, _ *sql.Tx) error { return s.store.FinishTx(ctx, tx) }))
		assert.ErrorContains(t, s.last.Err, fmt.Sprintf("a %T is not one", tx))
	}
	assert.Equal(t, 503, s.deliver(func(ctx context.Context, _ *sql.Tx) error { return s.store.FinishTx(ctx, (*sql.Tx)(nil)) }))
	assert.ErrorContains(t, s.last.Err, "needs a transaction")
}

// Where the status API says that the notified pending is a settlement by now, the
// settlement's own notification is on its way: one transaction marks both.
func TestFinishTxOfAConfirmedEvent(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		s := newShop(t, d)
		settled := midhooktest.Sample("bca-va", midhooktest.Order("A-1"))
		notified := midhooktest.Sample("bca-va", midhooktest.Order("A-1"), midhooktest.Status("201", midhook.StatusPending))
		api := midhooktest.NewStatusServer(testKey)
		defer api.Close()
		api.Put(settled)
		hook, err := midhook.New(testKey, midhook.WithStore(s.store), midhook.WithLogger(slog.New(slog.DiscardHandler)),
			midhook.WithStatusCheck(api.Client()))
		require.NoError(t, err)
		handler := hook.HandlerFunc(func(ctx context.Context, n *midhook.Notification) error {
			tx, err := s.db.BeginTx(ctx, nil)
			require.NoError(t, err)
			defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
			return s.good(ctx, tx)
		})
		for _, n := range []*midhook.Notification{notified, notified, settled} {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, midhooktest.NewRequest(n, testKey))
			assert.Equal(t, 200, w.Code, w.Body)
		}
		assert.Equal(t, 1, s.paid())
	})
}

// What alternates comes again: the mark of one event forgets the other in the same
// transaction, or neither happens.
func TestFinishTxOfWhatAlternates(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		s := newShop(t, d)
		hook, err := midhook.New(testKey, midhook.WithStore(s.store), midhook.WithLogger(slog.New(slog.DiscardHandler)),
			midhook.WithObserver(func(_ context.Context, e midhook.Event) { s.last = e }))
		require.NoError(t, err)
		send := func(key string, handle func(context.Context, *sql.Tx) error) midhook.Outcome {
			msg := midhook.Message{Key: key, Subject: "account", Alternates: true}
			_ = hook.HandleMessage(t.Context(), msg, []byte("{}"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				tx, err := s.db.BeginTx(r.Context(), nil)
				require.NoError(t, err)
				defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
				if err := handle(r.Context(), tx); err != nil {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			}))
			return s.last.Outcome
		}
		for range 2 {
			for _, key := range []string{"linked", "unlinked"} {
				assert.Equal(t, midhook.OutcomeHandled, send(key, s.good))
				assert.Equal(t, midhook.OutcomeDuplicate, send(key, s.good))
			}
		}
		assert.Equal(t, 4, s.paid())

		send("linked", func(ctx context.Context, tx *sql.Tx) error {
			require.NoError(t, s.store.FinishTx(ctx, tx))
			return errors.New("failed")
		})
		assert.Equal(t, midhook.OutcomeDuplicate, send("unlinked", s.good), "what was rolled back has forgotten nothing")
	})
}
