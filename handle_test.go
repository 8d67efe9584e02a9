package midhook_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// A retry of each failure reaches the handler; a success ends the matter.
func TestOnlySuccessEndsTheMatter(t *testing.T) {
	for code, again := range map[int]bool{200: false, 204: false, 302: true, 307: true, 404: true, 500: true, 503: true} {
		hook, _ := newHook(t)
		next := &counter{do: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code) }}
		h := hook.Handler(next)
		for range 2 {
			h.ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
		}
		want := int64(1)
		if again {
			want = 2
		}
		assert.Equal(t, want, next.runs.Load(), "runs after %d", code)
	}
}

func TestHandlerFunc(t *testing.T) {
	boom := errors.New("database is away")
	for _, tt := range []struct {
		name    string
		err     error
		status  int
		body    string
		runs    int // after a second delivery
		outcome midhook.Outcome
	}{
		{"nil", nil, 200, "handled\n", 1, midhook.OutcomeHandled},
		{"error", boom, 503, "handler failed\n", 2, midhook.OutcomeHandlerFailed},
		{"permanent", fmt.Errorf("wrapped: %w", midhook.Permanent(boom)), 200, "handled\n", 1, midhook.OutcomeHandledPermanent},
		{"permanent nil", midhook.Permanent(nil), 200, "handled\n", 1, midhook.OutcomeHandled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hook, rec := newHook(t)
			runs := 0
			url, client := serve(t, hook.HandlerFunc(func(ctx context.Context, n *midhook.Notification) error {
				runs++
				fromContext, _ := midhook.FromContext(ctx)
				assert.Same(t, n, fromContext)
				return tt.err
			}))
			res := post(t, client, url, notify("gopay"))
			assert.Equal(t, tt.status, res.StatusCode)
			assert.Equal(t, tt.body, res.body)
			e := rec.last()
			assert.Equal(t, tt.outcome, e.Outcome)
			if tt.err != nil {
				assert.ErrorIs(t, e.Err, boom, "the error is reported")
				assert.Contains(t, rec.logged(), boom.Error())
			}
			post(t, client, url, notify("gopay"))
			assert.Equal(t, tt.runs, runs)
		})
	}
}

// Rule: a handler of another gateway's notifications is a mistake that loses
// nothing.
func TestHandleValueOfAnotherType(t *testing.T) {
	hook, rec := newCourier(t, courier{})
	w := hand(hook.HandlerFunc(func(context.Context, *midhook.Notification) error {
		t.Error("there is no notification to hand on")
		return nil
	}), `{"ID":"7"}`)
	assert.Equal(t, 503, w.Code)
	assert.ErrorContains(t, rec.last().Err, "the handler takes a *midhook.Notification, but this gateway gives a *midhook_test.parcel")
	assert.Panics(t, func() { midhook.HandleValue[*parcel](hook, nil) })
}

// Rule: what the API was asked for and what is delivered at the same time run the
// handler once.
func TestHandleMessageBesideADelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook, _ := newCourier(t, courier{})
		runs := &counter{do: func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			assert.JSONEq(t, `{"ID":"7"}`, string(body))
			_, ok := midhook.Value[*parcel](r.Context())
			assert.True(t, ok)
			time.Sleep(time.Second)
		}}
		msg := midhook.Message{Value: &parcel{ID: "7"}, Key: "courier 7"}
		delivered := make(chan int)
		go func() { delivered <- hand(hook.Handler(runs), `{"ID":"7"}`).Code }()
		synctest.Wait()
		err := hook.HandleMessage(t.Context(), msg, []byte(`{"ID":"7"}`), runs)
		failed, ok := errors.AsType[*midhook.OutcomeError](err)
		require.True(t, ok, "%v", err)
		assert.Equal(t, midhook.OutcomeInFlight, failed.Outcome)
		assert.Equal(t, 200, <-delivered)
		assert.NoError(t, hook.HandleMessage(t.Context(), msg, []byte(`{"ID":"7"}`), runs))
		assert.Equal(t, int64(1), runs.runs.Load())
		assert.ErrorContains(t, hook.HandleMessage(t.Context(), msg, nil, nil), "nil handler")
	})
}

// Rule: what was lost can be handed to the same handler that receives deliveries,
// which then runs by the claim of the call and does not meet it.
func TestHandleMessageTakesAReceiver(t *testing.T) {
	hook, rec := newCourier(t, courier{})
	inner := &counter{}
	runs := 0
	for name, next := range map[string]http.Handler{
		"Handler": hook.Handler(inner),
		"HandleValue": midhook.HandleValue(hook, func(_ context.Context, p *parcel) error {
			runs++
			return midhook.Permanent(errors.New("of another shop"))
		}),
	} {
		msg := midhook.Message{Value: &parcel{ID: name}, Key: "courier " + name}
		for range 2 {
			assert.NoError(t, hook.HandleMessage(t.Context(), msg, []byte(`{}`), next), name)
		}
	}
	assert.Equal(t, int64(1), inner.runs.Load())
	assert.Equal(t, 1, runs)
	assert.Contains(t, rec.outcomes(), midhook.OutcomeHandledPermanent)
}

