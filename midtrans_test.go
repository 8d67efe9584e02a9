package midhook_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
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

func TestReconcile(t *testing.T) {
	s := newStatusServer(t)
	settled := midhooktest.Sample("gopay", midhooktest.Order("A-1"))
	s.Put(settled)
	hook, rec := newHook(t, midhook.WithStatusCheck(s.Client()))
	fail := true
	next := &counter{do: func(w http.ResponseWriter, r *http.Request) {
		n, ok := midhook.FromContext(r.Context())
		assert.True(t, ok)
		assert.True(t, n.Paid())
		assert.True(t, n.Confirmed())
		assert.Nil(t, n.Notified())
		assert.Equal(t, http.MethodPost, r.Method)
		var body bytes.Buffer
		_, _ = body.ReadFrom(r.Body)
		assert.Equal(t, n.Raw(), body.Bytes())
		if fail {
			http.Error(w, "database is away", http.StatusInternalServerError)
		}
	}}
	err := hook.Reconcile(t.Context(), "A-1", next)
	outcome, ok := errors.AsType[*midhook.OutcomeError](err)
	require.True(t, ok, "%v", err)
	assert.Equal(t, midhook.OutcomeHandlerFailed, outcome.Outcome)

	fail = false
	require.NoError(t, hook.Reconcile(t.Context(), settled.TransactionID, next))
	require.NoError(t, hook.Reconcile(t.Context(), "A-1", next), "it was handled")
	assert.Equal(t, int64(2), next.runs.Load())
	w := httptest.NewRecorder()
	hook.Handler(next).ServeHTTP(w, midhooktest.NewRequest(settled, testKey))
	assert.Equal(t, "already handled\n", w.Body.String(), "the notification that comes after all")
	assert.Equal(t, []midhook.Outcome{midhook.OutcomeHandlerFailed, midhook.OutcomeHandled, midhook.OutcomeDuplicate, midhook.OutcomeDuplicate}, rec.outcomes())

	assert.ErrorIs(t, hook.Reconcile(t.Context(), "unknown", next), midhook.ErrTransactionNotFound)
	s.Be(midhooktest.Failing)
	assert.ErrorIs(t, hook.Reconcile(t.Context(), "A-1", next), midhook.ErrStatusUnavailable)
	assert.Error(t, hook.Reconcile(t.Context(), "A-1", nil))
	plain, _ := newHook(t)
	assert.ErrorContains(t, plain.Reconcile(t.Context(), "A-1", next), "WithStatusCheck")
}

// Where the API does not tell the order of a transaction, reconciliation by
// transaction_id is refused: it would be another event than the notification's.
func TestReconcileByTransaction(t *testing.T) {
	for _, sample := range []string{"dana", "bsi-va"} {
		s := newStatusServer(t)
		n := midhooktest.Sample(sample)
		s.Put(n)
		hook, _ := newHook(t, midhook.WithStatusCheck(s.Client()))
		next := &counter{}
		assert.ErrorIs(t, hook.Reconcile(t.Context(), n.TransactionID, next), midhook.ErrUnknownOrder)
		assert.NoError(t, hook.Reconcile(t.Context(), n.OrderID, next))
		w := httptest.NewRecorder()
		hook.Handler(next).ServeHTTP(w, midhooktest.NewRequest(n, testKey))
		assert.Equal(t, "already handled\n", w.Body.String())
		assert.Equal(t, int64(1), next.runs.Load())
	}
}

// Expectation, panic, a context that ends: as for a notification.
func TestReconcileFails(t *testing.T) {
	s := newStatusServer(t)
	s.Put(midhooktest.Sample("gopay", midhooktest.Order("A-1"), midhooktest.Amount("10000.00")))
	var want midhook.Expectation
	var lookUp error
	hook, _ := newHook(t, midhook.WithStatusCheck(s.Client()), midhook.WithExpectation(func(context.Context, *midhook.Notification) (midhook.Expectation, error) {
		return want, lookUp
	}))
	assert.ErrorIs(t, hook.Reconcile(t.Context(), "A-1", &counter{}), midhook.ErrExpectation)
	lookUp = midhook.ErrUnknownOrder
	assert.ErrorIs(t, hook.Reconcile(t.Context(), "A-1", &counter{}), midhook.ErrUnknownOrder)
	want.Amount, lookUp = 1_000_000, nil

	assert.PanicsWithValue(t, "boom", func() {
		_ = hook.Reconcile(t.Context(), "A-1", &counter{do: func(http.ResponseWriter, *http.Request) { panic("boom") }})
	})
	ctx, cancel := context.WithCancel(t.Context())
	err := hook.Reconcile(ctx, "A-1", &counter{do: func(w http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
		w.WriteHeader(http.StatusServiceUnavailable)
	}})
	assert.Error(t, err)
	assert.NoError(t, hook.Reconcile(t.Context(), "A-1", &counter{}), "each of them gave the claim back")
}

