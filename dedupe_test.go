package midhook_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
)

const (
	storeLease = 30 * time.Second
	storeKeep  = 24 * time.Hour
)

// storeScript plays deliveries against a Store, whose answers it checks.
type storeScript struct {
	*testing.T
	store midhook.Store
}

// storeClaim is owner's claim on event, at a stage of the subject "S".
func storeClaim(owner, event string, stage int) midhook.Claim {
	return midhook.Claim{Key: event, Subject: "S", Stage: stage, Owner: owner, Lease: storeLease}
}

func (s storeScript) acquire(want midhook.ClaimState, c midhook.Claim) {
	s.Helper()
	got, err := s.store.Acquire(s.Context(), c)
	require.NoError(s, err)
	require.Equal(s, storeAnswers[want], storeAnswers[got], "Acquire of %q by %q", c.Key, c.Owner)
}

func (s storeScript) acquireFails(c midhook.Claim) {
	s.Helper()
	got, err := s.store.Acquire(s.Context(), c)
	require.Error(s, err)
	require.Zero(s, got, "an error is no answer")
}

func (s storeScript) finish(want error, c midhook.Claim) {
	s.Helper()
	require.ErrorIs(s, s.store.Finish(s.Context(), c, storeKeep), want, "Finish of %q by %q", c.Key, c.Owner)
}

func (s storeScript) release(want error, c midhook.Claim) {
	s.Helper()
	require.ErrorIs(s, s.store.Release(s.Context(), c), want, "Release of %q by %q", c.Key, c.Owner)
}

// handle is a delivery that succeeds.
func (s storeScript) handle(c midhook.Claim) {
	s.Helper()
	s.acquire(midhook.Acquired, c)
	s.finish(nil, c)
}

var storeAnswers = map[midhook.ClaimState]string{
	midhook.Acquired: "acquired", midhook.InFlight: "in flight", midhook.Done: "done", midhook.Superseded: "superseded",
}

