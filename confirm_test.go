package midhook_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
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

// confirmed is a hook that asks s, and a handler that records what it got.
func confirmed(t testing.TB, s *midhooktest.StatusServer, opts ...midhook.Option) (deliver func([]byte) *httptest.ResponseRecorder, got *[]*midhook.Notification, rec *recorder) {
	hook, rec := newHook(t, append([]midhook.Option{midhook.WithStatusCheck(s.Client())}, opts...)...)
	got = new([]*midhook.Notification)
	h := hook.HandlerFunc(func(_ context.Context, n *midhook.Notification) error {
		*got = append(*got, n)
		return nil
	})
	return func(body []byte) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body)))
		return w
	}, got, rec
}

// The handler, Paid and the observer see the confirmed facts; what was notified
// stays available.
func TestStatusCheckConfirms(t *testing.T) {
	s := newStatusServer(t)
	for _, name := range midhooktest.Samples() {
		n := midhooktest.Sample(name)
		if name != "dashboard-test" {
			s.Put(n)
		}
		deliver, got, rec := confirmed(t, s)
		require.Equal(t, 200, deliver(midhooktest.Body(n, testKey)).Code, name)
		if name == "dashboard-test" {
			assert.Empty(t, *got)
			continue
		}
		require.Len(t, *got, 1, name)
		confirmed := (*got)[0]
		assert.True(t, confirmed.Confirmed(), name)
		assert.Equal(t, n.OrderID, confirmed.OrderID, "%s: the merchant's own id, DANA's exception included", name)
		assert.Equal(t, n.TransactionStatus, confirmed.TransactionStatus, name)
		assert.Equal(t, string(midhooktest.Body(n, testKey)), string(confirmed.Notified().Raw()), name)
		assert.Same(t, confirmed, rec.last().Notification)
		assert.Equal(t, "default", rec.last().KeyLabel)
	}
}

// Rule: the body that the handler reads says what was confirmed, and not what somebody
// has written into a signed body: a framework's binder sees nothing else.
func TestHandlerReadsTheConfirmedBody(t *testing.T) {
	s := newStatusServer(t)
	s.Put(midhooktest.Sample("gopay", midhooktest.Order("A-1")))
	hook, _ := newHook(t, midhook.WithStatusCheck(s.Client()))
	edited := notify("gopay", midhooktest.Order("A-1"), midhooktest.Field("custom_field1", "somebody's own"))
	next := &counter{do: func(_ http.ResponseWriter, r *http.Request) {
		n, _ := midhook.FromContext(r.Context())
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.Equal(t, string(n.Raw()), string(body))
		assert.NotContains(t, string(body), "somebody's own")
		assert.EqualValues(t, len(body), r.ContentLength)
	}}
	hook.Handler(next).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(edited)))
	assert.EqualValues(t, 1, next.runs.Load())
}

