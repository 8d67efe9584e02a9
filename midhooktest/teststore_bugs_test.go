package midhooktest

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midhook/midhook"
)

// storeBugs are ways to break the contract, and the cases that must find each.
var storeBugs = map[string][]string{
	"never in flight":                      {"acquire", "empty-event"},
	"owner acquires what it finished":      {"done"},
	"release does nothing":                 {"release"},
	"release keeps the owner":              {"release-again"},
	"release of what is finished":          {"release-finished"},
	"release by anyone":                    {"stranger", "stale-owner"},
	"finish not repeatable":                {"finish-again"},
	"finish by anyone":                     {"finish-again-by-another", "stranger", "stale-owner"},
	"finish by a stale owner when done":    {"stale-owner-done"},
	"stale owner has it back":              {"stale-owner-released"},
	"key is event and subject":             {"events-apart"},
	"events and subjects share names":      {"subjects-apart"},
	"never expires":                        {"lease", "late-finish", "race-take-over"},
	"expires early":                        {"lease"},
	"same lease for all":                   {"lease"},
	"asking lengthens the lease":           {"lease"},
	"renew refused":                        {"renew"},
	"renew does not lengthen":              {"renew", "renew-late"},
	"late renewal does not lengthen":       {"renew-late"},
	"late finish refused":                  {"late-finish", "superseded-lapsed"},
	"eviction of what is in flight":        {"crowd"},
	"eviction of what is done":             {"crowd"},
	"never superseded":                     {"superseded"},
	"superseded is claimed":                {"superseded-unclaimed"},
	"superseded before done":               {"superseded-order"},
	"superseded before in flight":          {"superseded-order"},
	"renewal superseded":                   {"superseded-renewal"},
	"lapsed claims not superseded":         {"superseded-lapsed"},
	"superseded drops the lapsed claim":    {"superseded-lapsed"},
	"equal stages superseded":              {"stage-equal"},
	"first stage stays the highest":        {"stage-higher"},
	"stages of 16 bits":                    {"stage-higher"},
	"unfinished supersedes":                {"stage-unfinished"},
	"last stage is the highest":            {"stage-lowered"},
	"stage 0 superseded":                   {"stage-none"},
	"negative stages superseded":           {"stage-none"},
	"stage 0 is remembered":                {"stage-none-finished"},
	"empty subject is a subject":           {"subject-none"},
	"one subject for all":                  {"subject-other"},
	"keep ignored":                         {"keep", "keep-stage"},
	"keep cut short":                       {"keep", "keep-stage"},
	"keep counted from the claim":          {"keep"},
	"asking lengthens the keep":            {"keep"},
	"keep of the stage ignored":            {"keep-stage"},
	"stage kept as long as its own event":  {"keep-stage-lengthened"},
	"last finish sets the stage's keep":    {"keep-stage-shortened"},
	"times overflow":                       {"for-ever"},
	"context ignored by Acquire":           {"context-acquire"},
	"context asked after Acquire":          {"context-acquire"},
	"context ignored by Finish":            {"context-finish"},
	"context asked after Finish":           {"context-finish"},
	"context ignored by Release":           {"context-release"},
	"context asked after Release":          {"context-release"},
	"Acquire not atomic with a pause":      {"race-one-event", "race-acquire", "race-take-over"},
	"take-over not atomic with a pause":    {"race-take-over"},
	"Finish not atomic with a pause":       {"race-finish"},
	"Release not atomic with a pause":      {"race-release"},
	"stages not atomic":                    {"race-stage"},
	"empty event refused":                  {"empty-event"},
	"no owner is an empty one":             {"empty-owner"},
	"empty owner never holds":              {"empty-owner"},
	"unexpected error":                     {"acquire"},
	"no answer":                            {"acquire"},
	"Acquire fails with the wrong context": {"context-acquire"},

	"asking lengthens the hold":            {"busy-ends"},
	"never busy":                           {"busy", "busy-ends", "busy-order", "hold-lengths", "race-busy", "race-one-subject"},
	"busy is claimed":                      {"busy-unclaimed"},
	"busy before done":                     {"busy-order"},
	"busy before in flight":                {"busy-order"},
	"superseded before busy":               {"busy-order"},
	"hold never ends":                      {"busy-ends"},
	"renewal holds":                        {"busy-renewal", "busy-renewal-late"},
	"late renewal holds":                   {"busy-renewal-late"},
	"renewal shortens the hold":            {"busy-lease"},
	"renewal is busy":                      {"busy-renewal-late"},
	"same hold for all":                    {"busy-lease"},
	"hold outlives release":                {"busy", "busy-stages", "move-hold-ends"},
	"hold outlives finish":                 {"busy", "busy-order"},
	"any release ends the hold":            {"busy-others-end"},
	"any finish ends the hold":             {"busy-others-end"},
	"takeover does not hold":               {"busy-take-over"},
	"takeover ignores the hold":            {"busy-lapsed"},
	"a hold is for all subjects":           {"busy-other-subject"},
	"busy for events without a subject":    {"busy-other-subject"},
	"stage 0 does not hold":                {"busy-stages"},
	"alternating does not hold":            {"busy-stages"},
	"lower stages are never busy":          {"busy-order"},
	"stage 0 is never busy":                {"busy"},
	"held once only":                       {"busy-anew", "fresh"},
	"asked holds":                          {"busy-asked"},
	"no move":                              {"move", "move-back"},
	"move superseded":                      {"move-superseded"},
	"move takes what is in flight":         {"move-in-flight"},
	"move takes what is done":              {"move-in-flight"},
	"move leaves the former":               {"move", "move-back"},
	"move finishes the former":             {"move"},
	"move leaves its stage":                {"move-stage", "random"},
	"moved claim has its first stage":      {"move-stage", "move-stage-raised"},
	"move keeps the lease":                 {"move-lease"},
	"move holds anew":                      {"move-hold"},
	"move loses the hold":                  {"move", "move-hold"},
	"hold does not move":                   {"move-hold-ends"},
	"move takes the hold":                  {"move-without-hold"},
	"move without hold is busy":            {"move-without-hold"},
	"move to lapsed refused":               {"move-take-over"},
	"move does not take over":              {"move-take-over"},
	"lapsed claims do not move":            {"move-lapsed"},
	"taken claims move":                    {"move-taken"},
	"finished claims move":                 {"move-finished"},
	"claims move between subjects":         {"move-other-subject"},
	"claims without a subject move":        {"move-other-subject"},
	"move once":                            {"move-back"},
	"move forgets the subject":             {"move-leaves"},
	"nothing alternates":                   {"alternates", "alternates-all"},
	"one is forgotten":                     {"alternates-all"},
	"long keeps are not forgotten":         {"alternates-all"},
	"what does not alternate forgets":      {"alternates-all"},
	"own mark forgotten":                   {"alternates"},
	"stage does not alternate":             {"alternates-stage"},
	"keep of the stage does not alternate": {"alternates-keep"},
	"alternating Acquire forgets":          {"alternates-unfinished"},
	"alternating Release forgets":          {"alternates-unfinished"},
	"finish again alternates":              {"alternates-again"},
	"claims alternate":                     {"alternates-in-flight"},
	"alternating ends the hold":            {"alternates-in-flight"},
	"all subjects alternate":               {"alternates-other-subject"},
	"events without a subject alternate":   {"alternates-other-subject"},
	"finish shortens others' keeps":        {"finish-brief-leaves", "keep-stage-shortened"},
	"finish shortens others' leases":       {"finish-brief-leaves"},
	"finish lengthens others' keeps":       {"finish-leaves", "finish-long-leaves"},
	"finish lengthens others' leases":      {"finish-leaves", "finish-long-leaves"},
	"finish forgets others' marks":         {"finish-leaves", "crowd-subject"},
	"finish forgets others' claims":        {"finish-leaves"},
	"release forgets others' marks":        {"release-leaves", "asking-leaves"},
	"release forgets others' claims":       {"release-leaves"},
	"release forgets the stage":            {"move-finished"},
	"release of all the owner has":         {"release-other"},
	"a short lease cuts others":            {"acquire-leaves"},
	"a long lease lengthens others":        {"acquire-long-leaves"},
	"finish again sets the keep":           {"finish-again-leaves"},
	"finish again sets the stage":          {"finish-again-leaves"},
	"late release refused":                 {"late-release"},
	"256 events of a subject":              {"crowd-subject"},
	"lease of at most 10s":                 {"lease-lengths"},
	"lease of at most 30s":                 {"lease-lengths"},
	"lease of at most 24h0m0s":             {"lease-lengths"},
	"renewal of at most 30s":               {"lease-renewed-lengths"},
	"renewal of at most 1h0m0s":            {"lease-renewed-lengths"},
	"moved lease of at most 30s":           {"lease-moved-lengths"},
	"hold of at most 10s":                  {"hold-lengths"},
	"hold of at most 30s":                  {"hold-lengths"},
	"hold of at most 1h0m0s":               {"hold-lengths"},
	"keep of at most 24h0m0s":              {"keep-lengths"},
	"keep of at most 720h0m0s":             {"keep-lengths"},
	"stage of at most 24h0m0s":             {"stage-lengths"},
	"stage of at most 720h0m0s":            {"stage-lengths"},
	"done and claim apart with a pause":    {"race-handled"},
	"hold not atomic with a pause":         {"race-busy", "race-one-subject"},
	"stage not atomic with a pause":        {"race-superseded"},
	"renewal renews all of the owner":      {"lease-shortened"},
	"move not atomic with a pause":         {"race-move"},
}