// Rule: the life of a claim, as Store documents it.
func TestLRUStore(t *testing.T) {
	claim := storeClaim
	for _, c := range []struct {
		rule string
		play func(s storeScript)
	}{
		{"another owner waits for as long as the lease lasts", func(s storeScript) {
			s.acquire(midhook.Acquired, claim("a", "E", 40))
			s.acquire(midhook.InFlight, claim("b", "E", 40))
			time.Sleep(storeLease - 1)
			s.acquire(midhook.InFlight, claim("b", "E", 40))
			time.Sleep(time.Nanosecond)
			s.acquire(midhook.Acquired, claim("b", "E", 40))
			s.acquire(midhook.InFlight, claim("a", "E", 40))
		}},
		{"events do not get in each other's way", func(s storeScript) {
			s.acquire(midhook.Acquired, claim("a", "E", 40))
			s.acquire(midhook.Acquired, claim("a", "F", 40))
			s.finish(nil, claim("a", "E", 40))
			s.acquire(midhook.InFlight, claim("b", "F", 40))
			s.release(nil, claim("a", "F", 40))
			s.acquire(midhook.Done, claim("b", "E", 40))
		}},
		{"a finished event is done for everyone, its owner included", func(s storeScript) {
			s.handle(claim("a", "E", 40))
			s.acquire(midhook.Done, claim("b", "E", 40))
			s.acquire(midhook.Done, claim("a", "E", 40))
		}},
		{"a released event is anyone's", func(s storeScript) {
			s.acquire(midhook.Acquired, claim("a", "E", 40))
			s.release(nil, claim("a", "E", 40))
			s.handle(claim("b", "E", 40))
		}},
		{"a released claim supersedes nothing", func(s storeScript) {
			s.acquire(midhook.Acquired, claim("a", "settlement", 40))
			s.acquire(midhook.Acquired, claim("b", "pending", 10))
			s.release(nil, claim("b", "pending", 10))
			s.release(nil, claim("a", "settlement", 40))
			s.acquire(midhook.Acquired, claim("c", "pending", 10))
		}},
		{"the same owner renews: its lease begins anew", func(s storeScript) {
			s.acquire(midhook.Acquired, claim("a", "E", 40))
			time.Sleep(storeLease - 1)
			s.acquire(midhook.Acquired, claim("a", "E", 40))
			time.Sleep(storeLease - 1)
			s.acquire(midhook.InFlight, claim("b", "E", 40))
			time.Sleep(time.Nanosecond)
			s.acquire(midhook.Acquired, claim("b", "E", 40))
		}},
		{"the same owner renews even after its lease, if nobody took the claim over", func(s storeScript) {
			s.acquire(midhook.Acquired, claim("a", "E", 40))
			time.Sleep(2 * storeLease)
			s.acquire(midhook.Acquired, claim("a", "E", 40))
			s.acquire(midhook.InFlight, claim("b", "E", 40))
		}},
		{"a question from another owner does not lengthen the lease", func(s storeScript) {
			s.acquire(midhook.Acquired, claim("a", "E", 40))
			time.Sleep(storeLease / 2)
			s.acquire(midhook.InFlight, claim("b", "E", 40))
			time.Sleep(storeLease / 2)
			s.acquire(midhook.Acquired, claim("b", "E", 40))
		}},
		{"each claim has its own lease", func(s storeScript) {
			short, long := claim("a", "E", 40), claim("a", "F", 40)
			short.Lease, long.Lease = time.Second, time.Minute
			s.acquire(midhook.Acquired, short)
			s.acquire(midhook.Acquired, long)
			time.Sleep(time.Second)
			s.acquire(midhook.Acquired, claim("b", "E", 40))
			s.acquire(midhook.InFlight, claim("b", "F", 40))
		}},
		{"who has lost its claim can neither finish nor release its successor's", func(s storeScript) {
			s.acquire(midhook.Acquired, claim("a", "E", 40))
			time.Sleep(storeLease)
			s.acquire(midhook.Acquired, claim("b", "E", 40))
			s.finish(midhook.ErrNotOwner, claim("a", "E", 40))
			s.release(midhook.ErrNotOwner, claim("a", "E", 40))
			s.acquire(midhook.InFlight, claim("c", "E", 40))
			s.acquire(midhook.Acquired, claim("d", "pending", 10)) // nothing was finished
			s.finish(nil, claim("b", "E", 40))
			s.finish(midhook.ErrNotOwner, claim("a", "E", 40))
			s.release(midhook.ErrNotOwner, claim("a", "E", 40))
			s.acquire(midhook.Done, claim("c", "E", 40))
		}},
		{"a late finish succeeds, if nobody took the claim over", func(s storeScript) {
			s.acquire(midhook.Acquired, claim("a", "E", 40))
			time.Sleep(10 * storeLease)
			s.finish(nil, claim("a", "E", 40))
			s.acquire(midhook.Done, claim("b", "E", 40))
		}},
		{"a late release succeeds too", func(s storeScript) {
			s.acquire(midhook.Acquired, claim("a", "E", 40))
			time.Sleep(10 * storeLease)
			s.release(nil, claim("a", "E", 40))
			s.acquire(midhook.Acquired, claim("b", "E", 40))
		}},
		{"finishing can be repeated by the owner that has finished, by nobody else", func(s storeScript) {
			s.handle(claim("a", "E", 40))
			s.finish(nil, claim("a", "E", 40))
			s.finish(midhook.ErrNotOwner, claim("b", "E", 40))
			s.acquire(midhook.Done, claim("c", "E", 40))
		}},
		{"what is finished cannot be released", func(s storeScript) {
			s.handle(claim("a", "E", 40))
			s.release(midhook.ErrNotOwner, claim("a", "E", 40))
			s.acquire(midhook.Done, claim("b", "E", 40))
		}},
		{"who never claimed can neither finish nor release", func(s storeScript) {
			s.finish(midhook.ErrNotOwner, claim("a", "E", 40))
			s.release(midhook.ErrNotOwner, claim("a", "E", 40))
			s.acquire(midhook.Acquired, claim("b", "E", 40))
			s.finish(midhook.ErrNotOwner, claim("a", "E", 40))
			s.release(midhook.ErrNotOwner, claim("a", "E", 40))
			s.acquire(midhook.InFlight, claim("c", "E", 40))
		}},
		{"who has released can neither finish nor release again", func(s storeScript) {
			s.acquire(midhook.Acquired, claim("a", "E", 40))
			s.release(nil, claim("a", "E", 40))
			s.release(midhook.ErrNotOwner, claim("a", "E", 40))
			s.finish(midhook.ErrNotOwner, claim("a", "E", 40))
			s.acquire(midhook.Acquired, claim("b", "E", 40))
		}},
		{"an event is done for keep and no longer", func(s storeScript) {
			s.handle(claim("a", "E", 40))
			time.Sleep(storeKeep - 1)
			s.acquire(midhook.Done, claim("b", "E", 40))
			time.Sleep(time.Nanosecond)
			s.acquire(midhook.Acquired, claim("b", "E", 40))
			s.finish(midhook.ErrNotOwner, claim("a", "E", 40)) // it is another's now
			s.finish(nil, claim("b", "E", 40))
			s.acquire(midhook.Done, claim("c", "E", 40))
		}},
		{"asking for a done event does not lengthen its keep", func(s storeScript) {
			s.handle(claim("a", "E", 40))
			time.Sleep(storeKeep / 2)
			s.acquire(midhook.Done, claim("b", "E", 40))
			s.finish(nil, claim("a", "E", 40))
			time.Sleep(storeKeep / 2)
			s.acquire(midhook.Acquired, claim("b", "E", 40))
		}},
		{"keep is counted from the finish, not from the claim", func(s storeScript) {
			s.acquire(midhook.Acquired, claim("a", "E", 40))
			time.Sleep(storeKeep)
			s.finish(nil, claim("a", "E", 40))
			time.Sleep(storeKeep - 1)
			s.acquire(midhook.Done, claim("b", "E", 40))
		}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.play(storeScript{t, midhook.NewLRUStore(100)}) })
		})
	}
}

