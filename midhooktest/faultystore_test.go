package midhooktest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midhook/midhook"
)

const faultyKey = "SB-Mid-server-test"

func faultyClaim(owner string) midhook.Claim {
	return midhook.Claim{Key: "E", Owner: owner, Lease: time.Minute}
}

// Rule: a FaultyStore without faults is the store behind it.
func TestFaultyStoreWithoutFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := NewFaultyStore(midhook.NewLRUStore(4096))
		TestStore(t, func(*testing.T) midhook.Store { return store })
		if all, faulty := store.Calls(); all == 0 || faulty != 0 {
			t.Errorf("%d calls, %d faulty, want some and none", all, faulty)
		}
	})
}

// Rule: whether an operation was done and what its caller is told are two things.
func TestStoreFaults(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault StoreFault
		wait  time.Duration // until the caller hears, whose context ends after 5 s
		told  error
		done  bool
	}{
		{"none", nil, 0, nil, true},
		{"lost request", LostRequest, 0, ErrStoreFault, false},
		{"lost answer", LostAnswer, 0, ErrStoreFault, true},
		{"delayed", Delayed(3 * time.Second), 3 * time.Second, nil, true},
		{"delayed past the context", Delayed(time.Hour), 5 * time.Second, context.DeadlineExceeded, false},
		{"hanging", Hanging(3 * time.Second), 3 * time.Second, nil, true},
		{"hanging past the context", Hanging(time.Hour), time.Hour, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := newPlanted("")
				store := NewFaultyStore(inner)
				claim := midhook.Claim{Key: "E", Owner: "a", Lease: 24 * time.Hour}
				call := func(name string, operation func(context.Context) error) {
					t.Helper()
					ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
					defer cancel()
					began := time.Now()
					if err := operation(ctx); !errors.Is(err, c.told) {
						t.Errorf("%s: error %v, want %v", name, err, c.told)
					}
					if d := time.Since(began); d != c.wait { // of the bubble's clock, which is exact
						t.Errorf("%s: %v, want %v", name, d, c.wait)
					}
				}
				is := func(name string, want midhook.ClaimState) {
					t.Helper()
					probe := claim
					probe.Owner = "probe"
					got, err := inner.Acquire(t.Context(), probe)
					if err != nil || got != want {
						t.Errorf("after %s: %s (%v), want %s", name, stateName(got), err, stateName(want))
					}
					if got == acquired {
						_ = inner.Release(t.Context(), probe)
					}
				}
				either := func(done, undone midhook.ClaimState) midhook.ClaimState {
					if c.done {
						return done
					}
					return undone
				}

				store.OnAcquire(c.fault)
				call("Acquire", func(ctx context.Context) error {
					state, err := store.Acquire(ctx, claim)
					if (state == acquired) != (err == nil) || err != nil && state != 0 {
						t.Errorf("Acquire: %s with error %v", stateName(state), err)
					}
					return err
				})
				is("Acquire", either(inFlight, acquired))
				_, _ = inner.Acquire(t.Context(), claim)

				store.OnRelease(c.fault)
				call("Release", func(ctx context.Context) error { return store.Release(ctx, claim) })
				is("Release", either(acquired, inFlight))
				_, _ = inner.Acquire(t.Context(), claim)

				store.OnFinish(c.fault)
				call("Finish", func(ctx context.Context) error { return store.Finish(ctx, claim, 24*time.Hour) })
				is("Finish", either(done, inFlight))

				want := 3
				if c.fault == nil {
					want = 0
				}
				if all, faulty := store.Calls(); all != 3 || faulty != want {
					t.Errorf("%d calls, %d faulty, want 3 and %d", all, faulty, want)
				}
			})
		})
	}
}

