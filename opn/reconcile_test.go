package opn_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/opn"
)

// Rule: an event that cannot be read is told of and hides no other, whatever it
// is; one that is listed twice comes once.
func TestEventsStrangeOnes(t *testing.T) {
	a := newEventsAPI(0)
	a.events = []string{
		chargeEvent("evnt_test_1"), `{}`, `null`, `7`, `[]`, `"evnt_test_2"`, `{"id":"evnt_test_2","id":"evnt_test_3","key":"x"}`,
		chargeEvent("evnt_test_1"), `{"id":"evnt_test_4","key":"hologram.flicker","data":"what?"}`, `{"id":4,"key":"x"}`,
	}
	var ids []string
	malformed := 0
	for e, err := range a.client(t).Events(t.Context(), testNow, testNow) {
		if err != nil {
			require.ErrorIs(t, err, midhook.ErrMalformed)
			assert.NotContains(t, err.Error(), "evnt_")
			malformed++
			continue
		}
		ids = append(ids, e.ID)
	}
	assert.Equal(t, []string{"evnt_test_1", "evnt_test_4"}, ids)
	assert.Equal(t, 7, malformed)

	hook, _ := newHook(t)
	s := &shop{}
	err := a.client(t).Reconcile(t.Context(), hook, time.Now().Add(-time.Hour), s)
	require.ErrorIs(t, err, midhook.ErrMalformed)
	assert.Equal(t, 2, s.events())
	assert.Equal(t, 1, s.times("evnt_test_4"))
}

// Rule: what was lost is handled once, by whichever of two runs and the late
// delivery comes first, and what was handled is left alone.
func TestReconcile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newEventsAPI(250)
		hook, rec := newHook(t)
		s := &shop{do: func(_ http.ResponseWriter, r *http.Request, e *opn.Event) {
			assert.Equal(t, http.MethodPost, r.Method)
			assert.Equal(t, int64(len(e.Raw())), r.ContentLength)
		}}
		h := hook.Handler(s)
		for i := range 100 {
			assert.Equal(t, 200, serve(h, delivery(a.events[2*i])).Code)
		}
		from := time.Now().Add(-time.Hour)
		require.NoError(t, a.client(t).Reconcile(t.Context(), hook, from, s))
		assert.Equal(t, 250, s.events())
		require.NoError(t, a.client(t).Reconcile(t.Context(), hook, from, s))
		for _, body := range a.events {
			assert.Equal(t, 200, serve(h, delivery(body)).Code)
		}
		for id, runs := range s.runs {
			assert.Equal(t, 1, runs, id)
		}
		count := map[midhook.Outcome]int{}
		for _, o := range rec.outcomes() {
			count[o]++
		}
		assert.Equal(t, map[midhook.Outcome]int{midhook.OutcomeHandled: 250, midhook.OutcomeDuplicate: 100 + 250 + 250}, count)
		assert.Equal(t, 6, a.calls())
	})
}

// Rule: deliveries and runs at the same time never run the handler twice for an
// event, nor leave one out.
func TestReconcileBesideDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newEventsAPI(250)
		hook, _ := newHook(t)
		s := &shop{do: func(http.ResponseWriter, *http.Request, *opn.Event) { time.Sleep(time.Second) }}
		h := hook.Handler(s)
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { assert.NoError(t, a.client(t).Reconcile(t.Context(), hook, time.Now().Add(-time.Hour), s)) })
		}
		for i, body := range a.events {
			if i%3 > 0 {
				all.Go(func() {
					time.Sleep(time.Duration(i) * 300 * time.Millisecond)
					assert.Equal(t, 200, serve(h, delivery(body)).Code)
				})
			}
		}
		all.Wait()
		assert.Equal(t, 250, s.events())
		for id, runs := range s.runs {
			assert.Equal(t, 1, runs, id)
		}
	})
}

// Rule: an event that another delivery is busy with is left to it and told of.
func TestReconcileInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newEventsAPI(3)
		hook, _ := newHook(t)
		s := &shop{do: func(_ http.ResponseWriter, _ *http.Request, e *opn.Event) {
			if e.ID == "evnt_test_001" {
				time.Sleep(20 * time.Second)
			}
		}}
		var busy sync.WaitGroup
		busy.Go(func() { serve(hook.Handler(s), delivery(a.events[1])) })
		synctest.Wait()
		err := a.client(t).Reconcile(t.Context(), hook, time.Now().Add(-time.Hour), s)
		var outcome *midhook.OutcomeError
		require.ErrorAs(t, err, &outcome)
		assert.Equal(t, midhook.OutcomeInFlight, outcome.Outcome)
		assert.EqualError(t, err, `opn: reconcile: event "evnt_test_001": midhook: in_flight`)
		assert.Equal(t, 3, s.events(), "the others are handled")
		assert.Equal(t, 1, s.times("evnt_test_001"))
		busy.Wait()
		assert.NoError(t, a.client(t).Reconcile(t.Context(), hook, time.Now().Add(-time.Hour), s))
		assert.Equal(t, 1, s.times("evnt_test_001"))
	})
}

