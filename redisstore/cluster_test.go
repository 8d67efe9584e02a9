package redisstore_test

import (
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/servers"
	"github.com/midhook/midhook/midhooktest"
)

// cluster is three masters without replicas.
type cluster struct {
	cli   string
	nodes []*server
	addrs []string
	*redis.ClusterClient
}

func startCluster(t testing.TB) *cluster {
	t.Helper()
	c := &cluster{cli: servers.RedisCLI.For(t)}
	for range 3 {
		n := startServer(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "5000")
		c.nodes, c.addrs = append(c.nodes, n), append(c.addrs, n.Addr())
	}
	c.run(t, append(append([]string{"create"}, c.addrs...), "--cluster-yes")...)
	c.ClusterClient = redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.addrs, ContextTimeoutEnabled: true})
	t.Cleanup(func() { c.Close() })
	for _, n := range c.nodes { // each must have heard of all slots
		node := n.client()
		require.Eventually(t, func() bool {
			return strings.Contains(node.ClusterInfo(t.Context()).Val(), "cluster_state:ok")
		}, time.Minute, 20*time.Millisecond)
	}
	return c
}

// run is redis-cli --cluster.
func (c *cluster) run(t testing.TB, args ...string) {
	t.Helper()
	out, err := exec.Command(c.cli, append([]string{"--cluster"}, args...)...).CombinedOutput()
	require.NoError(t, err, "redis-cli --cluster %s:\n%s", strings.Join(args, " "), out)
}

func (c *cluster) id(t testing.TB, node int) string {
	t.Helper()
	id, err := c.nodes[node].client().Do(t.Context(), "cluster", "myid").Text()
	require.NoError(t, err)
	return id
}

// Rule: the contract of midhook.Store, in a cluster: all that an operation touches
// is in one slot.
func TestClusterContract(t *testing.T) {
	c := startCluster(t)
	midhooktest.TestStore(t, func(t *testing.T) midhook.Store { return newStore(t, c) })
	for i, n := range c.nodes {
		assert.NotZero(t, n.client().DBSize(t.Context()).Val(), "node %d has its share", i)
	}
}

// Rule: while a slot is being moved, and its keys are on one node or the other,
// every operation works: on what was there before, and on what is new.
func TestClusterSlotHalfMoved(t *testing.T) {
	c := startCluster(t)
	store := newStore(t, c)
	claim := func(owner, event string) midhook.Claim {
		claim := settlement(owner)
		claim.Key = event
		return claim
	}
	acquire(t, store, claim("b", "handled"), midhook.Acquired)
	require.NoError(t, store.Finish(t.Context(), claim("b", "handled"), time.Hour))
	acquireBeside(t, store, claim("a", "running"))

	// Where is the subject?
	var key string
	var from, to int
	for i, n := range c.nodes {
		if keys := n.client().Keys(t.Context(), "*").Val(); len(keys) > 0 {
			require.Empty(t, key, "a subject is one key")
			require.Len(t, keys, 1)
			key, from, to = keys[0], i, (i+1)%3
		}
	}
	slot := c.ClusterKeySlot(t.Context(), key).Val()
	source, target := c.nodes[from].client(), c.nodes[to].client()
	do := func(node *redis.Client, args ...any) {
		t.Helper()
		require.NoError(t, node.Do(t.Context(), args...).Err())
	}
	check := func(step string) {
		t.Helper()
		acquire(t, store, claim("b", "handled"), midhook.Done)
		acquire(t, store, claim("b", "running"), midhook.InFlight)
		acquire(t, store, claim("a", "running"), midhook.Acquired) // renewed
		lower := claim("b", step+" late")
		lower.Stage = 10
		acquire(t, store, lower, midhook.Superseded)
		acquire(t, store, claim("b", step), midhook.Acquired)
		acquire(t, store, claim("c", step+" meanwhile"), midhook.Busy)
		require.NoError(t, store.Finish(t.Context(), claim("b", step), time.Hour))
		acquire(t, store, claim("c", step+" fails"), midhook.Acquired)
		require.NoError(t, store.Release(t.Context(), claim("c", step+" fails")))
	}
	check("before")
	do(target, "cluster", "setslot", slot, "importing", c.id(t, from))
	do(source, "cluster", "setslot", slot, "migrating", c.id(t, to))
	check("announced")
	do(source, "migrate", "127.0.0.1", c.nodes[to].Port, key, 0, 5000)
	check("moved, not announced")
	asking := target.Pipeline() // for one command the node then answers for a slot that is not its own yet
	asking.Do(t.Context(), "asking")
	asking.Del(t.Context(), key) // as if it had never been
	_, err := asking.Exec(t.Context())
	require.NoError(t, err)
	for _, state := range []midhook.ClaimState{midhook.Acquired, midhook.InFlight} {
		fresh := claim(fmt.Sprint(state), "first of its subject while the slot is open")
		acquire(t, store, fresh, state)
	}
}

// Rule: slots that are moved in the middle of a stream lose nothing and repeat
// nothing.
func TestClusterReshardMidStream(t *testing.T) {
	c := startCluster(t)
	f := startFleet(t, 3, fleetBudget, fleetGrace, c.addrs...)
	f.shop.decide = everyTenth
	const slots = 400
	var moving sync.WaitGroup
	before := c.nodes[1].client().DBSize(t.Context()).Val()
	require.Zero(t, before)
	var during [2]int64 // orders that were through when it began and ended
	s := &stream{orders: 300}
	var mu sync.Mutex
	through := 0
	s.progress = func(orders int) {
		mu.Lock()
		defer mu.Unlock()
		through = max(through, orders)
		if orders != 30 {
			return
		}
		during[0] = int64(through)
		moving.Go(func() {
			for _, to := range []int{1, 2} {
				c.run(t, "reshard", c.addrs[0], "--cluster-from", c.id(t, 0), "--cluster-to", c.id(t, to),
					"--cluster-slots", fmt.Sprint(slots/2), "--cluster-yes")
			}
			mu.Lock()
			during[1] = int64(through)
			mu.Unlock()
		})
	}
	s.send(t, f)
	moving.Wait()

	handled, late := s.events()
	for _, event := range handled {
		_, effects := f.shop.count(event)
		assert.Len(t, effects, 1, event)
	}
	for _, event := range late {
		runs, _ := f.shop.count(event)
		assert.Zero(t, runs, "%s came after its settlement", event)
	}
	assert.Zero(t, f.shop.overlaps)
	assert.Greater(t, during[1], during[0], "the stream went on while slots were moved")
	moved := 0
	for slot := range slots {
		moved += len(c.nodes[1].client().ClusterGetKeysInSlot(t.Context(), slot, 100).Val())
		moved += len(c.nodes[2].client().ClusterGetKeysInSlot(t.Context(), slot, 100).Val())
	}
	assert.Positive(t, moved, "some of the stream's subjects are in slots that were moved")
	t.Logf("%d events, %d slots moved while orders %d to %d of %d were handled, %d subjects now in them; %d attempts, %d answered 503",
		len(handled), slots, during[0], during[1], s.orders, moved, s.attempts.Load(), s.unavailable.Load())
}
