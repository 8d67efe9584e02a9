package midhooktest

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

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