// Rule: an event that fails, even with a panic, keeps no other from being handled
// and is handled by a later run; the error names some and counts the rest.
func TestReconcileFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newEventsAPI(250)
		hook, rec := newHook(t)
		broken := true
		s := &shop{do: func(w http.ResponseWriter, _ *http.Request, e *opn.Event) {
			switch {
			case broken && e.ID == "evnt_test_000":
				panic("poison")
			case broken && e.ID == "evnt_test_001":
				panic(http.ErrAbortHandler)
			case broken && strings.HasSuffix(e.ID, "7"):
				w.WriteHeader(http.StatusInternalServerError)
			}
		}}
		from := time.Now().Add(-time.Hour)
		err := a.client(t).Reconcile(t.Context(), hook, from, s)
		require.Error(t, err)
		assert.Equal(t, 250, s.events())
		lines := strings.Split(err.Error(), "\n")
		require.Len(t, lines, 11)
		assert.Equal(t, `opn: reconcile: event "evnt_test_000": midhook: handler_panicked`, lines[0])
		assert.Equal(t, `event "evnt_test_007": midhook: handler_failed: handler answered 500`, lines[2])
		assert.Equal(t, "17 more events were not handled", lines[10])
		assert.Contains(t, rec.logged(), "poison")

		broken = false
		require.NoError(t, a.client(t).Reconcile(t.Context(), hook, from, s))
		assert.Equal(t, 2, s.times("evnt_test_000"))
		assert.Equal(t, 2, s.times("evnt_test_007"))
		assert.Equal(t, 1, s.times("evnt_test_008"))
	})
}

// Rule: a run ends with its context, and says so; what ends it is never hidden by
// the events that failed before.
func TestReconcileEnds(t *testing.T) {
	hook, _ := newHook(t)
	a := newEventsAPI(250)
	from := time.Now().Add(-time.Hour)

	ctx, cancel := context.WithCancelCause(t.Context())
	shutdown := errors.New("the server shuts down")
	s := &shop{}
	s.do = func(w http.ResponseWriter, _ *http.Request, _ *opn.Event) {
		w.WriteHeader(http.StatusInternalServerError)
		if s.events() == 20 {
			cancel(shutdown)
		}
	}
	err := a.client(t).Reconcile(ctx, hook, from, s)
	require.ErrorIs(t, err, shutdown)
	assert.ErrorContains(t, err, "10 more")
	assert.Equal(t, 20, s.events())
	assert.Equal(t, 1, a.calls())

	for name, c := range map[string]struct {
		hook *midhook.Middleware
		next http.Handler
		from time.Time
	}{"no middleware": {nil, s, from}, "no handler": {hook, nil, from}, "no from": {hook, s, time.Time{}}, "from in the future": {hook, s, from.Add(24 * time.Hour)}} {
		assert.Error(t, a.client(t).Reconcile(t.Context(), c.hook, c.from, c.next), name)
	}
	assert.Equal(t, 1, a.calls())

	a.tamper = func(_ int, list map[string]any) *http.Response {
		list["data"] = []any{map[string]any{"id": "evnt_test_again", "key": "charge.create"}}
		return nil
	}
	s.do = nil
	err = a.client(t).Reconcile(t.Context(), hook, from, s)
	require.ErrorIs(t, err, opn.ErrUnavailable)
	assert.Equal(t, 1, s.times("evnt_test_again"), "a server that lists the same for ever")
	assert.Equal(t, 3, a.calls())
}

// Rule: what the store cannot claim is not run, and not lost.
func TestReconcileStoreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := midhooktest.NewFaultyStore(midhook.NewLRUStore(100))
		store.SetDown(true)
		hook, _ := newHook(t, midhook.WithStore(store))
		s := &shop{}
		c := newEventsAPI(2).client(t)
		from := time.Now().Add(-time.Hour)
		err := c.Reconcile(t.Context(), hook, from, s)
		require.ErrorIs(t, err, midhooktest.ErrStoreFault)
		assert.Zero(t, s.events())
		store.Heal()
		require.NoError(t, c.Reconcile(t.Context(), hook, from, s))
		assert.Equal(t, 2, s.events())
	})
}