// What was tampered with never reaches the handler as if it were true.
func TestTampering(t *testing.T) {
	status := midhooktest.Status
	truth := func(tweaks ...midhooktest.Tweak) *midhook.Notification {
		return midhooktest.Sample("credit-card", append([]midhooktest.Tweak{midhooktest.Order("A-1"), midhooktest.Transaction("tx-1"), status("200", "settlement"), midhooktest.Amount("10000.00")}, tweaks...)...)
	}
	other := midhooktest.Sample("credit-card", midhooktest.Order("B-1"), midhooktest.Transaction("tx-2"), status("200", "settlement"), midhooktest.Amount("10000.00"))
	for name, tt := range map[string]struct {
		truth  *midhook.Notification
		tamper midhooktest.Tweak
		code   int
		sees   midhook.TransactionStatus // what the handler gets, "" if it does not run
	}{
		"nothing":                              {truth(), status("200", "settlement"), 200, "settlement"},
		"cancellation into settlement":         {truth(status("200", "cancel")), status("200", "settlement"), 403, ""},
		"refund into settlement":               {truth(status("200", "refund")), status("200", "settlement"), 200, "refund"},
		"authorization into settlement":        {truth(status("200", "authorize")), status("200", "settlement"), 403, ""},
		"settlement into refund":               {truth(), status("200", "refund"), 403, ""},
		"settlement into chargeback":           {truth(), status("200", "partial_chargeback"), 403, ""},
		"challenge into accept":                {truth(status("201", "capture"), midhooktest.Fraud("challenge")), status("200", "capture"), 403, ""},
		"another order's transaction":          {truth(status("200", "authorize")), midhooktest.Transaction("tx-2"), 403, ""},
		"an unknown transaction":               {truth(), midhooktest.Transaction("tx-3"), 503, ""},
		"no transaction":                       {truth(), midhooktest.Field("transaction_id", nil), 200, "settlement"},
		"currency":                             {truth(), midhooktest.Field("currency", "USD"), 403, ""},
		"merchant":                             {truth(), midhooktest.Field("merchant_id", "G999999999"), 403, ""},
		"no currency":                          {truth(), midhooktest.Field("currency", nil), 200, "settlement"},
		"a refund added":                       {truth(), midhooktest.Field("refund_amount", "10000.00"), 200, "settlement"},
		"fraud status":                         {truth(midhooktest.Fraud("accept")), midhooktest.Fraud("challenge"), 200, "settlement"},
		"expired, which GET has with code 407": {truth(status("202", "expire")), status("202", "expire"), 200, "expire"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStatusServer(t)
			s.Put(other)
			s.Put(tt.truth)
			deliver, got, rec := confirmed(t, s)
			body := truth(tt.tamper)
			w := deliver(midhooktest.Body(body, testKey))
			assert.Equal(t, tt.code, w.Code)
			if tt.sees == "" {
				assert.Empty(t, *got)
				if tt.code == 403 {
					assert.Equal(t, midhook.OutcomeContradicted, rec.last().Outcome)
					assert.ErrorIs(t, rec.last().Err, midhook.ErrUnconfirmed)
				}
				return
			}
			require.Len(t, *got, 1)
			n := (*got)[0]
			assert.Equal(t, tt.sees, n.TransactionStatus)
			assert.Equal(t, "A-1", n.OrderID)
			assert.Equal(t, "tx-1", n.TransactionID)
			assert.Equal(t, "IDR", n.Currency)
			assert.Empty(t, n.RefundAmount)
			assert.EqualValues(t, "accept", n.FraudStatus)
		})
	}
}

// Where the API's answer has no order_id of its own, a paid transaction does not
// pay another order; a payment link's second transaction is no other order's.
func TestTransactionOfAnotherOrder(t *testing.T) {
	for _, sample := range []string{"dana", "bsi-va", "danamon-va"} {
		paid := midhooktest.Sample(sample, midhooktest.Order("mine"), midhooktest.Transaction("tx-paid"))
		cancelled := midhooktest.Sample(sample, midhooktest.Order("other"), midhooktest.Transaction("tx-other"), midhooktest.Status("200", "cancel"))
		forged := midhooktest.Sample(sample, midhooktest.Order("other"), midhooktest.Transaction("tx-paid"))
		s := newStatusServer(t)
		s.Put(paid)
		s.Put(cancelled)
		deliver, got, rec := confirmed(t, s)
		assert.Equal(t, 403, deliver(midhooktest.Body(forged, testKey)).Code)
		assert.ErrorIs(t, rec.last().Err, midhook.ErrUnconfirmed)
		assert.Empty(t, *got)
		assert.Equal(t, 200, deliver(midhooktest.Body(paid, testKey)).Code)

		second := midhooktest.Sample(sample, midhooktest.Order("mine"), midhooktest.Transaction("tx-second"))
		s.Put(second) // GET by order_id has this one now
		third := midhooktest.Sample(sample, midhooktest.Order("mine"), midhooktest.Transaction("tx-paid"), midhooktest.Status("200", "refund"))
		s.Put(third)
		s.Put(second)
		assert.Equal(t, 200, deliver(midhooktest.Body(third, testKey)).Code)
		assert.Len(t, *got, 2)
	}
}