// Rule: a nil error is a success, however late: only a handler that writes for
// itself can have given up without a word.
func TestHandlerFuncPastTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook, rec := newHook(t, midhook.WithGrace(0))
		h := hook.HandlerFunc(func(ctx context.Context, _ *midhook.Notification) error {
			time.Sleep(20 * time.Second)
			assert.ErrorIs(t, context.Cause(ctx), midhook.ErrGraceExceeded)
			return nil
		})
		body := string(notify("gopay"))
		hand(h, body)
		assert.Equal(t, []midhook.Outcome{midhook.OutcomeBudgetExceeded, midhook.OutcomeLateHandled}, rec.outcomes())
		assert.Equal(t, "already handled\n", hand(h, body).Body.String())
	})
}

// Rule: a handler that meets a delivery of its own Middleware runs directly, however
// it is wrapped, and the delivery learns how it ended.
func TestNestedHandlers(t *testing.T) {
	transient, permanent := errors.New("database away"), midhook.Permanent(errors.New("no such order"))
	for name, tt := range map[string]struct {
		returned error
		code     int
		outcome  midhook.Outcome
	}{
		"nil":       {nil, 200, midhook.OutcomeHandled},
		"transient": {transient, 503, midhook.OutcomeHandlerFailed},
		"Permanent": {permanent, 200, midhook.OutcomeHandledPermanent},
	} {
		t.Run(name, func(t *testing.T) {
			hook, rec := newHook(t)
			runs := 0
			h := hook.HandlerFunc(func(context.Context, *midhook.Notification) error { runs++; return tt.returned })
			outer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) })

			w := httptest.NewRecorder()
			hook.Attached().Handler(outer).ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
			assert.Equal(t, tt.code, w.Code)
			assert.Equal(t, tt.outcome, rec.last().Outcome)
			assert.ErrorIs(t, rec.last().Err, tt.returned)
			assert.Equal(t, 1, runs)

			n := midhooktest.Sample("gopay", midhooktest.Order("reconciled"))
			err := hook.HandleMessage(t.Context(), n.Message(""), midhooktest.Body(n, testKey), outer)
			if tt.outcome == midhook.OutcomeHandlerFailed {
				assert.ErrorIs(t, err, transient)
			} else {
				assert.NoError(t, err)
			}
			assert.Equal(t, 2, runs)
		})
	}
	t.Run("of another Middleware", func(t *testing.T) {
		hook, _ := newHook(t)
		other, _ := newHook(t)
		next := &counter{}
		w := httptest.NewRecorder()
		hook.Handler(other.Handler(next)).ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
		assert.Equal(t, 200, w.Code)
		assert.Equal(t, int64(1), next.runs.Load())
	})
}

// Rule: an error that joins several is permanent only if each of them is.
func TestPermanentParts(t *testing.T) {
	p, q, transient := midhook.Permanent(errors.New("p")), midhook.Permanent(errors.New("q")), errors.New("t")
	for _, tt := range []struct {
		err  error
		code int
	}{
		{p, 200}, {fmt.Errorf("order: %w", p), 200}, {errors.Join(p, q), 200}, {errors.Join(nil, p), 200},
		{errors.Join(p, transient), 503}, {fmt.Errorf("%w, and %w", p, transient), 503}, {errors.Join(p, errors.Join(q, transient)), 503}, {transient, 503},
	} {
		hook, _ := newHook(t)
		w := httptest.NewRecorder()
		hook.HandlerFunc(func(context.Context, *midhook.Notification) error { return tt.err }).
			ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
		assert.Equal(t, tt.code, w.Code, "%v", tt.err)
	}
}

// Rule: what a handler that returns an error has written decides, and the error is
// reported; permanent is permanent, whatever was written.
func TestHandlerWithError(t *testing.T) {
	boom := errors.New("database is away")
	for _, tt := range []struct {
		name    string
		write   int // 0: nothing
		err     error
		status  int
		body    string
		runs    int // after a second delivery
		outcome midhook.Outcome
	}{
		{"nothing", 0, nil, 200, "", 1, midhook.OutcomeHandled},
		{"an answer", 202, nil, 202, "own", 1, midhook.OutcomeHandled},
		{"an error", 0, boom, 503, "handler failed\n", 2, midhook.OutcomeHandlerFailed},
		{"an error beside a refusal", 409, boom, 409, "own", 2, midhook.OutcomeHandlerFailed},
		{"an error beside a 500", 500, boom, 503, "handler failed\n", 2, midhook.OutcomeHandlerFailed},
		{"an error beside a success", 202, boom, 202, "own", 1, midhook.OutcomeHandled},
		{"permanent", 0, midhook.Permanent(boom), 200, "handled\n", 1, midhook.OutcomeHandledPermanent},
		{"permanent beside a refusal", 409, midhook.Permanent(boom), 200, "handled\n", 1, midhook.OutcomeHandledPermanent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hook, rec := newHook(t)
			runs := 0
			h := hook.HandlerWithError(func(w http.ResponseWriter, _ *http.Request) error {
				runs++
				if tt.write != 0 {
					w.WriteHeader(tt.write)
					_, _ = io.WriteString(w, "own")
				}
				return tt.err
			})
			w := httptest.NewRecorder()
			h.ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
			assert.Equal(t, tt.status, w.Code)
			assert.Equal(t, tt.body, w.Body.String())
			e := rec.last()
			assert.Equal(t, tt.outcome, e.Outcome)
			if tt.err != nil {
				assert.ErrorIs(t, e.Err, boom)
			}
			h.ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
			assert.Equal(t, tt.runs, runs)
		})
	}
	hook, _ := newHook(t)
	assert.Panics(t, func() { hook.HandlerWithError(nil) })
}