// Rule: an API that ignores from or to would have years of charges handled again.
func TestReconcileOutsideOfTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for name, at := range map[string]time.Time{"before": now.Add(-2 * time.Hour), "after": now.Add(time.Hour)} {
			a := newEventsAPI(0)
			a.events = []string{fmt.Sprintf(`{"id":"evnt_test_1","key":"charge.complete","created_at":%q}`, at.UTC().Format(time.RFC3339))}
			hook, _ := newHook(t)
			s := &shop{}
			err := a.client(t).Reconcile(t.Context(), hook, now.Add(-time.Hour), s)
			assert.ErrorIs(t, err, opn.ErrUnavailable, name)
			assert.Zero(t, s.events(), name)
		}
		a := newEventsAPI(0)
		a.events = []string{fmt.Sprintf(`{"id":"evnt_test_1","key":"charge.complete","created_at":%q}`, now.UTC().Format(time.RFC3339))}
		hook, _ := newHook(t)
		s := &shop{}
		assert.NoError(t, a.client(t).Reconcile(t.Context(), hook, now.Add(-time.Hour), s))
		assert.Equal(t, 1, s.events())
	})
}

// Rule: a store that fails for a moment when the event is marked does not have
// Reconcile hand it on again.
func TestReconcileAfterAFinishThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newEventsAPI(1)
		hook, rec := newHook(t, midhook.WithStore(&forgetful{Store: midhook.NewLRUStore(8), failures: 4}))
		s := &shop{}
		assert.Equal(t, 200, serve(hook.Handler(s), delivery(a.events[0])).Code)
		assert.NotContains(t, rec.logged(), "store blinks")
		assert.NoError(t, a.client(t).Reconcile(t.Context(), hook, time.Now().Add(-time.Hour), s))
		assert.Equal(t, 1, s.events())
	})
}

// forgetful is a store that cannot mark events at first.
type forgetful struct {
	midhook.Store
	failures int
}

func (f *forgetful) Finish(ctx context.Context, c midhook.Claim, keep time.Duration) error {
	if f.failures > 0 {
		f.failures--
		return errors.New("store blinks")
	}
	return f.Store.Finish(ctx, c, keep)
}

// listing is an events API that lists what happened within the time it is asked for.
type listing struct {
	*eventsAPI
	oldest time.Time // that it was asked for
}

type happened struct {
	id string
	at time.Time
}

func newListing(events *[]happened) *listing {
	l := &listing{eventsAPI: newEventsAPI(0)}
	l.tamper = func(call int, list map[string]any) *http.Response {
		from, _ := time.Parse(time.RFC3339, list["from"].(string))
		to, _ := time.Parse(time.RFC3339, list["to"].(string))
		if l.oldest.IsZero() || from.Before(l.oldest) {
			l.oldest = from
		}
		data := []any{}
		for _, e := range *events {
			if at := e.at.Truncate(time.Second); !at.Before(from) && !at.After(to) {
				data = append(data, map[string]any{"id": e.id, "key": "charge.complete", "created_at": at.UTC().Format(time.RFC3339)})
			}
		}
		list["total"] = len(data)
		list["data"] = data[min(len(data), list["offset"].(int)):]
		return nil
	}
	return l
}

// Rule: an event that always fails, or that cannot be read, has no other handled
// again, however long it goes on; neither does an outage that is longer than the
// store remembers, nor a loop that begins at the same time for ever.
func TestReconcileForDays(t *testing.T) {
	for name, test := range map[string]struct {
		poison  string
		patient bool          // the loop goes on after an error that is Complete
		outage  time.Duration // of the loop
	}{
		"nothing wrong":               {patient: true},
		"poison":                      {poison: "evnt_poison", patient: true},
		"unreadable":                  {poison: "", patient: true},
		"poison, the same from":       {poison: "evnt_poison"},
		"outage of days":              {patient: true, outage: 60 * time.Hour},
		"outage of days, and poison":  {poison: "evnt_poison", patient: true, outage: 60 * time.Hour},
		"outage of days, same from":   {poison: "evnt_poison", outage: 60 * time.Hour},
		"outage as long as the store": {patient: true, outage: 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var events []happened
				api := newListing(&events)
				hook, _ := newHook(t)
				require.Equal(t, 24*time.Hour, hook.Keep())
				s := &shop{do: func(w http.ResponseWriter, _ *http.Request, e *opn.Event) {
					if e.ID == "evnt_poison" {
						w.WriteHeader(http.StatusInternalServerError)
					}
				}}
				client := api.client(t)
				h := hook.Handler(s)
				if name == "unreadable" {
					events = append(events, happened{"", began})
				} else if test.poison != "" {
					events = append(events, happened{test.poison, began})
				}
				from, outageFrom := began.Add(-time.Hour), began.Add(10*time.Hour)
				for round := 0; time.Since(began) < 100*time.Hour; round++ {
					now := time.Now()
					id := fmt.Sprintf("evnt_%d", round)
					events = append(events, happened{id, now})
					if round%2 == 0 { // the others are lost
						serve(h, delivery(chargeEvent(id)))
					}
					if now.Before(outageFrom) || now.Sub(outageFrom) >= test.outage {
						err := client.Reconcile(t.Context(), hook, from, s)
						var left *opn.ReconcileError
						if err == nil || test.patient && errors.As(err, &left) && left.Complete() {
							from = now.Add(-time.Hour)
						}
						assert.LessOrEqual(t, now.Sub(api.oldest), 24*time.Hour, "no run goes further back than the store remembers")
						api.oldest = time.Time{}
					}
					time.Sleep(30 * time.Minute)
				}
				missed := 0
				for _, e := range events {
					switch runs := s.times(e.id); {
					case e.id == "evnt_poison" || e.id == "":
					case runs > 1:
						t.Fatalf("%s, %v after the start, was handled %d times", e.id, e.at.Sub(began), runs)
					case runs == 0:
						missed++
						assert.Positive(t, test.outage)
					}
				}
				if lost := int((test.outage - 23*time.Hour) / time.Hour); missed > max(0, lost+2) {
					t.Errorf("%d events were missed, %d at most can be", missed, lost)
				}
			})
		})
	}
}

