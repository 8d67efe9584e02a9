package sqlstore_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/sqlstore"
)

// A process that starts while a handler of another has its transaction open neither
// waits for it nor makes anyone wait: not with Migrate, where the tables are there,
// and not with Check. In SQLite the transaction keeps all writers out, and Migrate
// reads.
func TestMigrateBesideAnOpenTransaction(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		s := newShop(t, d)
		migrate := func(ctx context.Context, db *sql.DB) error {
			store := storeIn(t, d, db, s.table)
			if err := store.Migrate(ctx); err != nil || d.dialect == sqlstore.SQLite {
				return err
			}
			return store.Check(ctx)
		}
		assert.Equal(t, 200, s.deliver(func(ctx context.Context, tx *sql.Tx) error {
			require.NoError(t, s.store.FinishTx(ctx, tx))
			// What waits for the transaction waits for this function.
			for range 3 {
				require.NoError(t, migrate(ctx, d.open(t)))
			}
			if d.dialect != sqlstore.SQLite {
				handle(t, s.store, midhook.Claim{Key: "another", Subject: "another", Owner: "a", Lease: time.Minute}, time.Hour)
			}
			return tx.Commit()
		}))
	})
}

// Where something is missing and a transaction is open, Migrate may have to wait for
// it, and whoever is behind Migrate does not: it gives up and tries again.
func TestMigrateThatMustWait(t *testing.T) {
	d := start(t, "PostgreSQL")
	s := newShop(t, d)
	name := s.table[1 : len(s.table)-1]
	_, err := s.db.ExecContext(t.Context(), `DROP INDEX "`+name+`_expires"`)
	require.NoError(t, err)
	migrated := make(chan error, 1)
	assert.Equal(t, 200, s.deliver(func(ctx context.Context, tx *sql.Tx) error {
		require.NoError(t, s.store.FinishTx(ctx, tx))
		require.ErrorContains(t, s.store.Check(ctx), "index "+name+"_expires of table "+name+" is missing")
		go func() { migrated <- s.store.Migrate(context.WithoutCancel(ctx)) }()
		require.Eventually(t, func() bool {
			var waiting int
			require.NoError(t, s.db.QueryRowContext(ctx, "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'ShareLock' AND relation = '"+`"`+name+`"`+"'::regclass").Scan(&waiting))
			return waiting > 0
		}, time.Minute, time.Millisecond)
		handle(t, s.store, midhook.Claim{Key: "behind it", Subject: "S", Owner: "a", Lease: time.Minute}, time.Hour)
		select {
		case err := <-migrated:
			t.Errorf("Migrate has ended before the transaction: %v", err)
		default:
		}
		return tx.Commit()
	}))
	require.NoError(t, <-migrated)
	require.NoError(t, s.store.Check(t.Context()))
}

// A schema of the first version, which knew no holds, is brought up to date, and keeps
// what is in it.
func TestMigrateOfAnOlderSchema(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		store, db, name := newStore(t, d)
		old := midhook.Claim{Key: "old", Subject: "S", Stage: 40, Owner: "a", Lease: time.Minute}
		handle(t, store, old, time.Hour)
		_, err := db.ExecContext(t.Context(), "DROP TABLE "+holds(name))
		require.NoError(t, err)
		assert.ErrorContains(t, store.Check(t.Context()), "table "+strings.Trim(holds(name), "`\"")+" is missing: call Migrate, or run Schema")

		require.NoError(t, store.Migrate(t.Context()))
		require.NoError(t, store.Check(t.Context()))
		acquire(t, midhook.Done, store, old)
		acquire(t, midhook.Superseded, store, midhook.Claim{Key: "late", Subject: "S", Stage: 10, Owner: "b", Lease: time.Minute})
		acquire(t, midhook.Acquired, store, midhook.Claim{Key: "new", Subject: "S", Stage: 40, Owner: "c", Lease: time.Minute})
		acquire(t, midhook.Busy, store, midhook.Claim{Key: "newer", Subject: "S", Stage: 40, Owner: "d", Lease: time.Minute})
	})
}

// Check finds out at start-up what would otherwise fail the first notification.
func TestCheck(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		store, db, name := newStore(t, d)
		for range 2 {
			require.NoError(t, store.Check(t.Context()))
		}

		nothing, err := sqlstore.New(db, d.dialect, sqlstore.WithTable("nothing_here"))
		require.NoError(t, err)
		err = nothing.Check(t.Context())
		assert.ErrorContains(t, err, "table nothing_here is missing")
		assert.ErrorContains(t, err, "table nothing_here_holds is missing")

		_, err = db.ExecContext(t.Context(), "CREATE TABLE "+strings.Replace(name, "T", "U", 1)+" (event VARCHAR(32))")
		require.NoError(t, err)
		foreign, err := sqlstore.New(db, d.dialect, sqlstore.WithTable(strings.Trim(strings.Replace(name, "T", "U", 1), "`\"")))
		require.NoError(t, err)
		assert.ErrorContains(t, foreign.Check(t.Context()), "has no column owner")
		assert.ErrorContains(t, foreign.Migrate(t.Context()), "has no column owner")

		ended, cancel := context.WithCancel(t.Context())
		cancel()
		assert.ErrorIs(t, store.Check(ended), context.Canceled)
		require.NoError(t, db.Close())
		assert.Error(t, store.Check(t.Context()))
	})
}

// Reading is not enough: a replica cannot hold claims.
func TestCheckOfAReplica(t *testing.T) {
	d := *start(t, "PostgreSQL")
	_, _, name := newStore(t, &d)
	d.dsn += "&default_transaction_read_only=on"
	store := storeIn(t, &d, d.open(t), name)
	assert.ErrorContains(t, store.Check(t.Context()), "read-only transaction")
	assert.NoError(t, store.Migrate(t.Context()), "which finds everything there")
}
