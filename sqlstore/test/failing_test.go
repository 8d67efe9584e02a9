package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/sqlstore"
)

// errBroken is what a call fails with that failing has fail.
var errBroken = errors.New("broken")

// failing is the driver of a database of which one call fails.
type failing struct {
	of  driver.Driver
	dsn string

	mu     sync.Mutex
	calls  int
	failAt int  // the number of the call that fails; 0 for none
	done   bool // the database has done it all the same: its answer is lost
	failed bool
}

// call makes a call, unless it is the one that fails.
func (f *failing) call(make func() error) error {
	f.mu.Lock()
	f.calls++
	fails := f.calls == f.failAt
	f.failed = f.failed || fails
	f.mu.Unlock()
	if !fails {
		return make()
	}
	if f.done {
		_ = make()
	}
	return errBroken
}

// failFrom has the n-th call from now on fail.
func (f *failing) failFrom(n int, done bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls, f.failAt, f.done, f.failed = 0, n, done, false
}

func (f *failing) Driver() driver.Driver { return f.of }

func (f *failing) Connect(context.Context) (driver.Conn, error) {
	conn, err := f.of.Open(f.dsn)
	return &failingConn{conn, f}, err
}

type failingConn struct {
	driver.Conn
	calls *failing
}

func (c *failingConn) BeginTx(ctx context.Context, opts driver.TxOptions) (tx driver.Tx, err error) {
	err = c.calls.call(func() error {
		tx, err = c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
		return err
	})
	if err != nil {
		if tx != nil {
			_ = tx.Rollback() // what it has begun ends with the connection
		}
		return nil, err
	}
	return &failingTx{tx, c.calls}, nil
}