// The API's failures and the answers; each gives the claim back.
func TestStatusCheckFails(t *testing.T) {
	for trouble, want := range map[midhooktest.Trouble]struct {
		outcome midhook.Outcome
		err     error
	}{
		midhooktest.NothingFound:    {midhook.OutcomeStatusUnavailable, midhook.ErrTransactionNotFound},
		midhooktest.WrongKey:        {midhook.OutcomeStatusUnavailable, midhook.ErrUnauthorized},
		midhooktest.TooManyRequests: {midhook.OutcomeStatusUnavailable, midhook.ErrRateLimited},
		midhooktest.Failing:         {midhook.OutcomeStatusUnavailable, midhook.ErrStatusUnavailable},
		midhooktest.Garbage:         {midhook.OutcomeStatusUnavailable, midhook.ErrStatusUnavailable},
		midhooktest.TooMuch:         {midhook.OutcomeStatusUnavailable, midhook.ErrStatusUnavailable},
		midhooktest.Redirecting:     {midhook.OutcomeStatusUnavailable, midhook.ErrStatusUnavailable},
		midhooktest.Breaking:        {midhook.OutcomeStatusUnavailable, midhook.ErrStatusUnavailable},
	} {
		s := newStatusServer(t)
		s.Put(midhooktest.Sample("gopay"))
		deliver, got, rec := confirmed(t, s)
		s.Be(trouble)
		w := deliver(notify("gopay"))
		assert.Equal(t, 503, w.Code)
		assert.Equal(t, "temporarily unavailable\n", w.Body.String())
		assert.Equal(t, "30", w.Header().Get("Retry-After"))
		assert.Equal(t, want.outcome, rec.last().Outcome)
		assert.ErrorIs(t, rec.last().Err, want.err)
		assert.Empty(t, *got)

		s.Be(midhooktest.NoTrouble)
		assert.Equal(t, 200, deliver(notify("gopay")).Code, "the claim was given back")
		assert.Len(t, *got, 1)
	}
}

// A status API that hangs is given up at the budget.
func TestStatusCheckStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, api := bubble(t, "HTTP/1.1", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		c, err := midhook.NewStatusClient(testKey, midhook.WithBaseURL("http://127.0.0.1"), midhook.WithHTTPClient(api))
		require.NoError(t, err)
		hook, rec := newHook(t, midhook.WithStatusCheck(c))
		next := &counter{}
		_, client := bubble(t, "HTTP/1.1", hook.Handler(next))
		start := time.Now()
		assert.Equal(t, 503, post(t, client, bubbleURL, notify("gopay")).StatusCode)
		assert.Equal(t, 5*time.Second, time.Since(start))
		pass(time.Minute)
		assert.Zero(t, next.runs.Load())
		assert.Contains(t, []int{1, 2}, len(rec.outcomes()))
	})
}

// A stranger cannot make us call the API, nor can the dashboard's test.
func TestNoCallForStrangers(t *testing.T) {
	s := newStatusServer(t)
	deliver, _, _ := confirmed(t, s, midhook.WithTestNotifications())
	for _, body := range [][]byte{nil, []byte("{}"), midhooktest.Sample("gopay").Raw(), midhooktest.Body(midhooktest.Sample("gopay"), "Mid-server-other"),
		notify("gopay", midhooktest.Status("201", "settlement")), notify("dashboard-test")} {
		deliver(body)
	}
	assert.Zero(t, s.Requests())
}

