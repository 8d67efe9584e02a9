package payout_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
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
	"github.com/midhook/midhook/payout"
)

// shop is a merchant's handler under the pipeline, and everything that it and the
// observer saw.
type shop struct {
	http.Handler
	mu     sync.Mutex
	seen   []payout.Status
	events []midhook.Event
	do     func(*payout.Notification) error
}

func newShop(t testing.TB, gateway *payout.Gateway, opts ...midhook.Option) *shop {
	t.Helper()
	s := &shop{}
	hook, err := midhook.NewFor(gateway, append([]midhook.Option{
		midhook.WithLogger(slog.New(slog.DiscardHandler)),
		midhook.WithObserver(func(_ context.Context, e midhook.Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.events = append(s.events, e)
		}),
	}, opts...)...)
	require.NoError(t, err)
	s.Handler = midhook.HandleValue(hook, func(ctx context.Context, n *payout.Notification) error {
		same, ok := payout.FromContext(ctx)
		assert.True(t, ok)
		assert.Same(t, n, same)
		s.mu.Lock()
		s.seen = append(s.seen, n.Status)
		s.mu.Unlock()
		if s.do != nil {
			return s.do(n)
		}
		return nil
	})
	return s
}

func newGateway(t testing.TB, opts ...payout.Option) *payout.Gateway {
	t.Helper()
	g, err := payout.New(testKey, opts...)
	require.NoError(t, err)
	return g
}

// deliver plays Midtrans.
func deliver(h http.Handler, body string, signatures ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/payouts/notification", strings.NewReader(body))
	for _, s := range signatures {
		r.Header.Add("Iris-Signature", s)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// outcomes returns what the observer was told since the last call.
func (s *shop) outcomes() (outcomes []midhook.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		outcomes = append(outcomes, e.Outcome)
	}
	s.events = nil
	return outcomes
}

// Rule: what is wrong with keys and options is found when the server starts, all
// of it at once, and no error quotes a key.
func TestNew(t *testing.T) {
	for _, c := range []struct {
		name string
		key  string
		opts []payout.Option
		err  string
	}{
		{"right", testKey, nil, ""},
		{"rotation", testKey, []payout.Option{payout.WithKey("next", otherKey)}, ""},
		{"of no known shape", "anything-of-some-length", nil, ""},
		{"empty", "", nil, `payout: merchant key "default": the key is empty`},
		{"blank", " \t", nil, `payout: merchant key "default": the key is empty`},
		{"line end", testKey + "\n", nil, `payout: merchant key "default": the key begins or ends with white space`},
		{"two lines", testKey + "\n" + testKey, nil, `payout: merchant key "default": the key contains characters that no key has: control characters, or an invisible one`},
		{"server key", "SB-Mid-server-test", nil, `payout: merchant key "default": the key is of another kind (Midtrans server key): the Midtrans Iris key is required`},
		{"client key", "Mid-client-test", nil, `payout: merchant key "default": the key is of another kind (Midtrans client key, which is public): the Midtrans Iris key is required`},
		{"another gateway's", "whsk_test", nil, `payout: merchant key "default": the key is of another kind (PayMongo webhook secret): the Midtrans Iris key is required`},
		{"a label twice", testKey, []payout.Option{payout.WithKey("default", otherKey)}, `payout: merchant key: there are two with the label "default"`},
		{"no label", testKey, []payout.Option{payout.WithKey(" ", otherKey)}, `payout: merchant key: a label is required`},
		{"label and key changed places", testKey, []payout.Option{payout.WithKey(otherKey, "next")}, `payout: merchant key: the label looks like a key: the label comes first`},
		{"nil option", testKey, []payout.Option{nil}, `payout: option 1 is nil`},
		{"all at once", "", []payout.Option{payout.WithKey("next", "SB-Mid-server-test"), nil, payout.WithKey("next", " ")},
			"payout: merchant key \"default\": the key is empty\n" +
				"merchant key \"next\": the key is of another kind (Midtrans server key): the Midtrans Iris key is required\n" +
				"option 2 is nil\n" +
				"merchant key: there are two with the label \"next\"\n" +
				"merchant key \"next\": the key is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, err := payout.New(c.key, c.opts...)
			if c.err == "" {
				assert.NoError(t, err)
				assert.NotNil(t, g)
				return
			}
			assert.EqualError(t, err, c.err)
			assert.Nil(t, g)
		})
	}
}

