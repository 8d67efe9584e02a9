package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// intercepted is the driver of a database with one call that goes otherwise.
type intercepted struct {
	of  driver.Driver
	dsn string

	mu      sync.Mutex
	calls   int
	at      int                           // the number of that call; 0 for none
	instead func(call func() error) error // what is done in its place
}

func (d *intercepted) call(make func() error) error {
	d.mu.Lock()
	d.calls++
	otherwise, instead := d.calls == d.at, d.instead
	d.mu.Unlock()
	if otherwise {
		return instead(make)
	}
	return make()
}

// plan has the call of that number, from now on, go otherwise, and returns how many calls
// there were since the last plan.
func (d *intercepted) plan(at int, instead func(call func() error) error) (calls int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	calls = d.calls
	d.calls, d.at, d.instead = 0, at, instead
	return calls
}

// during runs an operation whose n-th call goes otherwise, and reports whether it has
// made so many.
func (d *intercepted) during(n int, instead func(call func() error) error, operation func()) (reached bool) {
	d.plan(n, instead)
	operation()
	return d.plan(0, nil) >= n
}

// count is how many calls an operation makes.
func (d *intercepted) count(operation func()) int {
	d.plan(0, nil)
	operation()
	return d.plan(0, nil)
}

// eachFailure tries an operation with each of its calls failing in each way, and then
// with none. when says which it is; failing runs the operation so, and reports whether
// there was such a call.
func (d *intercepted) eachFailure(t *testing.T, try func(when string, failing func(operation func()) bool)) {
	t.Helper()
	for failure, instead := range failures {
		for n, failed := 1, true; failed; n++ {
			try(fmt.Sprintf("call %d: %s", n, failure), func(operation func()) bool {
				failed = d.during(n, instead, operation)
				return failed
			})
			require.True(t, failed || n > 1, "no call has failed")
		}
	}
}

// errBroken is what a call fails with that is made to.
var errBroken = errors.New("broken")

// failures are the two ways in which a call fails, and of which nobody can tell which it
// was.
var failures = map[string]func(call func() error) error{
	"request lost": func(func() error) error { return errBroken },
	"answer lost": func(call func() error) error {
		_ = call()
		return errBroken
	},
}

func (d *intercepted) Driver() driver.Driver { return d.of }

func (d *intercepted) Connect(context.Context) (driver.Conn, error) {
	conn, err := d.of.Open(d.dsn)
	return &interceptedConn{conn, d}, err
}

type interceptedConn struct {
	driver.Conn
	calls *intercepted
}

func (c *interceptedConn) BeginTx(ctx context.Context, opts driver.TxOptions) (tx driver.Tx, err error) {
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
	return &interceptedTx{tx, c.calls}, nil
}

func (c *interceptedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (r driver.Result, err error) {
	err = c.calls.call(func() error {
		r, err = c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
		return err
	})
	return r, err
}

func (c *interceptedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
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
	return &interceptedRows{rows, c.calls}, nil
}

func (c *interceptedConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

type interceptedTx struct {
	driver.Tx
	calls *intercepted
}

func (tx *interceptedTx) Commit() error {
	err := tx.calls.call(tx.Tx.Commit)
	if errors.Is(err, errBroken) {
		_ = tx.Rollback() // the connection is gone, and what is not committed with it
	}
	return err
}

type interceptedRows struct {
	driver.Rows
	calls *intercepted
}

func (r *interceptedRows) Next(values []driver.Value) error {
	return r.calls.call(func() error { return r.Rows.Next(values) })
}

func openIntercepted(t *testing.T, d *database) (*sql.DB, *intercepted) {
	t.Helper()
	calls := &intercepted{of: d.open(t).Driver(), dsn: d.dsn}
	db := sql.OpenDB(calls)
	t.Cleanup(func() { db.Close() })
	return db, calls
}
