package redisstore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/servers"
)

// startReplica starts a server that has all that its master has.
func startReplica(t testing.TB, master *server) *server {
	t.Helper()
	require.NoError(t, master.client().ConfigSet(t.Context(), "repl-diskless-sync-delay", "0").Err()) // for no other replica
	replica := startServer(t, "--replicaof", "127.0.0.1", strconv.Itoa(master.Port))
	require.Eventually(t, func() bool {
		return strings.Contains(replica.client().Info(t.Context(), "replication").Val(), "master_link_status:up")
	}, time.Minute, 10*time.Millisecond, "the replica follows its master")
	return replica
}

func promote(t testing.TB, replica *server) {
	t.Helper()
	require.NoError(t, replica.client().ReplicaOf(t.Context(), "NO", "ONE").Err())
}

// Rule: a replica that is promoted has all that reached it: what was handled,
// claims with what is left of their leases, holds and stages. Owners finish and
// release there what they acquired on the old master.
func TestPromotedReplicaHasWhatReachedIt(t *testing.T) {
	master := startServer(t)
	replica := startReplica(t, master)
	old := newStore(t, master.client())
	claim := func(owner, event string, stage int) midhook.Claim {
		return midhook.Claim{Key: event, Subject: "S", Stage: stage, Owner: owner, Lease: time.Hour}
	}
	settled, refund, hangs := claim("a", "settlement", 40), claim("b", "refund", 60), claim("h", "hangs", 40)
	acquire(t, old, settled, midhook.Acquired)
	require.NoError(t, old.Finish(t.Context(), settled, time.Hour))
	acquireBeside(t, old, hangs)
	acquire(t, old, refund, midhook.Acquired)
	fails := midhook.Claim{Key: "fails", Subject: "T", Owner: "f", Lease: time.Hour}
	acquire(t, old, fails, midhook.Acquired)
	reached, err := master.client().Wait(t.Context(), 1, time.Minute).Result()
	require.NoError(t, err)
	require.EqualValues(t, 1, reached)

	master.Stop(syscall.SIGKILL)
	promote(t, replica)
	client := replica.client()
	store := newStore(t, client)
	require.NoError(t, store.Check(t.Context()))
	for _, key := range client.Keys(t.Context(), "midhook:*").Val() {
		assert.NotEqual(t, time.Duration(-1), client.PTTL(t.Context(), key).Val(), "no key without an expiry")
	}
	acquire(t, store, claim("c", "settlement", 40), midhook.Done)
	acquire(t, store, claim("c", "refund", 60), midhook.InFlight)
	acquire(t, store, claim("c", "hangs", 40), midhook.InFlight)
	acquire(t, store, claim("c", "another", 40), midhook.Busy)
	acquire(t, store, refund, midhook.Acquired) // renewed by its owner
	require.NoError(t, store.Finish(t.Context(), refund, time.Hour))
	acquire(t, store, claim("c", "another", 40), midhook.Superseded)
	require.NoError(t, store.Finish(t.Context(), hangs, time.Hour))
	require.NoError(t, store.Release(t.Context(), fails))
}

// Rule: what did not reach the promoted replica is forgotten, which is as if
// nobody had claimed or handled it: it can be claimed again, and whoever claimed
// it on the old master is told that it is not the owner. Nothing else is touched.
func TestPromotedReplicaLacksWhatDidNotReachIt(t *testing.T) {
	master := startServer(t)
	replica := startReplica(t, master)
	old := newStore(t, master.client())
	claim := func(owner, event string, stage int) midhook.Claim {
		return midhook.Claim{Key: event, Subject: "S", Stage: stage, Owner: owner, Lease: time.Hour}
	}
	acquire(t, old, claim("a", "capture", 30), midhook.Acquired)
	require.NoError(t, old.Finish(t.Context(), claim("a", "capture", 30), time.Hour))
	acquire(t, old, claim("a", "settlement", 40), midhook.Acquired)
	reached, err := master.client().Wait(t.Context(), 1, time.Minute).Result()
	require.NoError(t, err)
	require.EqualValues(t, 1, reached)
	promote(t, replica) // while the old master still answers
	require.NoError(t, old.Finish(t.Context(), claim("a", "settlement", 40), time.Hour))
	lost := midhook.Claim{Key: "lost", Subject: "T", Owner: "a", Lease: time.Hour}
	acquire(t, old, lost, midhook.Acquired)
	master.Stop(syscall.SIGKILL)

	store := newStore(t, replica.client())
	acquire(t, store, claim("b", "capture", 30), midhook.Done)
	acquire(t, store, claim("b", "settlement", 40), midhook.InFlight) // its mark was lost, not its claim
	acquire(t, store, claim("b", "pending", 10), midhook.Busy)        // and not the hold, but the stage
	require.NoError(t, store.Finish(t.Context(), claim("a", "settlement", 40), time.Hour))
	acquire(t, store, claim("b", "pending", 10), midhook.Superseded)
	taken := lost
	taken.Owner = "b"
	acquire(t, store, taken, midhook.Acquired)
	require.ErrorIs(t, store.Finish(t.Context(), lost, time.Hour), midhook.ErrNotOwner)
	require.ErrorIs(t, store.Release(t.Context(), lost), midhook.ErrNotOwner)
	require.NoError(t, store.Finish(t.Context(), taken, time.Hour))
}

