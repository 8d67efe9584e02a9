package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
)

// BenchmarkStore is what a notification costs the database: an acquire and a
// finish, each committed to disk. SELECT 1 is a bare round trip of the same driver.
func BenchmarkStore(b *testing.B) {
	for _, name := range databaseNames {
		d := start(b, name)
		store, db, _ := newStore(b, d)
		db.SetMaxOpenConns(64)
		db.SetMaxIdleConns(64)
		connect(b, db, 64)
		var n atomic.Int64
		run := strconv.FormatInt(time.Now().UnixNano(), 36)
		claim := func() midhook.Claim {
			event := run + strconv.FormatInt(n.Add(1), 36)
			return midhook.Claim{Key: event, Subject: event + "s", Stage: 40, Owner: event + "o", Lease: time.Minute}
		}
		for _, operation := range []struct {
			name string
			do   func(context.Context) error
		}{
			{"SELECT1", func(ctx context.Context) error {
				var one int
				return db.QueryRowContext(ctx, "SELECT 1").Scan(&one)
			}},
			{"acquire", func(ctx context.Context) error { return isAcquired(store.Acquire(ctx, claim())) }},
			{"acquire+finish", func(ctx context.Context) error {
				c := claim()
				if err := isAcquired(store.Acquire(ctx, c)); err != nil {
					return err
				}
				return store.Finish(ctx, c, time.Hour)
			}},
		} {
			for _, connections := range []int{1, 64} {
				b.Run(fmt.Sprintf("%s/%s/connections=%d", d.name, operation.name, connections), func(b *testing.B) {
					var left atomic.Int64
					left.Store(int64(b.N))
					var all sync.WaitGroup
					for range connections {
						all.Go(func() {
							for left.Add(-1) >= 0 {
								if err := operation.do(b.Context()); err != nil {
									b.Error(err)
									return
								}
							}
						})
					}
					all.Wait()
				})
			}
		}
	}
}

// BenchmarkDuplicate is what a retry of a handled event costs.
func BenchmarkDuplicate(b *testing.B) {
	for _, name := range databaseNames {
		d := start(b, name)
		store, _, _ := newStore(b, d)
		c := midhook.Claim{Key: "E", Subject: "S", Stage: 40, Owner: "o", Lease: time.Minute}
		handle(b, store, c, time.Hour)
		b.Run(d.name, func(b *testing.B) {
			for b.Loop() {
				state, err := store.Acquire(b.Context(), c)
				require.NoError(b, err)
				require.Equal(b, midhook.Done, state)
			}
		})
	}
}

// connect opens connections, so that no measurement has to.
func connect(b *testing.B, db *sql.DB, n int) {
	for range n {
		c, err := db.Conn(b.Context())
		require.NoError(b, err)
		defer c.Close()
	}
}

func isAcquired(state midhook.ClaimState, err error) error {
	if err == nil && state != midhook.Acquired {
		return fmt.Errorf("state %d", state)
	}
	return err
}
