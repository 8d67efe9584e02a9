package histories

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/storemodel"
)

// operation is one on an event of the one subject.
type operation struct {
	Name  string // acquire, finish or release
	Event int
	owner string
	of    string // the history
}

// claim has a stage of its own for each event, and one event alternates.
func (o operation) claim() midhook.Claim {
	return midhook.Claim{
		Key: fmt.Sprint("event ", o.Event, " of ", o.of), Subject: "subject " + o.of, Stage: [...]int{10, 40, 40, 60, 0}[o.Event],
		Alternates: o.Event == 4, Owner: o.owner + o.of, Lease: time.Hour,
	}
}

// answer is that of a store.
type answer struct {
	state midhook.ClaimState // of acquire
	err   error
	took  time.Duration
}

func (o operation) on(ctx context.Context, store midhook.Store) (a answer) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	began := time.Now()
	switch o.Name {
	case "acquire":
		a.state, a.err = store.Acquire(ctx, o.claim())
	case "finish":
		a.err = store.Finish(ctx, o.claim(), time.Hour)
	default:
		a.err = store.Release(ctx, o.claim())
	}
	a.took = time.Since(began)
	return a
}

func (o operation) onModel(m *storemodel.Model) (a answer) {
	switch o.Name {
	case "acquire":
		a.state = m.Acquire(0, o.claim())
	case "finish":
		a.err = m.Finish(0, o.claim(), time.Hour)
	default:
		a.err = m.Release(o.claim())
	}
	return a
}

// isUnknown reports whether nobody can tell if the operation has happened, or will.
func (a answer) isUnknown() bool { return a.err != nil && !errors.Is(a.err, midhook.ErrNotOwner) }

// contention is for how long a store in SQL tries to claim what is locked, before it
// answers that it is in flight.
const contention = time.Second

// linearModel is a store that answers as the model does, at some moment between the call
// and the answer. What was answered with an error may have happened or not. A Release
// whose answer was lost may have been repeated by the client, and is then answered
// ErrNotOwner.
func linearModel(repeats bool) porcupine.Model {
	nondeterministic := porcupine.NondeterministicModel{
		Init: func() []any { return []any{storemodel.New()} },
		Step: func(state, input, output any) []any {
			before, after := state.(*storemodel.Model), state.(*storemodel.Model).Clone()
			op, got := input.(operation), output.(answer)
			want := op.onModel(after)
			switch {
			case got.isUnknown():
				return []any{before, after}
			case got.state == want.state && errors.Is(got.err, want.err):
				return []any{after}
			case got.state == midhook.InFlight && got.took >= contention:
				return []any{before}
			case repeats && op.Name == "release" && want.err == nil:
				return []any{after}
			}
			return nil
		},
		Equal: func(a, b any) bool { return reflect.DeepEqual(a, b) },
	}
	return nondeterministic.ToModel()
}

// history is what owners do at once, and what becomes of their networks.
type history struct {
	Owners   [][]operation
	Networks [2][]networkFault
}

func drawHistory(t *rapid.T, faults bool) (h history) {
	op := rapid.Custom(func(t *rapid.T) operation {
		return operation{
			Name:  rapid.SampledFrom([]string{"acquire", "acquire", "finish", "release"}).Draw(t, "operation"),
			Event: rapid.IntRange(0, 4).Draw(t, "event"),
		}
	})
	for range rapid.IntRange(2, 4).Draw(t, "owners") {
		h.Owners = append(h.Owners, rapid.SliceOfN(op, 1, 12).Draw(t, "operations"))
	}
	if !faults {
		return h
	}
	for i := range h.Networks {
		for range rapid.IntRange(0, 3).Draw(t, "network faults") {
			h.Networks[i] = append(h.Networks[i], networkFault{
				After: rapid.IntRange(0, 12).Draw(t, "messages"),
				What:  rapid.SampledFrom(networkFaults).Draw(t, "network fault"),
				For:   20 * time.Millisecond,
			})
		}
	}
	return h
}

var historiesPlayed atomic.Int64

