package sqlstore_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/sqlstore"
)

// speed makes Midtrans' first retry come after 0.1 to 0.5 seconds, and the last
// within a minute and a half.
const speed = 240

func pending(order string) *midhook.Notification {
	return midhooktest.Sample("pending", midhooktest.Order(order), midhooktest.Transaction("T-"+order))
}

func settlement(order string) *midhook.Notification {
	return midhooktest.Sample("bca-va", midhooktest.Order(order), midhooktest.Transaction("T-"+order))
}

// story is what Midtrans sends of one order.
type story struct {
	order    string
	late     bool // the settlement comes first
	repeated bool // each notification is sent twice, at once
}

// deliver sends all of a story. What Midtrans gives up on, because the processes died
// too often or the machine is slow, is sent again as with the dashboard's button.
func (s story) deliver(t *testing.T, g *midhooktest.Engine) {
	events := []*midhook.Notification{pending(s.order), settlement(s.order)}
	if s.late {
		events[0], events[1] = events[1], events[0]
	}
	for _, n := range events {
		var both sync.WaitGroup
		for range 1 + map[bool]int{true: 1}[s.repeated] {
			both.Go(func() {
				for delivered := false; !delivered; {
					d, err := g.Deliver(t.Context(), n)
					if !assert.NoError(t, err) {
						return
					}
					delivered = d.Delivered
				}
			})
		}
		both.Wait()
	}
}

// stories are of pairs of events: a quarter late, a fifth repeated, a twentieth
// with a handler that fails at first, and some with one that kills its process.
func stories(pairs, deaths int) []story {
	random := rand.New(rand.NewPCG(1, 2))
	all := make([]story, pairs)
	for i := range all {
		kind := "good-"
		switch {
		case i%(pairs/max(1, deaths)) == 0 && i/(pairs/max(1, deaths)) < deaths:
			kind = [...]string{"die-begin-", "die-effect-", "die-commit-"}[i/(pairs/deaths)%3]
		case random.IntN(20) == 0:
			kind = "fail-"
		}
		all[i] = story{order: kind + fmt.Sprint(i), late: random.IntN(4) == 0, repeated: random.IntN(5) == 0}
	}
	return all
}

// tell delivers stories, some at once, and calls each after each of them.
func tell(t *testing.T, g *midhooktest.Engine, all []story, each func(told int)) {
	var told atomic.Int64
	queue := make(chan story)
	var workers sync.WaitGroup
	for range 24 {
		workers.Go(func() {
			for s := range queue {
				s.deliver(t, g)
				each(int(told.Add(1)))
			}
		})
	}
	for _, s := range all {
		queue <- s
	}
	close(queue)
	workers.Wait()
}

// check compares the effects with the stories.
func (f *fleet) check(all []story) {
	f.t.Helper()
	rows, err := f.db.Query(f.config.sql("SELECT order_id, status FROM @orders"))
	require.NoError(f.t, err)
	defer rows.Close()
	got := map[string]int{}
	for rows.Next() {
		var order, status string
		require.NoError(f.t, rows.Scan(&order, &status))
		got[order+" "+status]++
	}
	require.NoError(f.t, rows.Err())
	want := map[string]int{}
	for _, s := range all {
		want[s.order+" settlement"] = 1
		if !s.late {
			want[s.order+" pending"] = 1
		}
	}
	assert.Equal(f.t, want, got, "each event has its effect once, but a pending that came after the settlement")
}

// Three processes behind one store and 2,000 events, with duplicates, late ones,
// failures, and ten processes killed while their handlers run: before the effect,
// between effect and commit, between commit and answer. Every committed effect is
// there once.
func TestThreeProcesses(t *testing.T) {
	t.Parallel()
	onDatabases(t, func(t *testing.T, d *database) {
		t.Parallel()
		f := startFleet(t, d, 3)
		const deaths = 10
		all := stories(1000, deaths)
		var attempts atomic.Int64
		g := &midhooktest.Engine{URL: "http://merchant.example/", Client: f.client, Secret: testKey, Speed: speed,
			OnAttempt: func(*midhook.Notification, midhooktest.Attempt) { attempts.Add(1) }}
		began := time.Now()
		tell(t, g, all, func(int) {})
		t.Logf("%d events in %d attempts, %v, %d processes killed", 2*len(all), attempts.Load(), time.Since(began).Round(time.Millisecond), f.deaths.Load())
		assert.EqualValues(t, deaths, f.deaths.Load())
		f.check(all)
	})
}

