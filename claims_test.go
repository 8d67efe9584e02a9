package midhook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// 64 at once and 20 after them: one run, and the last answer is 200.
func TestOneRunPerEvent(t *testing.T) {
	for _, opts := range [][]midhook.Option{nil, {midhook.WithDetachedHandler()}} {
		hook, rec := newHook(t, opts...)
		next := &counter{do: func(http.ResponseWriter, *http.Request) { runtime.Gosched() }}
		url, client := serve(t, hook.Handler(next))
		body := notify("gopay")
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				req, _ := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
				res, err := client.Do(req)
				if assert.NoError(t, err) {
					assert.Contains(t, []int{200, 503}, res.StatusCode)
					res.Body.Close()
				}
			})
		}
		wg.Wait()
		var last response
		for range 20 {
			last = post(t, client, url, body)
		}
		assert.Equal(t, int64(1), next.runs.Load())
		assert.Equal(t, 200, last.StatusCode)
		assert.Len(t, rec.outcomes(), 84, "one event for each delivery")
	}
}

// While the first is in flight, the others get 503 at once: they don't wait.
func TestInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook, rec := newHook(t)
		next := &counter{do: func(http.ResponseWriter, *http.Request) { time.Sleep(time.Second) }}
		_, client := bubble(t, "HTTP/1.1", hook.Handler(next))
		go post(t, client, bubbleURL, notify("gopay"))
		synctest.Wait()
		start := time.Now()
		res := post(t, client, bubbleURL, notify("gopay"))
		assert.Equal(t, 503, res.StatusCode)
		assert.Equal(t, "already being handled\n", res.body)
		assert.Equal(t, "30", res.Header.Get("Retry-After"))
		assert.Zero(t, time.Since(start))
		assert.Equal(t, midhook.OutcomeInFlight, rec.last().Outcome)
		time.Sleep(2 * time.Second)
		assert.Equal(t, int64(1), next.runs.Load())
	})
}

// What reaches the handler in the life of a transaction, and what does not.
func TestOrderOfEvents(t *testing.T) {
	tx := midhooktest.Transaction
	status := midhooktest.Status
	refund := func(entries string, top ...midhooktest.Tweak) []midhooktest.Tweak {
		return append(top, midhooktest.Field("refunds", rawJSON(entries)))
	}
	type step struct {
		body []byte
		ran  bool
	}
	card := func(tweaks ...midhooktest.Tweak) []byte { return notify("credit-card", tweaks...) }
	settled := card(status("200", "settlement"))
	for name, steps := range map[string][]step{
		"challenge, then accept": {
			{card(status("201", "capture"), midhooktest.Fraud("challenge")), true},
			{card(status("200", "capture"), midhooktest.Fraud("accept")), true},
		},
		"capture, then settlement with the same signature": {
			{card(status("200", "capture")), true}, {settled, true},
		},
		"deny of one transaction, settlement of another": {
			{card(tx("one"), status("202", "deny")), true}, {card(tx("two"), status("200", "settlement")), true},
		},
		"two settlements of a payment link": {
			{card(tx("one"), status("200", "settlement")), true}, {card(tx("two"), status("200", "settlement")), true},
		},
		"settlement, then reversal": {
			{settled, true}, {card(status("202", "deny")), true}, {settled, false},
		},
		"two partial refunds": {
			{settled, true},
			{card(refund(`[{"refund_key":"a","refund_amount":"1.00"}]`, status("200", "partial_refund"), midhooktest.Field("refund_amount", "1.00"))...), true},
			{card(refund(`[{"refund_key":"a","refund_amount":"1.00"},{"refund_key":"b","refund_amount":"2.00"}]`, status("200", "partial_refund"), midhooktest.Field("refund_amount", "3.00"))...), true},
			{card(status("200", "refund"), midhooktest.Field("refund_amount", "10.00")), true},
		},
		"two partial refunds without refunds[]": {
			{card(status("200", "partial_refund"), midhooktest.Field("refund_key", "a"), midhooktest.Field("refund_amount", "1.00")), true},
			{card(status("200", "partial_refund"), midhooktest.Field("refund_key", "b"), midhooktest.Field("refund_amount", "1.00")), true},
			{card(status("200", "partial_refund"), midhooktest.Field("refund_key", "b"), midhooktest.Field("refund_amount", "1.00")), false},
		},
		"refund, then confirmed by the bank": {
			{card(refund(`[{"refund_chargeback_id":202502070943231234,"refund_amount":"1.00"}]`, status("200", "refund"))...), true},
			{card(refund(`[{"refund_chargeback_id":202502070943231234,"refund_amount":"1.00","bank_confirmed_at":"2026-01-01 00:00:00"}]`, status("200", "refund"))...), true},
		},
		"late pending, authorize and capture after settlement": {
			{settled, true},
			{card(status("201", "pending")), false},
			{card(status("200", "authorize")), false},
			{card(status("200", "capture")), false},
			{card(status("201", "capture"), midhooktest.Fraud("challenge")), false},
		},
		"late settlement after a refund": {
			{card(status("200", "refund")), true}, {settled, false},
		},
		"pending under an order of which another transaction settled": {
			{card(tx("one"), status("200", "settlement")), true}, {card(tx("two"), status("201", "pending")), true},
		},
		"unknown statuses are handed on": {
			{settled, true}, {card(status("200", "something_new")), true}, {card(status("200", "something_new")), false},
		},
		"a status in other letters is the same event": {
			{settled, true}, {card(status("200", "Settlement")), false},
		},
		"GET status gives another code for the same event": {
			{card(status("202", "expire")), true}, {card(status("407", "expire")), false},
		},
		"Pay Account enabled, then disabled": {
			{notify("pay-account-enabled"), true}, {notify("pay-account-disabled"), true}, {notify("pay-account-enabled"), true}, {notify("pay-account-enabled"), false},
		},
	} {
		t.Run(name, func(t *testing.T) {
			hook, _ := newHook(t)
			next := &counter{}
			h := hook.Handler(next)
			for i, s := range steps {
				before := next.runs.Load()
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(s.body)))
				assert.Equal(t, 200, w.Code, "step %d", i+1)
				assert.Equal(t, s.ran, next.runs.Load() > before, "whether step %d reached the handler", i+1)
			}
		})
	}
}