// Rule: the signature comes first, over the body as it came, from exactly one
// header; only then is the body read.
func TestAnswers(t *testing.T) {
	right := sign(completed, testKey)
	for _, c := range []struct {
		name       string
		body       string
		signatures []string
		status     int
		outcome    midhook.Outcome
	}{
		{"payout", completed, []string{right}, 200, midhook.OutcomeHandled},
		{"top-up", topUp, []string{sign(topUp, testKey)}, 200, midhook.OutcomeHandled},
		{"upper case", completed, []string{strings.ToUpper(right)}, 200, midhook.OutcomeHandled},
		{"pretty-printed, signed so", indent(completed), []string{sign(indent(completed), testKey)}, 200, midhook.OutcomeHandled},
		{"pretty-printed after it was signed", indent(completed), []string{right}, 403, midhook.OutcomeForged},
		{"forged", completed, []string{sign(completed, otherKey)}, 403, midhook.OutcomeForged},
		{"edited", strings.Replace(completed, "completed", "failed", 1), []string{right}, 403, midhook.OutcomeForged},
		{"no signature", completed, nil, 403, midhook.OutcomeForged},
		{"empty signature", completed, []string{""}, 403, midhook.OutcomeForged},
		{"two signatures", completed, []string{right, right}, 403, midhook.OutcomeForged},
		{"a wrong one before the right one", completed, []string{sign(completed, otherKey), right}, 403, midhook.OutcomeForged},
		{"an empty one behind the right one", completed, []string{right, ""}, 403, midhook.OutcomeForged},
		{"two in one header", completed, []string{right + ", " + right}, 403, midhook.OutcomeForged},
		{"empty body, signed", "", []string{sign("", testKey)}, 403, midhook.OutcomeForged},
		{"not JSON, not signed", "secret", []string{right}, 403, midhook.OutcomeForged},
		{"not JSON, signed", "secret", []string{sign("secret", testKey)}, 400, midhook.OutcomeMalformed},
		{"no ids, signed", `{"status":"completed"}`, []string{sign(`{"status":"completed"}`, testKey)}, 400, midhook.OutcomeMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShop(t, newGateway(t))
			w := deliver(s, c.body, c.signatures...)
			assert.Equal(t, c.status, w.Code)
			assert.Equal(t, "text/plain; charset=utf-8", w.Header().Get("Content-Type"))
			assert.Equal(t, []midhook.Outcome{c.outcome}, s.outcomes())
			if c.outcome == midhook.OutcomeHandled {
				assert.Len(t, s.seen, 1)
			} else {
				assert.Empty(t, s.seen)
			}
		})
	}
	w := httptest.NewRecorder()
	newShop(t, newGateway(t)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	assert.Equal(t, http.StatusMethodNotAllowed, w.Code)
}

func indent(body string) string {
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(body), "", "  "); err != nil {
		panic(err)
	}
	return b.String()
}

// Rule: a gateway without keys accepts nothing, not even what nothing signed.
func TestZeroGateway(t *testing.T) {
	for _, signature := range []string{sign(completed, ""), ""} {
		_, err := (&payout.Gateway{}).Open(http.Header{"Iris-Signature": {signature}}, []byte(completed))
		assert.ErrorIs(t, err, midhook.ErrSignature)
	}
}