// Rule: a stage below the highest one finished for the subject is superseded,
// and nothing else is: a false "superseded" would swallow a payment.
func TestLRUStoreStages(t *testing.T) {
	claim := storeClaim
	for _, c := range []struct {
		rule string
		play func(s storeScript)
	}{
		{"a lower stage is superseded, every time", func(s storeScript) {
			s.handle(claim("a", "settlement", 40))
			s.acquire(midhook.Superseded, claim("b", "pending", 10))
			s.acquire(midhook.Superseded, claim("b", "pending", 10))
			s.acquire(midhook.Superseded, claim("c", "capture", 39))
		}},
		{"what is superseded is not claimed", func(s storeScript) {
			s.handle(claim("a", "settlement", 40))
			s.acquire(midhook.Superseded, claim("b", "pending", 10))
			s.finish(midhook.ErrNotOwner, claim("b", "pending", 10))
			s.release(midhook.ErrNotOwner, claim("b", "pending", 10))
		}},
		{"equal and higher stages are not superseded", func(s storeScript) {
			s.handle(claim("a", "settlement", 40))
			s.handle(claim("b", "deny", 40))
			s.handle(claim("c", "refund", 60))
		}},
		{"only what is finished supersedes", func(s storeScript) {
			s.acquire(midhook.Acquired, claim("a", "settlement", 40))
			s.acquire(midhook.Acquired, claim("b", "pending", 10))
		}},
		{"another subject supersedes nothing", func(s storeScript) {
			s.handle(claim("a", "settlement", 40))
			other := claim("b", "pending", 10)
			other.Subject = "T"
			s.acquire(midhook.Acquired, other)
		}},
		{"a claim without a stage is not superseded", func(s storeScript) {
			s.handle(claim("a", "settlement", 40))
			s.handle(claim("b", "unknown", 0))
			s.handle(claim("c", "negative", -1))
		}},
		{"a claim without a stage supersedes nothing", func(s storeScript) {
			s.handle(claim("a", "unknown", 0))
			s.handle(claim("a", "negative", -1))
			s.handle(claim("b", "negative too", -2))
			s.handle(claim("c", "first", 1))
		}},
		{"a claim without a subject neither is superseded nor supersedes", func(s storeScript) {
			none := func(owner, event string, stage int) midhook.Claim {
				c := claim(owner, event, stage)
				c.Subject = ""
				return c
			}
			s.handle(none("a", "settlement", 40))
			s.handle(none("b", "pending", 10))
			s.handle(claim("c", "authorize", 20))
			s.handle(none("d", "later", 1))
		}},
		{"a lower stage that finishes later does not lower the highest", func(s storeScript) {
			s.acquire(midhook.Acquired, claim("a", "pending", 10))
			s.handle(claim("b", "settlement", 40))
			s.finish(nil, claim("a", "pending", 10))
			s.acquire(midhook.Superseded, claim("c", "capture", 30))
		}},
		{"a higher stage raises the highest", func(s storeScript) {
			s.handle(claim("a", "pending", 10))
			s.handle(claim("b", "settlement", 40))
			s.acquire(midhook.Superseded, claim("c", "capture", 30))
		}},
		{"done is answered before superseded", func(s storeScript) {
			s.handle(claim("a", "pending", 10))
			s.handle(claim("b", "settlement", 40))
			s.acquire(midhook.Done, claim("c", "pending", 10))
		}},
		{"in flight is answered before superseded", func(s storeScript) {
			s.acquire(midhook.Acquired, claim("a", "pending", 10))
			s.handle(claim("b", "settlement", 40))
			s.acquire(midhook.InFlight, claim("c", "pending", 10))
		}},
		{"a renewal by the holder is not superseded", func(s storeScript) {
			s.acquire(midhook.Acquired, claim("a", "pending", 10))
			s.handle(claim("b", "settlement", 40))
			s.acquire(midhook.Acquired, claim("a", "pending", 10))
			time.Sleep(storeLease - 1)
			s.acquire(midhook.InFlight, claim("c", "pending", 10))
		}},
		{"a claim whose lease has passed is superseded for others", func(s storeScript) {
			s.acquire(midhook.Acquired, claim("a", "pending", 10))
			s.handle(claim("b", "settlement", 40))
			time.Sleep(storeLease)
			s.acquire(midhook.Superseded, claim("c", "pending", 10))
			s.finish(nil, claim("a", "pending", 10)) // nobody took it over
		}},
		{"a stage is remembered for keep and no longer", func(s storeScript) {
			s.handle(claim("a", "settlement", 40))
			time.Sleep(storeKeep - 1)
			s.acquire(midhook.Superseded, claim("b", "pending", 10))
			time.Sleep(time.Nanosecond)
			s.handle(claim("b", "pending", 10))
			s.handle(claim("b", "authorize", 20)) // the highest is now the new one
		}},
		{"the highest stage is remembered as long as any of its subject", func(s storeScript) {
			s.acquire(midhook.Acquired, claim("a", "pending", 10))
			s.handle(claim("b", "settlement", 40))
			time.Sleep(storeKeep - 1)
			s.finish(nil, claim("a", "pending", 10))
			time.Sleep(storeKeep - 1)
			s.acquire(midhook.Superseded, claim("c", "capture", 30))
		}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.play(storeScript{t, midhook.NewLRUStore(100)}) })
		})
	}
}

