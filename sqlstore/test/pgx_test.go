package sqlstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/sqlstore"
)

// The store works in a transaction of pgx's own, of a pool of pgx's own, as in one of
// database/sql: committed with the effect or not at all, and never twice.
func TestPgxTx(t *testing.T) {
	for _, name := range []string{"PostgreSQL", "PgBouncer"} {
		t.Run(name, func(t *testing.T) {
			d := start(t, name)
			s := newShop(t, d)
			pool, err := pgxpool.New(t.Context(), d.dsn)
			require.NoError(t, err)
			defer pool.Close()
			db := stdlib.OpenDBFromPool(pool)
			defer db.Close()
			s.store = storeIn(t, d, db, s.table)
			require.NoError(t, s.store.Check(t.Context()))

			pay := func(ctx context.Context, tx pgx.Tx) error {
				if err := s.store.FinishTx(ctx, sqlstore.PgxTx(tx)); err != nil {
					return err
				}
				_, err := tx.Exec(ctx, "INSERT INTO "+s.orders+" VALUES ($1)", "paid")
				return err
			}
			payAndCommit := func(ctx context.Context) error {
				return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return pay(ctx, tx) })
			}
			n := midhooktest.Sample("gopay")
			assert.Equal(t, 503, s.notify(n, func(ctx context.Context) error {
				tx, err := pool.Begin(ctx)
				require.NoError(t, err)
				require.NoError(t, pay(ctx, tx))
				return tx.Rollback(ctx)
			}))
			assert.ErrorIs(t, s.last.Err, midhook.ErrUncommitted)
			assert.Zero(t, s.paid())

			assert.Equal(t, 200, s.notify(n, func(ctx context.Context) error {
				require.NoError(t, payAndCommit(ctx))
				assert.ErrorIs(t, payAndCommit(ctx), sqlstore.ErrFinished)
				return nil
			}))
			assert.Equal(t, 200, s.notify(n, payAndCommit))
			assert.Equal(t, midhook.OutcomeDuplicate, s.last.Outcome)
			assert.Equal(t, 1, s.paid())
			assert.Nil(t, sqlstore.PgxTx(pgx.Tx(nil)))
			assert.Equal(t, 503, s.notify(midhooktest.Sample("gopay", midhooktest.Order("B-2")), func(ctx context.Context) error {
				tx, err := pool.Begin(ctx)
				require.NoError(t, err)
				require.NoError(t, tx.Rollback(ctx))
				return s.store.FinishTx(ctx, sqlstore.PgxTx(tx))
			}))
			assert.ErrorIs(t, s.last.Err, pgx.ErrTxClosed)
		})
	}
}

// A pool that gives each statement another session, as PgBouncer's transaction mode
// does, is enough for the whole contract.
func TestContractThroughPgBouncer(t *testing.T) {
	t.Parallel() // leases pass in real time
	d := start(t, "PgBouncer")
	store, _, _ := newStore(t, d)
	midhooktest.TestStore(t, func(*testing.T) midhook.Store { return store })
}

// Each operation is one statement, which is one round trip. A notification whose
// handler uses FinishTx costs three: Acquire, the mark, and a look at it, which is all
// that Finish then does.
func TestStatementsOnPostgreSQL(t *testing.T) {
	d := start(t, "PostgreSQL")
	_, _, name := newStore(t, d)
	config, err := pgx.ParseConfig(d.dsn)
	require.NoError(t, err)
	statements := &statementCounter{}
	config.Tracer = statements
	db := stdlib.OpenDB(*config)
	defer db.Close()
	store := storeIn(t, d, db, name)
	counted := func(what string, operation func()) {
		t.Helper()
		statements.n = 0
		operation()
		assert.Equal(t, 1, statements.n, what)
	}
	c := midhook.Claim{Key: "E", Subject: "S", Stage: 40, Owner: "a", Lease: time.Minute}
	other := midhook.Claim{Key: "F", Subject: "S", Stage: 40, Owner: "b", Lease: time.Minute}
	moved := c
	moved.Key, moved.Alternates = "G", true
	counted("acquire", func() { acquire(t, midhook.Acquired, store, c) })
	counted("renewal", func() { acquire(t, midhook.Acquired, store, c) })
	counted("busy", func() { acquire(t, midhook.Busy, store, other) })
	counted("move", func() { acquire(t, midhook.Acquired, store, moved) })
	counted("release", func() { require.NoError(t, store.Release(t.Context(), moved)) })
	acquire(t, midhook.Acquired, store, moved)
	counted("finish", func() { require.NoError(t, store.Finish(t.Context(), moved, time.Hour)) })
	counted("duplicate", func() { acquire(t, midhook.Done, store, moved) })

	s := &shop{t: t, store: store, db: db}
	statements.n = 0
	assert.Equal(t, 200, s.notify(midhooktest.Sample("gopay"), func(ctx context.Context) error {
		tx, err := db.BeginTx(ctx, nil)
		require.NoError(t, err)
		defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
		require.NoError(t, store.FinishTx(ctx, tx))
		return tx.Commit()
	}))
	assert.Equal(t, 3, statements.n-statements.transactions)
}

type statementCounter struct{ n, transactions int }

func (c *statementCounter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	c.n++
	if q.SQL == "begin" || q.SQL == "commit" {
		c.transactions++
	}
	return ctx
}

func (*statementCounter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
