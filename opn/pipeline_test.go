package opn_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/opn"
)

// Rule: the pipeline answers a delivery as any other gateway's, and hands it on
// with its event and its body.
func TestPipeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook, rec := newHook(t)
		var body []byte
		s := &shop{do: func(w http.ResponseWriter, r *http.Request, e *opn.Event) {
			body = make([]byte, r.ContentLength)
			_, err := r.Body.Read(body)
			assert.NoError(t, err)
			if e.ID == "evnt_test_fails" {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}}
		h := hook.Handler(s)

		assert.Equal(t, 200, serve(h, delivery(testBody)).Code)
		assert.Equal(t, testBody, string(body))
		time.Sleep(time.Second)
		assert.Equal(t, 200, serve(h, delivery(testBody)).Code, "sent again, with a timestamp of its own")
		assert.Equal(t, 1, s.times("evnt_test_1"))

		assert.Equal(t, 503, serve(h, delivery(chargeEvent("evnt_test_fails"))).Code)
		assert.Equal(t, 403, serve(h, signedBy(otherSecret, "946684800", testBody)).Code)
		assert.Equal(t, 403, serve(h, httptest.NewRequest(http.MethodPost, "/", http.NoBody)).Code)
		assert.Equal(t, 400, serve(h, delivery(`{"id":"evnt_test_2"}`)).Code)
		assert.Equal(t, 405, serve(h, httptest.NewRequest(http.MethodGet, "/", http.NoBody)).Code)
		assert.Equal(t, []midhook.Outcome{
			midhook.OutcomeHandled, midhook.OutcomeDuplicate, midhook.OutcomeHandlerFailed, midhook.OutcomeForged,
			midhook.OutcomeForged, midhook.OutcomeMalformed, midhook.OutcomeMethodNotAllowed,
		}, rec.outcomes())
	})
}

// Rule: who has seen a delivery cannot have it handled again: within the
// tolerance its id is known, and after that its timestamp is old.
func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook, rec := newHook(t)
		s := &shop{}
		h := hook.Handler(s)
		seen := delivery(testBody).Header
		replay := func() int {
			r := delivery(testBody)
			r.Header = seen.Clone()
			return serve(h, r).Code
		}
		assert.Equal(t, 200, replay())
		time.Sleep(5 * time.Minute)
		assert.Equal(t, 200, replay())
		time.Sleep(time.Second)
		assert.Equal(t, 403, replay())
		time.Sleep(48 * time.Hour) // the store has forgotten it
		assert.Equal(t, 403, replay())
		assert.Equal(t, 1, s.times("evnt_test_1"))
		assert.Equal(t, []midhook.Outcome{midhook.OutcomeHandled, midhook.OutcomeDuplicate, midhook.OutcomeForged, midhook.OutcomeForged}, rec.outcomes())
		assert.Contains(t, rec.logged(), "behind this machine's clock", "a merchant whose clock is wrong must be able to see it")
	})
}

// Rule: of two deliveries at once the second waits for the first, for it may not
// come again; it is answered by what becomes of the first, or runs the handler.
func TestTwoAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		first func(http.ResponseWriter)
		runs  int
		codes []int // of the first and the second
		after []time.Duration
	}{
		"the first succeeds": {func(http.ResponseWriter) {}, 1, []int{200, 200}, []time.Duration{2 * time.Second, 2 * time.Second}},
		"the first fails":    {func(w http.ResponseWriter) { w.WriteHeader(500) }, 2, []int{503, 200}, []time.Duration{2 * time.Second, 4 * time.Second}},
		"the first panics":   {func(http.ResponseWriter) { panic("first") }, 2, []int{0, 200}, []time.Duration{2 * time.Second, 4 * time.Second}},
		"the first hangs":    {func(http.ResponseWriter) { time.Sleep(20 * time.Second) }, 1, []int{503, 503}, []time.Duration{22 * time.Second, 5 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hook, _ := newHook(t)
				s := &shop{}
				s.do = func(w http.ResponseWriter, _ *http.Request, e *opn.Event) {
					assert.Equal(t, int64(1), s.busy.Load(), "never two at once")
					first := s.times(e.ID) == 1
					time.Sleep(2 * time.Second)
					if first {
						c.first(w)
					}
				}
				h := hook.Handler(s)
				start := time.Now()
				var deliveries sync.WaitGroup
				for i := range c.codes {
					deliveries.Go(func() {
						w := httptest.NewRecorder()
						w.Code = 0
						func() {
							defer func() { recover() }() //nolint:errcheck // the first's own
							h.ServeHTTP(w, delivery(testBody))
						}()
						assert.Equal(t, c.codes[i], w.Code, "delivery %d", i)
						assert.InDelta(t, c.after[i].Seconds(), time.Since(start).Seconds(), 0.5, "delivery %d", i) // a pause is 0.4 s at most
					})
					synctest.Wait() // one after the other, but at one time
				}
				deliveries.Wait()
				assert.Equal(t, c.runs, s.times("evnt_test_1"))
			})
		})
	}
}

// Rule: a store that is away for less than the budget loses nothing.
func TestStoreAway(t *testing.T) {
	for away, code := range map[time.Duration]int{2 * time.Second: 200, 10 * time.Second: 503} {
		synctest.Test(t, func(t *testing.T) {
			store := midhooktest.NewFaultyStore(midhook.NewLRUStore(10))
			store.SetDown(true)
			hook, _ := newHook(t, midhook.WithStore(store))
			s := &shop{}
			start := time.Now()
			timer := time.AfterFunc(away, store.Heal)
			assert.Equal(t, code, serve(hook.Handler(s), delivery(testBody)).Code)
			assert.InDelta(t, min(away, 5*time.Second).Seconds(), time.Since(start).Seconds(), 0.5) // a pause is 0.4 s at most
			assert.Equal(t, code == 200, s.times("evnt_test_1") == 1)
			timer.Stop()
		})
	}
}