// Confirmed further along: the handler runs once, for the later status, whose
// own notification is a duplicate then. And the other way round.
func TestConfirmedFurtherAlong(t *testing.T) {
	capture := midhooktest.Sample("credit-card")
	settlement := midhooktest.Sample("credit-card", midhooktest.Status("200", "settlement"))
	for _, order := range [][]*midhook.Notification{{capture, settlement}, {settlement, capture}, {capture, capture, settlement}} {
		s := newStatusServer(t)
		s.Put(settlement)
		deliver, got, rec := confirmed(t, s)
		for i, n := range order {
			require.Equal(t, 200, deliver(midhooktest.Body(n, testKey)).Code)
			if i > 0 {
				assert.Contains(t, []midhook.Outcome{midhook.OutcomeDuplicate, midhook.OutcomeSuperseded}, rec.last().Outcome)
			}
		}
		require.Len(t, *got, 1)
		assert.Equal(t, midhook.StatusSettlement, (*got)[0].TransactionStatus)
	}
}

// While the later event is being handled, the earlier one waits for its retry.
func TestConfirmedEventInFlight(t *testing.T) {
	s := newStatusServer(t)
	capture := midhooktest.Sample("credit-card")
	settlement := midhooktest.Sample("credit-card", midhooktest.Status("200", "settlement"))
	s.Put(settlement)
	synctest.Test(t, func(t *testing.T) {
		hook, rec := newHook(t, midhook.WithStatusCheck(inProcess(s)))
		h := hook.HandlerFunc(func(context.Context, *midhook.Notification) error { time.Sleep(20 * time.Second); return nil })
		var all sync.WaitGroup
		all.Go(func() { h.ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(settlement, testKey)) })
		time.Sleep(7 * time.Second) // the budget has been answered
		w := httptest.NewRecorder()
		h.ServeHTTP(w, midhooktest.NewRequest(capture, testKey))
		assert.Equal(t, 503, w.Code)
		assert.Equal(t, midhook.OutcomeInFlight, rec.last().Outcome)
		all.Wait()
		w = httptest.NewRecorder()
		h.ServeHTTP(w, midhooktest.NewRequest(capture, testKey))
		assert.Equal(t, 200, w.Code)
		assert.Equal(t, midhook.OutcomeSuperseded, rec.last().Outcome)
	})
}

// A status API that lags does not make an event that was not handled count as
// handled: its retry, when the API has caught up, reaches the handler.
func TestStatusLags(t *testing.T) {
	status := midhooktest.Status
	refund := func(amount, confirmedAt string) *midhook.Notification {
		entry := `{"refund_key":"a","refund_amount":"` + amount + `"`
		if confirmedAt != "" {
			entry += `,"bank_confirmed_at":"` + confirmedAt + `"`
		}
		return midhooktest.Sample("permata-va", status("200", "partial_refund"), midhooktest.Field("refund_amount", amount),
			midhooktest.Field("refunds", rawJSON("["+entry+"}]")))
	}
	for name, events := range map[string][2]*midhook.Notification{
		"reversal":          {midhooktest.Sample("permata-va"), midhooktest.Sample("permata-va", status("202", "deny"))},
		"second refund":     {refund("1000.00", ""), refund("2000.00", "")},
		"bank confirmation": {refund("1000.00", ""), refund("1000.00", "2026-01-01 00:00:00")},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStatusServer(t)
			deliver, got, rec := confirmed(t, s)
			s.Put(events[0])
			assert.Equal(t, 200, deliver(midhooktest.Body(events[0], testKey)).Code)
			assert.Equal(t, 403, deliver(midhooktest.Body(events[1], testKey)).Code, "the API does not know yet")
			assert.Equal(t, midhook.OutcomeContradicted, rec.last().Outcome)
			s.Put(events[1])
			assert.Equal(t, 200, deliver(midhooktest.Body(events[1], testKey)).Code)
			assert.Len(t, *got, 2)
		})
	}
	// The other way round it is the notification that is late.
	s := newStatusServer(t)
	s.Put(midhooktest.Sample("permata-va", status("202", "deny")))
	deliver, got, _ := confirmed(t, s)
	assert.Equal(t, 200, deliver(notify("permata-va")).Code)
	require.Len(t, *got, 1)
	assert.Equal(t, midhook.StatusDeny, (*got)[0].TransactionStatus)
}

