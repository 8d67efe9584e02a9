package midhooktest

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"
	"pgregory.net/rapid"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/storemodel"
)

// modelOp is an operation on an event of the one subject.
type modelOp struct {
	name  string // acquire, finish or release
	claim midhook.Claim
	keep  time.Duration
}

func (op modelOp) on(store midhook.Store, t *testing.T) string {
	switch op.name {
	case "acquire":
		state, err := store.Acquire(t.Context(), op.claim)
		if err != nil {
			return errorName(err)
		}
		return state.String()
	case "finish":
		return errorName(store.Finish(t.Context(), op.claim, op.keep))
	}
	return errorName(store.Release(t.Context(), op.claim))
}

func (op modelOp) onModel(m *storemodel.Model, now time.Duration) string {
	switch op.name {
	case "acquire":
		return m.Acquire(now, op.claim).String()
	case "finish":
		return errorName(m.Finish(now, op.claim, op.keep))
	}
	return errorName(m.Release(op.claim))
}

// Rule: whatever is done in whatever order, and however much time passes in between,
// the LRU store answers as the model does. Leases are drawn anew for each claim, so
// that renewals shorten and lengthen them.
func TestLRUStoreIsTheModel(t *testing.T) {
	periods := rapid.SampledFrom([]time.Duration{1, time.Second, 30 * time.Second, time.Hour, 24 * time.Hour})
	rapid.Check(t, func(rt *rapid.T) {
		ops := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) modelOp {
			event := rapid.IntRange(0, 4).Draw(rt, "event")
			return modelOp{
				name: rapid.SampledFrom([]string{"acquire", "acquire", "finish", "release", "wait"}).Draw(rt, "operation"),
				claim: midhook.Claim{
					Key: fmt.Sprint("event ", event), Subject: "subject", Stage: 10 * event, Alternates: rapid.IntRange(0, 5).Draw(rt, "alternates") == 0,
					Owner: fmt.Sprint("owner ", rapid.IntRange(0, 2).Draw(rt, "owner")), Lease: periods.Draw(rt, "lease"),
				},
				keep: periods.Draw(rt, "keep"),
			}
		}), 1, 60).Draw(rt, "operations")
		var different string
		synctest.Test(t, func(t *testing.T) {
			store, model, began := midhook.NewLRUStore(100), storemodel.New(), time.Now()
			for i, op := range ops {
				if op.name == "wait" {
					time.Sleep(op.keep)
					continue
				}
				// The owner of what is forgotten may finish it again: the store's to decide.
				if op.name == "finish" && model.Forgotten(time.Since(began), op.claim.Key) {
					continue
				}
				got, want := op.on(store, t), op.onModel(model, time.Since(began))
				if got != want {
					different = fmt.Sprintf("operation %d, %s of %+v: %s, want %s", i, op.name, op.claim, got, want)
					return
				}
			}
		})
		if different != "" {
			rt.Fatal(different)
		}
	})
}

// Rule: the LRU store is linearizable: whatever runs at once, there is an order of it
// in which the model gives the same answers.
func TestLRUStoreIsLinearizable(t *testing.T) {
	const histories, owners, operations = 60, 4, 12
	for seed := range uint64(histories) {
		store := midhook.NewLRUStore(100)
		var mu sync.Mutex
		var history []porcupine.Operation
		var all sync.WaitGroup
		began := time.Now()
		for owner := range owners {
			play := newRandomPlay(&storeScript{}, seed)
			play.chance = rand.New(rand.NewPCG(seed, uint64(owner)))
			all.Go(func() {
				for range operations {
					c := play.on(fmt.Sprint("owner ", owner), play.chance.IntN(5))
					op := modelOp{name: []string{"acquire", "acquire", "finish", "release"}[play.chance.IntN(4)], claim: c, keep: longEnough}
					call := time.Since(began)
					got := op.on(store, t)
					mu.Lock()
					history = append(history, porcupine.Operation{ClientId: owner, Input: op, Call: int64(call), Output: got, Return: int64(time.Since(began))})
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if porcupine.CheckOperationsTimeout(linearModel, history, 20*time.Second) == porcupine.Illegal {
			t.Fatalf("history %d has no order: %v", seed, history)
		}
	}
}

var linearModel = porcupine.Model{
	Init: func() any { return storemodel.New() },
	Step: func(state, input, output any) (bool, any) {
		after := state.(*storemodel.Model).Clone()
		return input.(modelOp).onModel(after, 0) == output.(string), after
	},
	Equal: func(a, b any) bool { return reflect.DeepEqual(a, b) },
}

// Rule: what is not linearizable is found.
func TestLinearModelRefuses(t *testing.T) {
	acquire := func(owner string, call, result int64, answer midhook.ClaimState) porcupine.Operation {
		op := modelOp{name: "acquire", claim: midhook.Claim{Key: "E", Subject: "S", Owner: owner, Lease: longEnough}}
		return porcupine.Operation{ClientId: len(owner), Input: op, Output: answer.String(), Call: call, Return: result}
	}
	for _, c := range []struct {
		second midhook.ClaimState
		want   bool
	}{{midhook.InFlight, true}, {midhook.Acquired, false}} {
		history := []porcupine.Operation{acquire("a", 0, 3, midhook.Acquired), acquire("bb", 1, 2, c.second)}
		if got := porcupine.CheckOperations(linearModel, history); got != c.want {
			t.Errorf("a second owner is %s: linearizable %v, want %v", c.second, got, c.want)
		}
	}
}