// A handler can find its claim, to finish it with its own effects.
func TestClaimFromContext(t *testing.T) {
	store := &spyStore{Store: midhook.NewLRUStore(10)}
	hook, rec := newHook(t, midhook.WithStore(store))
	var ctx context.Context
	hook.HandlerFunc(func(c context.Context, n *midhook.Notification) error {
		ctx = c
		claim, ok := midhook.ClaimFromContext(ctx)
		require.True(t, ok)
		assert.Equal(t, n.IdempotencyKey(), claim.Key)
		return store.Store.Finish(ctx, claim, time.Hour)
	}).ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
	assert.Equal(t, []string{"acquire", "finish"}, store.calls)
	assert.NoError(t, rec.last().Err, "the middleware's own finish is no error then")
	_, ok := midhook.ClaimFromContext(ctx)
	assert.False(t, ok, "the claim was finished")
	_, ok = midhook.ClaimFromContext(t.Context())
	assert.False(t, ok)
}

// When everything that is remembered is in flight, a new event waits for its
// retry; a claim in flight is never forgotten.
func TestFullStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook, rec := newHook(t, midhook.WithStore(midhook.NewLRUStore(2)))
		next := &counter{do: func(http.ResponseWriter, *http.Request) { time.Sleep(time.Second) }}
		h := hook.Handler(next)
		deliver := func(order string) int {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay", midhooktest.Order(order)), testKey))
			return w.Code
		}
		go deliver("a")
		go deliver("b")
		synctest.Wait()
		assert.Equal(t, 503, deliver("c"))
		assert.Equal(t, midhook.OutcomeStoreUnavailable, rec.last().Outcome)
		assert.Equal(t, 503, deliver("a"))
		assert.Equal(t, midhook.OutcomeInFlight, rec.last().Outcome)
		time.Sleep(2 * time.Second)
		assert.Equal(t, 200, deliver("c"))
		assert.Equal(t, int64(3), next.runs.Load())
	})
}

// spyStore records what reaches the store, and fails at will.
type spyStore struct {
	midhook.Store
	acquire func(context.Context, midhook.Claim) (midhook.ClaimState, error)
	finish  func(context.Context, midhook.Claim) error
	mu      sync.Mutex
	calls   []string
	claims  []midhook.Claim
}

func (s *spyStore) called(what string, c midhook.Claim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, what)
	s.claims = append(s.claims, c)
}

func (s *spyStore) Acquire(ctx context.Context, c midhook.Claim) (midhook.ClaimState, error) {
	s.called("acquire", c)
	if s.acquire != nil {
		return s.acquire(ctx, c)
	}
	return s.Store.Acquire(ctx, c)
}

