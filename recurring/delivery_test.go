package recurring_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"golang.org/x/time/rate"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/recurring"
)

// Rule: a slow API is answered at the budget, and Midtrans comes again.
func TestSlowAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newAPI()
		api.answer = func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, context.Cause(r.Context())
		}
		s := newShop(t, api, shopOptions{hook: []midhook.Option{midhook.WithStore(untouched{t})}})
		start := time.Now()
		w := s.post(documented)
		assert.Equal(t, http.StatusServiceUnavailable, w.Code)
		assert.Equal(t, 5*time.Second, time.Since(start))
		assert.Zero(t, s.runs.Load())
		synctest.Wait()
		assertNothingSensitive(t, s.printed())
	})
}

// Rule: however many bodies a stranger sends, the API is asked no more often than
// the rate allows, and nobody waits beyond the budget.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, burst, flood = 9.9, 5, 1000 // no call is due just when the budget ends
		api := newAPI()
		s := newShop(t, api, shopOptions{limit: limit, burst: burst, hook: []midhook.Option{midhook.WithStore(untouched{t})}})
		start := time.Now()
		codes := map[int]int{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range flood {
			wg.Go(func() {
				bodies := []string{charge("made-up", txID, "capture"), `{"id":"made-up"}`, strings.ReplaceAll(failed("411"), subID, "made-up")}
				code := s.post(bodies[i%len(bodies)]).Code
				mu.Lock()
				defer mu.Unlock()
				codes[code]++
			})
		}
		wg.Wait()
		elapsed := time.Since(start)
		assert.LessOrEqual(t, elapsed, 5*time.Second)
		assert.LessOrEqual(t, api.count(), burst+int(limit*elapsed.Seconds()+1e-6)) // the limiter rounds to nanoseconds
		assert.GreaterOrEqual(t, api.count(), burst)
		assert.Equal(t, api.count(), codes[http.StatusForbidden], "each call was somebody's")
		assert.Equal(t, flood, codes[http.StatusForbidden]+codes[http.StatusServiceUnavailable])
		assert.Zero(t, s.runs.Load())

		time.Sleep(time.Second) // of the bubble: the flood is over
		store := newShop(t, api, shopOptions{limit: limit, burst: burst})
		assert.Equal(t, http.StatusOK, store.post(documented).Code)
	})
}

// Rule: what Midtrans has signed is not held up by what anyone can write.
func TestFloodBesideSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newAPI()
		s := newShop(t, api, shopOptions{limit: 20, burst: 40})
		flood := func() {
			var all sync.WaitGroup
			for range 400 {
				all.Go(func() { s.post(charge("made-up", txID, "capture")) })
			}
			all.Wait()
		}
		for i := range 5 {
			go flood()
			time.Sleep(time.Second)
			code := s.post(payment("capture", testKey)).Code
			assert.Equal(t, http.StatusOK, code, i)
		}
		time.Sleep(time.Minute)
		assert.Equal(t, int64(1), s.runs.Load())
	})
}

// Rule: the rate bounds charges, too, whose second call may have to wait.
func TestRateOfCharges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, newAPI(), shopOptions{limit: rate.Every(2 * time.Second), burst: 1})
		start := time.Now()
		assert.Equal(t, http.StatusOK, s.post(documented).Code)
		assert.Equal(t, 2*time.Second, time.Since(start))

		s = newShop(t, newAPI(), shopOptions{limit: rate.Every(time.Minute), burst: 1})
		start = time.Now()
		assert.Equal(t, http.StatusServiceUnavailable, s.post(documented).Code)
		assert.Equal(t, midhook.OutcomeRateLimited, s.last().Outcome)
		assert.Zero(t, time.Since(start), "a wait beyond the budget is not begun")
	})
}

// Rule: duplicates at once run the handler once.
func TestDuplicatesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, newAPI(), shopOptions{})
		s.do = func(context.Context, *recurring.Notification) error { time.Sleep(time.Second); return nil }
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() { s.post([]string{documented, payment("capture", testKey)}[i%2]) })
		}
		wg.Wait()
		assert.EqualValues(t, 1, s.runs.Load())
		assert.Equal(t, http.StatusOK, s.post(documented).Code)
		assert.EqualValues(t, 1, s.runs.Load())
	})
}

// Rule: a handler that failed or panicked runs again.
func TestHandlerFailure(t *testing.T) {
	for _, body := range []string{documented, subscription(), failed("411"), payment("capture", testKey)} {
		s := newShop(t, newAPI(), shopOptions{})
		s.do = func(context.Context, *recurring.Notification) error { return errors.New("database is away") }
		assert.Equal(t, http.StatusServiceUnavailable, s.post(body).Code)
		s.do = func(context.Context, *recurring.Notification) error { panic("bug") }
		assert.Panics(t, func() { s.post(body) })
		s.do = nil
		assert.Equal(t, http.StatusOK, s.post(body).Code)
		assert.Equal(t, http.StatusOK, s.post(body).Code)
		assert.EqualValues(t, 3, s.runs.Load())
		assertNothingSensitive(t, s.printed())
	}
}