// A notification of the same event at the same moment: the handler runs once,
// whichever comes first.
func TestReconcileBesideNotification(t *testing.T) {
	s := newStatusServer(t)
	n := midhooktest.Sample("gopay", midhooktest.Order("A-1"))
	s.Put(n)
	for _, notifiedFirst := range []bool{true, false} {
		hook, _ := newHook(t, midhook.WithStatusCheck(s.Client()))
		inside, goOn := make(chan bool, 1), make(chan bool)
		next := &counter{do: func(http.ResponseWriter, *http.Request) { inside <- true; <-goOn }}
		h := hook.Handler(next)
		notified := func() error {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, midhooktest.NewRequest(n, testKey))
			if w.Code != 200 {
				return errors.New(w.Body.String())
			}
			return nil
		}
		reconciled := func() error { return hook.Reconcile(t.Context(), "A-1", next) }
		first, second := notified, reconciled
		if !notifiedFirst {
			first, second = second, first
		}
		done := make(chan error)
		go func() { done <- first() }()
		<-inside
		assert.Error(t, second(), "it is in flight")
		close(goOn)
		require.NoError(t, <-done)
		assert.NoError(t, second())
		assert.Equal(t, int64(1), next.runs.Load())
	}
	// Many at once.
	hook, _ := newHook(t, midhook.WithStatusCheck(s.Client()))
	next := &counter{}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { _ = hook.Reconcile(t.Context(), "A-1", next) })
		wg.Go(func() {
			hook.Handler(next).ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(n, testKey))
		})
	}
	wg.Wait()
	assert.Equal(t, int64(1), next.runs.Load())
}

// A slow reconciliation keeps its claim.
func TestSlowReconcile(t *testing.T) {
	s := newStatusServer(t) // outside: it has a real socket
	synctest.Test(t, func(t *testing.T) {
		n := midhooktest.Sample("gopay", midhooktest.Order("A-1"))
		s.Put(n)
		_, api := bubble(t, "HTTP/1.1", s)
		c, err := midhook.NewStatusClient(testKey, midhook.WithBaseURL("http://127.0.0.1"), midhook.WithHTTPClient(api))
		require.NoError(t, err)
		hook, rec := newHook(t, midhook.WithStatusCheck(c))
		done := make(chan error)
		next := &counter{do: func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(5 * time.Minute)
			w.WriteHeader(http.StatusOK)
		}}
		go func() { done <- hook.Reconcile(t.Context(), "A-1", next) }()
		for range 10 {
			pass(25 * time.Second)
			w := httptest.NewRecorder()
			hook.Handler(next).ServeHTTP(w, midhooktest.NewRequest(n, testKey))
			assert.Equal(t, midhook.OutcomeInFlight, rec.last().Outcome)
		}
		assert.NoError(t, <-done)
		assert.Equal(t, int64(1), next.runs.Load())
	})
}

// Rule: a status client that cannot know the payments is found when the server starts.
func TestStatusClientOfAnotherEnvironment(t *testing.T) {
	for _, tt := range []struct{ key, clientKey, want string }{
		{testKey, "Mid-server-production-key-1", "the client asks https://api.midtrans.com, but the server key is of https://api.sandbox.midtrans.com"},
		{"Mid-server-production-key-1", testKey, "the client asks https://api.sandbox.midtrans.com"},
		{testKey, testKey, ""},
	} {
		client, err := midhook.NewStatusClient(tt.clientKey)
		require.NoError(t, err)
		_, err = midhook.New(tt.key, midhook.WithStatusCheck(client))
		if tt.want == "" {
			assert.NoError(t, err)
		} else {
			assert.ErrorContains(t, err, tt.want)
		}
	}
	_, err := midhook.New(testKey, midhook.WithStatusCheck(&midhook.StatusClient{}))
	assert.ErrorContains(t, err, "it must be made by NewStatusClient")
}

// Rule: the first forged line says which keys are configured and what to do, without a
// key; every line says which gateway and path it is about.
func TestFirstForgery(t *testing.T) {
	hook, rec := newHook(t, midhook.WithServerKey("next", "Mid-server-production-key-1"))
	h := hook.Handler(&counter{})
	for range 2 {
		r := midhooktest.NewRequest(midhooktest.Sample("gopay"), "SB-Mid-server-another-key-0002")
		r.URL.Path = "/payments/notification"
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	assert.Equal(t, 1, strings.Count(rec.logged(), "midhook verify"))
	assert.Contains(t, rec.logged(), `\"default\" (sandbox), \"next\" (production)`)
	assert.Equal(t, 2, strings.Count(rec.logged(), "path=/payments/notification"))
	assert.Equal(t, 2, strings.Count(rec.logged(), "gateway=midtrans"))
	assert.NotContains(t, rec.logged(), "production-key")
}