// Rule: room is made by forgetting the oldest finished event, never a claim in
// flight: that would be to run its handler twice at once.
func TestLRUStoreCapacity(t *testing.T) {
	claim := func(owner, event string) midhook.Claim {
		return midhook.Claim{Key: event, Owner: owner, Lease: storeLease}
	}
	for _, c := range []struct {
		rule string
		play func(s storeScript) // with room for three
	}{
		{"the oldest finished event is forgotten first", func(s storeScript) {
			s.handle(claim("a", "1"))
			s.handle(claim("a", "2"))
			s.handle(claim("a", "3"))
			s.acquire(midhook.Acquired, claim("a", "4"))
			s.acquire(midhook.Done, claim("b", "2"))
			s.acquire(midhook.Done, claim("b", "3"))
			s.acquire(midhook.Acquired, claim("b", "1"))
		}},
		{"whoever is forgotten no longer owns", func(s storeScript) {
			s.handle(claim("a", "1"))
			for i := range 3 {
				s.handle(claim("a", "other "+strconv.Itoa(i)))
			}
			s.finish(midhook.ErrNotOwner, claim("a", "1"))
			s.release(midhook.ErrNotOwner, claim("a", "1"))
		}},
		{"a claim in flight outlives any number of finished events", func(s storeScript) {
			s.acquire(midhook.Acquired, claim("a", "running"))
			for i := range 100 {
				s.handle(claim("a", strconv.Itoa(i)))
			}
			s.acquire(midhook.InFlight, claim("b", "running"))
			s.finish(nil, claim("a", "running"))
			s.acquire(midhook.Done, claim("b", "running"))
		}},
		{"a claim in flight takes the room of a finished event", func(s storeScript) {
			s.acquire(midhook.Acquired, claim("a", "running"))
			s.handle(claim("a", "1"))
			s.handle(claim("a", "2"))
			s.handle(claim("a", "3"))
			s.finish(midhook.ErrNotOwner, claim("a", "1"))
			s.finish(nil, claim("a", "2"))
			s.finish(nil, claim("a", "3"))
		}},
		{"when all are in flight no further event is claimed", func(s storeScript) {
			for _, event := range []string{"1", "2", "3"} {
				s.acquire(midhook.Acquired, claim("a", event))
			}
			s.acquireFails(claim("b", "4"))
			s.finish(midhook.ErrNotOwner, claim("b", "4"))
			for _, event := range []string{"1", "2", "3"} {
				s.acquire(midhook.InFlight, claim("b", event))
				s.acquire(midhook.Acquired, claim("a", event)) // to renew takes no room
			}
		}},
		{"a finish makes room for a claim", func(s storeScript) {
			for _, event := range []string{"1", "2", "3"} {
				s.acquire(midhook.Acquired, claim("a", event))
			}
			s.finish(nil, claim("a", "2"))
			s.acquire(midhook.Acquired, claim("b", "4"))
			s.acquireFails(claim("b", "5"))
			s.acquire(midhook.InFlight, claim("b", "1"))
			s.acquire(midhook.InFlight, claim("b", "3"))
		}},
		{"a release makes room for a claim", func(s storeScript) {
			for _, event := range []string{"1", "2", "3"} {
				s.acquire(midhook.Acquired, claim("a", event))
			}
			s.release(nil, claim("a", "2"))
			s.acquire(midhook.Acquired, claim("b", "4"))
			s.acquireFails(claim("b", "5"))
		}},
		{"leases that have passed make room", func(s storeScript) {
			for _, event := range []string{"1", "2", "3"} {
				s.acquire(midhook.Acquired, claim("a", event))
				time.Sleep(time.Second)
			}
			s.acquireFails(claim("b", "4"))
			time.Sleep(storeLease - 3*time.Second) // the first one's
			s.acquire(midhook.Acquired, claim("b", "4"))
			s.acquire(midhook.InFlight, claim("b", "2"))
			s.acquire(midhook.InFlight, claim("b", "3"))
			s.acquireFails(claim("b", "5"))
		}},
		{"a claim whose lease has passed is taken over without room", func(s storeScript) {
			for _, event := range []string{"1", "2", "3"} {
				s.acquire(midhook.Acquired, claim("a", event))
			}
			time.Sleep(storeLease)
			s.acquire(midhook.Acquired, claim("b", "2"))
			s.acquire(midhook.InFlight, claim("c", "2"))
		}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.play(storeScript{t, midhook.NewLRUStore(3)}) })
		})
	}
}