// An answer about another transaction is no answer.
func TestStatusOfAnotherTransaction(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(notify("gopay", midhooktest.Order("B-2")))
	}))
	defer api.Close()
	c, err := midhook.NewStatusClient(testKey, midhook.WithBaseURL(api.URL))
	require.NoError(t, err)
	_, err = c.Get(t.Context(), "A-1")
	assert.ErrorIs(t, err, midhook.ErrStatusUnavailable)
}

// fixedAPI answers every question with the next of some transactions, the last one
// again and again, and counts the questions. "" is an answer that fails.
func fixedAPI(t *testing.T, answers ...[]byte) (client *midhook.StatusClient, asked *atomic.Int64) {
	asked = new(atomic.Int64)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer := answers[min(int(asked.Add(1)), len(answers))-1]
		if len(answer) == 0 {
			w.WriteHeader(http.StatusTeapot)
		}
		_, _ = w.Write(answer)
	}))
	t.Cleanup(api.Close)
	client, err := midhook.NewStatusClient(testKey, midhook.WithBaseURL(api.URL))
	require.NoError(t, err)
	return client, asked
}

// Rule: an answer that is about another thing than was notified contradicts it, and the
// error names the field.
func TestAnswerAboutAnotherThing(t *testing.T) {
	for field, other := range map[string]midhooktest.Tweak{
		"order_id":       midhooktest.Order("B-2"),
		"transaction_id": midhooktest.Transaction("tx-2"),
		"gross_amount":   midhooktest.Amount("20000.00"),
		"currency":       midhooktest.Field("currency", "USD"),
		"merchant_id":    midhooktest.Field("merchant_id", "G999999999"),
	} {
		tweaks := []midhooktest.Tweak{midhooktest.Order("A-1"), midhooktest.Transaction("tx-1"), midhooktest.Amount("10000.00")}
		client, _ := fixedAPI(t, notify("gopay", append(tweaks, other)...))
		hook, rec := newHook(t, midhook.WithStatusCheck(client))
		next := &counter{}
		w := httptest.NewRecorder()
		hook.Handler(next).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(notify("gopay", tweaks...))))
		assert.Equal(t, 403, w.Code, field)
		assert.Zero(t, next.runs.Load(), field)
		assert.Equal(t, midhook.OutcomeContradicted, rec.last().Outcome, field)
		assert.ErrorContains(t, rec.last().Err, field)
	}
}

// Rule: where the order cannot be asked for whose transaction it is, the event says why.
func TestOwnerCannotBeAsked(t *testing.T) {
	client, _ := fixedAPI(t, notify("dana", midhooktest.Order("tx-1"), midhooktest.Transaction("tx-1")), nil)
	hook, rec := newHook(t, midhook.WithStatusCheck(client))
	w := httptest.NewRecorder()
	body := notify("dana", midhooktest.Order("A-1"), midhooktest.Transaction("tx-1"))
	hook.Handler(&counter{}).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body)))
	assert.Equal(t, 503, w.Code)
	assert.ErrorIs(t, rec.last().Err, midhook.ErrStatusUnavailable)
}