// Rule: during a rotation either key is accepted, and the event tells which: the
// same event, whichever signed it.
func TestRotation(t *testing.T) {
	s := newShop(t, newGateway(t, payout.WithKey("retired", otherKey)))
	assert.Equal(t, 200, deliver(s, completed, sign(completed, otherKey)).Code)
	assert.Equal(t, 200, deliver(s, failed, sign(failed, testKey)).Code)
	assert.Equal(t, 200, deliver(s, completed, sign(completed, testKey)).Code)
	assert.Equal(t, 403, deliver(s, processed, sign(processed, "IRIS-merchant-third-test")).Code)

	var labels []string
	for _, e := range s.events {
		labels = append(labels, e.KeyLabel)
	}
	assert.Equal(t, []string{"retired", "default", "default", ""}, labels)
	assert.Equal(t, []midhook.Outcome{midhook.OutcomeHandled, midhook.OutcomeHandled, midhook.OutcomeDuplicate, midhook.OutcomeForged}, s.outcomes())
}

// Rule: an event is handled once, however its body is written; every other event
// is handled, in whatever order events come. Only an approved or a processed that
// comes too late is not handed on.
func TestDuplicatesAndOrder(t *testing.T) {
	const (
		returned      = `{"reference_no":"83hgf882","amount":"154600","status":"completed","updated_at":"2026-01-03T00:00:00Z"}`
		held          = `{"reference_no":"83hgf882","status":"held","updated_at":"2026-01-01T00:00:00Z"}`
		otherApproved = `{"reference_no":"another","status":"approved","updated_at":"2026-01-01T00:00:00Z"}`
		otherTopUp    = `{"transaction_id":"another","order_id":"topup-2","gross_amount":"1","status":"topup"}`
	)
	respelled := strings.NewReplacer("154600.00", "154600", `"completed"`, `"COMPLETED"`, ":", " : ").Replace
	once := strings.Replace(completed, `"154600.00"`, `154600`, 1)
	const (
		handled    = midhook.OutcomeHandled
		duplicate  = midhook.OutcomeDuplicate
		superseded = midhook.OutcomeSuperseded
	)
	for _, c := range []struct {
		name   string
		bodies []string
		want   []midhook.Outcome
	}{
		{"in order", []string{approved, processed, completed}, []midhook.Outcome{handled, handled, handled}},
		{"the bank returns the money", []string{completed, failed}, []midhook.Outcome{handled, handled}},
		{"the bank's return comes first", []string{failed, completed}, []midhook.Outcome{handled, handled}},
		{"completed once more", []string{completed, failed, returned, completed}, []midhook.Outcome{handled, handled, handled, duplicate}},
		{"rejected, then completed", []string{rejected, completed}, []midhook.Outcome{handled, handled}},
		{"completed, then rejected", []string{completed, rejected}, []midhook.Outcome{handled, handled}},
		{"approved too late", []string{processed, approved}, []midhook.Outcome{handled, superseded}},
		{"all too late", []string{failed, processed, approved, completed}, []midhook.Outcome{handled, superseded, superseded, handled}},
		{"unknown status", []string{completed, held, held}, []midhook.Outcome{handled, handled, duplicate}},
		{"another payout", []string{completed, otherApproved}, []midhook.Outcome{handled, handled}},
		{"twice", []string{completed, completed}, []midhook.Outcome{handled, duplicate}},
		{"pretty-printed", []string{completed, indent(completed)}, []midhook.Outcome{handled, duplicate}},
		{"amount as a number", []string{completed, once}, []midhook.Outcome{handled, duplicate}},
		{"top-ups", []string{topUp, otherTopUp, indent(topUp)}, []midhook.Outcome{handled, handled, duplicate}},
		{"respelled", []string{`{"reference_no":"r","amount":"154600.00","status":"completed"}`, respelled(`{"reference_no":"r","amount":"154600.00","status":"completed"}`)}, []midhook.Outcome{handled, duplicate}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShop(t, newGateway(t))
			for _, body := range c.bodies {
				assert.Equal(t, 200, deliver(s, body, sign(body, testKey)).Code)
			}
			assert.Equal(t, c.want, s.outcomes())
		})
	}
}