// Rule: a script is for one operation, in its order, and ends; an outage goes
// before it and leaves it as it is; Heal ends everything.
func TestFaultyStoreSchedule(t *testing.T) {
	const fine, lost = ".", "x"
	acquire := func(s *FaultyStore) string {
		if _, err := s.Acquire(t.Context(), faultyClaim("a")); err != nil {
			return lost
		}
		return fine
	}
	for _, c := range []struct {
		name string
		plan func(s *FaultyStore)
		want string // of ten Acquires
	}{
		{"script", func(s *FaultyStore) { s.OnAcquire(nil, LostRequest, nil, LostAnswer) }, ".x.x......"},
		{"script, more of it", func(s *FaultyStore) { s.OnAcquire(LostAnswer, nil); s.OnAcquire(LostRequest) }, "x.x......."},
		{"script of other operations", func(s *FaultyStore) { s.OnFinish(LostRequest); s.OnRelease(LostRequest) }, ".........."},
		{"outage", func(s *FaultyStore) { s.Outage(3, 5) }, "..xxx....."},
		{"two outages", func(s *FaultyStore) { s.Outage(9, 9); s.Outage(1, 2) }, "xx......x."},
		{"an outage keeps the script for later", func(s *FaultyStore) { s.Outage(1, 3); s.OnAcquire(nil, LostRequest) }, "xxx.x....."},
		{"down", func(s *FaultyStore) { s.SetDown(true) }, "xxxxxxxxxx"},
		{"up again", func(s *FaultyStore) { s.SetDown(true); s.SetDown(false) }, ".........."},
		{"always", func(s *FaultyStore) { s.Random(1, 1) }, "xxxxxxxxxx"},
		{"never", func(s *FaultyStore) { s.Random(1, 1); s.Random(1, 0) }, ".........."},
		{"a script goes before chance", func(s *FaultyStore) { s.Random(1, 1); s.OnAcquire(nil, nil) }, "..xxxxxxxx"},
		{"healed", func(s *FaultyStore) {
			s.Random(1, 1)
			s.OnAcquire(LostRequest)
			s.Outage(1, 10)
			s.SetDown(true)
			s.Heal()
		}, ".........."},
	} {
		s := NewFaultyStore(newPlanted(""))
		c.plan(s)
		var got strings.Builder
		for range len(c.want) {
			got.WriteString(acquire(s))
		}
		all, faulty := s.Calls()
		if got.String() != c.want || all != len(c.want) || faulty != strings.Count(c.want, lost) {
			t.Errorf("%s: %s with %d of %d calls faulty, want %s", c.name, got.String(), faulty, all, c.want)
		}
	}
}

// Rule: the same seed gives the same faults, another one others, as often as the
// rate says and each kind of them.
func TestFaultyStoreSeed(t *testing.T) {
	const calls = 2000
	play := func(seed uint64) string {
		s := NewFaultyStore(newPlanted(""))
		kinds := []StoreFault{}
		var got strings.Builder
		for kind := range 3 {
			kinds = append(kinds, func(context.Context, func(context.Context) error) error {
				fmt.Fprint(&got, kind)
				return ErrStoreFault
			})
		}
		s.Random(seed, 0.25, kinds...)
		for range calls {
			if s.Release(t.Context(), faultyClaim("a")) != ErrStoreFault {
				got.WriteByte('.')
			}
		}
		return got.String()
	}
	one := play(1)
	if one != play(1) || one == play(2) {
		t.Error("the seed must decide on the faults")
	}
	for _, kind := range "012" {
		if n := strings.Count(one, string(kind)); n < calls/24 || n > calls/8 { // 167 is the mean, 12 the deviation
			t.Errorf("%d faults of kind %c in %d calls", n, kind, calls)
		}
	}
}

// A lost answer to Finish is an event that is done all the same: the retry is not
// handed on.
func ExampleFaultyStore() {
	store := NewFaultyStore(midhook.NewLRUStore(100))
	store.OnAcquire(LostRequest)
	store.OnFinish(LostAnswer)
	hook, err := midhook.New(faultyKey, midhook.WithStore(store), midhook.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := hook.HandlerFunc(func(context.Context, *midhook.Notification) error {
		fmt.Println("handled")
		return nil
	})
	for range 3 {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, NewRequest(Sample("bca-va"), faultyKey))
		fmt.Println(w.Code)
	}
	// Output:
	// 503
	// handled
	// 200
	// 200
}

