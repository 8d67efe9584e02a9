package redisstore_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// A lease is 5 s: over before the retries are, but not while a busy machine keeps a
// process waiting.
const fleetBudget, fleetGrace = time.Second, 2 * time.Second

// everyTenth fails the first run of every tenth order's events: their retries are
// to succeed.
func everyTenth(r run) verdict {
	return verdict{fail: r.number == 1 && strings.Contains(r.event, "7 ")}
}

// Rule: several processes behind one store are as one: each event is handled to
// success once, however it is duplicated, reordered and retried, and never by two
// at once.
func TestProcesses(t *testing.T) {
	f := startFleet(t, 3, fleetBudget, fleetGrace, startServer(t).Addr())
	f.shop.decide = everyTenth
	s := &stream{orders: 600}
	s.send(t, f)

	handled, late := s.events()
	require.Len(t, handled, 1000)
	processes := map[int]int{}
	for _, event := range handled {
		runs, effects := f.shop.count(event)
		assert.Len(t, effects, 1, event)
		assert.LessOrEqual(t, runs, 2, event)
		for _, pid := range effects {
			processes[pid]++
		}
	}
	for _, event := range late {
		runs, _ := f.shop.count(event)
		assert.Zero(t, runs, "%s came after its settlement", event)
	}
	assert.Zero(t, f.shop.overlaps, "an event ran in two processes at once")
	assert.Len(t, processes, 3, "all processes take part")
	t.Logf("%d events and %d late ones, %d duplicates, %d attempts, %d answered 503; effects by process: %v",
		len(handled), len(late), s.duplicates.Load(), s.attempts.Load(), s.unavailable.Load(), processes)
}

// Rule: a process that is killed in the middle of its handlers loses no event.
// What it had effected and not yet marked is run again, and nothing else is: that
// is the guarantee of a store that is not in the effect's own transaction.
func TestProcessesKilled(t *testing.T) {
	f := startFleet(t, 3, fleetBudget, 0, startServer(t).Addr())
	const kills = 10
	var effected atomic.Int64
	var mu sync.Mutex
	doomed := map[string]bool{} // whose first run kills its process
	for k := range kills {
		doomed[eventName(settled(60+50*k))] = k%2 == 0
	}
	f.shop.decide = func(r run) verdict {
		mu.Lock()
		before, kill := doomed[r.event]
		delete(doomed, r.event)
		mu.Unlock()
		switch {
		case kill && before:
			f.kill(r.pid)
			return verdict{fail: true} // nobody hears it
		case kill:
			return verdict{after: func() { effected.Add(1); f.kill(r.pid) }}
		}
		return everyTenth(r)
	}
	s := &stream{orders: 600, speed: 150} // slower: two retries are left when the lease of a dead process is over, and it may meet two
	s.send(t, f)

	assert.Len(t, f.killed, kills)
	assert.EqualValues(t, kills/2, effected.Load())
	handled, late := s.events()
	twice, lost := 0, 0
	for _, event := range handled {
		_, effects := f.shop.count(event)
		if !assert.NotEmpty(t, effects, "%s is lost", event) {
			lost++
			continue
		}
		for _, pid := range effects[:len(effects)-1] {
			twice++
			assert.True(t, f.killed[pid], "%s was repeated, though its process was not killed", event)
		}
	}
	assert.GreaterOrEqual(t, twice, kills/2, "a process that is killed between effect and mark repeats: has the test killed there?")
	for _, event := range late {
		runs, _ := f.shop.count(event)
		assert.Zero(t, runs, "%s came after its settlement", event)
	}
	assert.Zero(t, f.shop.overlaps, "an event ran in two processes at once")
	t.Logf("%d events, %d lost; %d processes killed in a handler, %d of them after the effect; %d effects repeated; %d attempts",
		len(handled), lost, kills, effected.Load(), twice, s.attempts.Load())
}

// Rule: while Redis is away everything is answered 503; when it is back with its
// append-only file, everything is delivered and nothing was forgotten, whether it
// was stopped or killed. An effect whose mark Redis could not take is all that can
// be repeated.
func TestRedisStoppedAndStarted(t *testing.T) {
	redis := startServer(t, "--appendonly", "yes")
	f := startFleet(t, 3, fleetBudget, fleetGrace, redis.Addr())
	f.shop.decide = everyTenth
	s := &stream{orders: 300, speed: 200} // an outage of a second is 3 minutes
	var outages sync.WaitGroup
	var refused atomic.Int64
	outage := func(with syscall.Signal) {
		redis.Stop(with)
		probe := &midhooktest.Engine{Handler: f, Secret: testKey, Policy: &midhooktest.RetryPolicy{Timeout: 15 * time.Second}}
		var probes sync.WaitGroup
		for range 10 { // beside the stream, which is answered the same
			probes.Go(func() {
				d, err := probe.Deliver(t.Context(), pending(100000))
				assert.NoError(t, err)
				if assert.Len(t, d.Attempts, 1) && assert.Equal(t, http.StatusServiceUnavailable, d.Attempts[0].Status) {
					refused.Add(1)
				}
			})
		}
		probes.Wait()
		assert.NoError(t, redis.Start())
	}
	s.progress = func(orders int) {
		switch orders {
		case 80:
			outages.Go(func() { outage(syscall.SIGTERM) })
		case 200:
			outages.Wait()
			outages.Go(func() { outage(syscall.SIGKILL) })
		}
	}
	s.send(t, f)
	outages.Wait()

	handled, late := s.events()
	unmarked := map[string]bool{}
	for _, event := range slices.Concat(handled, late) {
		for _, r := range f.reported(event) {
			if strings.Contains(r.Err, "finishing the claim") {
				unmarked[event] = true
			}
		}
	}
	twice, lost := 0, 0
	for _, event := range handled {
		_, effects := f.shop.count(event)
		if !assert.NotEmpty(t, effects, "%s is lost", event) {
			lost++
		}
		if len(effects) > 1 {
			twice++
			assert.True(t, unmarked[event], "%s was repeated, though it was marked", event)
		}
	}
	for _, event := range late {
		if runs, _ := f.shop.count(event); runs > 0 {
			order, _, _ := strings.Cut(event, " ")
			assert.True(t, unmarked[order+" settlement"], "%s came after its settlement", event)
		}
	}
	assert.EqualValues(t, 20, refused.Load())
	assert.Zero(t, f.shop.overlaps, "an event ran in two processes at once")
	runs, _ := f.shop.count("A-100000 pending")
	assert.Zero(t, runs, "nothing runs unclaimed")
	t.Logf("%d events over two outages: %d attempts, %d answered 503, %d effects that Redis could not mark, %d repeated, %d lost",
		len(handled), s.attempts.Load(), s.unavailable.Load(), len(unmarked), twice, lost)
}

