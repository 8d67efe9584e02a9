package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/sqlstore"
)

func TestContract(t *testing.T) {
	t.Parallel() // leases pass in real time
	onDatabases(t, func(t *testing.T, d *database) {
		t.Parallel()
		store, _, _ := newStore(t, d)
		midhooktest.TestStore(t, func(*testing.T) midhook.Store { return store })
	})
}

// A database that its owner has made stricter answers with serialization failures
// where others wait. They are the store's to deal with.
func TestContractUnderSerializableIsolation(t *testing.T) {
	t.Parallel()
	for name, setting := range map[string]string{
		"PostgreSQL": "?sslmode=disable&default_transaction_isolation=serializable",
		"MariaDB":    "?tx_isolation=%27SERIALIZABLE%27",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := *start(t, name)
			d.dsn = strings.TrimSuffix(d.dsn, "?sslmode=disable") + setting
			store, _, _ := newStore(t, &d)
			midhooktest.TestStore(t, func(*testing.T) midhook.Store { return store })
		})
	}
}

// Whoever configures a store wrongly is told everything at once, before it runs.
func TestNewRefuses(t *testing.T) {
	_, err := sqlstore.New(nil, 0, nil, sqlstore.WithTable("x; DROP TABLE orders"), sqlstore.WithKeep(0), sqlstore.WithPurgeInterval(-1))
	for _, part := range []string{"database", "dialect Dialect(0)", "option 1", "table \"x; DROP TABLE orders\"", "keep 0s", "purge interval -1ns"} {
		assert.ErrorContains(t, err, part)
	}
	assert.Equal(t, "PostgreSQL MySQL SQLite Dialect(4)", fmt.Sprint(sqlstore.PostgreSQL, " ", sqlstore.MySQL, " ", sqlstore.SQLite, " ", sqlstore.Dialect(4)))
	db, err := sql.Open("sqlite", "file::memory:")
	require.NoError(t, err)
	defer db.Close()
	for name, valid := range map[string]bool{
		"midhook_events": true, "Payments.midhook_events": true, "_1": true, strings.Repeat("x", 48): true,
		"": false, "1": false, "a.b.c": false, ".a": false, "a.": false, "a b": false, `a"b`: false, "a`b": false, "ä": false, "a\n": false,
		strings.Repeat("x", 49): false,
	} {
		_, err := sqlstore.New(db, sqlstore.SQLite, sqlstore.WithTable(name))
		assert.Equal(t, valid, err == nil, "table %q: %v", name, err)
	}
}

// Processes that start together all call Migrate, and it does nothing to a table
// that is there.
func TestMigrateByManyAtOnce(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		name := "Select." + table(t) // case and a reserved word
		if d.dialect == sqlstore.SQLite {
			name = "main." + table(t)
		} else {
			db := d.open(t)
			_, err := db.ExecContext(t.Context(), "CREATE SCHEMA IF NOT EXISTS "+quote(d, "Select"))
			require.NoError(t, err)
		}
		var all sync.WaitGroup
		for i := range 8 {
			store, err := sqlstore.New(d.open(t), d.dialect, sqlstore.WithTable(name))
			require.NoError(t, err)
			all.Go(func() {
				c := midhook.Claim{Key: fmt.Sprint(i), Owner: "a", Lease: time.Minute}
				if assert.NoError(t, store.Migrate(t.Context())) {
					state, err := store.Acquire(t.Context(), c)
					assert.NoError(t, err)
					assert.Equal(t, midhook.Acquired, state)
					assert.NoError(t, store.Migrate(t.Context()))
					assert.NoError(t, store.Check(t.Context()), "it finds the table in its schema")
					assert.NoError(t, store.Finish(t.Context(), c, time.Hour))
				}
			})
		}
		all.Wait()
	})
}

// What Schema prints is what Migrate does, and can be run as it is.
func TestSchemaIsRunnable(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		db := d.open(t)
		for range 2 {
			for _, statement := range strings.Split(sqlstore.Schema(d.dialect), ";\n") {
				if statement != "" {
					_, err := db.ExecContext(t.Context(), statement)
					require.NoError(t, err, statement)
				}
			}
		}
		store, err := sqlstore.New(db, d.dialect)
		require.NoError(t, err)
		assert.Equal(t, sqlstore.Schema(d.dialect), store.Schema())
		state, err := store.Acquire(t.Context(), midhook.Claim{Key: t.Name(), Owner: "a", Lease: time.Minute})
		require.NoError(t, err)
		assert.Equal(t, midhook.Acquired, state)
	})
	assert.Empty(t, sqlstore.Schema(0))
}

// Whoever reads the table learns of no order.
func TestNothingIsStoredInClear(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		store, db, table := newStore(t, d)
		c := midhook.Claim{Key: "EVENT", Subject: "SUBJECT", Owner: "OWNER", Stage: 40, Lease: time.Minute}
		handle(t, store, c, time.Hour)
		var event, owner, subject []byte
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT event, owner, subject FROM "+table).Scan(&event, &owner, &subject))
		var held, holder, by []byte
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT subject, owner, event FROM "+holds(table)).Scan(&held, &holder, &by))
		for _, stored := range [][]byte{event, owner, subject, held, holder, by} {
			assert.Len(t, stored, 32)
			for _, clear := range []string{c.Key, c.Subject, c.Owner} {
				assert.NotContains(t, string(stored), clear)
			}
		}
	})
}