// Rule: each bug is found by the cases that are there for it, and each case is
// there for a bug: none passes whatever the store does.
func TestTestStoreFindsBugs(t *testing.T) {
	proven := map[string]bool{}
	find := func(bug, name string, newStore func() midhook.Store) {
		i := slices.IndexFunc(storeCases, func(c storeCase) bool { return c.name == name })
		if i < 0 {
			t.Fatalf("there is no case %q", name)
		}
		proven[name] = true
		var err error
		synctest.Test(t, func(t *testing.T) { err = storeCases[i].check(t.Context(), newStore, true) })
		if err == nil {
			t.Errorf("%s: case %s passes", bug, name)
		}
	}
	for bug, names := range storeBugs {
		for _, name := range names {
			find(bug, name, func() midhook.Store { return newPlanted(bug) })
		}
	}
	for bug, b := range keyBugs {
		for _, role := range []string{"events", "subjects", "owners"} {
			find(bug, role+"-"+b.found, func() midhook.Store { return newRekeyed(role, b.change) })
		}
	}
	for _, c := range storeCases {
		if !proven[c.name] && c.name != "handles" {
			t.Errorf("no bug proves that %s can fail", c.name)
		}
	}
}

// Rule: what is not atomic shows in real time without a pause to help.
func TestTestStoreFindsRaces(t *testing.T) {
	if runtime.GOMAXPROCS(0) == 1 {
		t.Skip("one processor: nothing runs at once, so that only a pause lets others in")
	}
	for bug, name := range map[string]string{
		"done and claim apart": "race-handled",
		"hold not atomic":      "race-one-subject",
		"stage not atomic":     "race-superseded",
		"Acquire not atomic":   "race-one-event",
		"move not atomic":      "race-move",
	} {
		i := slices.IndexFunc(storeCases, func(c storeCase) bool { return c.name == name })
		var err error
		for began := time.Now(); err == nil && time.Since(began) < 3*time.Minute; { // on a busy machine little runs at once
			err = storeCases[i].check(t.Context(), func() midhook.Store { return newPlanted(bug) }, false)
		}
		if err == nil {
			t.Errorf("%s: case %s passes", bug, name)
		}
	}
}