func (s *spyStore) Finish(ctx context.Context, c midhook.Claim, keep time.Duration) error {
	s.called("finish", c)
	if s.finish != nil {
		return s.finish(ctx, c)
	}
	return s.Store.Finish(ctx, c, keep)
}

func (s *spyStore) Release(ctx context.Context, c midhook.Claim) error {
	s.called("release", c)
	return s.Store.Release(ctx, c)
}

// Only verified notifications reach the store, with an owner of their own.
func TestStoreSeesVerifiedOnly(t *testing.T) {
	store := &spyStore{Store: midhook.NewLRUStore(10)}
	hook, _ := newHook(t, midhook.WithStore(store))
	h := hook.Handler(&counter{})
	for _, body := range [][]byte{nil, []byte("{}"), midhooktest.Sample("gopay").Raw(), notify("gopay", midhooktest.Status("201", "settlement")), notify("dashboard-test")} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body)))
	}
	assert.Empty(t, store.calls)
	for range 2 {
		h.ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
	}
	assert.Equal(t, []string{"acquire", "finish", "acquire"}, store.calls)
	assert.Equal(t, store.claims[0], store.claims[1])
	assert.NotEqual(t, store.claims[0].Owner, store.claims[2].Owner)
	assert.Equal(t, midhooktest.Sample("gopay").IdempotencyKey(), store.claims[0].Key)
	assert.Equal(t, 40, store.claims[0].Stage)
	assert.Equal(t, 32*time.Second, store.claims[0].Lease)
	assert.NotContains(t, fmt.Sprint(store.claims), midhooktest.Sample("gopay").OrderID, "no order in the clear")
}

// The effects of a success exist: a claim that can't be finished is reported,
// not answered with a retry.
func TestFinishFails(t *testing.T) {
	lost := errors.New("connection reset")
	store := &spyStore{Store: midhook.NewLRUStore(10), finish: func(context.Context, midhook.Claim) error { return lost }}
	hook, rec := newHook(t, midhook.WithStore(store))
	w := httptest.NewRecorder()
	hook.Handler(&counter{}).ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
	assert.Equal(t, 200, w.Code)
	assert.Equal(t, midhook.OutcomeHandled, rec.last().Outcome)
	assert.ErrorIs(t, rec.last().Err, lost)
	assert.ErrorContains(t, rec.last().Err, "finishing the claim")
	assert.Contains(t, rec.logged(), "level=ERROR")
	assert.Equal(t, []string{"acquire", "finish"}, store.calls, "Midtrans comes again: one try is enough")
}

// A store whose answer got lost may have claimed: the claim is given back.
func TestLostAcquireIsReleased(t *testing.T) {
	inner := midhook.NewLRUStore(10)
	fail := true
	store := &spyStore{Store: inner}
	store.acquire = func(ctx context.Context, c midhook.Claim) (midhook.ClaimState, error) {
		state, err := inner.Acquire(ctx, c)
		if fail {
			return 0, errors.New("timeout")
		}
		return state, err
	}
	hook, _ := newHook(t, midhook.WithStore(store))
	next := &counter{}
	w := httptest.NewRecorder()
	hook.Handler(next).ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
	assert.Equal(t, 503, w.Code)
	assert.Zero(t, next.runs.Load(), "nothing runs unclaimed")
	fail = false
	hook.Handler(next).ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
	assert.Equal(t, int64(1), next.runs.Load())
}

// A store that answers nonsense, the zero value too, is no permission to run.
func TestStoreAnswersNonsense(t *testing.T) {
	for _, state := range []midhook.ClaimState{0, -1, 99} {
		store := &spyStore{Store: midhook.NewLRUStore(1), acquire: func(context.Context, midhook.Claim) (midhook.ClaimState, error) { return state, nil }}
		hook, rec := newHook(t, midhook.WithStore(store))
		next := &counter{}
		w := httptest.NewRecorder()
		hook.Handler(next).ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
		assert.Equal(t, 503, w.Code)
		assert.Zero(t, next.runs.Load())
		assert.Equal(t, midhook.OutcomeStoreUnavailable, rec.last().Outcome)
		assert.Equal(t, []string{"acquire"}, store.calls, "nonsense is not asked for again, and is no claim to give back")
	}
}

