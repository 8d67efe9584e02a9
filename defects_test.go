package midhook_test

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// defects are the kinds of mistakes that the best-known webhook and idempotency
// libraries have had, from their public issues, and what shows that none is here.
var defects = map[string]func(t *testing.T){
	"an empty key is accepted": func(t *testing.T) {
		n := midhooktest.Sample("gopay")
		sum := sha512.Sum512([]byte(n.OrderID + n.StatusCode + n.GrossAmount)) // signed with ""
		n.SignatureKey = hex.EncodeToString(sum[:])
		assert.ErrorIs(t, midhook.Verify(n, ""), midhook.ErrSignature)
		assert.ErrorIs(t, midhook.Verify(n), midhook.ErrSignature)
		_, err := midhook.New("")
		assert.Error(t, err)
	},
	"an empty body is accepted": func(t *testing.T) {
		for _, body := range []string{"", " ", "{}", `""`} {
			runs, answer := deliverOnce(t, []byte(body))
			assert.Zero(t, runs, body)
			assert.Equal(t, 400, answer.Code, body)
		}
	},
	"the expected digest is printed in an error": func(t *testing.T) {
		n := midhooktest.Sample("gopay")
		expected := midhooktest.Sign(n, testKey)
		n.SignatureKey = strings.Repeat("0", len(expected))
		err := midhook.Verify(n, testKey)
		require.ErrorIs(t, err, midhook.ErrSignature)
		assert.NotContains(t, fmt.Sprintf("%+v", err), expected[:8])
	},
	"a key is marked as seen before the handler has succeeded": func(t *testing.T) {
		store, statuses := midhook.NewLRUStore(10), []int{500, 404, 200, 500}
		next := &counter{do: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(statuses[0])
			statuses = statuses[1:]
		}}
		for _, want := range []int{503, 404, 200, 200} {
			assert.Equal(t, want, deliverTo(t, next, notify("gopay"), midhook.WithStore(store)).Code)
		}
		assert.Equal(t, int64(3), next.runs.Load())
	},
	"a written 500 is kept and replayed": func(t *testing.T) {
		store, fails := midhook.NewLRUStore(10), true
		next := &counter{do: func(w http.ResponseWriter, _ *http.Request) {
			if fails {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}}
		deliverTo(t, next, notify("gopay"), midhook.WithStore(store))
		fails = false
		assert.Equal(t, 200, deliverTo(t, next, notify("gopay"), midhook.WithStore(store)).Code)
	},
	"duplicates wait for ever": func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store := midhook.NewLRUStore(10)
			next := &counter{do: func(http.ResponseWriter, *http.Request) { time.Sleep(time.Hour) }}
			go deliverTo(t, next, notify("gopay"), midhook.WithStore(store))
			synctest.Wait()
			began := time.Now()
			assert.Equal(t, 503, deliverTo(t, next, notify("gopay"), midhook.WithStore(store)).Code)
			assert.LessOrEqual(t, time.Since(began), 5*time.Second)
			time.Sleep(2 * time.Hour)
		})
	},
	"eviction frees a claim that is running": func(t *testing.T) {
		store := midhook.NewLRUStore(2)
		running := midhook.Claim{Key: "running", Owner: "a", Lease: time.Hour}
		acquire(t, store, running, midhook.Acquired)
		for i := range 10 {
			other := midhook.Claim{Key: fmt.Sprint(i), Owner: "b", Lease: time.Hour}
			acquire(t, store, other, midhook.Acquired)
			require.NoError(t, store.Finish(t.Context(), other, time.Hour))
		}
		running.Owner = "b"
		acquire(t, store, running, midhook.InFlight)
	},
	"a stale owner frees its successor's claim": func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store := midhook.NewLRUStore(2)
			stale := midhook.Claim{Key: "E", Owner: "stale", Lease: time.Second}
			acquire(t, store, stale, midhook.Acquired)
			time.Sleep(time.Minute)
			successor := midhook.Claim{Key: "E", Owner: "successor", Lease: time.Hour}
			acquire(t, store, successor, midhook.Acquired)
			assert.ErrorIs(t, store.Release(t.Context(), stale), midhook.ErrNotOwner)
			assert.ErrorIs(t, store.Finish(t.Context(), stale, time.Hour), midhook.ErrNotOwner)
			acquire(t, store, midhook.Claim{Key: "E", Owner: "third", Lease: time.Hour}, midhook.InFlight)
		})
	},
	"rotation stops at the first key that is wrong": func(t *testing.T) {
		n, err := midhook.Parse(notify("gopay"))
		require.NoError(t, err)
		for _, keys := range [][]string{{testKey, "wrong-1", "wrong-2"}, {"wrong-1", testKey, "wrong-2"}, {"wrong-1", "wrong-2", testKey}} {
			assert.NoError(t, midhook.Verify(n, keys...))
		}
	},
	"io.Copy goes around the recorder by io.ReaderFrom": func(t *testing.T) {
		next := &counter{do: func(w http.ResponseWriter, _ *http.Request) {
			_, err := io.Copy(w, strings.NewReader("thanks"))
			assert.NoError(t, err)
			panic(http.ErrAbortHandler)
		}}
		hook, rec := newHook(t)
		w := &readsFrom{ResponseRecorder: httptest.NewRecorder()}
		assert.Panics(t, func() {
			hook.Handler(next).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(notify("gopay"))))
		})
		assert.False(t, w.used)
		assert.Empty(t, w.Body.String(), "what was written is kept back until the handler has succeeded")
		assert.Equal(t, midhook.OutcomeHandlerPanicked, rec.last().Outcome)
	},
	"null panics": func(t *testing.T) {
		for _, body := range []string{"null", "[null]", `{"order_id":null,"status_code":null,"gross_amount":null,"signature_key":null}`} {
			runs, answer := deliverOnce(t, []byte(body))
			assert.Zero(t, runs)
			assert.Equal(t, 400, answer.Code)
		}
		assert.ErrorIs(t, midhook.Verify(nil, testKey), midhook.ErrSignature)
	},
	"a late panic is lost": func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			hook, rec := newHook(t, midhook.WithDetachedHandler())
			h := hook.Handler(&counter{do: func(http.ResponseWriter, *http.Request) {
				time.Sleep(time.Minute)
				panic("nil pointer")
			}})
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(notify("gopay"))))
			time.Sleep(time.Hour)
			assert.Equal(t, midhook.OutcomeLateFailed, rec.last().Outcome)
			assert.ErrorContains(t, rec.last().Err, "nil pointer")
		})
	},
	"a cleanup goroutine never ends": func(t *testing.T) {
		before := runtime.NumGoroutine()
		for range 100 {
			_, err := midhook.New(testKey, midhook.WithStore(midhook.NewLRUStore(10)))
			require.NoError(t, err)
		}
		assert.LessOrEqual(t, runtime.NumGoroutine(), before+10)
	},
	"a client that has gone is told as a bad signature": func(t *testing.T) {
		hook, rec := newHook(t)
		body := notify("gopay")
		r := httptest.NewRequest(http.MethodPost, "/", io.MultiReader(bytes.NewReader(body[:100]), broken{}))
		r.ContentLength = int64(len(body))
		hook.Handler(&counter{}).ServeHTTP(httptest.NewRecorder(), r)
		assert.Equal(t, midhook.OutcomeBodyIncomplete, rec.last().Outcome)
		assert.NotErrorIs(t, rec.last().Err, midhook.ErrSignature)
	},
	"a body that someone has read before is told as a bad signature": func(t *testing.T) {
		hook, rec := newHook(t)
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(notify("gopay")))
		_, _ = io.ReadAll(r.Body)
		hook.Handler(&counter{}).ServeHTTP(httptest.NewRecorder(), r)
		assert.Equal(t, midhook.OutcomeBodyIncomplete, rec.last().Outcome)
		assert.ErrorContains(t, rec.last().Err, "outer middleware")
	},
	"a process that died blocks its event for as long as handled ones are kept": func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			shared := midhook.NewLRUStore(10)
			dying := &mortal{Store: shared}
			hook, _ := newHook(t, midhook.WithStore(dying), midhook.WithKeep(24*time.Hour))
			h := hook.HandlerFunc(func(context.Context, *midhook.Notification) error {
				dying.mu.Lock()
				dying.dead = true
				dying.mu.Unlock()
				return nil
			})
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(notify("gopay"))))
			time.Sleep(33 * time.Second) // Midtrans' earliest retry
			again, rec := newHook(t, midhook.WithStore(shared))
			again.Handler(&counter{}).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(notify("gopay"))))
			assert.Equal(t, midhook.OutcomeHandled, rec.last().Outcome)
		})
	},
	"a claim is given back by one way to end a handler alone": func(t *testing.T) {
		for name, end := range map[string]http.HandlerFunc{
			"panic":        func(http.ResponseWriter, *http.Request) { panic("nil pointer") },
			"Goexit":       func(http.ResponseWriter, *http.Request) { runtime.Goexit() },
			"a bare 503":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) },
			"a redirect":   func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) },
			"half a write": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "do"); panic("nil pointer") },
		} {
			store := midhook.NewLRUStore(10)
			next := &counter{do: end}
			deliverTo(t, next, notify("gopay"), midhook.WithStore(store))
			next.do = nil
			assert.Equal(t, 200, deliverTo(t, next, notify("gopay"), midhook.WithStore(store)).Code, name)
			assert.Equal(t, int64(2), next.runs.Load(), name)
		}
	},
	"what has waited for a lock runs without looking whether it still must": func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store := midhook.NewLRUStore(10)
			next := &counter{do: func(http.ResponseWriter, *http.Request) { time.Sleep(time.Second) }}
			go deliverTo(t, next, notify("gopay"), midhook.WithStore(store))
			synctest.Wait()
			late := notify("gopay", midhooktest.Status("201", "pending")) // it waits for the settlement, which supersedes it
			assert.Equal(t, 200, deliverTo(t, next, late, midhook.WithStore(store)).Code)
			assert.Equal(t, int64(1), next.runs.Load())
		})
	},
}