// Rule: a second handle that answers from a copy of its own is found, whether the copy
// is old or late. Handles without a copy pass, and so do stores that are not shared.
func TestTestStoreComparesHandles(t *testing.T) {
	i := slices.IndexFunc(storeCases, func(c storeCase) bool { return c.name == "handles" })
	for copied, broken := range map[string]bool{"": false, "done": true, "in flight": true, "busy": true, "superseded": true, "late": true} {
		for _, bubble := range []bool{false, true} {
			shared := newPlanted("")
			check := func(t *testing.T) {
				handles := 0
				err := storeCases[i].check(t.Context(), func() midhook.Store {
					handles++
					return &replica{plantedStore: shared, copied: copied, answers: map[string]midhook.ClaimState{}, late: copied == "late" && handles > 1, began: time.Now()}
				}, bubble)
				if (err != nil) != broken {
					t.Errorf("a copy of what is %q: %v", copied, err)
				}
			}
			if bubble {
				synctest.Test(t, check)
			} else {
				check(t)
			}
		}
	}
}

// replica is a handle that remembers some of the answers it has given.
type replica struct {
	*plantedStore
	copied  string
	answers map[string]midhook.ClaimState
	late    bool
	began   time.Time
}

func (r *replica) Acquire(ctx context.Context, c midhook.Claim) (midhook.ClaimState, error) {
	if state, ok := r.answers[c.Key]; ok {
		return state, nil
	}
	if r.late && time.Since(r.began) < inSight/2 {
		return midhook.Acquired, nil
	}
	state, err := r.plantedStore.Acquire(ctx, c)
	if r.copied == strings.ReplaceAll(state.String(), "_", " ") {
		r.answers[c.Key] = state
	}
	return state, err
}
