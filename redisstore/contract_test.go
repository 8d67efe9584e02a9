package redisstore_test

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// Rule: the contract of midhook.Store.
func TestContract(t *testing.T) {
	client := startServer(t).client()
	midhooktest.TestStore(t, func(t *testing.T) midhook.Store { return newStore(t, client) })
}

// Rule: whatever is done in whatever order, Redis answers as the store in memory
// does.
func TestAnswersLikeTheStoreInMemory(t *testing.T) {
	const histories, operations = 150, 60
	client := startServer(t).client()
	shared := newStore(t, client)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var states [midhook.Busy + 1]int
	var mu sync.Mutex
	var all sync.WaitGroup
	for history := range histories {
		all.Go(func() {
			h := &comparison{redis: shared, memory: midhook.NewLRUStore(100), random: rand.New(rand.NewPCG(seed, uint64(history)))}
			for range operations {
				if err := h.step(t, fmt.Sprint("subject ", history)); err != nil {
					t.Errorf("history %d: %v\n%s", history, err, strings.Join(h.log, "\n"))
					break
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for i, n := range h.states {
				states[i] += n
			}
		})
	}
	all.Wait()
	for state := midhook.Acquired; state <= midhook.Busy; state++ {
		assert.Positive(t, states[state], "no history came to %v", state)
	}
}

// comparison does the same to two stores and compares the answers.
type comparison struct {
	redis, memory midhook.Store
	random        *rand.Rand
	forgotten     [3]string // owner of a finished event whose keep is over: perhaps it can finish again
	log           []string
	states        [midhook.Busy + 1]int
}

func (h *comparison) step(t *testing.T, subject string) error {
	event := h.random.IntN(3)
	c := midhook.Claim{
		Key: fmt.Sprint(subject, event), Subject: subject, Stage: []int{0, 10, 40}[event], Lease: time.Hour,
		Owner: fmt.Sprint("owner ", h.random.IntN(3)), Alternates: h.random.IntN(6) == 0,
	}
	period, name := time.Hour, "long"
	if h.random.IntN(3) == 0 {
		period, name = time.Nanosecond, "short"
	}
	var got, want any
	switch operation := h.random.IntN(10); {
	case operation < 6:
		c.Lease = period
		a, errA := h.redis.Acquire(t.Context(), c)
		b, errB := h.memory.Acquire(t.Context(), c)
		if got, want = a, b; errA != nil || errB != nil {
			return errors.Join(errA, errB)
		}
		if a == midhook.Acquired {
			h.forgotten[event] = ""
		}
		h.states[a]++
		h.log = append(h.log, fmt.Sprintf("%s acquires %d for a %s lease: %v", c.Owner, event, name, a))
	case operation < 8:
		if h.forgotten[event] == c.Owner {
			return nil
		}
		a, b := h.redis.Finish(t.Context(), c, period), h.memory.Finish(t.Context(), c, period)
		got, want = a, b
		if a == nil && period == time.Nanosecond {
			h.forgotten[event] = c.Owner
		}
		h.log = append(h.log, fmt.Sprintf("%s finishes %d (alternates: %t) for a %s keep: %v", c.Owner, event, c.Alternates, name, a))
	default:
		got, want = h.redis.Release(t.Context(), c), h.memory.Release(t.Context(), c)
		h.log = append(h.log, fmt.Sprintf("%s releases %d: %v", c.Owner, event, got))
	}
	if period == time.Nanosecond {
		time.Sleep(5 * time.Millisecond) // what is short is over
	}
	if got != want {
		return fmt.Errorf("Redis answers %v, the store in memory %v", got, want)
	}
	return nil
}

// Rule: a hold lasts for the lease with which its event was first acquired. A
// renewal keeps the event and not the hold; a move takes the hold along as it is.
func TestHoldIsOfTheFirstLease(t *testing.T) {
	client := startServer(t).client()
	store := newStore(t, client)
	claim := func(owner, event string) midhook.Claim {
		return midhook.Claim{Key: event, Subject: "S", Stage: 40, Owner: owner, Lease: time.Minute}
	}
	acquireBeside(t, store, claim("a", "hangs"))
	acquire(t, store, claim("b", "hangs"), midhook.InFlight)
	acquire(t, store, claim("b", "next"), midhook.Acquired)
	acquire(t, store, claim("a", "moved"), midhook.Acquired) // though b holds the subject
	acquire(t, store, claim("b", "next"), midhook.Acquired)
	acquire(t, store, claim("c", "third"), midhook.Busy)
	require.NoError(t, store.Release(t.Context(), claim("b", "next")))
	acquire(t, store, claim("c", "third"), midhook.Acquired) // a's hold has not begun anew
	acquire(t, store, claim("d", "moved"), midhook.InFlight)
	require.ErrorIs(t, store.Finish(t.Context(), claim("a", "hangs"), time.Hour), midhook.ErrNotOwner)
}

// Rule: a claim that moves leaves no trace, is never superseded, and never takes
// an event that another owner's lease protects.
func TestMove(t *testing.T) {
	client := startServer(t).client()
	store := newStore(t, client)
	claim := func(owner, event string, stage int) midhook.Claim {
		return midhook.Claim{Key: event, Subject: "S", Stage: stage, Owner: owner, Lease: time.Minute}
	}
	settled := claim("a", "settlement", 40)
	acquire(t, store, settled, midhook.Acquired)
	require.NoError(t, store.Finish(t.Context(), settled, time.Hour))

	acquireBeside(t, store, claim("b", "running", 40))
	acquire(t, store, claim("c", "notified", 60), midhook.Acquired)
	acquire(t, store, claim("c", "running", 40), midhook.InFlight)
	acquire(t, store, claim("c", "settlement", 40), midhook.Done)
	acquire(t, store, claim("d", "notified", 60), midhook.InFlight) // neither has moved it
	acquire(t, store, claim("c", "confirmed", 10), midhook.Acquired)
	require.ErrorIs(t, store.Release(t.Context(), claim("c", "notified", 60)), midhook.ErrNotOwner)
	acquire(t, store, claim("d", "notified", 60), midhook.Busy)
	require.NoError(t, store.Finish(t.Context(), claim("c", "confirmed", 10), time.Hour))
	acquire(t, store, claim("d", "notified", 60), midhook.Acquired)
	require.NoError(t, store.Finish(t.Context(), claim("b", "running", 40), time.Hour))
}

// Rule: what alternates sets aside the subject's other handled events and their
// stages, and no claim and no other subject.
func TestAlternates(t *testing.T) {
	client := startServer(t).client()
	store := newStore(t, client)
	claim := func(owner, event string, stage int) midhook.Claim {
		return midhook.Claim{Key: event, Subject: "account", Stage: stage, Owner: owner, Lease: time.Minute, Alternates: true}
	}
	handle := func(event string, stage int) {
		t.Helper()
		acquire(t, store, claim("a", event, stage), midhook.Acquired)
		require.NoError(t, store.Finish(t.Context(), claim("a", event, stage), time.Hour))
		acquire(t, store, claim("b", event, stage), midhook.Done)
	}
	handle("linked", 40)
	handle("unlinked", 40)
	acquireBeside(t, store, claim("h", "hangs", 0))
	handle("linked", 0)
	handle("suspended", 10) // its stage is not of what was forgotten
	acquire(t, store, claim("b", "hangs", 0), midhook.InFlight)
	require.NoError(t, store.Finish(t.Context(), claim("h", "hangs", 0), time.Hour))
	handle("linked", 40)
	require.Equal(t, int64(21+45), client.StrLen(t.Context(), client.Keys(t.Context(), "*").Val()[0]).Val(), "one event is left")

	once := claim("a", "once", 50)
	once.Alternates = false
	acquire(t, store, once, midhook.Acquired)
	require.NoError(t, store.Finish(t.Context(), once, time.Hour))
	acquire(t, store, claim("b", "linked", 40), midhook.Done) // what does not alternate leaves the others
}

// Rule: an operation is one script. A new event is two of them, with two calls to
// Redis each, and a duplicate is one.
func TestCalls(t *testing.T) {
	client := startServer(t).client()
	store := newStore(t, client)
	c := midhook.Claim{Key: "E", Subject: "S", Stage: 40, Owner: "a", Lease: time.Minute}
	other := func(event, owner string, stage int) midhook.Claim {
		o := c
		o.Key, o.Owner, o.Stage = event, owner, stage
		return o
	}
	finish := func(c midhook.Claim) func() error {
		return func() error { return store.Finish(t.Context(), c, time.Hour) }
	}
	acquiring := func(c midhook.Claim, want midhook.ClaimState) func() error {
		return func() error { acquire(t, store, c, want); return nil }
	}
	acquire(t, store, other("warm", "w", 0), midhook.Acquired) // the server learns the scripts
	require.NoError(t, store.Finish(t.Context(), other("warm", "w", 0), time.Hour))
	require.ErrorIs(t, store.Release(t.Context(), other("warm", "w", 0)), midhook.ErrNotOwner)
	require.NoError(t, client.FlushDB(t.Context()).Err())
	for _, step := range []struct {
		name string
		do   func() error
		want string
	}{
		{"acquire", acquiring(c, midhook.Acquired), "evalsha get set"},
		{"in flight", acquiring(other("E", "b", 40), midhook.InFlight), "evalsha get pttl"},
		{"busy", acquiring(other("F", "b", 40), midhook.Busy), "evalsha get pttl"},
		{"renew", acquiring(c, midhook.Acquired), "evalsha get pttl set"},
		{"finish", finish(c), "evalsha get set"},
		{"finish again", finish(c), "evalsha get"},
		{"duplicate", acquiring(other("E", "b", 40), midhook.Done), "evalsha get pttl"},
		{"superseded", acquiring(other("F", "b", 10), midhook.Superseded), "evalsha get pttl"},
		{"acquire a second event", acquiring(other("F", "b", 40), midhook.Acquired), "evalsha get pttl set"},
		{"move", acquiring(other("G", "b", 10), midhook.Acquired), "evalsha get pttl set"},
		{"finish a second event", finish(other("G", "b", 10)), "evalsha get pttl set"},
	} {
		require.NoError(t, client.ConfigResetStat(t.Context()).Err())
		require.NoError(t, step.do(), step.name)
		assert.Equal(t, step.want, calls(t, client), step.name)
	}
}

var commandStat = regexp.MustCompile(`cmdstat_(\w+):calls=(\d+)`)

// calls are the commands that a server has run since its statistics were reset,
// those of scripts included.
func calls(t *testing.T, client *redis.Client) string {
	t.Helper()
	info, err := client.Info(t.Context(), "commandstats").Result()
	require.NoError(t, err)
	counted := map[string]int{}
	for _, stat := range commandStat.FindAllStringSubmatch(info, -1) {
		counted[stat[1]], _ = strconv.Atoi(stat[2])
	}
	var names []string
	for _, name := range []string{"eval", "evalsha", "script", "get", "getex", "pttl", "time", "set", "del", "pexpire"} {
		for range counted[name] {
			names = append(names, name)
		}
	}
	return cmp.Or(strings.Join(names, " "), "none")
}

// Rule: keys and subjects stay apart whatever their bytes are, and however much
// they have in common, as those of one namespace do.
func TestNamesStayApart(t *testing.T) {
	client := startServer(t).client()
	store := newStore(t, client)
	long := strings.Repeat("namespace of a merchant ", 4096)
	names := []string{
		"", " ", "\x00", "\x00\x00", "a", "A", "a\x00", "a\x00b", "a:b", "a", "{a}", "{a}b", "\xff", "\xff\xfe", "é", "e\u0301",
		"lone event:a", "subject:a", "event:a", long, long + "1", long + "2", long + "\x00", "1" + long, long[1:],
	}
	seen := map[string]bool{}
	for _, name := range names {
		if seen[name] {
			continue
		}
		seen[name] = true
		for _, c := range []midhook.Claim{
			{Key: "E", Subject: name, Owner: "as a subject", Lease: time.Minute},
			{Key: name, Subject: "", Owner: "as a lone event", Lease: time.Minute},
		} {
			if c.Subject == "" && c.Owner == "as a subject" {
				continue // a lone event "E"
			}
			acquire(t, store, c, midhook.Acquired)
			c.Owner += " of another"
			acquire(t, store, c, midhook.InFlight)
		}
		event := midhook.Claim{Key: "event " + name, Subject: "of them all", Owner: "a", Lease: time.Minute}
		acquire(t, store, event, midhook.Acquired)
		require.NoError(t, store.Finish(t.Context(), event, time.Hour))
		owner := midhook.Claim{Key: "owned", Subject: "of the owners " + name, Owner: name, Lease: time.Minute}
		acquire(t, store, owner, midhook.Acquired)
		owner.Owner += "x"
		require.ErrorIs(t, store.Release(t.Context(), owner), midhook.ErrNotOwner)
	}
}