// startSentinel starts a Redis Sentinel that decides alone.
func startSentinel(t testing.TB, master *server) *server {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	config := fmt.Sprintf("sentinel monitor shop 127.0.0.1 %d 1\nsentinel down-after-milliseconds shop 1000\nsentinel failover-timeout shop 10000\n", master.Port)
	require.NoError(t, os.WriteFile(file, []byte(config), 0o600))
	start := func() (*servers.Server, error) {
		return servers.RedisWith(func(port int, dir string) []string {
			return []string{file, "--sentinel", "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir, "--daemonize", "no"}
		})
	}
	return &server{servers.For(t, start), t}
}

// Rule: through a fail-over no event is lost: what meets it is answered 503 and
// delivered again. Only what was acquired or finished around it can be repeated.
func TestFailoverMidStream(t *testing.T) {
	master := startServer(t)
	replica := startReplica(t, master)
	sentinel := startSentinel(t, master)
	watch := sentinel.client()
	require.Eventually(t, func() bool {
		return strings.Contains(watch.Info(t.Context(), "sentinel").Val(), "status=ok") &&
			strings.Contains(watch.Info(t.Context(), "sentinel").Val(), "slaves=1")
	}, time.Minute, 20*time.Millisecond, "the Sentinel knows the replica")
	f := startFleetWith(t, 3, workerConfig{Redis: []string{sentinel.Addr()}, Master: "shop", Budget: fleetBudget, Grace: fleetGrace})
	f.shop.decide = everyTenth
	s := &stream{orders: 300, speed: 100} // slower: a Sentinel on a busy machine takes its time
	var failover sync.WaitGroup
	var mu sync.Mutex
	around := map[string]bool{} // events that ran before the replica was promoted
	promoted := false
	decide := f.shop.decide
	f.shop.decide = func(r run) verdict {
		mu.Lock()
		if !promoted {
			around[r.event] = true
		}
		mu.Unlock()
		return decide(r)
	}
	s.progress = func(orders int) {
		if orders != 80 {
			return
		}
		failover.Go(func() {
			master.Stop(syscall.SIGKILL)
			assert.Eventually(t, func() bool {
				return strings.Contains(replica.client().Info(t.Context(), "replication").Val(), "role:master")
			}, time.Minute, 20*time.Millisecond, "the replica is promoted")
			mu.Lock()
			promoted = true
			mu.Unlock()
		})
	}
	s.send(t, f)
	failover.Wait()

	handled, _ := s.events()
	repeated, lost := 0, 0
	for _, event := range handled {
		_, effects := f.shop.count(event)
		if !assert.NotEmpty(t, effects, "%s is lost", event) {
			lost++
		}
		if len(effects) > 1 {
			repeated++
			assert.True(t, around[event], "%s was repeated, though it came after the fail-over", event)
		}
	}
	assert.Positive(t, s.unavailable.Load(), "the stream has met the fail-over")
	assert.Greater(t, len(handled), len(around), "the stream went on after it")
	t.Logf("%d events: %d attempts, %d answered 503, %d repeated, %d lost",
		len(handled), s.attempts.Load(), s.unavailable.Load(), repeated, lost)
}