// Rule: what turns out to be an event that was handled gives the claim on the notified one
// back, and that is no error unless it fails.
func TestConfirmedEventWasHandled(t *testing.T) {
	event := func(code string, status midhook.TransactionStatus) *midhook.Notification {
		return midhooktest.Sample("bca-va", midhooktest.Order("A-1"), midhooktest.Transaction("tx-1"), midhooktest.Status(code, status))
	}
	for _, released := range []bool{true, false} {
		s := newStatusServer(t)
		s.Put(event("202", "deny")) // by the bank, after the settlement
		store := midhooktest.NewFaultyStore(midhook.NewLRUStore(10))
		deliver, got, rec := confirmed(t, s, midhook.WithStore(store))
		assert.Equal(t, 200, deliver(midhooktest.Body(event("202", "deny"), testKey)).Code)
		if !released {
			store.OnRelease(midhooktest.LostRequest)
		}
		assert.Equal(t, 200, deliver(midhooktest.Body(event("200", "settlement"), testKey)).Code)
		assert.Equal(t, midhook.OutcomeDuplicate, rec.last().Outcome)
		assert.Len(t, *got, 1)
		if released {
			assert.NoError(t, rec.last().Err)
		} else {
			assert.ErrorIs(t, rec.last().Err, midhooktest.ErrStoreFault, "the claim that is left is told of")
		}
	}
}

// Rule: payment_type says which kind of request comes first, so that one is enough, and
// no more: it is not signed.
func TestPaymentTypeIsAHint(t *testing.T) {
	for _, sample := range []string{"gopay", "dana"} {
		for _, claimed := range []string{"gopay", "dana"} {
			s := newStatusServer(t)
			s.Put(midhooktest.Sample(sample, midhooktest.Order("A-1"), midhooktest.Transaction("tx-1"), midhooktest.Amount("10000.00")))
			deliver, got, _ := confirmed(t, s)
			body := notify(sample, midhooktest.Order("A-1"), midhooktest.Transaction("tx-1"), midhooktest.Amount("10000.00"), midhooktest.Field("payment_type", claimed))
			require.Equal(t, 200, deliver(body).Code, sample)
			require.Len(t, *got, 1)
			if sample == claimed && sample == "gopay" {
				assert.Equal(t, 1, s.Requests())
			}
		}
	}
}

// Whether a paid DANA transaction is an order's own is asked in both of the API's
// ways: payment_type is not signed.
func TestTransactionOfAnotherKind(t *testing.T) {
	s := newStatusServer(t)
	s.Put(midhooktest.Sample("dana", midhooktest.Order("mine"), midhooktest.Transaction("tx-paid"), midhooktest.Amount("50000.00")))
	s.Put(midhooktest.Sample("gopay", midhooktest.Order("other"), midhooktest.Transaction("tx-other"), midhooktest.Amount("50000.00"), midhooktest.Status("201", "pending")))
	deliver, got, _ := confirmed(t, s)
	forged := midhooktest.Sample("gopay", midhooktest.Order("other"), midhooktest.Transaction("tx-paid"), midhooktest.Amount("50000.00"),
		midhooktest.Status("201", "pending"), midhooktest.Field("payment_type", "dana"))
	assert.Equal(t, 403, deliver(midhooktest.Body(forged, testKey)).Code)
	assert.Empty(t, *got)
}

// danaSettlement is a payment that the API confirms without
// saying the order.
func danaSettlement(tweaks ...midhooktest.Tweak) *midhook.Notification {
	return midhooktest.Sample("dana", append([]midhooktest.Tweak{midhooktest.Order("ORDER-77"), midhooktest.Transaction("tx-dana"), midhooktest.Amount("113500.00")}, tweaks...)...)
}