// Rule: a process that slept past its lease can neither finish nor release what
// another has taken over since.
func TestStaleOwner(t *testing.T) {
	for operation, fails := range map[string]bool{"finishing": false, "releasing": true} {
		t.Run(operation, func(t *testing.T) {
			f := startFleet(t, 3, 200*time.Millisecond, 3*time.Second, startServer(t).Addr())
			a, b, c := f.workers[0], f.workers[1], f.workers[2]
			began := make(chan run, 10)
			doneA, doneB := make(chan struct{}), make(chan struct{})
			goOnA, goOnB := sync.OnceFunc(func() { close(doneA) }), sync.OnceFunc(func() { close(doneB) })
			t.Cleanup(func() { goOnA(); goOnB() }) // before the fleet's
			f.shop.decide = func(r run) verdict {
				began <- r
				switch r.pid {
				case a.pid():
					<-doneA
				case b.pid():
					<-doneB
				}
				return verdict{fail: fails && r.pid == a.pid()}
			}
			n := settled(1)
			deliver := func(w *worker) int {
				once := &midhooktest.Engine{Handler: w.proxy(), Secret: testKey, Policy: &midhooktest.RetryPolicy{Timeout: 15 * time.Second}}
				d, err := once.Deliver(t.Context(), n)
				require.NoError(t, err)
				require.Len(t, d.Attempts, 1)
				return d.Attempts[0].Status
			}

			require.Equal(t, http.StatusServiceUnavailable, deliver(a), "its budget")
			require.Equal(t, a.pid(), (<-began).pid)
			a.signal(t, syscall.SIGSTOP)
			require.Equal(t, http.StatusServiceUnavailable, deliver(b), "a's lease lasts")
			require.Empty(t, began)
			// b's delivery returns at its budget, when its handler has begun.
			require.Eventually(t, func() bool { deliver(b); return len(began) > 0 }, time.Minute, 100*time.Millisecond)
			require.Equal(t, b.pid(), (<-began).pid)

			a.signal(t, syscall.SIGCONT)
			goOnA()
			require.Eventually(t, func() bool {
				return slices.ContainsFunc(f.reported(eventName(n)), func(r report) bool {
					return strings.Contains(r.Err, operation+" the claim: "+midhook.ErrNotOwner.Error())
				})
			}, time.Minute, 10*time.Millisecond, "a is told that it no longer owns the claim")
			require.Equal(t, http.StatusServiceUnavailable, deliver(c), "b's claim is in flight still")
			require.Empty(t, began)

			goOnB()
			require.Eventually(t, func() bool { return deliver(c) == http.StatusOK }, time.Minute, 10*time.Millisecond)
			runs, effects := f.shop.count(eventName(n))
			require.Equal(t, 2, runs)
			require.Equal(t, b.pid(), effects[len(effects)-1])
		})
	}
}

// Rule: what one process has handled supersedes what another gets late.
func TestSupersededElsewhere(t *testing.T) {
	f := startFleet(t, 2, 10*time.Second, 0, startServer(t).Addr())
	deliver := func(w *worker, n *midhook.Notification) {
		g := &midhooktest.Engine{Handler: w.proxy(), Secret: testKey}
		d, err := g.Deliver(t.Context(), n)
		require.NoError(t, err)
		require.Len(t, d.Attempts, 1)
		require.Equal(t, http.StatusOK, d.Attempts[0].Status)
	}
	deliver(f.workers[0], settled(1))
	deliver(f.workers[1], pending(1))
	deliver(f.workers[1], settled(1))
	outcome := func(n *midhook.Notification, want string) {
		t.Helper()
		require.Eventually(t, func() bool {
			return slices.ContainsFunc(f.reported(eventName(n)), func(r report) bool { return r.Outcome == want })
		}, time.Minute, 10*time.Millisecond, want)
	}
	outcome(settled(1), midhook.OutcomeHandled.String())
	outcome(pending(1), midhook.OutcomeSuperseded.String())
	outcome(settled(1), midhook.OutcomeDuplicate.String())
	runs, _ := f.shop.count(eventName(pending(1)))
	require.Zero(t, runs)
	_, effects := f.shop.count(eventName(settled(1)))
	require.Equal(t, []int{f.workers[0].pid()}, effects)
}