// Rule: events of different gateways in one store do not get in each other's way.
func TestSharedStore(t *testing.T) {
	store := midhook.NewLRUStore(100)
	first, second := newShop(t, newGateway(t), midhook.WithStore(store)), newShop(t, newGateway(t), midhook.WithStore(store))
	deliver(first, completed, sign(completed, testKey))
	deliver(second, completed, sign(completed, testKey))
	assert.Equal(t, []midhook.Outcome{midhook.OutcomeDuplicate}, second.outcomes(), "one payout URL on two machines")

	hook, err := midhook.New("SB-Mid-server-test", midhook.WithStore(store), midhook.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	n := &midhook.Notification{OrderID: "83hgf882", TransactionStatus: "completed"}
	ran := false
	err = hook.HandleMessage(t.Context(), n.Message(""), nil, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran = true }))
	assert.NoError(t, err)
	assert.True(t, ran, "a payment with a payout's reference for an order_id")
}

// Rule: what the handler did not manage is asked for again, and comes again.
func TestFailureIsRetried(t *testing.T) {
	s := newShop(t, newGateway(t))
	s.do = func(*payout.Notification) error { return errors.New("database is away") }
	assert.Equal(t, 503, deliver(s, failed, sign(failed, testKey)).Code)
	s.do = func(*payout.Notification) error { panic("database is away") }
	assert.Panics(t, func() { deliver(s, failed, sign(failed, testKey)) })
	s.do = nil
	assert.Equal(t, 200, deliver(s, failed, sign(failed, testKey)).Code)
	assert.Len(t, s.seen, 3)
	assert.Equal(t, []midhook.Outcome{midhook.OutcomeHandlerFailed, midhook.OutcomeHandlerPanicked, midhook.OutcomeHandled}, s.outcomes())
}

// Rule: a slow handler is answered for at the budget, its event is not handed on
// beside it, and the retry after it is a duplicate.
func TestSlowHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, newGateway(t))
		s.do = func(*payout.Notification) error { time.Sleep(20 * time.Second); return nil }
		answered := make(chan int)
		go func() { answered <- deliver(s, completed, sign(completed, testKey)).Code }()
		time.Sleep(6 * time.Second)
		assert.Equal(t, 503, deliver(s, completed, sign(completed, testKey)).Code)
		assert.Equal(t, 503, <-answered)
		assert.Equal(t, 200, deliver(s, completed, sign(completed, testKey)).Code)
		assert.Len(t, s.seen, 1)
		assert.Equal(t, []midhook.Outcome{
			midhook.OutcomeBudgetExceeded, midhook.OutcomeInFlight, midhook.OutcomeLateHandled, midhook.OutcomeDuplicate,
		}, s.outcomes())
	})
}

// Rule: the signature has no time. What was seen once is accepted again when the
// store has forgotten it, which is what a unique index over the key is for.
func TestReplayAfterKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, newGateway(t))
		keys := map[string]bool{}
		s.do = func(n *payout.Notification) error { keys[n.IdempotencyKey()] = true; return nil }
		for _, wait := range []time.Duration{0, 23 * time.Hour, 2 * time.Hour} {
			time.Sleep(wait)
			deliver(s, completed, sign(completed, testKey))
		}
		assert.Equal(t, []midhook.Outcome{midhook.OutcomeHandled, midhook.OutcomeDuplicate, midhook.OutcomeHandled}, s.outcomes())
		assert.Len(t, keys, 1)
	})
}

// Rule: outside of a handler there is no notification.
func TestFromContext(t *testing.T) {
	n, ok := payout.FromContext(t.Context())
	assert.Nil(t, n)
	assert.False(t, ok)
}