// Rule: an order's earlier attempt is no contradiction unless it was answered with
// the code 200 without having been paid; one that was paid, even if the money went
// back, counts as paid, and is worth a look.
func TestEarlierAttempts(t *testing.T) {
	status := midhooktest.Status
	for name, tt := range map[string]struct {
		sample    string
		attempt   midhooktest.Tweak
		code      int
		attention bool
	}{
		"a card that was denied":        {"credit-card", status("202", "deny"), 200, false},
		"a VA that is pending":          {"bca-va", status("201", "pending"), 200, false},
		"a VA that expired":             {"bca-va", status("202", "expire"), 200, false},
		"a failure":                     {"gopay", status("202", "failure"), 200, false},
		"DANA that is pending":          {"dana", status("201", "pending"), 200, false},
		"a challenge":                   {"credit-card-challenge", status("201", "capture"), 200, false},
		"a card that was cancelled":     {"credit-card", status("200", "cancel"), 403, false},
		"DANA that was cancelled":       {"dana", status("200", "cancel"), 403, false},
		"an authorization":              {"credit-card", status("200", "authorize"), 403, false},
		"a settlement":                  {"gopay", status("200", "settlement"), 200, true},
		"a refund":                      {"gopay", status("200", "refund"), 200, true},
		"a partial refund":              {"gopay", status("200", "partial_refund"), 200, true},
		"a chargeback":                  {"credit-card", status("200", "chargeback"), 200, true},
		"a partial chargeback, of DANA": {"dana", status("200", "partial_chargeback"), 200, true},
	} {
		for _, attemptLast := range []bool{false, true} {
			s := newStatusServer(t)
			attempt := midhooktest.Sample(tt.sample, midhooktest.Order("ORDER-77"), midhooktest.Transaction("tx-1"), midhooktest.Amount("113500.00"), tt.attempt)
			s.Put(attempt)
			s.Put(danaSettlement())
			if attemptLast {
				s.Put(attempt) // Midtrans says this one of the order's
			}
			deliver, got, _ := confirmed(t, s)
			code := deliver(midhooktest.Body(danaSettlement(), testKey)).Code
			if !attemptLast || tt.sample != "dana" {
				// The order's own answer is the transaction itself.
				require.Equal(t, 200, code, name)
				assert.Empty(t, (*got)[0].Attention(), name)
				continue
			}
			require.Equal(t, tt.code, code, name)
			if code == 200 {
				require.Len(t, *got, 1)
				n := (*got)[0]
				assert.True(t, n.Paid())
				assert.Equal(t, "ORDER-77", n.OrderID)
				assert.Equal(t, tt.attention, n.Attention() != "", name)
				again := mustParse(t, n.Raw())
				assert.Equal(t, "ORDER-77", again.OrderID, "what a queue carries names the order, too")
				assert.Equal(t, n.IdempotencyKey(), again.IdempotencyKey())
			}
		}
	}
}

// Rule: a body that was signed for less than a payment is not handed on as another
// order's payment.
func TestPendingBodyTakesNoOtherPayment(t *testing.T) {
	s := newStatusServer(t)
	s.Put(danaSettlement())
	s.Put(midhooktest.Sample("gopay", midhooktest.Order("other"), midhooktest.Transaction("tx-2"), midhooktest.Amount("113500.00"), midhooktest.Status("201", "pending")))
	deliver, got, _ := confirmed(t, s)
	forged := danaSettlement(midhooktest.Order("other"), midhooktest.Status("201", "pending"))
	assert.Equal(t, 403, deliver(midhooktest.Body(forged, testKey)).Code)
	assert.Empty(t, *got)
	late := danaSettlement(midhooktest.Status("201", "pending"))
	assert.Equal(t, 200, deliver(midhooktest.Body(late, testKey)).Code, "its own pending is only late")
	require.Len(t, *got, 1)
	assert.True(t, (*got)[0].Paid())
}