func (c *failingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (r driver.Result, err error) {
	err = c.calls.call(func() error {
		r, err = c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
		return err
	})
	return r, err
}

func (c *failingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
	err = c.calls.call(func() error {
		rows, err = c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
		return err
	})
	if err != nil {
		if rows != nil {
			_ = rows.Close()
		}
		return nil, err
	}
	return &failingRows{rows, c.calls}, nil
}

func (c *failingConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

type failingTx struct {
	driver.Tx
	calls *failing
}

func (tx *failingTx) Commit() error {
	err := tx.calls.call(tx.Tx.Commit)
	if errors.Is(err, errBroken) {
		_ = tx.Rollback() // the connection is gone, and what is not committed with it
	}
	return err
}

type failingRows struct {
	driver.Rows
	calls *failing
}

func (r *failingRows) Next(values []driver.Value) error {
	return r.calls.call(func() error { return r.Rows.Next(values) })
}

// openFailing opens a database whose calls fail when they are told to.
func openFailing(t *testing.T, d *database) (*sql.DB, *failing) {
	t.Helper()
	f := &failing{of: d.open(t).Driver(), dsn: d.dsn}
	db := sql.OpenDB(f)
	t.Cleanup(func() { db.Close() })
	return db, f
}

// contents is what the store's tables say, but for the times.
func contents(t *testing.T, db *sql.DB, table string) string {
	t.Helper()
	var all strings.Builder
	for _, query := range []string{
		"SELECT event, owner, done, subject, stage FROM " + table + " ORDER BY event",
		"SELECT subject, owner, event, '', 0 FROM " + holds(table) + " ORDER BY subject",
	} {
		rows, err := db.QueryContext(t.Context(), query)
		require.NoError(t, err)
		defer rows.Close()
		for rows.Next() {
			var columns [5]any
			require.NoError(t, rows.Scan(&columns[0], &columns[1], &columns[2], &columns[3], &columns[4]))
			fmt.Fprintf(&all, "%x\n", columns)
		}
		require.NoError(t, rows.Err())
	}
	return all.String()
}

// Whatever call of the database fails, the operation says that it has failed, and has
// done all of what it does or nothing. Its owner may then ask once more.
func TestEachFailedCallFailsItsOperation(t *testing.T) {
	claim := func(key string) midhook.Claim {
		return midhook.Claim{Key: key, Subject: "S", Owner: "owner of " + key, Stage: 10, Lease: time.Minute}
	}
	own, lapsed, alternating := claim("E"), claim("E"), claim("E")
	lapsed.Owner, lapsed.Lease = "an earlier owner", 0
	alternating.Alternates = true
	moved := own
	moved.Key = "F"
	acquireIt := func(c midhook.Claim) func(context.Context, *sqlstore.Store) error {
		return func(ctx context.Context, s *sqlstore.Store) error {
			state, err := s.Acquire(ctx, c)
			if err == nil && state != midhook.Acquired {
				err = errors.New(state.String())
			}
			return err
		}
	}
	finishIt := func(c midhook.Claim) func(context.Context, *sqlstore.Store) error {
		return func(ctx context.Context, s *sqlstore.Store) error { return s.Finish(ctx, c, time.Hour) }
	}
	type operation = func(context.Context, *sqlstore.Store) error
	for name, test := range map[string]struct {
		before []operation
		do     operation
		once   bool // the second time it is ErrNotOwner, if the first was done
	}{
		"a new event":              {nil, acquireIt(own), false},
		"an event without subject": {nil, acquireIt(midhook.Claim{Key: "E", Owner: "a", Lease: time.Minute}), false},
		"a lapsed claim's event":   {[]operation{acquireIt(lapsed)}, acquireIt(own), false},
		"a renewal":                {[]operation{acquireIt(own)}, acquireIt(own), false},
		"a move":                   {[]operation{acquireIt(own)}, acquireIt(moved), false},
		"finish":                   {[]operation{acquireIt(own)}, finishIt(own), false},
		"finish what alternates":   {[]operation{acquireIt(claim("D")), finishIt(claim("D")), acquireIt(alternating)}, finishIt(alternating), false},
		"release":                  {[]operation{acquireIt(own)}, func(ctx context.Context, s *sqlstore.Store) error { return s.Release(ctx, own) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			onDatabases(t, func(t *testing.T, d *database) {
				db, calls := openFailing(t, d)
				prepare := func() (store *sqlstore.Store, table, before string) {
					healthy, _, table := newStore(t, d, sqlstore.WithPurgeInterval(0))
					for _, do := range test.before {
						require.NoError(t, do(t.Context(), healthy))
					}
					store, err := sqlstore.New(db, d.dialect, sqlstore.WithTable(table[1:len(table)-1]), sqlstore.WithPurgeInterval(0))
					require.NoError(t, err)
					return store, table, contents(t, db, table)
				}
				store, table, _ := prepare()
				require.NoError(t, test.do(t.Context(), store))
				after := contents(t, db, table)

				for _, done := range []bool{false, true} {
					for n := 1; ; n++ {
						store, table, before := prepare()
						calls.failFrom(n, done)
						err := test.do(t.Context(), store)
						failed := calls.failed
						calls.failFrom(0, false)
						if !failed {
							require.NoError(t, err)
							require.Greater(t, n, 1, "no call has failed")
							break
						}
						assert.ErrorIs(t, err, errBroken, "call %d, done: %t", n, done)
						found := contents(t, db, table)
						assert.Contains(t, []string{before, after}, found, "call %d, done: %t", n, done)
						if err := test.do(t.Context(), store); !test.once || found == before {
							assert.NoError(t, err, "call %d, done: %t", n, done)
						}
						assert.Equal(t, after, contents(t, db, table), "call %d, done: %t", n, done)
					}
				}
			})
		})
	}
}

// Whatever call of the database fails while an event is delivered to a handler that
// finishes it in its own transaction: after the next delivery the effect is there once.
func TestEachFailedCallOfADelivery(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		db, calls := openFailing(t, d)
		for _, done := range []bool{false, true} {
			for n := 1; ; n++ {
				s := newShop(t, d)
				store, err := sqlstore.New(db, d.dialect, sqlstore.WithTable(s.orders[1:len(s.orders)-3]), sqlstore.WithPurgeInterval(0))
				require.NoError(t, err)
				s.store, s.db = store, db
				calls.failFrom(n, done)
				status := s.deliver(s.good)
				failed := calls.failed
				calls.failFrom(0, false)
				if !failed {
					require.Equal(t, 200, status)
					require.Greater(t, n, 1, "no call has failed")
					break
				}
				if status == 200 {
					assert.Equal(t, 1, s.paid(), "call %d, done: %t: acknowledged without effect", n, done)
				}
				assert.Eventually(t, func() bool { return s.deliver(s.good) == 200 }, time.Minute, 10*time.Millisecond)
				assert.Equal(t, 1, s.paid(), "call %d, done: %t", n, done)
			}
		}
	})
}
