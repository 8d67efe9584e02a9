package sqlstore_test

import (
	"context"
	"database/sql"
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
				db, calls := openIntercepted(t, d)
				prepare := func() (store *sqlstore.Store, table, before string) {
					healthy, _, table := newStore(t, d, sqlstore.WithPurgeInterval(0))
					for _, do := range test.before {
						require.NoError(t, do(t.Context(), healthy))
					}
					return storeIn(t, d, db, table), table, contents(t, db, table)
				}
				store, table, _ := prepare()
				require.NoError(t, test.do(t.Context(), store))
				after := contents(t, db, table)

				calls.eachFailure(t, func(when string, failing func(func()) bool) {
					store, table, before := prepare()
					var err error
					if !failing(func() { err = test.do(t.Context(), store) }) {
						require.NoError(t, err)
						return
					}
					assert.ErrorIs(t, err, errBroken, when)
					found := contents(t, db, table)
					assert.Contains(t, []string{before, after}, found, when)
					if err := test.do(t.Context(), store); !test.once || found == before {
						assert.NoError(t, err, when)
					}
					assert.Equal(t, after, contents(t, db, table), when)
				})
			})
		})
	}
}

// Whatever call of the database fails while an event is delivered to a handler that
// finishes it in its own transaction: after the next delivery the effect is there once.
func TestEachFailedCallOfADelivery(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		db, calls := openIntercepted(t, d)
		calls.eachFailure(t, func(when string, failing func(func()) bool) {
			s := newShop(t, d)
			s.store, s.db = storeIn(t, d, db, s.table), db
			var status int
			if !failing(func() { status = s.deliver(s.good) }) {
				require.Equal(t, 200, status)
				return
			}
			if status == 200 {
				assert.Equal(t, 1, s.paid(), "%s: acknowledged without effect", when)
			}
			assert.Eventually(t, func() bool { return s.deliver(s.good) == 200 }, time.Minute, 10*time.Millisecond)
			assert.Equal(t, 1, s.paid(), when)
		})
	})
}

// An operation is a read, which is two calls, and a write, and for a claim on a subject
// a short transaction. It looks no more often than it must.
func TestCallsOfAnOperation(t *testing.T) {
	for name, locks := range map[string]int{"MariaDB": 1, "SQLite": 0} { // who takes over a row locks it first
		t.Run(name, func(t *testing.T) {
			d := start(t, name)
			_, _, table := newStore(t, d)
			db, calls := openIntercepted(t, d)
			store := storeIn(t, d, db, table)
			c := midhook.Claim{Key: "E", Subject: "S", Stage: 40, Owner: "a", Lease: time.Minute}
			other := midhook.Claim{Key: "F", Subject: "S", Stage: 40, Owner: "b", Lease: time.Minute}
			const read, write, begin, commit = 2, 1, 1, 1
			assert.Equal(t, read+begin+2*write+commit, calls.count(func() { acquire(t, midhook.Acquired, store, c) }), "claim")
			renewal := read + write
			if locks > 0 {
				renewal += begin + locks + commit
			}
			assert.Equal(t, renewal, calls.count(func() { acquire(t, midhook.Acquired, store, c) }), "renewal")
			assert.Equal(t, read, calls.count(func() { acquire(t, midhook.Busy, store, other) }), "busy")
			assert.Equal(t, read+write, calls.count(func() { require.NoError(t, store.Finish(t.Context(), c, time.Hour)) }), "finish")
			assert.Equal(t, read, calls.count(func() { acquire(t, midhook.Done, store, c) }), "duplicate")
			assert.Equal(t, write, calls.count(func() { require.ErrorIs(t, store.Release(t.Context(), c), midhook.ErrNotOwner) }), "release")
		})
	}
}

// Whatever call of the database fails, a purge says so, and the next one does the rest.
func TestEachFailedCallOfAPurge(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		db, calls := openIntercepted(t, d)
		calls.eachFailure(t, func(when string, failing func(func()) bool) {
			healthy, _, table := newStore(t, d, sqlstore.WithPurgeInterval(0))
			handle(t, healthy, midhook.Claim{Key: "E", Subject: "S", Owner: "a", Lease: time.Minute}, time.Hour)
			for _, name := range []string{table, holds(table)} {
				_, err := db.ExecContext(t.Context(), "UPDATE "+name+" SET expires = 0")
				require.NoError(t, err)
			}
			store := storeIn(t, d, db, table)
			var err error
			failed := failing(func() { _, err = store.Purge(t.Context()) })
			assert.Equal(t, failed, errors.Is(err, errBroken), "%s: %v", when, err)
			_, err = store.Purge(t.Context())
			assert.NoError(t, err)
			assert.Zero(t, count(t, db, table))
			assert.Zero(t, count(t, db, holds(table)))
		})
	})
}