// A store that hangs, even one that ignores its context, does not hold up the
// answer; when it grants the claim after all, the handler is not run.
func TestStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := midhook.NewLRUStore(10)
		var cause error
		slow := true
		store := &spyStore{Store: inner}
		store.acquire = func(ctx context.Context, c midhook.Claim) (midhook.ClaimState, error) {
			if slow {
				<-ctx.Done()
				cause = context.Cause(ctx)
				time.Sleep(time.Second)
			}
			return inner.Acquire(context.WithoutCancel(ctx), c)
		}
		hook, rec := newHook(t, midhook.WithStore(store))
		next := &counter{}
		_, client := bubble(t, "HTTP/1.1", hook.Handler(next))
		start := time.Now()
		res := post(t, client, bubbleURL, notify("gopay"))
		assert.Equal(t, 503, res.StatusCode)
		assert.Equal(t, 5*time.Second, time.Since(start))
		pass(time.Minute)
		assert.ErrorIs(t, cause, midhook.ErrBudgetExceeded)
		assert.Zero(t, next.runs.Load())
		assert.Equal(t, []midhook.Outcome{midhook.OutcomeBudgetExceeded, midhook.OutcomeLateFailed}, rec.outcomes())

		slow = false
		assert.Equal(t, 200, post(t, client, bubbleURL, notify("gopay")).StatusCode)
		assert.Equal(t, int64(1), next.runs.Load())
	})
}

// A pending body that was edited to a refund does not keep the settlement from
// the handler.
func TestEditedRefundSupersedesNothing(t *testing.T) {
	for _, edited := range []midhook.TransactionStatus{"refund", "partial_refund", "chargeback", "partial_chargeback", "deny", "expire"} {
		hook, _ := newHook(t)
		next := &counter{}
		h := hook.Handler(next)
		for _, tweak := range []midhooktest.Tweak{midhooktest.Status("201", edited), midhooktest.Status("200", "settlement")} {
			h.ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay", tweak), testKey))
		}
		assert.Equal(t, int64(2), next.runs.Load(), "after %s", edited)
	}
}

// A success whose Finish panics is not given back to run again.
func TestFinishPanics(t *testing.T) {
	store := &spyStore{Store: midhook.NewLRUStore(10), finish: func(context.Context, midhook.Claim) error { panic("driver bug") }}
	hook, rec := newHook(t, midhook.WithStore(store))
	next := &counter{}
	h := hook.Handler(next)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
	assert.Equal(t, 200, w.Code, "the handler's effects exist")
	assert.Equal(t, midhook.OutcomeHandled, rec.last().Outcome)
	assert.ErrorContains(t, rec.last().Err, "the store's Finish panicked: driver bug")
	w = httptest.NewRecorder()
	h.ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
	assert.Equal(t, "already being handled\n", w.Body.String())
	assert.Equal(t, int64(1), next.runs.Load())
}

// Rule: the events of one transaction run one after the other and in order, so that a
// pending that comes while its settlement is handled does not overwrite it.
func TestEventsOfATransactionTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook, rec := newHook(t)
		var status midhook.TransactionStatus
		var running atomic.Int64
		h := hook.HandlerFunc(func(_ context.Context, n *midhook.Notification) error {
			assert.Equal(t, int64(1), running.Add(1), "two at once")
			defer running.Add(-1)
			status = n.TransactionStatus
			time.Sleep(time.Second)
			return nil
		})
		settlement := midhooktest.Sample("bca-va", midhooktest.Order("A-1"))
		pending := midhooktest.Sample("bca-va", midhooktest.Order("A-1"), midhooktest.Status("201", midhook.StatusPending))
		var all sync.WaitGroup
		for _, n := range []*midhook.Notification{settlement, pending} {
			all.Go(func() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, midhooktest.NewRequest(n, testKey))
				assert.Equal(t, 200, w.Code)
			})
			time.Sleep(50 * time.Millisecond)
		}
		all.Wait()
		assert.Equal(t, midhook.StatusSettlement, status)
		assert.Equal(t, []midhook.Outcome{midhook.OutcomeHandled, midhook.OutcomeSuperseded}, rec.outcomes())

		// The other way round both run, the settlement last.
		all.Go(func() {
			h.ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("bca-va", midhooktest.Order("A-2"), midhooktest.Status("201", midhook.StatusPending)), testKey))
		})
		time.Sleep(50 * time.Millisecond)
		all.Go(func() {
			h.ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("bca-va", midhooktest.Order("A-2")), testKey))
		})
		all.Wait()
		assert.Equal(t, midhook.StatusSettlement, status)
		assert.Equal(t, []midhook.Outcome{midhook.OutcomeHandled, midhook.OutcomeHandled}, rec.outcomes()[2:])
	})
}

