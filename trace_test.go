package midhook_test

import (
	"context"
	"errors"
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

// traced collects what a Trace is told.
type traced struct {
	handlers []midhook.HandlerDone
	stores   []midhook.StoreDone
	checks   []midhook.CheckDone
}

type traceKey struct{}

func (tr *traced) trace() midhook.Trace {
	return midhook.Trace{
		HandlerStart: func(ctx context.Context, h midhook.HandlerStart) context.Context {
			return context.WithValue(ctx, traceKey{}, h.Message.Key)
		},
		HandlerDone: func(_ context.Context, h midhook.HandlerDone) { tr.handlers = append(tr.handlers, h) },
		StoreDone:   func(_ context.Context, s midhook.StoreDone) { tr.stores = append(tr.stores, s) },
		CheckDone:   func(_ context.Context, c midhook.CheckDone) { tr.checks = append(tr.checks, c) },
	}
}

// Rule: a trace is told of each step that may take long, and its context is the
// handler's.
func TestTraceOfADelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr traced
		store := &spyStore{Store: midhook.NewLRUStore(10)}
		store.finish = func(ctx context.Context, c midhook.Claim) error {
			time.Sleep(time.Second)
			return store.Store.Finish(ctx, c, time.Hour)
		}
		hook, _ := newHook(t, midhook.WithTrace(tr.trace()), midhook.WithStore(store),
			midhook.WithExpectation(func(context.Context, *midhook.Notification) (midhook.Expectation, error) {
				time.Sleep(2 * time.Second)
				return midhook.Expectation{Amount: 15460000}, nil
			}))
		n := midhooktest.Sample("gopay")
		hook.HandlerFunc(func(ctx context.Context, n *midhook.Notification) error {
			assert.Equal(t, n.IdempotencyKey(), ctx.Value(traceKey{}))
			time.Sleep(10 * time.Second)
			return nil
		}).ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(n, testKey))
		assert.Equal(t, []midhook.HandlerDone{{Gateway: "midtrans", Outcome: midhook.OutcomeHandled, Duration: 10 * time.Second, Late: true}}, tr.handlers)
		assert.Equal(t, []midhook.CheckDone{{Gateway: "midtrans", Check: "expectation", Duration: 2 * time.Second}}, tr.checks)
		assert.Equal(t, []midhook.StoreDone{
			{Gateway: "midtrans", Operation: "acquire", State: midhook.Acquired},
			{Gateway: "midtrans", Operation: "finish", Duration: time.Second},
		}, tr.stores)
	})
}

// Rule: a trace is told of what an API was asked before the claim, and of a store that
// failed no state, whatever it answered beside its error.
func TestTraceOfWhatFailsBeforeTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr traced
		refused, away := errors.New("refused"), errors.New("store away")
		store := &spyStore{Store: midhook.NewLRUStore(8), acquire: func(context.Context, midhook.Claim) (midhook.ClaimState, error) {
			return midhook.Acquired, away
		}}
		asked := error(nil)
		hook, _ := newCourier(t, asking{courier{authenticate: func(_ context.Context, m midhook.Message) (midhook.Message, error) {
			time.Sleep(time.Second)
			return m, asked
		}}}, midhook.WithTrace(tr.trace()), midhook.WithStore(store))
		for _, asked = range []error{nil, refused} {
			hand(hook.Handler(&counter{}), `{"ID":"7"}`)
		}
		assert.Equal(t, []midhook.CheckDone{
			{Check: "authentication", Duration: time.Second},
			{Check: "authentication", Duration: time.Second, Outcome: midhook.OutcomeStatusUnavailable, Err: refused},
		}, tr.checks)
		assert.Equal(t, midhook.StoreDone{Operation: "acquire", Err: away}, tr.stores[0])
	})
}

// Rule: a trace hears of every handler that began, however it ended, and a trace that
// panics changes nothing.
func TestTraceOfFailures(t *testing.T) {
	failure := errors.New("database away")
	for outcome, handler := range map[midhook.Outcome]http.HandlerFunc{
		midhook.OutcomeHandlerFailed:     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		midhook.OutcomeHandlerRedirected: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) },
		midhook.OutcomeHandlerPanicked:   func(http.ResponseWriter, *http.Request) { panic(failure) },
	} {
		var tr traced
		hook, rec := newHook(t, midhook.WithTrace(tr.trace()), midhook.WithTrace(midhook.Trace{
			HandlerStart: func(context.Context, midhook.HandlerStart) context.Context { panic("start") },
			HandlerDone:  func(context.Context, midhook.HandlerDone) { panic("done") },
			StoreDone:    func(context.Context, midhook.StoreDone) { panic("store") },
		}))
		func() {
			defer func() { _ = recover() }()
			hook.Handler(handler).ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
		}()
		require.Len(t, tr.handlers, 1)
		assert.Equal(t, outcome, tr.handlers[0].Outcome)
		assert.Equal(t, outcome, rec.last().Outcome)
		assert.Equal(t, "release", tr.stores[len(tr.stores)-1].Operation)
	}
	_, err := midhook.New(testKey, midhook.WithTrace(midhook.Trace{}))
	assert.ErrorContains(t, err, "trace: it has no function")
}

// Rule: a Middleware says how many handlers are in flight, late ones too.
func TestInFlightHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook, _ := newHook(t)
		assert.Zero(t, hook.InFlight())
		go hook.HandlerFunc(func(context.Context, *midhook.Notification) error { time.Sleep(10 * time.Second); return nil }).
			ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
		time.Sleep(7 * time.Second)
		assert.Equal(t, 1, hook.Attached().InFlight())
		time.Sleep(7 * time.Second)
		assert.Zero(t, hook.InFlight())
	})
}