// play lets the owners do it, and returns what they were answered.
func (h history) play(ctx context.Context, handles [2]midhook.Store) (seen []porcupine.Operation) {
	var mu sync.Mutex
	var all sync.WaitGroup
	of := strconv.FormatInt(historiesPlayed.Add(1), 10)
	began := time.Now()
	for i, ops := range h.Owners {
		all.Go(func() {
			for _, op := range ops {
				op.owner, op.of = fmt.Sprint("owner ", i, " of "), of
				call := time.Since(began)
				got := op.on(ctx, handles[i%len(handles)])
				answered := int64(time.Since(began))
				if got.isUnknown() {
					answered = math.MaxInt64
				}
				mu.Lock()
				seen = append(seen, porcupine.Operation{ClientId: i, Input: op, Call: int64(call), Output: got, Return: answered})
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return seen
}

// played is how many histories of operations are checked for each history with
// processes: they are as much shorter.
const played = 20

// checkLinear plays histories on two handles of a store.
func checkLinear(t *testing.T, handles [2]midhook.Store, proxies []*proxy) {
	t.Helper()
	former := flag.Lookup("rapid.checks").Value.String()
	n, err := strconv.Atoi(former)
	require.NoError(t, err)
	require.NoError(t, flag.Set("rapid.checks", strconv.Itoa(n*played)))
	defer func() { _ = flag.Set("rapid.checks", former) }()
	model := linearModel(len(proxies) > 0)
	operations, unknown, undecided := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		h := drawHistory(rt, len(proxies) > 0)
		for i, p := range proxies {
			p.suffer(h.Networks[i])
		}
		seen := h.play(t.Context(), handles)
		for _, p := range proxies {
			p.heal()
		}
		operations += len(seen)
		for _, op := range seen {
			if op.Output.(answer).isUnknown() {
				unknown++
			}
		}
		switch porcupine.CheckOperationsTimeout(model, seen, 20*time.Second) {
		case porcupine.Illegal:
			rt.Fatalf("there is no order of %+v", seen)
		case porcupine.Unknown:
			undecided++
		}
	})
	t.Logf("%d operations, %d of them answered by an error; %d histories took too long to check", operations, unknown, undecided)
}

// Rule: a store is linearizable: whatever runs at once, through two handles, there is an
// order of it in which the model gives the same answers.
func TestLinearizable(t *testing.T) {
	t.Run("LRU", func(t *testing.T) {
		store := midhook.NewLRUStore(1 << 20)
		checkLinear(t, [2]midhook.Store{store, store}, nil)
	})
	for _, faults := range []bool{false, true} {
		onBackends(t, func(t *testing.T, b backend) {
			if testing.Short() || faults && b.start == nil {
				t.Skip("it has no network, or is not short")
			}
			t.Run(fmt.Sprint("with network faults ", faults), func(t *testing.T) { checkBackend(t, b, faults) })
		})
	}
}

func checkBackend(t *testing.T, b backend, faults bool) {
	_, where := b.place(t)
	var proxies []*proxy
	var handles [2]midhook.Store
	for i := range handles {
		through := where
		if faults {
			proxies = append(proxies, startProxy(t, where))
			through = proxies[i].addr()
		}
		c, err := b.connect(through)
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() })
		if i == 0 && c.sql != nil {
			require.NoError(t, c.sql.Migrate(t.Context()))
		}
		handles[i] = c.Store
	}
	checkLinear(t, handles, proxies)
	if faults {
		t.Logf("faults of the networks: %v", proxies)
	}
}

// Rule: what has no order is found, and an answer that was lost leaves both open.
func TestLinearModelRefuses(t *testing.T) {
	op := func(name, owner string, call, result int64, a answer) porcupine.Operation {
		return porcupine.Operation{ClientId: len(owner), Input: operation{Name: name, owner: owner}, Output: a, Call: call, Return: result}
	}
	acquired, inFlight := answer{state: midhook.Acquired}, answer{state: midhook.InFlight}
	lost := answer{err: errors.New("connection reset")}
	const never = math.MaxInt64
	for name, c := range map[string]struct {
		history []porcupine.Operation
		want    bool
	}{
		"one owner":                     {[]porcupine.Operation{op("acquire", "a", 0, 3, acquired), op("acquire", "bb", 1, 2, inFlight)}, true},
		"two owners at once":            {[]porcupine.Operation{op("acquire", "a", 0, 3, acquired), op("acquire", "bb", 1, 2, acquired)}, false},
		"a lost claim that was had":     {[]porcupine.Operation{op("acquire", "a", 0, never, lost), op("acquire", "bb", 1, 2, inFlight)}, true},
		"a lost claim that was not had": {[]porcupine.Operation{op("acquire", "a", 0, never, lost), op("acquire", "bb", 1, 2, acquired)}, true},
		"a lost claim that was not had, and then had": {
			[]porcupine.Operation{op("acquire", "a", 0, never, lost), op("acquire", "bb", 1, 2, acquired), op("release", "bb", 3, 4, answer{}), op("acquire", "ccc", 5, 6, inFlight)}, true,
		},
		"in flight and nobody's": {[]porcupine.Operation{op("acquire", "a", 0, 1, inFlight)}, false},
		"a release of nobody's":  {[]porcupine.Operation{op("release", "a", 0, 1, answer{})}, false},
	} {
		if got := porcupine.CheckOperations(linearModel(false), c.history); got != c.want {
			t.Errorf("%s: linearizable %v, want %v", name, got, c.want)
		}
	}
}