// storm is a pipeline over a store that fails at random, and what is seen of it.
type storm struct {
	seed  uint64
	store *FaultyStore // loses what it is asked, or its answer
	slow  *FaultyStore // the same, late; for the first Acquire of a delivery

	mu         sync.Mutex
	owners     map[string]bool // have asked before
	running    map[string]bool // by event
	succeeded  map[string]bool
	finished   map[string]bool // Finish was acknowledged
	violations []string
	runs       int

	calm atomic.Bool // no faults any more, of the handler neither
}

func newStorm(seed uint64, inner midhook.Store) *storm {
	s := &storm{
		seed:      seed,
		store:     NewFaultyStore(inner),
		owners:    map[string]bool{},
		running:   map[string]bool{},
		succeeded: map[string]bool{},
		finished:  map[string]bool{},
	}
	s.slow = NewFaultyStore(s.store)
	s.store.Random(seed, 0.25, LostRequest, LostAnswer)
	s.slow.Random(seed+1000, 0.25, Delayed(time.Second), Delayed(time.Minute), Hanging(time.Second), Hanging(7*time.Second), slowLostAnswer)
	return s
}

// slowLostAnswer does the operation at once, and lets the caller wait until its
// context ends.
func slowLostAnswer(ctx context.Context, operation func(context.Context) error) error {
	_ = operation(ctx)
	<-ctx.Done()
	return ErrStoreFault
}

func (s *storm) violated(format string, args ...any) {
	s.violations = append(s.violations, fmt.Sprintf(format, args...))
}

// stormStore is the pipeline's store.
type stormStore struct{ *storm }

func (s stormStore) Acquire(ctx context.Context, c midhook.Claim) (midhook.ClaimState, error) {
	s.mu.Lock()
	renewal := s.owners[c.Owner]
	s.owners[c.Owner] = true
	s.mu.Unlock()
	if renewal {
		return s.store.Acquire(ctx, c)
	}
	return s.slow.Acquire(ctx, c)
}

func (s stormStore) Finish(ctx context.Context, c midhook.Claim, keep time.Duration) error {
	err := s.store.Finish(ctx, c, keep)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.finished[c.Key] = true
	}
	return err
}

func (s stormStore) Release(ctx context.Context, c midhook.Claim) error {
	return s.store.Release(ctx, c)
}