// Rule: who waits for another event of its transaction is answered 503 within the
// budget, and a handler that hangs does not cost the other events their retries.
func TestBusyForLongerThanTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook, rec := newHook(t)
		h := hook.Handler(&counter{do: func(w http.ResponseWriter, r *http.Request) {
			if n, _ := midhook.FromContext(r.Context()); n.TransactionStatus == midhook.StatusPending {
				time.Sleep(10 * time.Minute)
			}
			w.WriteHeader(http.StatusOK)
		}})
		deliver := func(tweaks ...midhooktest.Tweak) (int, time.Duration) {
			w, start := httptest.NewRecorder(), time.Now()
			h.ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("bca-va", tweaks...), testKey))
			return w.Code, time.Since(start)
		}
		var all sync.WaitGroup
		all.Go(func() { deliver(midhooktest.Status("201", midhook.StatusPending)) })
		time.Sleep(10 * time.Second)
		code, took := deliver()
		assert.Equal(t, 503, code)
		assert.LessOrEqual(t, took, 5*time.Second)
		assert.Equal(t, midhook.OutcomeInFlight, rec.last().Outcome)
		assert.ErrorContains(t, rec.last().Err, "another event of the same transaction")
		time.Sleep(time.Minute)
		code, _ = deliver()
		assert.Equal(t, 200, code, "the hold lasts for the first lease only")
		all.Wait()
		assert.Equal(t, midhook.OutcomeLateHandled, rec.last().Outcome)
	})
}

// Rule: whoever gives up waiting for another event of the transaction waits no longer, and
// the store is not asked any more.
func TestGivingUpWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &spyStore{acquire: func(context.Context, midhook.Claim) (midhook.ClaimState, error) { return midhook.Busy, nil }}
		hook, _ := newHook(t, midhook.WithStore(store))
		ctx, giveUp := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, giveUp)
		start, asked := time.Now(), 0
		context.AfterFunc(ctx, func() {
			store.mu.Lock()
			defer store.mu.Unlock()
			asked = len(store.calls)
		})
		err := hook.HandleMessage(ctx, midhook.Message{Key: "E", Subject: "S"}, []byte("{}"), &counter{})
		var outcome *midhook.OutcomeError
		require.ErrorAs(t, err, &outcome)
		assert.Equal(t, midhook.OutcomeInFlight, outcome.Outcome)
		assert.Equal(t, time.Second, time.Since(start))
		synctest.Wait()
		assert.Len(t, store.calls, asked)
	})
}

// Rule: a store that knows no Busy works as before: it lets both run.
func TestStoreWithoutBusy(t *testing.T) {
	store := &spyStore{Store: midhook.NewLRUStore(10)}
	store.acquire = func(ctx context.Context, c midhook.Claim) (midhook.ClaimState, error) {
		c.Subject = ""
		return store.Store.Acquire(ctx, c)
	}
	hook, _ := newHook(t, midhook.WithStore(store))
	var inner *httptest.ResponseRecorder
	var h http.Handler
	h = hook.HandlerFunc(func(_ context.Context, n *midhook.Notification) error {
		if n.TransactionStatus == midhook.StatusPending {
			inner = httptest.NewRecorder()
			h.ServeHTTP(inner, midhooktest.NewRequest(midhooktest.Sample("bca-va"), testKey))
		}
		return nil
	})
	h.ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("bca-va", midhooktest.Status("201", midhook.StatusPending)), testKey))
	assert.Equal(t, 200, inner.Code)
}

// Rule: a lease is 32 s at most, whatever the grace, so that a process that dies costs
// a retry and not the payment.
func TestLeaseIsShort(t *testing.T) {
	for _, tt := range []struct {
		opts  []midhook.Option
		lease time.Duration
	}{
		{nil, 32 * time.Second},
		{[]midhook.Option{midhook.WithGrace(6 * time.Hour)}, 32 * time.Second},
		{[]midhook.Option{midhook.WithBudget(time.Second), midhook.WithGrace(0)}, 3 * time.Second},
	} {
		store := &spyStore{Store: midhook.NewLRUStore(10)}
		var lease time.Duration
		store.acquire = func(ctx context.Context, c midhook.Claim) (midhook.ClaimState, error) {
			lease = c.Lease
			return store.Store.Acquire(ctx, c)
		}
		hook, _ := newHook(t, append(tt.opts, midhook.WithStore(store))...)
		hook.Handler(&counter{}).ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
		assert.Equal(t, tt.lease, lease)
	}
}

