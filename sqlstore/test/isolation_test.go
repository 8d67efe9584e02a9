package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// Handlers of unrelated orders do not fail each other in FinishTx under any isolation
// level: it reads no row but its own event's. Their effects here are new rows, which
// have no conflicts of their own.
func TestIsolation(t *testing.T) {
	for _, isolated := range []struct {
		database string
		level    sql.IsolationLevel
	}{
		{"PostgreSQL", sql.LevelReadCommitted},
		{"PostgreSQL", sql.LevelRepeatableRead},
		{"PostgreSQL", sql.LevelSerializable},
		{"MariaDB", sql.LevelReadCommitted},
		{"MariaDB", sql.LevelRepeatableRead},
		{"MariaDB", sql.LevelSerializable},
	} {
		t.Run(isolated.database+" "+isolated.level.String(), func(t *testing.T) {
			s := newShop(t, start(t, isolated.database))
			const orders, atOnce = 200, 20
			var failed atomic.Int64
			hook, err := midhook.New(testKey, midhook.WithStore(s.store), midhook.WithLogger(slog.New(slog.DiscardHandler)),
				midhook.WithObserver(func(_ context.Context, e midhook.Event) {
					if e.Err != nil && failed.Add(1) == 1 {
						t.Logf("%v: %v", e.Outcome, e.Err)
					}
				}))
			require.NoError(t, err)
			open := newBarrier(atOnce)
			handler := hook.HandlerFunc(func(ctx context.Context, n *midhook.Notification) error {
				tx, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: isolated.level})
				if err != nil {
					return err
				}
				defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
				err = s.store.FinishTx(ctx, tx)
				open.wait(ctx) // all transactions at once
				if err != nil {
					return err
				}
				if err := s.pay(ctx, tx); err != nil {
					return err
				}
				return tx.Commit()
			})
			var all sync.WaitGroup
			for worker := range atOnce {
				all.Go(func() {
					for i := range orders / atOnce {
						order := fmt.Sprintf("%d-%d", worker, i)
						n := midhooktest.Sample("gopay", midhooktest.Order(order), midhooktest.Transaction("T-"+order))
						handler.ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(n, testKey))
					}
				})
			}
			all.Wait()
			assert.Zero(t, failed.Load(), "of %d", orders)
			assert.Equal(t, orders, s.paid())
		})
	}
}

// barrier has n goroutines wait for each other, again and again.
type barrier struct {
	mu      sync.Mutex
	n, here int
	gone    chan struct{}
}

func newBarrier(n int) *barrier { return &barrier{n: n, gone: make(chan struct{})} }

func (b *barrier) wait(ctx context.Context) {
	b.mu.Lock()
	gone := b.gone
	if b.here++; b.here == b.n {
		b.here, b.gone = 0, make(chan struct{})
		close(gone)
	}
	b.mu.Unlock()
	select {
	case <-gone:
	case <-ctx.Done():
	}
}