// A store whose table is missing, or whose database is gone, fails: nothing may run
// unclaimed, and failure is neither an answer nor a matter of ownership.
func TestFailuresAreErrors(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		store, db, table := newStore(t, d, sqlstore.WithPurgeInterval(0))
		_, err := db.ExecContext(t.Context(), "DROP TABLE "+table)
		require.NoError(t, err)
		c := midhook.Claim{Key: "E", Owner: "a", Lease: time.Minute}
		for _, gone := range []bool{false, true} {
			if gone {
				db.Close()
			}
			state, err := store.Acquire(t.Context(), c)
			assert.Error(t, err)
			assert.Zero(t, state)
			err = store.Finish(t.Context(), c, time.Minute)
			assert.Error(t, err)
			assert.NotErrorIs(t, err, midhook.ErrNotOwner)
			err = store.Release(t.Context(), c)
			assert.Error(t, err)
			assert.NotErrorIs(t, err, midhook.ErrNotOwner)
			_, err = store.Purge(t.Context())
			assert.Error(t, err)
		}
	})
}

// Purge deletes what nothing depends on any more, and no more: neither what is in
// flight or kept, nor a claim whose owner may yet finish it.
func TestPurge(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		store, db, table := newStore(t, d, sqlstore.WithPurgeInterval(0))
		const expired = 1200 // more than a batch
		rows := make([]string, expired)
		for i := range rows {
			digest := fmt.Sprintf("x'%064x'", i)
			if d.dialect == sqlstore.PostgreSQL {
				digest = fmt.Sprintf(`'\x%064x'`, i)
			}
			rows[i] = fmt.Sprintf("(%s, %s, '%d', 0, %d)", digest, digest, i%2, time.Now().Add(-2*time.Hour).UnixMicro())
		}
		_, err := db.ExecContext(t.Context(), "INSERT INTO "+table+" (event, owner, done, stage, expires) VALUES "+strings.Join(rows, ", "))
		require.NoError(t, err)
		handle(t, store, midhook.Claim{Key: "kept", Owner: "a", Lease: time.Minute}, time.Hour)
		late := midhook.Claim{Key: "lapsed", Owner: "a", Lease: time.Millisecond}
		acquire(t, midhook.Acquired, store, late)
		acquire(t, midhook.Acquired, store, midhook.Claim{Key: "running", Subject: "S", Owner: "a", Lease: time.Minute})

		purged, err := store.Purge(t.Context())
		require.NoError(t, err)
		assert.EqualValues(t, expired, purged)
		assert.Equal(t, 3, count(t, db, table))
		purged, err = store.Purge(t.Context())
		require.NoError(t, err)
		assert.Zero(t, purged)

		acquire(t, midhook.Done, store, midhook.Claim{Key: "kept", Owner: "b", Lease: time.Minute})
		acquire(t, midhook.InFlight, store, midhook.Claim{Key: "running", Owner: "b", Lease: time.Minute})
		acquire(t, midhook.Busy, store, midhook.Claim{Key: "another of its transaction", Subject: "S", Owner: "b", Lease: time.Minute})
		assert.NoError(t, store.Finish(t.Context(), late, time.Hour))
	})
}

// A table does not grow for ever where nobody thinks of purging it.
func TestPurgesByItself(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		store, db, table := newStore(t, d, sqlstore.WithPurgeInterval(time.Millisecond))
		handle(t, store, midhook.Claim{Key: "old", Subject: "S", Owner: "a", Lease: time.Minute}, time.Hour)
		for _, name := range []string{table, holds(table)} {
			_, err := db.ExecContext(t.Context(), "UPDATE "+name+" SET expires = 0")
			require.NoError(t, err)
		}
		require.Eventually(t, func() bool {
			acquire(t, midhook.Acquired, store, midhook.Claim{Key: "new", Owner: "a", Lease: time.Minute})
			return count(t, db, table) == 1 && count(t, db, holds(table)) == 0
		}, time.Minute, 10*time.Millisecond)
	})
}

func acquire(t testing.TB, want midhook.ClaimState, store midhook.Store, c midhook.Claim) {
	t.Helper()
	state, err := store.Acquire(context.Background(), c)
	require.NoError(t, err)
	require.Equal(t, want, state)
}

func handle(t testing.TB, store midhook.Store, c midhook.Claim, keep time.Duration) {
	t.Helper()
	acquire(t, midhook.Acquired, store, c)
	require.NoError(t, store.Finish(context.Background(), c, keep))
}

// holds is the quoted name of the table beside a table.
func holds(table string) string { return table[:len(table)-1] + "_holds" + table[len(table)-1:] }

func count(t testing.TB, db *sql.DB, table string) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(context.Background(), "SELECT count(*) FROM "+table).Scan(&n))
	return n
}
