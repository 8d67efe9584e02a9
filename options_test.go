package midhook_test

import (
	"context"
	"fmt"
	"math"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// New lists everything that is wrong, and quotes no key.
func TestNewRefusesAllAtOnce(t *testing.T) {
	hook, err := midhook.New("SB-Mid-client-abc",
		midhook.WithServerKey("next", " "),
		midhook.WithServerKey("next", "Mid-client-abc"),
		midhook.WithServerKey("default", testKey),
		midhook.WithServerKey("", testKey),
		midhook.WithServerKey("newline", testKey+"\n"),
		midhook.WithBudget(15*time.Second),
		midhook.WithGrace(-1),
		midhook.WithMaxBodyBytes(0),
		midhook.WithKeep(0),
		midhook.WithHandlerRate(0, 1),
		midhook.WithHandlerRate(1, 0),
		midhook.WithStore(nil),
		midhook.WithStore(midhook.NewLRUStore(0)),
		midhook.WithObserver(nil),
		midhook.WithLogger(nil),
		nil,
	)
	require.Error(t, err)
	assert.Nil(t, hook)
	lines := strings.Split(err.Error(), "\n")
	assert.Len(t, lines, 18, err.Error())
	for _, want := range []string{"client key", "empty", "white space", "label", "15s", "grace", "body", "keep", "rate", "store", "size", "observer", "logger", "option 16"} {
		assert.Contains(t, err.Error(), want)
	}
	assert.NotContains(t, err.Error(), "abc")
	assert.NotContains(t, err.Error(), testKey)

	for _, key := range []string{"", " \t", "Mid-client-x", "SB-Mid-client-x"} {
		_, err := midhook.New(key)
		assert.Error(t, err, "key %q", key)
	}
	for _, d := range []time.Duration{-1, 0, 15 * time.Second, time.Hour} {
		_, err := midhook.New(testKey, midhook.WithBudget(d))
		assert.Error(t, err, "budget %v", d)
	}
	_, err = midhook.New(testKey, midhook.WithBudget(15*time.Second-1), midhook.WithGrace(0))
	assert.NoError(t, err)
}

// Rotation works in either order, and sandbox beside production; the label says
// which key it was.
func TestSeveralKeys(t *testing.T) {
	const old, next, sandbox = "Mid-server-old-test", "Mid-server-new-test", "SB-Mid-server-test"
	for _, keys := range [][2]string{{old, next}, {next, old}} {
		var e midhook.Event
		hook, err := midhook.New(keys[0], midhook.WithServerKey("other", keys[1]), midhook.WithServerKey("sandbox", sandbox),
			midhook.WithLogger(discard), midhook.WithObserver(func(_ context.Context, got midhook.Event) { e = got }))
		require.NoError(t, err)
		h := hook.Handler(&counter{})
		for key, label := range map[string]string{keys[0]: "default", keys[1]: "other", sandbox: "sandbox", "Mid-server-gone-test": ""} {
			h.ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay", midhooktest.Order("order "+label)), key))
			assert.Equal(t, label, e.KeyLabel)
			assert.Equal(t, label == "", e.Outcome == midhook.OutcomeForged)
		}
	}
}

// Waiting for the handler rate is within the budget, and duplicates don't wait.
func TestHandlerRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook, _ := newHook(t, midhook.WithHandlerRate(1, 1))
		next := &counter{}
		h := hook.Handler(next)
		codes := map[int]int{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay", midhooktest.Order(fmt.Sprint(i))), testKey))
				mu.Lock()
				defer mu.Unlock()
				codes[w.Code]++
			})
		}
		start := time.Now()
		wg.Wait()
		assert.LessOrEqual(t, time.Since(start), 5*time.Second)
		assert.Equal(t, 20, codes[200]+codes[503])
		assert.Contains(t, []int{5, 6}, codes[200], "one at once and one a second")
		assert.Contains(t, []int64{int64(codes[200]), 6}, next.runs.Load())
	})
}

// Rule: a rate that is no number is no rate.
func TestNewRefusesNaN(t *testing.T) {
	_, err := midhook.New(testKey, midhook.WithHandlerRate(rate.Limit(math.NaN()), 1))
	assert.ErrorContains(t, err, "handler rate NaN")
}