// Rule: a handler that runs on is never without its claim, for any budget and grace.
func TestRenewalHasNoHole(t *testing.T) {
	for _, opts := range [][]midhook.Option{
		{midhook.WithGrace(6 * time.Hour)},
		{midhook.WithBudget(14 * time.Second), midhook.WithGrace(0)},
		{midhook.WithBudget(time.Millisecond), midhook.WithGrace(0)},
	} {
		synctest.Test(t, func(t *testing.T) {
			store := midhook.NewLRUStore(10)
			hook, _ := newHook(t, append(opts, midhook.WithStore(store))...)
			var all sync.WaitGroup
			all.Go(func() {
				hook.Handler(&counter{do: func(http.ResponseWriter, *http.Request) { time.Sleep(5 * time.Minute) }}).
					ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
			})
			synctest.Wait()
			for range 299 {
				time.Sleep(time.Second)
				state, err := store.Acquire(t.Context(), midhook.Claim{Key: midhooktest.Sample("gopay").IdempotencyKey(), Owner: "retry", Lease: time.Second})
				require.NoError(t, err)
				require.Equal(t, midhook.InFlight, state)
			}
			all.Wait()
		})
	}
}

// Rule: a renewal that is under way ends before the claim is given back. After it, it
// would keep the retry from a handler that has failed.
func TestFailureDuringARenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &spyStore{Store: midhook.NewLRUStore(10)}
		var claimed atomic.Bool
		renewing := make(chan struct{})
		store.acquire = func(ctx context.Context, c midhook.Claim) (midhook.ClaimState, error) {
			if claimed.Swap(true) {
				close(renewing)
				time.Sleep(time.Second)
			}
			return store.Store.Acquire(ctx, c)
		}
		hook, rec := newHook(t, midhook.WithStore(store))
		hook.HandlerFunc(func(context.Context, *midhook.Notification) error {
			<-renewing
			return errors.New("out of stock")
		}).ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
		assert.Equal(t, []midhook.Outcome{midhook.OutcomeBudgetExceeded, midhook.OutcomeLateFailed}, rec.outcomes())
		time.Sleep(2 * time.Second)
		state, err := store.Store.Acquire(t.Context(), midhook.Claim{Key: midhooktest.Sample("gopay").IdempotencyKey(), Owner: "retry", Lease: time.Second})
		require.NoError(t, err)
		assert.Equal(t, midhook.Acquired, state)
	})
}

// Rule: the log tells of a running handler whose claim is another's now, or could not be
// renewed, which is tried again after a second; it tells nothing of one whose claim is
// its own, or whose event it has marked in a transaction of its own.
func TestLogOfARenewal(t *testing.T) {
	for state, line := range map[midhook.ClaimState]string{
		midhook.Acquired: "", midhook.Done: "", midhook.InFlight: "has lost its claim", 0: "could not be renewed",
	} {
		synctest.Test(t, func(t *testing.T) {
			store := &spyStore{Store: midhook.NewLRUStore(10)}
			var asked []time.Time
			store.acquire = func(ctx context.Context, c midhook.Claim) (midhook.ClaimState, error) {
				asked = append(asked, time.Now())
				switch {
				case len(asked) != 2:
					return store.Store.Acquire(ctx, c)
				case state == 0:
					return 0, errors.New("connection reset")
				}
				return state, nil
			}
			var log bytes.Buffer
			hook, _ := newHook(t, midhook.WithStore(store), midhook.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
			hook.Handler(&counter{do: func(http.ResponseWriter, *http.Request) { time.Sleep(time.Minute) }}).
				ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
			if line == "" {
				assert.NotContains(t, log.String(), "claim", state)
			} else {
				assert.Contains(t, log.String(), line)
			}
			require.Greater(t, len(asked), 2)
			if state == 0 {
				assert.Equal(t, time.Second, asked[2].Sub(asked[1]))
			}
		})
	}
}

// Rule: a store has five seconds for what neither the client nor the budget cuts short.
func TestTimeToFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &spyStore{Store: midhook.NewLRUStore(10)}
		var left time.Duration
		store.finish = func(ctx context.Context, c midhook.Claim) error {
			deadline, _ := ctx.Deadline()
			left = time.Until(deadline)
			return store.Store.Finish(ctx, c, time.Hour)
		}
		hook, _ := newHook(t, midhook.WithStore(store))
		hook.Handler(&counter{}).ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
		assert.Equal(t, 5*time.Second, left)
	})
}

