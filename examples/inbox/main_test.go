package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/servers"
	"github.com/midhook/midhook/midhooktest"
)

const (
	key      = "SB-Mid-server-test-key-0001"
	nextKey  = "SB-Mid-server-test-key-0002"
	endpoint = "https://shop.example/payments/notification"
	patience = 3 * time.Minute
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// testInbox is an inbox whose workers are running.
type testInbox struct {
	*inbox
	t      *testing.T
	routes http.Handler

	mu      sync.Mutex
	shipped map[string]int
	handled []midhook.TransactionStatus
	fails   func(*midhook.Notification) error // the handler, before it does anything
}

func sqlite(t *testing.T) *database {
	d, err := openSQLite(filepath.Join(t.TempDir(), "inbox.db"))
	require.NoError(t, err)
	return d
}

func postgreSQL(t *testing.T) *database {
	d, err := openPostgreSQL(servers.For(t, servers.PostgreSQL).URL)
	require.NoError(t, err)
	return d
}

func start(t *testing.T, d *database, attempts int) *testInbox {
	t.Helper()
	t.Cleanup(func() { assert.NoError(t, d.db.Close()) })
	require.NoError(t, d.migrate(t.Context()))
	require.NoError(t, d.migrate(t.Context()), "each start migrates")
	in := &testInbox{t: t, shipped: map[string]int{}, fails: func(*midhook.Notification) error { return nil }}
	s := &shop{db: d.db, ship: in.ship}
	require.NoError(t, s.migrate(t.Context()))
	var err error
	in.inbox, err = newInbox(d, func(ctx context.Context, n *midhook.Notification) error {
		in.mu.Lock()
		err := in.fails(n)
		if err == nil {
			in.handled = append(in.handled, n.TransactionStatus)
		}
		in.mu.Unlock()
		return errors.Join(err, s.handleUnless(ctx, n, err))
	}, attempts)
	require.NoError(t, err)
	hook, err := midhook.New(key, midhook.WithStore(d.store), midhook.WithServerKey("next", nextKey))
	require.NoError(t, err)
	in.routes = routes(hook, in.inbox)
	require.NoError(t, in.river.Start(context.WithoutCancel(t.Context())))
	t.Cleanup(func() { assert.NoError(t, in.stop()) })
	return in
}

func (s *shop) handleUnless(ctx context.Context, n *midhook.Notification, err error) error {
	if err != nil {
		return nil
	}
	return s.handle(ctx, n)
}

func (in *testInbox) ship(_ context.Context, orderID string) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.shipped[orderID]++
	return nil
}

func (in *testInbox) jobs(orderID, states string) (n int) {
	assert.NoError(in.t, in.db.QueryRowContext(context.Background(),
		"SELECT count(*) FROM river_job WHERE args->>'order_id' = $1 AND state IN ("+states+")", orderID).Scan(&n))
	return n
}

const (
	unfinished = "'available', 'pending', 'retryable', 'running', 'scheduled'"
	discarded  = "'discarded'"
)

// notShort skips a test that waits for River to try again, or for many jobs.
func notShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("tests that wait for many jobs are not short")
	}
}

// fulfilled is how often an order was shipped by all that was received so far.
func (in *testInbox) fulfilled(orderID string) int {
	for deadline := time.Now().Add(patience); in.jobs(orderID, unfinished) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			in.t.Errorf("jobs of order %s are not finished", orderID)
			break
		}
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.shipped[orderID]
}

// deliver delivers what must be answered 200 at once.
func (in *testInbox) deliver(n *midhook.Notification) {
	in.t.Helper()
	e := &midhooktest.Engine{Handler: in.routes, URL: endpoint, Secret: key, Speed: 3600}
	d, err := e.Deliver(in.t.Context(), n)
	require.NoError(in.t, err)
	require.True(in.t, d.Delivered, d)
	require.Len(in.t, d.Attempts, 1)
}

// Rule: a shop with an inbox stands what happens to every merchant, though the orders
// are fulfilled after the answer.
func TestScenarios(t *testing.T) {
	notShort(t)
	for name, open := range map[string]func(*testing.T) *database{"SQLite": sqlite, "PostgreSQL": postgreSQL} {
		t.Run(name, func(t *testing.T) {
			in := start(t, open(t), maxAttempts)
			for _, scenario := range midhooktest.Scenarios() {
				t.Run(scenario.Name, func(t *testing.T) {
					e := &midhooktest.Engine{Handler: in.routes, URL: endpoint, Secret: key, Speed: 3600}
					if scenario.Name == midhooktest.Burst.Name {
						e.Speed = 60 // a thousand payments take a busy machine a while, and Midtrans has hours
					} else {
						t.Parallel() // after the thousand
					}
					_, err := scenario.Play(t.Context(), midhooktest.Subject{
						Engine:    e,
						Fulfilled: in.fulfilled,
						NextKey:   nextKey,
					})
					if errors.Is(err, errors.ErrUnsupported) {
						t.Skip(err)
					}
					require.NoError(t, err)
				})
			}
		})
	}
}

