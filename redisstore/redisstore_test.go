package redisstore_test

import (
	"context"
	"fmt"
	"math"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/redisstore"
)

// Rule: New says all that is wrong at once, and never panics.
func TestNewErrors(t *testing.T) {
	_, err := redisstore.New((*redis.Client)(nil), redisstore.WithPrefix("{shop}:"), nil)
	require.Error(t, err)
	for _, part := range []string{"client", "braces", "option 2"} {
		assert.ErrorContains(t, err, part)
	}
	_, err = redisstore.New(nil)
	require.Error(t, err)
}

func settlement(owner string) midhook.Claim {
	return midhook.Claim{Key: "E", Subject: "S", Stage: 40, Owner: owner, Lease: time.Minute}
}

// Rule: other prefixes are other stores; every key has the prefix, a tag for the
// cluster's slots, and an expiry.
func TestPrefix(t *testing.T) {
	client := startServer(t).client()
	shop, other := newStore(t, client, redisstore.WithPrefix("shop:")), newStore(t, client)
	acquire(t, shop, settlement("a"), midhook.Acquired)
	acquire(t, other, settlement("b"), midhook.Acquired)
	require.NoError(t, shop.Finish(t.Context(), settlement("a"), time.Hour))
	acquire(t, other, settlement("c"), midhook.InFlight)
	lone := settlement("d")
	lone.Subject = ""
	acquire(t, shop, lone, midhook.Acquired)

	for pattern, want := range map[string]int{"shop:{*}": 2, redisstore.DefaultPrefix + "{*}": 1, "*": 3} {
		keys, err := client.Keys(t.Context(), pattern).Result()
		require.NoError(t, err)
		assert.Len(t, keys, want, pattern)
		for _, key := range keys {
			assert.Positive(t, client.PTTL(t.Context(), key).Val(), "no key without an expiry")
		}
	}
}

// Rule: only digests, times and stages are stored: nothing of what was paid, by
// whom, and no owner that could be impersonated.
func TestStored(t *testing.T) {
	client := startServer(t).client()
	secrets := []string{"ORDER-4711", "TRANSACTION-0815", "154600", "OWNER-TOKEN"}
	c := midhook.Claim{
		Key: secrets[0] + secrets[2], Subject: secrets[0] + secrets[1], Stage: 40, Owner: secrets[3], Lease: time.Minute,
	}
	store := newStore(t, client)
	acquire(t, store, c, midhook.Acquired)
	require.NoError(t, store.Finish(t.Context(), c, time.Hour))
	c.Key += "2"
	acquire(t, store, c, midhook.Acquired)

	keys, err := client.Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	require.Len(t, keys, 1)
	value, err := client.Get(t.Context(), keys[0]).Result()
	require.NoError(t, err)
	require.Len(t, value, 21+2*45, "what scripts.go says")
	all := fmt.Sprint(keys, value)
	for _, secret := range secrets {
		assert.NotContains(t, all, secret)
	}
	assert.Equal(t, byte(40), value[20], "the stage is stored: the test has looked in the right place")
	memory, err := client.MemoryUsage(t.Context(), keys[0]).Result()
	require.NoError(t, err)
	t.Logf("a subject with one handled event and one claim takes %d bytes", memory)
}

// Rule: a claim outlives its lease, for its owner to finish late; what is handled
// goes with its keep, unless something else of its subject has to stay.
func TestExpiry(t *testing.T) {
	client := startServer(t).client()
	store := newStore(t, client)
	const day, slack = 24 * time.Hour, time.Minute
	expires := func(in time.Duration, why string) {
		t.Helper()
		keys, err := client.Keys(t.Context(), "*").Result()
		require.NoError(t, err)
		require.Len(t, keys, 1)
		assert.InDelta(t, in, client.PTTL(t.Context(), keys[0]).Val(), float64(slack), why)
	}
	claim := func(event string) midhook.Claim {
		c := settlement("a")
		c.Key, c.Lease = event, time.Hour
		return c
	}
	handle := func(event string, keep time.Duration) {
		t.Helper()
		acquire(t, store, claim(event), midhook.Acquired)
		require.NoError(t, store.Finish(t.Context(), claim(event), keep))
	}
	acquire(t, store, claim("running"), midhook.Acquired)
	expires(day+time.Hour, "a claim stays for its lease and 24 h")
	require.NoError(t, store.Finish(t.Context(), claim("running"), time.Hour))
	expires(time.Hour, "nothing but what was handled")

	beside := claim("running too")
	beside.Owner = "b"
	acquireBeside(t, store, beside)
	expires(day+time.Hour, "a claim beside what was handled")
	handle("short", time.Minute)
	expires(day+time.Hour, "not shortened: another claim is in flight")
	handle("longer", 7*day)
	expires(7*day, "lengthened")
	handle("after", time.Hour)
	expires(7*day, "not shortened: something else is kept")
	require.NoError(t, store.Release(t.Context(), beside))
	expires(7*day, "released")
	for _, event := range []string{"running", "short", "longer", "after"} {
		acquire(t, store, claim(event), midhook.Done)
	}

	c := claim("for ever")
	c.Lease = math.MaxInt64
	acquire(t, store, c, midhook.Acquired)
	other := claim("held for ever")
	other.Owner = "b"
	acquire(t, store, other, midhook.Busy)
	c.Owner = "b"
	acquire(t, store, c, midhook.InFlight)
	c.Owner = "a"
	require.NoError(t, store.Finish(t.Context(), c, math.MaxInt64))
	acquire(t, store, c, midhook.Done)
	left, err := client.Do(t.Context(), "pttl", client.Keys(t.Context(), "*").Val()[0]).Int64() // more than a Duration holds
	require.NoError(t, err)
	assert.Greater(t, left, int64(200*365*24*time.Hour/time.Millisecond), "for ever")
}