// Rule: the error of a failed delivery tells of a Release only where one has failed.
func TestErrorOfAFailureAlone(t *testing.T) {
	failure := errors.New("out of stock")
	var told error
	hook, err := midhook.New(testKey, midhook.WithLogger(discard), midhook.WithObserver(func(_ context.Context, e midhook.Event) { told = e.Err }))
	require.NoError(t, err)
	hook.HandlerFunc(func(context.Context, *midhook.Notification) error { return failure }).
		ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
	require.ErrorIs(t, told, failure)
	assert.NotContains(t, told.Error(), "releasing")
}

// Rule: where the store has not answered yet, however late it is, there is no claim to
// renew.
func TestNoRenewalBeforeTheClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &spyStore{Store: midhook.NewLRUStore(10)}
		store.acquire = func(ctx context.Context, c midhook.Claim) (midhook.ClaimState, error) {
			time.Sleep(5 * time.Minute)
			return store.Store.Acquire(context.WithoutCancel(ctx), c)
		}
		hook, _ := newHook(t, midhook.WithStore(store))
		next := &counter{}
		hook.Handler(next).ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
		assert.Equal(t, []string{"acquire", "release"}, store.calls)
		assert.Zero(t, next.runs.Load())
	})
}

// Rule: nothing of a delivery outlives it, also where its Finish straddles the budget.
func TestFinishThatStraddlesTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &spyStore{Store: midhook.NewLRUStore(10)}
		store.finish = func(ctx context.Context, c midhook.Claim) error {
			time.Sleep(2 * time.Second)
			return store.Store.Finish(ctx, c, time.Hour)
		}
		hook, rec := newHook(t, midhook.WithGrace(24*time.Hour), midhook.WithStore(store))
		hook.Handler(&counter{do: func(http.ResponseWriter, *http.Request) { time.Sleep(4 * time.Second) }}).
			ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
		assert.Equal(t, []midhook.Outcome{midhook.OutcomeBudgetExceeded, midhook.OutcomeLateHandled}, rec.outcomes())
		calls := len(store.calls)
		time.Sleep(25 * time.Hour)
		assert.Len(t, store.calls, calls, "a renewal of what is settled")
	})
}

// Rule: Middlewares with namespaces of their own never touch each other's events,
// whoever signs the same order.
func TestNamespacesShareAStore(t *testing.T) {
	store := midhook.NewLRUStore(100)
	n := midhooktest.Sample("gopay", midhooktest.Order("order-of-1"))
	pending := midhooktest.Sample("gopay", midhooktest.Order("order-of-1"), midhooktest.Status("201", midhook.StatusPending))
	nexts := map[string]*counter{"1": {}, "2": {}, "": {}}
	for _, merchant := range []string{"2", "", "1"} {
		key := "SB-Mid-server-merchant-" + merchant
		opts := []midhook.Option{midhook.WithStore(store), midhook.WithLogger(discard)}
		if merchant != "" {
			opts = append(opts, midhook.WithNamespace(merchant))
		}
		hook, err := midhook.New(key, opts...)
		require.NoError(t, err)
		h := hook.Handler(nexts[merchant])
		for range 2 {
			h.ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(n, key))
			h.ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(pending, key)) // superseded, in each namespace by its own
		}
	}
	for merchant, next := range nexts {
		assert.Equal(t, int64(1), next.runs.Load(), merchant)
	}
	_, err := midhook.New(testKey, midhook.WithNamespace(""))
	assert.ErrorContains(t, err, "namespace: it must not be empty")
}

// Rule: neither what is being handled in one namespace nor how far an order has come
// there keeps the events of the same order in another one from their handler.
func TestNamespacesShareNoTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := midhook.NewLRUStore(100)
		deliver := func(namespace string, status midhook.TransactionStatus, code string, next http.HandlerFunc) {
			hook, err := midhook.New(testKey, midhook.WithStore(store), midhook.WithLogger(discard), midhook.WithNamespace(namespace))
			require.NoError(t, err)
			n := midhooktest.Sample("bca-va", midhooktest.Order("A-1"), midhooktest.Status(code, status))
			hook.Handler(next).ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(n, testKey))
		}
		var during, after counter
		deliver("1", midhook.StatusSettlement, "200", func(http.ResponseWriter, *http.Request) {
			deliver("2", midhook.StatusPending, "201", during.ServeHTTP)
		})
		deliver("3", midhook.StatusPending, "201", after.ServeHTTP)
		assert.Equal(t, int64(1), during.runs.Load(), "the order is handled elsewhere")
		assert.Equal(t, int64(1), after.runs.Load(), "the order was settled elsewhere")
	})
}

