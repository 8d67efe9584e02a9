package midhook_test

import (
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
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
	require.Equal(s, want.String(), got.String(), "Acquire of %q by %q", c.Key, c.Owner)
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

// Rule: the LRU store keeps the contract, in real time and in a bubble.
func TestLRUStore(t *testing.T) {
	newStore := func(*testing.T) midhook.Store { return midhook.NewLRUStore(4096) }
	midhooktest.TestStore(t, newStore)
	synctest.Test(t, func(t *testing.T) { midhooktest.TestStore(t, newStore) })
}

// Rule: leases, holds, keeps and stages end to the nanosecond.
func TestLRUStoreBoundaries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := storeScript{t, midhook.NewLRUStore(100)}
		s.acquire(midhook.Acquired, storeClaim("a", "E", 40))
		time.Sleep(storeLease - 1)
		s.acquire(midhook.InFlight, storeClaim("b", "E", 40))
		s.acquire(midhook.Busy, storeClaim("b", "F", 40))
		time.Sleep(time.Nanosecond)
		s.acquire(midhook.Acquired, storeClaim("b", "F", 40))
		s.release(nil, storeClaim("b", "F", 40))
		s.acquire(midhook.Acquired, storeClaim("b", "E", 40))
		s.finish(nil, storeClaim("b", "E", 40))
		time.Sleep(storeKeep - 1)
		s.acquire(midhook.Done, storeClaim("c", "E", 40))
		s.acquire(midhook.Superseded, storeClaim("c", "lower", 10))
		time.Sleep(time.Nanosecond)
		s.handle(storeClaim("c", "lower", 10))
		s.handle(storeClaim("c", "E", 40))
	})
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
		{"of several leases the first to pass makes room, whenever it began", func(s storeScript) {
			for i, lease := range []time.Duration{time.Hour, time.Second, time.Minute} {
				c := claim("a", strconv.Itoa(i))
				c.Lease = lease
				s.acquire(midhook.Acquired, c)
			}
			s.acquire(midhook.Acquired, claim("a", "1")) // for longer than a second
			time.Sleep(storeLease)
			s.acquire(midhook.Acquired, claim("b", "3"))
			s.acquireFails(claim("c", "4"))
			s.acquire(midhook.InFlight, claim("c", "0"))
			s.acquire(midhook.InFlight, claim("c", "2"))
		}},
		{"an event that was asked for is not the oldest, nor is the last one of a subject that superseded", func(s storeScript) {
			s.handle(claim("a", "1"))
			later := storeClaim("a", "2", 40)
			s.handle(later)
			s.handle(claim("a", "3"))
			s.acquire(midhook.Done, claim("b", "1"))
			s.acquire(midhook.Superseded, storeClaim("b", "lower", 10))
			s.handle(claim("a", "4")) // in the room of 3
			s.finish(midhook.ErrNotOwner, claim("a", "3"))
			s.acquire(midhook.Done, claim("b", "1"))
			s.acquire(midhook.Done, later)
		}},
		{"a move takes no room", func(s storeScript) {
			s.acquire(midhook.Acquired, claim("a", "1"))
			s.acquire(midhook.Acquired, claim("a", "2"))
			s.acquire(midhook.Acquired, storeClaim("c", "3", 40))
			s.acquire(midhook.Acquired, storeClaim("c", "4", 40))
			s.acquire(midhook.InFlight, claim("b", "1"))
			s.acquire(midhook.InFlight, claim("b", "2"))
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

// Rule: of one subject 1,024 handled events are remembered, the last ones, and its
// highest stage; no claim in flight is forgotten for them, and no other subject's
// events.
func TestLRUStoreFloodOfOneSubject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := storeScript{t, midhook.NewLRUStore(2000)}
		other := midhook.Claim{Key: "other", Subject: "other", Stage: 40, Owner: "a", Lease: storeLease}
		s.handle(other)
		s.acquire(midhook.Acquired, storeClaim("hung", "running", 60))
		time.Sleep(storeLease)
		s.acquire(midhook.Acquired, storeClaim("hung", "running", 60))
		s.handle(storeClaim("a", "settlement", 40))
		const flood = 10_000
		for i := range flood {
			s.handle(storeClaim("a", strconv.Itoa(i), 40))
		}
		s.acquire(midhook.Done, other)
		s.acquire(midhook.InFlight, storeClaim("b", "running", 60))
		s.acquire(midhook.Superseded, storeClaim("b", "pending", 10))
		for i := flood - 1024; i < flood; i++ {
			s.acquire(midhook.Done, storeClaim("b", strconv.Itoa(i), 40))
		}
		s.acquire(midhook.Acquired, storeClaim("b", strconv.Itoa(flood-1025), 40))
	})
}

// Rule: the store runs no goroutine. A bubble in which one was left would panic, and
// one that works would let no time pass.
func TestLRUStoreRunsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		for range 100 {
			s := storeScript{t, midhook.NewLRUStore(100)}
			s.handle(storeClaim("a", "E", 40))
			s.acquire(midhook.Acquired, storeClaim("a", "F", 40))
		}
		synctest.Wait()
		require.Equal(t, began, time.Now())
	})
}

// Rule: the store holds at most 220 bytes for each event it remembers, each of a
// subject of its own, as soon as it is full and after three times as many more, and
// no body. Event and Subject are pieces of bodies here, as a Store may be given them:
// to keep those alive would take 700 bytes each.
func TestLRUStoreMemory(t *testing.T) {
	const size, limit = 65536, 220
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
	measure := func() (fresh, churned float64) {
		before := heap()
		s := storeScript{t, midhook.NewLRUStore(size)}
		for i := range 4 * size {
			if i == size {
				fresh = (heap() - before) / size
			}
			s.handle(claim(i))
		}
		churned = (heap() - before) / size
		s.acquire(midhook.Done, claim(3*size)) // no more was forgotten, and the store is alive until here
		return fresh, churned
	}
	fresh, churned := measure()
	for range 5 { // what other tests left behind may be freed meanwhile
		if min(fresh, churned) > 100 {
			break
		}
		fresh, churned = measure()
	}
	t.Logf("%.0f bytes for each of %d remembered events, %.0f after churn", fresh, size, churned)
	assert.LessOrEqual(t, max(fresh, churned), float64(limit))
	assert.Greater(t, min(fresh, churned), 100.0, "less than keys and times: the measurement is wrong")
}

// BenchmarkLRUStoreFull is an event that is acquired and finished in a store that is
// full, so that the oldest is forgotten for it: each of a subject of its own, and all
// of one subject.
func BenchmarkLRUStoreFull(b *testing.B) {
	for _, size := range []int{10_000, 65_536, 1_000_000} {
		for _, subjects := range []string{"each", "one"} {
			b.Run(fmt.Sprintf("%d/%s", size, subjects), func(b *testing.B) {
				store, n := midhook.NewLRUStore(size), 0
				var name [16]byte
				handle := func() {
					n++
					key := string(strconv.AppendInt(name[:0], int64(n), 36))
					c := midhook.Claim{Key: key, Subject: "S", Stage: 40, Owner: key, Lease: storeLease}
					if subjects == "each" {
						c.Subject = key
					}
					state, err := store.Acquire(b.Context(), c)
					if err != nil || state != midhook.Acquired || store.Finish(b.Context(), c, storeKeep) != nil {
						b.Fatal(state, err)
					}
				}
				for range size {
					handle()
				}
				b.ReportAllocs()
				for b.Loop() {
					handle()
				}
			})
		}
	}
}