// Rule: a size below 1 fails every Acquire instead of remembering nothing, and
// New refuses it.
func TestLRUStoreSize(t *testing.T) {
	for _, size := range []int{0, -1, -65536} {
		s := storeScript{t, midhook.NewLRUStore(size)}
		for range 2 {
			s.acquireFails(storeClaim("a", "E", 40))
		}
		_, err := midhook.New(testKey, midhook.WithStore(s.store))
		require.Error(t, err)
	}
	s := storeScript{t, midhook.NewLRUStore(1)}
	s.handle(storeClaim("a", "E", 40))
	s.acquire(midhook.Done, storeClaim("b", "E", 40))
}

// Rule: an operation whose context is done returns an error and changes nothing.
func TestLRUStoreContextDone(t *testing.T) {
	done, cancel := context.WithCancel(t.Context())
	cancel()
	s := storeScript{t, midhook.NewLRUStore(100)}
	a := storeClaim("a", "E", 40)

	state, err := s.store.Acquire(done, a)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, state)
	s.acquire(midhook.Acquired, storeClaim("b", "E", 40))
	s.release(nil, storeClaim("b", "E", 40))

	s.acquire(midhook.Acquired, a)
	require.ErrorIs(t, s.store.Finish(done, a, storeKeep), context.Canceled)
	require.ErrorIs(t, s.store.Release(done, a), context.Canceled)
	s.acquire(midhook.InFlight, storeClaim("b", "E", 40))           // not released
	s.acquire(midhook.Acquired, storeClaim("b", "pending", 10))     // not finished
	require.NoError(t, s.store.Finish(t.Context(), a, storeKeep))   // still its owner's
	s.acquire(midhook.Superseded, storeClaim("c", "authorize", 20)) // which counts
}