// deliverOnce delivers a body to a handler that counts, and to nobody else.
func deliverOnce(t *testing.T, body []byte) (runs int64, answer *httptest.ResponseRecorder) {
	next := &counter{}
	answer = deliverTo(t, next, body, midhook.WithStore(midhook.NewLRUStore(10)))
	return next.runs.Load(), answer
}

// deliverTo delivers a body in this process, and survives what the handler does.
func deliverTo(t *testing.T, next http.Handler, body []byte, opts ...midhook.Option) *httptest.ResponseRecorder {
	hook, _ := newHook(t, opts...)
	h, w := hook.Handler(next), httptest.NewRecorder()
	var end sync.WaitGroup
	end.Go(func() {
		defer func() { _ = recover() }() // the handler's
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body)))
	})
	end.Wait()
	return w
}

func acquire(t *testing.T, store midhook.Store, c midhook.Claim, want midhook.ClaimState) {
	t.Helper()
	state, err := store.Acquire(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, want, state)
}

// readsFrom is a ResponseWriter with a way around whoever wraps it.
type readsFrom struct {
	*httptest.ResponseRecorder
	used bool
}

func (w *readsFrom) ReadFrom(r io.Reader) (int64, error) {
	w.used = true
	return w.Body.ReadFrom(r)
}

// broken is a connection whose client has gone.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("connection reset by peer") }

func TestDefectsOfOthers(t *testing.T) {
	for defect, showAbsence := range defects {
		t.Run(defect, showAbsence)
	}
}