// Rule: what a run left out is told apart: what failed, what cannot be read, and from
// when on events were looked at. Only the first is worth another run from the same
// time.
func TestReconcileTellsWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		events := []happened{{"evnt_1", now}}
		api := newListing(&events)
		hook, _ := newHook(t, midhook.WithKeep(48*time.Hour))
		fails := false
		s := &shop{do: func(w http.ResponseWriter, _ *http.Request, _ *opn.Event) {
			if fails {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}}
		reconcile := func(ago time.Duration) *opn.ReconcileError {
			err := api.client(t).Reconcile(t.Context(), hook, now.Add(-ago), s)
			var left *opn.ReconcileError
			require.ErrorAs(t, err, &left)
			return left
		}
		require.NoError(t, api.client(t).Reconcile(t.Context(), hook, now.Add(-46*time.Hour), s), "within what the store remembers")

		left := reconcile(72 * time.Hour)
		assert.True(t, left.Complete())
		assert.Equal(t, 46*time.Hour, now.Sub(left.Since))
		assert.EqualError(t, left, "opn: reconcile: nothing before "+left.Since.UTC().Format(time.RFC3339)+" was looked at: the store may have forgotten what was handled then")

		for range 12 {
			events = append(events, happened{"", now.Add(-time.Hour)})
		}
		tamper := api.tamper
		api.tamper = func(call int, list map[string]any) *http.Response {
			tamper(call, list)
			for i, e := range list["data"].([]any) {
				if event := e.(map[string]any); event["id"] == "" {
					event["nr"] = fmt.Sprint("sensitive", i)
				}
			}
			return nil
		}
		left = reconcile(2 * time.Hour)
		assert.True(t, left.Complete(), "another run meets them again")
		assert.True(t, left.Since.IsZero())
		assert.Equal(t, 12, left.UnreadableCount)
		require.Len(t, left.Unreadable, 10)
		require.ErrorIs(t, left, midhook.ErrMalformed)
		assert.Contains(t, left.Error(), "2 more events cannot be read")
		var unreadable *opn.UnreadableError
		require.ErrorAs(t, left.Unreadable[0], &unreadable)
		assert.Contains(t, string(unreadable.Raw()), "sensitive")
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			assert.NotContains(t, fmt.Sprintf(verb, unreadable), "sensitive")
		}

		fails = true
		events = append(events, happened{"evnt_2", now})
		left = reconcile(2 * time.Hour)
		assert.False(t, left.Complete())
		assert.Equal(t, 1, left.FailedCount)
		assert.Equal(t, 12, left.UnreadableCount)
		var outcome *midhook.OutcomeError
		require.ErrorAs(t, left.Failed[0], &outcome)
		assert.Equal(t, midhook.OutcomeHandlerFailed, outcome.Outcome)
	})
}

// Rule: an event that becomes older than the store remembers while a long run goes
// on is left out and counted, for it may have been handled.
func TestReconcileThatTakesLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		events := []happened{{"evnt_1", now.Add(-50 * time.Minute)}, {"evnt_2", now.Add(-50 * time.Minute)}, {"evnt_3", now}}
		api := newListing(&events)
		hook, _ := newHook(t, midhook.WithKeep(time.Hour))
		s := &shop{}
		s.do = func(_ http.ResponseWriter, _ *http.Request, e *opn.Event) {
			if e.ID == "evnt_1" {
				time.Sleep(15 * time.Minute)
			}
		}
		err := api.client(t).Reconcile(t.Context(), hook, now.Add(-55*time.Minute), s)
		var left *opn.ReconcileError
		require.ErrorAs(t, err, &left)
		assert.Equal(t, 1, left.Skipped)
		assert.Zero(t, s.times("evnt_2"))
		assert.Equal(t, 1, s.times("evnt_3"))
	})
}