// Whatever call of the database fails, Migrate and Check say so, and Migrate goes on where
// it has failed when it is called again.
func TestEachFailedCallOfAMigration(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		db, calls := openIntercepted(t, d)
		for name, do := range map[string]func(*sqlstore.Store) error{
			"Migrate": func(s *sqlstore.Store) error { return s.Migrate(t.Context()) },
			"Check":   func(s *sqlstore.Store) error { return s.Check(t.Context()) },
		} {
			calls.eachFailure(t, func(when string, failing func(func()) bool) {
				store := storeIn(t, d, db, quote(d, "T"+table(t)))
				if name == "Check" {
					require.NoError(t, store.Migrate(t.Context()))
				}
				var err error
				failed := failing(func() { err = do(store) })
				assert.Equal(t, failed, errors.Is(err, errBroken), "%s, %s: %v", name, when, err)
				require.NoError(t, store.Migrate(t.Context()))
				assert.NoError(t, store.Check(t.Context()))
			})
		}
	})
}

// What others do between two calls of an operation comes before all of it or after it:
// each answer, and what a third one finds afterwards, is that of one of the two orders.
func TestOperationsBetweenTheCallsOfAnother(t *testing.T) {
	type operation struct {
		name string
		do   func(s *sqlstore.Store, suffix string) string // its answer; suffix makes its names new
	}
	claim := func(owner, key, suffix string, lease time.Duration) midhook.Claim {
		return midhook.Claim{Key: key + suffix, Subject: "S" + suffix, Owner: owner + suffix, Stage: 10, Lease: lease}
	}
	ask := func(owner, key string, lease time.Duration) operation {
		return operation{owner + " claims " + key, func(s *sqlstore.Store, suffix string) string {
			state, err := s.Acquire(context.Background(), claim(owner, key, suffix, lease))
			return fmt.Sprint(state, err)
		}}
	}
	finish := func(owner, key string, alternates bool) operation {
		return operation{fmt.Sprintf("%s finishes %s, alternates=%t", owner, key, alternates), func(s *sqlstore.Store, suffix string) string {
			c := claim(owner, key, suffix, time.Minute)
			c.Alternates = alternates
			return fmt.Sprint(s.Finish(context.Background(), c, time.Hour))
		}}
	}
	release := func(owner, key string) operation {
		return operation{owner + " releases " + key, func(s *sqlstore.Store, suffix string) string {
			return fmt.Sprint(s.Release(context.Background(), claim(owner, key, suffix, time.Minute)))
		}}
	}
	begins := map[string][]operation{
		"nothing":         nil,
		"A has E":         {ask("A", "E", time.Minute)},
		"A had E":         {ask("A", "E", 0)},
		"E is finished":   {ask("A", "E", time.Minute), finish("A", "E", false)},
		"E was given up":  {ask("A", "E", time.Minute), release("A", "E")},
		"A has G after E": {ask("A", "E", time.Minute), finish("A", "E", false), ask("A", "G", time.Minute)},
	}
	operations := []operation{
		ask("A", "E", time.Minute), ask("A", "F", time.Minute), ask("B", "E", time.Minute), ask("C", "F", time.Minute),
		finish("A", "E", false), finish("A", "G", true), release("A", "E"),
	}
	look := []operation{ask("D", "E", time.Minute), ask("D", "F", time.Minute), ask("D", "G", time.Minute)}
	onDatabases(t, func(t *testing.T, d *database) {
		others, _, table := newStore(t, d, sqlstore.WithPurgeInterval(0))
		db, calls := openIntercepted(t, d)
		store := storeIn(t, d, db, table)
		runs := 0
		play := func(begin []operation, both func(suffix string) (one, other string)) string {
			runs++
			suffix := fmt.Sprint(" ", runs)
			for _, o := range begin {
				o.do(others, suffix)
			}
			one, other := both(suffix)
			story := []string{one, other}
			for _, o := range look {
				story = append(story, o.do(others, suffix))
			}
			return strings.Join(story, "; ")
		}
		for name, begin := range begins {
			for _, one := range operations {
				for _, other := range operations {
					orders := []string{
						play(begin, func(suffix string) (a, b string) {
							a = one.do(others, suffix)
							b = other.do(others, suffix)
							return a, b
						}),
						play(begin, func(suffix string) (a, b string) {
							b = other.do(others, suffix)
							a = one.do(others, suffix)
							return a, b
						}),
					}
					for n, reached := 1, true; reached; n++ {
						story := play(begin, func(suffix string) (a, b string) {
							var meanwhile sync.WaitGroup
							reached = calls.during(n, func(call func() error) error {
								done := make(chan struct{})
								meanwhile.Go(func() { defer close(done); b = other.do(others, suffix) })
								select {
								case <-done:
								case <-time.After(5 * time.Millisecond): // it may wait for a lock of this operation's
								}
								return call()
							}, func() { a = one.do(store, suffix) })
							meanwhile.Wait()
							if !reached {
								b = other.do(others, suffix)
							}
							return a, b
						})
						assert.Contains(t, orders, story, "%s: %s, and before its call %d %s", name, one.name, n, other.name)
					}
				}
			}
		}
	})
}
