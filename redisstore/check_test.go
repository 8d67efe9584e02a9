package redisstore_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/redisstore"
)

// Rule: Check finds nothing wrong with a server that works, and leaves nothing on it.
func TestCheck(t *testing.T) {
	client := startServer(t).client()
	store := newStore(t, client)
	for range 2 { // which does not know the scripts at first
		require.NoError(t, store.Check(t.Context()))
	}
	require.Eventually(t, func() bool { return client.DBSize(t.Context()).Val() == 0 }, time.Minute, time.Millisecond)
}

// Rule: Check says of what is missing what it is.
func TestCheckSaysWhatIsMissing(t *testing.T) {
	server := startServer(t)
	client := server.client()
	store := newStore(t, client)
	as := func(user string, rules ...any) *redisstore.Store {
		require.NoError(t, client.Do(t.Context(), append([]any{"acl", "setuser", user, "on", ">secret"}, rules...)...).Err())
		return newStore(t, server.client(func(o *redis.Options) { o.Username, o.Password = user, "secret" }))
	}
	refused := func(store *redisstore.Store, parts ...string) {
		t.Helper()
		err := store.Check(t.Context())
		require.Error(t, err)
		for _, part := range append(parts, "redisstore: check: the server refuses what the store needs") {
			assert.ErrorContains(t, err, part)
		}
	}
	require.NoError(t, as("all", "~midhook:*", "+eval", "+evalsha", "+get", "+getex", "+set", "+del", "+pttl").Check(t.Context()),
		"nothing else is needed")
	refused(as("unscripted", "~*", "+@all", "-@scripting"), "NOPERM")
	refused(as("elsewhere", "~other:*", "+@all"), "NOPERM", `"midhook:"`)
	for _, command := range []string{"get", "getex", "set", "del", "pttl"} {
		refused(as("no"+command, "~*", "+@all", "-"+command))
	}
	refused(as("reader", "~*", "+@read", "+eval", "+evalsha", "+info"))
	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", "1").Err())
	refused(store, "OOM")
	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", "0").Err())
	require.NoError(t, client.ReplicaOf(t.Context(), "127.0.0.1", "1").Err())
	refused(store, "READONLY")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, store.Check(ctx), context.Canceled)
	dead := redis.NewClient(deadServer(t, new(atomic.Int64)))
	defer dead.Close()
	require.ErrorContains(t, newStore(t, dead).Check(t.Context()), "redisstore: check: the server cannot be reached")
}

// Rule: Check finds a policy that drops live claims, where there is a limit to the
// memory and the server tells it.
func TestCheckFindsEviction(t *testing.T) {
	server := startServer(t)
	client := server.client()
	store := newStore(t, client)
	set := func(name, value string) {
		t.Helper()
		require.NoError(t, client.ConfigSet(t.Context(), name, value).Err())
	}
	for policy, drops := range map[string]bool{
		"noeviction": false, "volatile-ttl": false,
		"allkeys-lru": true, "allkeys-lfu": true, "allkeys-random": true,
		"volatile-lru": true, "volatile-lfu": true, "volatile-random": true,
	} {
		set("maxmemory-policy", policy)
		set("maxmemory", "0")
		require.NoError(t, store.Check(t.Context()), policy)
		set("maxmemory", "100mb")
		err := store.Check(t.Context())
		if !drops {
			require.NoError(t, err, policy)
			continue
		}
		require.ErrorIs(t, err, redisstore.ErrEviction)
		require.ErrorContains(t, err, policy)
	}
	require.NoError(t, client.Do(t.Context(), "acl", "setuser", "blind", "on", ">secret", "~*", "+@all", "-info", "-config").Err())
	blind := server.client(func(o *redis.Options) { o.Username, o.Password = "blind", "secret" })
	set("maxmemory-policy", "allkeys-lru")
	require.NoError(t, newStore(t, blind).Check(t.Context()), "what the server does not tell is not wrong")
}

// Rule: in a cluster Check asks every master.
func TestClusterCheck(t *testing.T) {
	c := startCluster(t)
	store := newStore(t, c)
	require.NoError(t, store.Check(t.Context()))
	last := c.nodes[2].client()
	require.NoError(t, last.ConfigSet(t.Context(), "maxmemory", "100mb").Err())
	require.NoError(t, last.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err())
	require.ErrorIs(t, store.Check(t.Context()), redisstore.ErrEviction)
}

// deadServer are the options that New documents, for a port on which nobody
// listens. It counts the attempts to connect.
func deadServer(t *testing.T, attempts *atomic.Int64) *redis.Options {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	o := options(addr)
	o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		attempts.Add(1)
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	return o
}

// options are those that New documents.
func options(addr string) *redis.Options {
	return &redis.Options{Addr: addr, ContextTimeoutEnabled: true, DialerRetries: 1, MaxRetries: 1}
}

// Rule: with the options that New documents, an operation on a server that refuses
// connections tries twice, and a delivery is answered 503 after that instead of
// after most of its budget. The client prints nothing, if its logging is disabled
// as New documents.
func TestDeadServer(t *testing.T) {
	var attempts atomic.Int64
	client := redis.NewClient(deadServer(t, &attempts))
	defer client.Close()
	store := newStore(t, client)
	_, err := store.Acquire(t.Context(), settlement("a"))
	require.ErrorContains(t, err, "refused")
	require.EqualValues(t, 2, attempts.Load())

	hook, err := midhook.New(testKey, midhook.WithStore(store), midhook.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	handler := hook.HandlerFunc(func(context.Context, *midhook.Notification) error {
		t.Error("the handler runs unclaimed")
		return nil
	})
	printed := func(disabled bool) string { // by go-redis, during a delivery
		stderr, file := os.Stderr, filepath.Join(t.TempDir(), "stderr")
		to, err := os.Create(file)
		require.NoError(t, err)
		defer to.Close()
		os.Stderr = to
		logging.Enable()
		os.Stderr = stderr
		defer logging.Disable()
		if disabled {
			logging.Disable()
		}
		attempts.Store(0)
		once := &midhooktest.Engine{Handler: handler, Secret: testKey, Policy: &midhooktest.RetryPolicy{Timeout: time.Minute}}
		d, err := once.Deliver(t.Context(), settled(1))
		require.NoError(t, err)
		require.Len(t, d.Attempts, 1)
		require.Equal(t, http.StatusServiceUnavailable, d.Attempts[0].Status)
		require.LessOrEqual(t, attempts.Load(), int64(4), "to acquire, and to release what may have been acquired")
		out, err := os.ReadFile(file)
		require.NoError(t, err)
		return string(out)
	}
	require.Contains(t, printed(false), "failed to dial", "the test looks in the right place")
	require.Empty(t, printed(true))
}