// Rule: of many deliveries at once, one runs at a time and one succeeds, however
// they race and whether the runs before failed.
func TestLRUStoreRace(t *testing.T) {
	const rounds, deliveries = 300, 32
	store := midhook.NewLRUStore(8)
	for round := range rounds {
		var running, runs, successes atomic.Int32
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range deliveries {
			wg.Go(func() {
				c := storeClaim(strconv.Itoa(i), strconv.Itoa(round), 40)
				<-start
				state, err := store.Acquire(t.Context(), c)
				if !assert.NoError(t, err) || state != midhook.Acquired {
					return
				}
				assert.EqualValues(t, 1, running.Add(1), "two hold the claim at once")
				runs.Add(1)
				runtime.Gosched()
				running.Add(-1)
				if rand.IntN(3) == 0 {
					assert.NoError(t, store.Release(t.Context(), c))
					return
				}
				assert.NoError(t, store.Finish(t.Context(), c, storeKeep))
				successes.Add(1)
			})
		}
		close(start)
		wg.Wait()
		require.Positive(t, runs.Load(), "nobody ran")
		require.LessOrEqual(t, successes.Load(), int32(1), "the event was handled twice")
	}
}

// Rule: exactly one of many acquires, when none finishes or releases.
func TestLRUStoreExactlyOneAcquires(t *testing.T) {
	const rounds, deliveries = 500, 32
	store := midhook.NewLRUStore(rounds)
	for round := range rounds {
		var answers [deliveries]midhook.ClaimState
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range deliveries {
			wg.Go(func() {
				<-start
				answers[i], _ = store.Acquire(t.Context(), storeClaim(strconv.Itoa(i), strconv.Itoa(round), 40))
			})
		}
		close(start)
		wg.Wait()
		count := map[string]int{}
		for _, a := range answers {
			count[storeAnswers[a]]++
		}
		require.Equal(t, map[string]int{"acquired": 1, "in flight": deliveries - 1}, count)
	}
}

// Rule: events, subjects and owners are bytes, and different bytes are different.
func TestLRUStoreHostileKeys(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	keys := []string{
		"", " ", "a", "A", "a ", " a", "aa", "a\x00", "\x00a", "\x00", "\x00\x00", "a\n", "a|b", "a:b", "ab", "a/b",
		"\xff", "\xfe", "\xff\xff", "\uFFFD", "\u00e9", "e\u0301", "\uFEFF", "\uFEFFa",
		long, long + "x", long[1:], long[1:] + "y", "y" + long[1:],
		"'; DROP TABLE claims; --", "%s%n", "*", "{1}", "../../etc",
	}
	t.Run("as events", func(t *testing.T) {
		s := storeScript{t, midhook.NewLRUStore(len(keys))}
		for _, k := range keys {
			s.acquire(midhook.Acquired, midhook.Claim{Key: k, Owner: "a", Lease: storeLease})
		}
		for _, k := range keys {
			s.acquire(midhook.InFlight, midhook.Claim{Key: k, Owner: "b", Lease: storeLease})
			s.finish(nil, midhook.Claim{Key: k, Owner: "a"})
		}
		for _, k := range keys {
			s.acquire(midhook.Done, midhook.Claim{Key: k, Owner: "b", Lease: storeLease})
		}
	})
	t.Run("as subjects", func(t *testing.T) {
		s := storeScript{t, midhook.NewLRUStore(3 * len(keys))}
		for i, k := range keys {
			s.handle(midhook.Claim{Key: fmt.Sprint("low ", i), Subject: k, Stage: 10, Owner: "a", Lease: storeLease})
			s.handle(midhook.Claim{Key: fmt.Sprint("high ", i), Subject: k, Stage: 40, Owner: "a", Lease: storeLease})
		}
		for i, k := range keys {
			want := midhook.Superseded
			if k == "" {
				want = midhook.Acquired // is no subject
			}
			s.acquire(want, midhook.Claim{Key: fmt.Sprint("late ", i), Subject: k, Stage: 10, Owner: "a", Lease: storeLease})
		}
	})
	t.Run("as owners", func(t *testing.T) {
		for i, k := range keys {
			s := storeScript{t, midhook.NewLRUStore(1)}
			s.acquire(midhook.Acquired, storeClaim(k, "E", 40))
			other := keys[(i+1)%len(keys)]
			s.acquire(midhook.InFlight, storeClaim(other, "E", 40))
			s.finish(midhook.ErrNotOwner, storeClaim(other, "E", 40))
			s.release(midhook.ErrNotOwner, storeClaim(other, "E", 40))
			s.finish(nil, storeClaim(k, "E", 40))
			s.finish(midhook.ErrNotOwner, storeClaim(other, "E", 40))
			s.finish(nil, storeClaim(k, "E", 40))
		}
	})
}