// Rule: what is released alone leaves nothing; the highest stage outlives the
// event it was finished with, and what is released.
func TestReleaseLeaves(t *testing.T) {
	client := startServer(t).client()
	store := newStore(t, client)
	acquire(t, store, settlement("a"), midhook.Acquired)
	require.NoError(t, store.Release(t.Context(), settlement("a")))
	require.Zero(t, client.DBSize(t.Context()).Val())

	acquire(t, store, settlement("a"), midhook.Acquired)
	require.NoError(t, store.Finish(t.Context(), settlement("a"), time.Hour))
	other := settlement("a")
	other.Key = "other"
	acquire(t, store, other, midhook.Acquired)
	require.NoError(t, store.Release(t.Context(), other))
	lower := settlement("a")
	lower.Key, lower.Stage = "pending", 10
	acquire(t, store, lower, midhook.Superseded)
	acquire(t, store, settlement("b"), midhook.Done)
}

// Rule: stages are compared as what they are, not as floating-point numbers.
func TestLargeStages(t *testing.T) {
	store := newStore(t, startServer(t).client())
	c := settlement("a")
	c.Stage = math.MaxInt
	acquire(t, store, c, midhook.Acquired)
	require.NoError(t, store.Finish(t.Context(), c, time.Hour))
	c.Key, c.Stage = "late", math.MaxInt-1
	acquire(t, store, c, midhook.Superseded)
	c.Stage = 9
	acquire(t, store, c, midhook.Superseded)
	c.Stage = math.MaxInt
	acquire(t, store, c, midhook.Acquired)
}

// Rule: the same Event with another Subject is another event, as is documented.
func TestEventUnderItsSubject(t *testing.T) {
	store := newStore(t, startServer(t).client())
	c := settlement("a")
	for _, subject := range []string{"S", "T", ""} {
		c.Subject = subject
		acquire(t, store, c, midhook.Acquired)
		require.NoError(t, store.Finish(t.Context(), c, time.Hour))
		acquire(t, store, c, midhook.Done)
	}
}

// Rule: a subject that is never idle does not grow for ever; what is still kept
// or in flight stays.
func TestExpiredEventsGo(t *testing.T) {
	client := startServer(t).client()
	store := newStore(t, client)
	kept := settlement("a")
	acquire(t, store, kept, midhook.Acquired)
	require.NoError(t, store.Finish(t.Context(), kept, time.Hour))
	running := settlement("b")
	running.Key, running.Lease = "running", time.Nanosecond
	acquire(t, store, running, midhook.Acquired)
	time.Sleep(5 * time.Millisecond) // until its hold of the subject is over
	const events = 500
	longest := int64(0)
	for i := range events {
		c := settlement("a")
		c.Key = fmt.Sprint(i)
		acquire(t, store, c, midhook.Acquired)
		require.NoError(t, store.Finish(t.Context(), c, time.Nanosecond))
		longest = max(longest, client.StrLen(t.Context(), client.Keys(t.Context(), "*").Val()[0]).Val())
	}
	t.Logf("at most %d events there of %d", (longest-21)/45, events)
	assert.Less(t, longest, int64(21+45*events/4)) // each is over after one or two milliseconds
	acquire(t, store, kept, midhook.Done)
	require.NoError(t, store.Finish(t.Context(), running, time.Hour), "a lease that has passed is still its owner's to finish")
}

// Rule: one round trip for each operation; one more when the server does not know
// the script, as after a restart.
func TestRoundTrips(t *testing.T) {
	client := startServer(t).client()
	var sent recorder
	client.AddHook(&sent)
	store := newStore(t, client)
	cycle := func(event string) []string {
		sent.commands = nil
		c := settlement("a")
		c.Key = event
		acquire(t, store, c, midhook.Acquired)
		require.NoError(t, store.Finish(t.Context(), c, time.Hour))
		acquire(t, store, c, midhook.Done)
		require.ErrorIs(t, store.Release(t.Context(), c), midhook.ErrNotOwner)
		return sent.commands
	}
	first := []string{"evalsha", "eval", "evalsha", "eval", "evalsha", "evalsha", "eval"}
	require.Equal(t, first, cycle("1"))
	require.Equal(t, []string{"evalsha", "evalsha", "evalsha", "evalsha"}, cycle("2"))
	require.NoError(t, client.ScriptFlush(t.Context()).Err())
	require.Equal(t, first, cycle("3"))
}