// handle succeeds, fails or panics, sooner or later, and ends with its context.
func (s *storm) handle(ctx context.Context, n *midhook.Notification) error {
	event := n.IdempotencyKey()
	s.mu.Lock()
	chance := rand.New(rand.NewPCG(s.seed, uint64(s.runs)))
	s.runs++
	if s.running[event] {
		s.violated("two runs at once of %v", n)
	}
	if s.finished[event] {
		s.violated("a run after the acknowledged Finish of %v", n)
	}
	s.running[event] = true
	s.mu.Unlock()

	var err error
	if !s.calm.Load() {
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(time.Duration(chance.ExpFloat64() * float64(5*time.Second))):
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[event] = false
	switch fate := chance.IntN(10); {
	case err != nil:
		return err
	case fate < 6 && !s.calm.Load():
		return errors.New("the shop's database is away")
	case fate == 6 && !s.calm.Load():
		panic("the shop's code is wrong")
	}
	s.succeeded[event] = true
	return nil
}

// playStorm delivers payments to a pipeline over the store, through a quarter of
// an hour of faults, and returns what was violated. It runs in a bubble.
func playStorm(t *testing.T, seed uint64, inner midhook.Store, opts ...midhook.Option) *storm {
	s := newStorm(seed, inner)
	opts = append(opts, midhook.WithStore(stormStore{s}), midhook.WithLogger(slog.New(slog.DiscardHandler)))
	hook, err := midhook.New(faultyKey, opts...)
	if err != nil {
		t.Fatal(err)
	}
	handler := hook.HandlerFunc(s.handle)
	deliver := func(n *midhook.Notification) (status int) {
		w := httptest.NewRecorder()
		defer func() {
			if recover() != nil { // as net/http does
				status = http.StatusInternalServerError
			}
		}()
		handler.ServeHTTP(w, NewRequest(n, faultyKey))
		s.mu.Lock()
		defer s.mu.Unlock()
		if w.Code == http.StatusOK && n.Paid() && !s.succeeded[n.IdempotencyKey()] {
			s.violated("200 without a run that succeeded for %v", n)
		}
		return w.Code
	}

	var events []*midhook.Notification
	for i := range 12 {
		order, transaction := Order(fmt.Sprint("A-", i)), Transaction(fmt.Sprint("T-", i))
		events = append(events, Sample("pending", order, transaction), Sample("bca-va", order, transaction))
	}
	chance := rand.New(rand.NewPCG(seed, 1))
	var deliveries sync.WaitGroup
	for _, n := range events {
		for range 25 {
			at := time.Duration(chance.IntN(45)) * 20 * time.Second // often several at once
			deliveries.Go(func() {
				time.Sleep(at)
				deliver(n)
			})
		}
	}
	for range 3 {
		at := time.Duration(chance.IntN(900)) * time.Second
		deliveries.Go(func() {
			time.Sleep(at)
			s.store.SetDown(true)
			time.Sleep(20 * time.Second)
			s.store.SetDown(false)
		})
	}
	deliveries.Wait()

	s.store.Heal()
	s.slow.Heal()
	time.Sleep(2 * time.Minute) // the last handlers end, and the leases of claims that were lost
	s.calm.Store(true)
	for _, n := range events {
		if status := deliver(n); status != http.StatusOK {
			s.violated("%d after all faults for %v", status, n)
		}
	}
	return s
}

// Rule: whatever a store loses, delays or refuses, no two runs of one event are
// under way at once while its lease lasts, none follows the Finish that was
// acknowledged, 200 means that a run has succeeded, and once the faults end every
// event is answered 200.
func TestStorm(t *testing.T) {
	for name, opts := range map[string][]midhook.Option{
		"inline":   nil,
		"detached": {midhook.WithDetachedHandler()},
	} {
		for seed := range uint64(4) {
			t.Run(fmt.Sprint(name, " ", seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := playStorm(t, seed, midhook.NewLRUStore(100), opts...)
					for _, v := range s.violations {
						t.Error(v)
					}
					all, lost := s.store.Calls()
					_, late := s.slow.Calls()
					t.Logf("%d runs, %d finished events, %d of %d store calls lost, %d late", s.runs, len(s.finished), lost, all, late)
					if s.runs < 30 || len(s.finished) < 10 || lost < all/5 || late < 50 {
						t.Error("that is no storm")
					}
				})
			})
		}
	}
}

// finishReleases forgets what is finished, and releaseFinishes takes a failure
// for a success.
type finishReleases struct{ midhook.Store }

func (s finishReleases) Finish(ctx context.Context, c midhook.Claim, _ time.Duration) error {
	return s.Release(ctx, c)
}

type releaseFinishes struct{ midhook.Store }

func (s releaseFinishes) Release(ctx context.Context, c midhook.Claim) error {
	return s.Finish(ctx, c, time.Hour)
}

// Rule: the storm sees each of its rules broken, where the store behind the
// faults breaks it.
func TestStormFindsBugs(t *testing.T) {
	for want, store := range map[string]func() midhook.Store{
		"two runs at once":                  func() midhook.Store { return newPlanted("never in flight") },
		"a run after the acknowledged":      func() midhook.Store { return finishReleases{midhook.NewLRUStore(100)} },
		"200 without a run that suc":        func() midhook.Store { return releaseFinishes{midhook.NewLRUStore(100)} },
		"503 after all faults for order_id": func() midhook.Store { return newPlanted("never expires") },
	} {
		synctest.Test(t, func(t *testing.T) {
			s := playStorm(t, 1, store())
			if !slices.ContainsFunc(s.violations, func(v string) bool { return strings.HasPrefix(v, want) }) {
				t.Errorf("want %q, got only %q", want, s.violations)
			}
		})
	}
}