// Rule: where the job cannot be stored the event does not count as handled, and is
// received when it comes again.
func TestNoJobNoMark(t *testing.T) {
	in := start(t, sqlite(t), maxAttempts)
	n := midhooktest.Sample("gopay", midhooktest.Order("A-1"))
	_, err := in.db.ExecContext(t.Context(), "CREATE TRIGGER full BEFORE INSERT ON river_job BEGIN SELECT raise(ABORT, 'full'); END")
	require.NoError(t, err)
	once := midhooktest.RetryPolicy{Timeout: 15 * time.Second}
	d, err := (&midhooktest.Engine{Handler: in.routes, URL: endpoint, Secret: key, Policy: &once}).Deliver(t.Context(), n)
	require.NoError(t, err)
	require.False(t, d.Delivered, d)
	require.Equal(t, http.StatusServiceUnavailable, d.Attempts[0].Status)

	_, err = in.db.ExecContext(t.Context(), "DROP TRIGGER full")
	require.NoError(t, err)
	require.Zero(t, in.fulfilled("A-1"))
	in.deliver(n)
	require.Equal(t, 1, in.fulfilled("A-1"))
}

// Rule: River tries again what Midtrans has been told is handled, and a later event of
// the order waits for it.
func TestRetriesInOrder(t *testing.T) {
	notShort(t)
	in := start(t, sqlite(t), maxAttempts)
	var failed int
	in.fails = func(n *midhook.Notification) error {
		if n.TransactionStatus == midhook.StatusCapture && failed < 2 {
			failed++
			return errors.New("the warehouse is down")
		}
		return nil
	}
	in.deliver(midhooktest.Sample("credit-card", midhooktest.Order("A-1")))
	in.deliver(midhooktest.Sample("credit-card", midhooktest.Order("A-1"), midhooktest.Status("200", midhook.StatusSettlement)))
	require.Equal(t, 1, in.fulfilled("A-1"))
	require.Equal(t, []midhook.TransactionStatus{midhook.StatusCapture, midhook.StatusSettlement}, in.handled)
	require.Equal(t, 2, failed)
}

// Rule: what fails for good is kept as a dead letter, holds up nothing, and is handled
// when someone has it tried again.
func TestDeadLetter(t *testing.T) {
	in := start(t, sqlite(t), 1)
	broken := true
	in.fails = func(n *midhook.Notification) error {
		if broken && n.TransactionStatus == midhook.StatusCapture {
			return errors.New("a bug")
		}
		return nil
	}
	in.deliver(midhooktest.Sample("credit-card", midhooktest.Order("A-1")))
	require.Zero(t, in.fulfilled("A-1"))
	require.Equal(t, 1, in.jobs("A-1", discarded))
	in.deliver(midhooktest.Sample("credit-card", midhooktest.Order("A-1"), midhooktest.Status("200", midhook.StatusSettlement)))
	require.Equal(t, 1, in.fulfilled("A-1"))

	in.mu.Lock()
	broken = false
	in.mu.Unlock()
	var id int64
	require.NoError(t, in.db.QueryRowContext(t.Context(), "SELECT id FROM river_job WHERE state = 'discarded'").Scan(&id))
	_, err := in.river.JobRetry(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, 1, in.fulfilled("A-1"))
	require.Zero(t, in.jobs("A-1", discarded))
	require.True(t, slices.Contains(in.handled, midhook.StatusCapture))
}

// Rule: what Midtrans has sent arrives in the job byte for byte.
func TestRawIsKept(t *testing.T) {
	for name, open := range map[string]func(*testing.T) *database{"SQLite": sqlite, "PostgreSQL": postgreSQL} {
		t.Run(name, func(t *testing.T) {
			in := start(t, open(t), maxAttempts)
			var raw []byte
			in.fails = func(n *midhook.Notification) error {
				raw = n.Raw()
				return nil
			}
			n := midhooktest.Sample("gopay", midhooktest.Order("A-1"), midhooktest.Field("custom_field1", "a\x00b < é 1e400"))
			in.deliver(n)
			require.Equal(t, 1, in.fulfilled("A-1"))
			require.True(t, bytes.Equal(midhooktest.Body(n, key), raw), string(raw))
		})
	}
}