// Rule: a store that panics has failed. A panic neither undoes what the handler has
// done nor hides the handler's own.
func TestStorePanics(t *testing.T) {
	for _, in := range []string{"Acquire", "Finish", "Release"} {
		t.Run(in, func(t *testing.T) {
			inner := midhook.NewLRUStore(10)
			hook, rec := newHook(t, midhook.WithStore(panickingStore{inner, in}))
			h := hook.HandlerFunc(func(context.Context, *midhook.Notification) error {
				if in == "Release" {
					panic("the handler's own")
				}
				return nil
			})
			w := httptest.NewRecorder()
			serve := func() { h.ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey)) }
			if in == "Release" {
				assert.PanicsWithValue(t, "the handler's own", serve)
			} else {
				serve()
			}
			assert.Len(t, rec.outcomes(), 1)
			assert.ErrorContains(t, rec.last().Err, "the store's "+in+" panicked")
			assert.Equal(t, map[string]int{"Acquire": 503, "Finish": 200, "Release": 200}[in], w.Code)
		})
	}
}

type panickingStore struct {
	midhook.Store
	in string
}

func (s panickingStore) Acquire(ctx context.Context, c midhook.Claim) (midhook.ClaimState, error) {
	if s.in == "Acquire" {
		panic("driver bug")
	}
	return s.Store.Acquire(ctx, c)
}

func (s panickingStore) Finish(ctx context.Context, c midhook.Claim, keep time.Duration) error {
	if s.in == "Finish" {
		panic("driver bug")
	}
	return s.Store.Finish(ctx, c, keep)
}

func (s panickingStore) Release(ctx context.Context, c midhook.Claim) error {
	if s.in == "Release" {
		panic("driver bug")
	}
	return s.Store.Release(ctx, c)
}

// Rule: a handler whose own transaction with the claim was not committed has failed,
// whatever it returned; a Permanent error still ends the matter.
func TestUncommittedTransaction(t *testing.T) {
	for name, tt := range map[string]struct {
		returned error
		code     int
		outcome  midhook.Outcome
		calls    []string
	}{
		"nil":       {nil, 503, midhook.OutcomeHandlerFailed, []string{"acquire", "finish", "release"}},
		"Permanent": {midhook.Permanent(errors.New("no such order")), 200, midhook.OutcomeHandledPermanent, []string{"acquire", "finish", "finish"}},
	} {
		t.Run(name, func(t *testing.T) {
			store := &spyStore{Store: midhook.NewLRUStore(10)}
			told := false
			store.finish = func(ctx context.Context, c midhook.Claim) error {
				if !told {
					told = true
					return fmt.Errorf("sql: %w", midhook.ErrUncommitted)
				}
				return store.Store.Finish(ctx, c, time.Hour)
			}
			hook, rec := newHook(t, midhook.WithStore(store))
			w := httptest.NewRecorder()
			hook.HandlerFunc(func(context.Context, *midhook.Notification) error { return tt.returned }).
				ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
			assert.Equal(t, tt.code, w.Code)
			assert.Equal(t, tt.outcome, rec.last().Outcome)
			assert.Equal(t, tt.calls, store.calls)
			if tt.returned == nil {
				assert.ErrorIs(t, rec.last().Err, midhook.ErrUncommitted)
			}
		})
	}
}

// Rule: under WithSuperseded what is not superseded keeps its stage: it counts for those
// who share the store.
func TestSupersededElsewhere(t *testing.T) {
	store := midhook.NewLRUStore(10)
	lenient, _ := newHook(t, midhook.WithStore(store), midhook.WithSuperseded())
	strict, rec := newHook(t, midhook.WithStore(store))
	deliver := func(hook *midhook.Middleware, body []byte) {
		hook.Handler(&counter{}).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body)))
	}
	deliver(lenient, notify("gopay"))
	deliver(strict, notify("gopay", midhooktest.Status("201", "pending")))
	assert.Equal(t, midhook.OutcomeSuperseded, rec.last().Outcome)
}