// onlyCommands is what a hook does not look at.
type onlyCommands struct{}

func (onlyCommands) DialHook(next redis.DialHook) redis.DialHook { return next }

func (onlyCommands) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

type recorder struct {
	onlyCommands
	mu       sync.Mutex
	commands []string
}

func (r *recorder) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if name := strings.ToLower(cmd.Name()); strings.HasPrefix(name, "eval") { // not what greets a new connection
			r.mu.Lock()
			r.commands = append(r.commands, name)
			r.mu.Unlock()
		}
		return next(ctx, cmd)
	}
}

// Rule: what no script of this version answers is an error, and neither a permission to
// run nor another owner's claim.
func TestUnexpectedAnswers(t *testing.T) {
	for _, answer := range []int64{-1, 0, 2, 9, math.MaxInt32} {
		client := redis.NewClient(&redis.Options{Addr: "unused:0"})
		defer client.Close()
		client.AddHook(answering{answer: answer})
		store := newStore(t, client)
		if answer < int64(midhook.Acquired) || answer > int64(midhook.Busy) {
			state, err := store.Acquire(t.Context(), settlement("a"))
			assert.ErrorContains(t, err, "unexpected answer")
			assert.Zero(t, state)
		}
		if answer != 0 {
			assert.ErrorContains(t, store.Finish(t.Context(), settlement("a"), time.Hour), "unexpected answer")
			assert.ErrorContains(t, store.Release(t.Context(), settlement("a")), "unexpected answer")
		}
	}
}

// answering is a server that answers every command with a number.
type answering struct {
	onlyCommands
	answer int64
}

func (a answering) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		cmd.(*redis.Cmd).SetVal(a.answer)
		return nil
	}
}

// Rule: a full server with noeviction refuses claims and loses none: what is in
// flight can be released, and what could not be finished is still in flight.
func TestFullServer(t *testing.T) {
	client := startServer(t, "--maxmemory-policy", "noeviction").client()
	store := newStore(t, client)
	a, b := settlement("a"), settlement("b")
	b.Key = "F"
	acquireBeside(t, store, a)
	acquireBeside(t, store, b)
	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", "1").Err())

	c := settlement("c")
	c.Key = "G"
	state, err := store.Acquire(t.Context(), c)
	require.ErrorContains(t, err, "OOM")
	require.Zero(t, state)
	err = store.Finish(t.Context(), a, time.Hour)
	require.ErrorContains(t, err, "OOM")
	require.NotErrorIs(t, err, midhook.ErrNotOwner)
	require.NoError(t, store.Release(t.Context(), b))

	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", "0").Err())
	acquireBeside(t, store, c) // it was not claimed
	taken := settlement("d")
	acquire(t, store, taken, midhook.InFlight)
	lower := settlement("d")
	lower.Key, lower.Stage = "pending", 10
	acquire(t, store, lower, midhook.Acquired) // nothing was finished
	require.NoError(t, store.Finish(t.Context(), a, time.Hour))
}

// Rule: an answer that is none of ours is an error, never an answer: nobody runs
// unclaimed.
func TestForeignData(t *testing.T) {
	client := startServer(t).client()
	store := newStore(t, client)
	acquire(t, store, settlement("a"), midhook.Acquired)
	key := client.Keys(t.Context(), "*").Val()[0]
	ours := client.Get(t.Context(), key).Val()
	for name, set := range map[string]func() error{
		"WRONGTYPE":       func() error { return client.LPush(t.Context(), key, "a list").Err() },
		"another version": func() error { return client.Set(t.Context(), key, "1"+ours[1:], time.Hour).Err() },
		"its expiry":      func() error { return client.Set(t.Context(), key, ours, 0).Err() },
		"script":          func() error { return client.Set(t.Context(), key, "2", time.Hour).Err() },
	} {
		require.NoError(t, client.Del(t.Context(), key).Err())
		require.NoError(t, set())
		before := client.Dump(t.Context(), key).Val()
		state, err := store.Acquire(t.Context(), settlement("b"))
		require.ErrorContains(t, err, name)
		require.Zero(t, state)
		require.Error(t, store.Finish(t.Context(), settlement("b"), time.Hour), name)
		require.Error(t, store.Release(t.Context(), settlement("b")), name)
		require.Equal(t, before, client.Dump(t.Context(), key).Val(), name)
	}

	pipeline := client.Pipeline() // a Scripter that answers nothing
	state, err := newStore(t, pipeline).Acquire(t.Context(), settlement("b"))
	require.Error(t, err)
	require.Zero(t, state)
}

// Rule: a server that accepts and does not answer costs no more than the context
// allows, if the client is set up as documented.
func TestSilentServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	client := redis.NewClient(&redis.Options{Addr: l.Addr().String(), ContextTimeoutEnabled: true, ReadTimeout: time.Hour})
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = newStore(t, client).Acquire(ctx, settlement("a"))
	require.Error(t, err)
	require.Error(t, ctx.Err(), "it was the context that ended the wait")
}
