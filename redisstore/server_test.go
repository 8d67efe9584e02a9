package redisstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/servers"
	"github.com/midhook/midhook/redisstore"
)

const testKey = "SB-Mid-server-test-key-0001"

// server is a redis-server of the test's own.
type server struct {
	*servers.Server
	t testing.TB
}

func startServer(t testing.TB, args ...string) *server {
	t.Helper()
	return &server{servers.For(t, func() (*servers.Server, error) { return servers.Redis(args...) }), t}
}

func (s *server) client(change ...func(*redis.Options)) *redis.Client {
	s.t.Helper()
	o := &redis.Options{Addr: s.Addr(), ContextTimeoutEnabled: true}
	for _, c := range change {
		c(o)
	}
	client := redis.NewClient(o)
	s.t.Cleanup(func() { client.Close() })
	return client
}

func newStore(t testing.TB, client redis.Scripter, opts ...redisstore.Option) *redisstore.Store {
	t.Helper()
	store, err := redisstore.New(client, opts...)
	require.NoError(t, err)
	return store
}

func acquire(t testing.TB, store midhook.Store, c midhook.Claim, want midhook.ClaimState) {
	t.Helper()
	got, err := store.Acquire(context.WithoutCancel(t.Context()), c)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// acquireBeside claims an event and lets its hold of the subject pass, so that
// other events of the subject can be claimed beside it.
func acquireBeside(t testing.TB, store midhook.Store, c midhook.Claim) {
	t.Helper()
	lease := c.Lease
	c.Lease = time.Nanosecond
	acquire(t, store, c, midhook.Acquired)
	time.Sleep(5 * time.Millisecond) // a lease is rounded up to two
	c.Lease = lease
	acquire(t, store, c, midhook.Acquired)
}