// Rule: the store runs no goroutine: what expires is found when it is read.
func TestLRUStoreRunsNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	stores := make([]midhook.Store, 100)
	for i := range stores {
		stores[i] = midhook.NewLRUStore(100)
		s := storeScript{t, stores[i]}
		s.handle(storeClaim("a", "E", 40))
		s.acquire(midhook.Acquired, storeClaim("a", "F", 40))
		assert.LessOrEqual(t, runtime.NumGoroutine(), before)
	}
	runtime.KeepAlive(stores)
}

// Rule: a store that has just filled holds at most 320 bytes for each event it
// remembers, and no body. Event and Subject are pieces of bodies here, as a Store
// may be given them: to keep those alive would take 700 bytes each.
func TestLRUStoreMemory(t *testing.T) {
	const size, limit = 65536, 320
	heap := func() float64 {
		runtime.GC()
		runtime.GC() // for what the first one found in pools
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	claim := func(i int) midhook.Claim {
		body := fmt.Sprintf("%0100d%0100d%0500d", i, i, i)
		return midhook.Claim{Key: body[:100], Subject: body[100:200], Stage: 40, Owner: body[674:], Lease: storeLease}
	}
	fill := func() (store midhook.Store, each float64) {
		before := heap()
		store = midhook.NewLRUStore(size)
		for i := range size {
			if state, err := store.Acquire(t.Context(), claim(i)); err != nil || state != midhook.Acquired {
				t.Fatal(state, err)
			}
			if err := store.Finish(t.Context(), claim(i), storeKeep); err != nil {
				t.Fatal(err)
			}
		}
		return store, (heap() - before) / size
	}
	store, each := fill()
	for range 5 { // what other tests left behind may be freed meanwhile
		if each > 200 {
			break
		}
		store, each = fill()
	}
	t.Logf("%.0f bytes for each of %d remembered events", each, size)
	assert.LessOrEqual(t, each, float64(limit))
	assert.Greater(t, each, 200.0, "less than keys and times: the measurement is wrong")
	storeScript{t, store}.acquire(midhook.Done, claim(0)) // nothing was forgotten, and the store is alive until here
}

// A keep and a lease for ever do not overflow into one that is over.
func TestLRUStoreForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour)
		s := storeScript{t, midhook.NewLRUStore(10)}
		claim := storeClaim("a", "E", 40)
		claim.Lease = math.MaxInt64
		s.acquire(midhook.Acquired, claim)
		s.acquire(midhook.InFlight, storeClaim("b", "E", 40))
		require.NoError(t, s.store.Finish(t.Context(), claim, math.MaxInt64))
		s.acquire(midhook.Done, storeClaim("b", "E", 40))
		s.acquire(midhook.Superseded, storeClaim("b", "F", 10))
	})
}
