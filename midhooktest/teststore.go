package midhooktest

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/midhook/midhook"
)

// TestStore checks a store, in memory or over a network, against the contract of
// [midhook.Store]. Each case is a subtest; one that fails says which rule is
// broken.
//
//	func TestRedisStore(t *testing.T) {
//		midhooktest.TestStore(t, func(t *testing.T) midhook.Store {
//			store, err := redisstore.New(client)
//			if err != nil {
//				t.Fatal(err)
//			}
//			return store
//		})
//	}
//
// newStore is called once for each subtest, by several at once, for the subtests
// run beside one another, and once more by the one that compares two handles. It may
// return a new store each time, the same one, or another handle of one shared
// store: no two cases and no two runs share an event (but for the empty one, for
// which they wait). A store of limited size needs room for 4,096 events. What the
// cases leave behind is kept for some minutes, some of it for months, one event for
// ever.
//
// Leases and keeps pass in real time, which takes some seconds; they may pass up
// to a second late, for a store whose clock has whole seconds, but never early.
// Up to 64 operations are under way at once in each subtest.
//
// A store without I/O can be tested inside a [testing/synctest] bubble, where
// nothing has to be waited for. A bubble has no subtests: there the cases run one
// after the other, and newStore gets the t of TestStore. Only there leases and keeps
// of hours and months are seen to their end. Test such a store in both: what is not
// atomic shows in real time.
//
// A store that never answers [midhook.Busy] fails: it works with a Middleware, but
// does not handle a subject's events one after the other.
func TestStore(t *testing.T, newStore func(t *testing.T) midhook.Store) {
	t.Helper()
	bubble := inBubble(t)
	test := func(t *testing.T, c storeCase) {
		t.Helper()
		handle := func() midhook.Store {
			store := newStore(t)
			if store == nil {
				t.Fatal("newStore returned nil")
			}
			return store
		}
		if err := c.check(t.Context(), handle, bubble); err != nil {
			t.Errorf("%s: %v\nThe rule: %s", c.name, err, c.rule)
		}
	}
	if bubble {
		for _, c := range storeCases {
			test(t, c)
		}
		return
	}
	// T.Parallel would let no more of them run than there are processors, and most of
	// what they do is to wait.
	t.Run("store", func(t *testing.T) {
		var all sync.WaitGroup
		defer all.Wait()
		places := make(chan struct{}, casesAtOnce)
		for _, c := range storeCases {
			places <- struct{}{}
			all.Go(func() {
				defer func() { <-places }()
				t.Run(c.name, func(t *testing.T) { test(t, c) })
			})
		}
	})
}

// inBubble tells a bubble by what must not be called in one and panics.
func inBubble(t *testing.T) (in bool) {
	defer func() { in = recover() != nil }()
	_, _ = t.Deadline()
	return false
}

const (
	longEnough   = 3 * time.Minute        // for what is not to pass during a case
	soon         = 300 * time.Millisecond // for what is
	storeSlack   = time.Second            // by which a period may be too long
	storeEarly   = 10 * time.Millisecond  // by which rounding may cut it short
	storePoll    = 20 * time.Millisecond
	storeTimeout = 30 * time.Second // of one operation
	racers       = 32
	casesAtOnce  = 24
)

// storeCase is one rule of the contract and how to see it broken.
type storeCase struct {
	name string
	rule string
	play func(s *storeScript)
}

var storeCases = slices.Concat(claimCases, holdCases, moveCases, stageCases, neighbourCases, alternatesCases,
	keepCases, periodCases, contextCases, raceCases, handleCases, keyCases(), randomCases)

func (c storeCase) check(ctx context.Context, handle func() midhook.Store, bubble bool) error {
	s := &storeScript{ctx: ctx, store: handle(), newHandle: handle, bubble: bubble, id: rand.Text()}
	c.play(s)
	return s.err
}