// Rule: a settlement or an accepted capture that the API shows as refunded or charged
// back in part stands as it was notified, confirmed; one that was refunded in full is
// late.
func TestPartlyReversedStands(t *testing.T) {
	status := midhooktest.Status
	for _, notified := range []*midhook.Notification{
		midhooktest.Sample("credit-card", status("200", "settlement")),
		midhooktest.Sample("credit-card", status("200", "capture")),
	} {
		for _, now := range []midhook.TransactionStatus{"partial_refund", "partial_chargeback", "refund", "chargeback"} {
			s := newStatusServer(t)
			s.Put(midhooktest.Sample("credit-card", status("200", now), midhooktest.Field("refund_amount", "1000.00"), midhooktest.Field("refund_key", "r")))
			deliver, got, _ := confirmed(t, s)
			require.Equal(t, 200, deliver(midhooktest.Body(notified, testKey)).Code)
			require.Len(t, *got, 1)
			n := (*got)[0]
			assert.True(t, n.Confirmed())
			assert.Equal(t, string(midhooktest.Body(notified, testKey)), string(n.Notified().Raw()))
			if now == "refund" || now == "chargeback" {
				assert.Equal(t, now, n.TransactionStatus)
				assert.False(t, n.Paid())
				continue
			}
			assert.Equal(t, notified.TransactionStatus, n.TransactionStatus)
			assert.True(t, n.Paid())
			assert.Empty(t, n.RefundAmount+n.RefundKey)
			assert.Equal(t, string(n.Notified().Raw()), string(n.Raw()), "the body says what the facts say")
			assert.Equal(t, notified.IdempotencyKey(), n.IdempotencyKey())
		}
	}
	pending := midhooktest.Sample("credit-card", status("201", "pending"))
	s := newStatusServer(t)
	s.Put(midhooktest.Sample("credit-card", status("200", "partial_refund")))
	deliver, got, _ := confirmed(t, s)
	require.Equal(t, 200, deliver(midhooktest.Body(pending, testKey)).Code)
	assert.Equal(t, midhook.StatusPartialRefund, (*got)[0].TransactionStatus, "what was not paid then does not stand")
}

// Rule: a Pay Account is confirmed by its own API, where another status contradicts:
// linked and unlinked alternate, so that either may be the later one.
func TestPayAccountIsConfirmed(t *testing.T) {
	account := func(sample string) *midhook.Notification {
		return midhooktest.Sample(sample, midhooktest.Field("account_id", "acc/1"))
	}
	s := newStatusServer(t)
	deliver, got, rec := confirmed(t, s)
	enabled, disabled := account("pay-account-enabled"), account("pay-account-disabled")
	assert.Equal(t, 503, deliver(midhooktest.Body(enabled, testKey)).Code, "the API does not know it")
	assert.ErrorIs(t, rec.last().Err, midhook.ErrTransactionNotFound)
	s.Put(disabled)
	assert.Equal(t, 403, deliver(midhooktest.Body(enabled, testKey)).Code)
	assert.ErrorIs(t, rec.last().Err, midhook.ErrUnconfirmed)
	assert.Equal(t, 200, deliver(midhooktest.Body(disabled, testKey)).Code)
	require.Len(t, *got, 1)
	assert.True(t, (*got)[0].Confirmed())
	assert.Equal(t, "DISABLED", (*got)[0].AccountStatus)
	assert.True(t, (*got)[0].Message("").Alternates)

	n, err := s.Client().GetAccount(t.Context(), "acc/1")
	require.NoError(t, err)
	assert.Equal(t, midhook.PayAccount, n.Kind())
	_, err = s.Client().GetAccount(t.Context(), "acc/2")
	assert.ErrorIs(t, err, midhook.ErrTransactionNotFound)
}

// Rule: one DANA payment that is presented for two orders, both of which are paid, runs
// for both, for the status API does not say whose it is; the log asks for attention.
func TestOnePaymentForTwoPaidOrders(t *testing.T) {
	s := newStatusServer(t)
	mine := midhooktest.Sample("dana", midhooktest.Order("mine"), midhooktest.Transaction("tx-mine"))
	other := midhooktest.Sample("dana", midhooktest.Order("other"), midhooktest.Transaction("tx-other"))
	presented := midhooktest.Sample("dana", midhooktest.Order("other"), midhooktest.Transaction("tx-mine"))
	s.Put(mine)
	s.Put(other)
	deliver, _, rec := confirmed(t, s)
	assert.Equal(t, 200, deliver(midhooktest.Body(mine, testKey)).Code)
	assert.NotContains(t, rec.logged(), "attention")
	assert.Equal(t, 200, deliver(midhooktest.Body(presented, testKey)).Code)
	assert.Contains(t, rec.logged(), `attention="the order has another paid transaction`)
}