// While the database is away everything is answered 503, so that Midtrans comes
// again; when it is back all is delivered, and nothing twice.
func TestDatabaseStopsAndStarts(t *testing.T) {
	for _, name := range []string{"PostgreSQL", "MariaDB"} {
		t.Run(name, func(t *testing.T) {
			d := start(t, name)
			f := startFleet(t, d, 3)
			all := stories(200, 0)
			var stopped, restarted atomic.Pointer[time.Time]
			var refused, other, retried atomic.Int64
			g := &midhooktest.Engine{URL: "http://merchant.example/", Client: f.client, Secret: testKey, Speed: speed,
				OnAttempt: func(_ *midhook.Notification, a midhooktest.Attempt) {
					if a.Number > 1 {
						retried.Add(1)
					}
					switch {
					case stopped.Load() == nil || a.At.Before(*stopped.Load()):
					case restarted.Load() != nil && !a.At.Add(a.Duration).Before(*restarted.Load()):
					case a.Status == http.StatusServiceUnavailable:
						refused.Add(1)
					default:
						other.Add(1)
						t.Log(a)
					}
				}}
			var once sync.Once
			tell(t, g, all, func(told int) {
				if told < len(all)/3 {
					return
				}
				once.Do(func() {
					d.server.Stop(syscall.SIGQUIT) // for PostgreSQL a crash, for MariaDB a shutdown
					now := time.Now()
					stopped.Store(&now)
					time.Sleep(2 * time.Second)
					again := time.Now()
					restarted.Store(&again)
					assert.NoError(t, d.server.Start())
				})
			})
			t.Logf("%d answers of 503 while it was away, %d others; %d retries in all", refused.Load(), other.Load(), retried.Load())
			assert.Positive(t, refused.Load())
			assert.Zero(t, other.Load())
			f.check(all)
		})
	}
}

// A process that was paused until its lease had passed goes on where it was, while
// another handles the event: it can neither finish nor release the other's claim,
// and its transaction has no effect.
func TestPausedProcess(t *testing.T) {
	t.Parallel()
	onDatabases(t, func(t *testing.T, d *database) {
		t.Parallel()
		if d.dialect == sqlstore.SQLite { // a file has one writer at a time: those of other tests would come first
			own, err := openSQLite()
			require.NoError(t, err)
			d = own
		}
		f := startFleet(t, d, 2)
		paused, successor := f.processes[0], f.processes[1]
		for _, test := range []struct{ order, after string }{
			{"wait-bare-done", "already handled"},   // the middleware's Finish
			{"wait-bare-fail-a", "handler failed"},  // its Release
			{"wait-transaction", "already handled"}, // FinishTx
		} {
			n := settlement(test.order)
			var answers sync.WaitGroup
			answers.Go(func() { paused.post("/", n) })
			paused.waitFor("handling " + test.order)
			paused.stop()
			time.Sleep(merchantLease + 100*time.Millisecond)
			var handling atomic.Bool
			answers.Go(func() {
				for !handling.Load() { // a busy machine may have spent the budget before
					successor.post("/", n)
				}
			})
			successor.waitFor("handling " + test.order)
			handling.Store(true)
			paused.signal(syscall.SIGCONT)
			paused.post("/go/"+test.order, nil)
			paused.waitFor("event "+test.order, "claim is not held by this owner")
			assert.Zero(t, f.effects(test.order, midhook.StatusSettlement))

			status, answer := paused.post("/", n)
			assert.Equal(t, 503, status)
			assert.Equal(t, "already being handled", answer, "the successor holds its claim")

			successor.post("/go/"+test.order, nil)
			assert.Eventually(t, func() bool {
				_, answer = paused.post("/", n)
				return answer == test.after
			}, time.Minute, 20*time.Millisecond, "after the successor: %s", answer)
			answers.Wait()
		}
		assert.Equal(t, 1, f.effects("wait-transaction", midhook.StatusSettlement), "the successor's")
	})
}

// stop pauses a process. One that is just writing to SQLite would keep all others from it
// for as long as it is paused, so that it is paused at another moment.
func (p *process) stop() {
	for {
		p.signal(syscall.SIGSTOP)
		if p.fleet.config.Dialect != sqlstore.SQLite {
			return
		}
		if tx, err := p.fleet.db.Begin(); err == nil { // as a writer
			_ = tx.Rollback()
			return
		}
		p.signal(syscall.SIGCONT)
	}
}

// What one process has handled, another knows.
func TestSupersededAcrossProcesses(t *testing.T) {
	onDatabases(t, func(t *testing.T, d *database) {
		f := startFleet(t, d, 2)
		status, answer := f.processes[0].post("/", settlement("good-1"))
		assert.Equal(t, 200, status)
		assert.Equal(t, "handled", answer)
		status, answer = f.processes[1].post("/", pending("good-1"))
		assert.Equal(t, 200, status)
		assert.Equal(t, "superseded by a later status", answer)
		status, answer = f.processes[1].post("/", settlement("good-1"))
		assert.Equal(t, 200, status)
		assert.Equal(t, "already handled", answer)
		assert.Zero(t, f.effects("good-1", midhook.StatusPending))
		assert.Equal(t, 1, f.effects("good-1", midhook.StatusSettlement))
	})
}
