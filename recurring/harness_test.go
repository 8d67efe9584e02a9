package recurring_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/recurring"
)

const (
	testKey = "SB-Mid-server-test"
	nextKey = "SB-Mid-server-test-next"

	subID   = "db516f5c-4acf-4f67-ac75-bb8428b58633"
	txID    = "2dd96707-8969-4930-9afa-74343b9e2042"
	otherTx = "9beb839d-8fe2-41ec-bc5e-045e5001d286"
	orderID = "SUBS-MONTHLY-1666778331"

	token    = "481111token1114"
	name     = "MONTHLY-of-Budi"
	customer = "Budi-Customer"
	phone    = "+62800000000"
)

// subscription is the API's answer, and with other fields the body of a creation.
func subscription(fields ...string) string {
	return `{"id":"` + subID + `","name":"` + name + `","amount":"14000","currency":"IDR","status":"active",
		"schedule":{"interval":1,"interval_unit":"month","current_interval":1,"max_interval":12,
			"start_time":"2022-10-26T09:59:00.000000Z","next_execution_at":"2022-11-26T09:59:00.000000Z"},
		"token":"` + token + `","payment_type":"credit_card","metadata":{"plan":"A"},
		"customer_details":{"first_name":"` + customer + `","phone":"` + phone + `"}` + more(fields) + `}`
}

func listing(ids ...string) string {
	return `"transaction_ids":["` + strings.Join(ids, `","`) + `"]`
}

func more(fields []string) string {
	if len(fields) == 0 {
		return ""
	}
	return "," + strings.Join(fields, ",")
}

// transaction is GET status' answer, and with a signature the body of a payment.
func transaction(status string, fields ...string) string {
	return `{"transaction_id":"` + txID + `","order_id":"` + orderID + `","gross_amount":"14000.00","currency":"IDR",
		"status_code":"200","transaction_status":"` + status + `","fraud_status":"accept","payment_type":"credit_card",
		"masked_card":"481111-1114"` + more(fields) + `}`
}

// charge is the documented body of a charge.
func charge(subscriptionID, transactionID, status string, fields ...string) string {
	return `{"transaction":{"transaction_status":"` + status + `","transaction_id":"` + transactionID + `","status_code":"200"` + more(fields) + `},
		"subscription":{"id":"` + subscriptionID + `","name":"` + name + `","amount":"14000","token":"` + token + `"},"event_name":"subscription.charge"}`
}

// failed is the documented body of a failed charge.
func failed(code string) string {
	return `{"transaction":{"status_code":"` + code + `","status_message":"Token id is missing, invalid, or timed out"},
		"subscription":{"id":"` + subID + `","token":"` + token + `"},"event_name":"subscription.charge"}`
}

// payment is a flat body that key has signed.
func payment(status, key string, fields ...string) string {
	signed := &midhook.Notification{OrderID: orderID, StatusCode: "200", GrossAmount: "14000.00"}
	fields = append([]string{`"subscription_id":"` + subID + `"`, `"signature_key":"` + midhooktest.Sign(signed, key) + `"`}, fields...)
	return transaction(status, fields...)
}

// fakeAPI is Midtrans' API, in process.
type fakeAPI struct {
	mu            sync.Mutex
	keys          []string
	subscriptions map[string]string
	transactions  map[string]string
	answer        func(*http.Request) (*http.Response, error) // instead, if not nil
	calls         []string
}

// newAPI knows one active subscription with one captured charge.
func newAPI() *fakeAPI {
	return &fakeAPI{
		keys:          []string{testKey},
		subscriptions: map[string]string{subID: subscription(listing(otherTx, txID))},
		transactions:  map[string]string{txID: transaction("capture")},
	}
}

func (a *fakeAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, r.URL.Path)
	if a.answer != nil {
		a.mu.Unlock()
		defer a.mu.Lock()
		return a.answer(r)
	}
	user, password, _ := r.BasicAuth()
	known := false
	for _, key := range a.keys {
		known = known || key == user
	}
	if !known || password != "" || r.URL.Host != "api.sandbox.midtrans.com" {
		return respond(http.StatusUnauthorized, `{"status_message":"unauthorized"}`), nil
	}
	if id, ok := strings.CutPrefix(r.URL.Path, "/v1/subscriptions/"); ok {
		if body, ok := a.subscriptions[id]; ok {
			return respond(http.StatusOK, body), nil
		}
		return respond(http.StatusNotFound, `{"status_message":"subscription doesn't exist"}`), nil
	}
	id := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/v2/"), "/status")
	if body, ok := a.transactions[id]; ok {
		return respond(http.StatusOK, body), nil
	}
	return respond(http.StatusOK, `{"status_code":"404","status_message":"transaction doesn't exist"}`), nil
}

func respond(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

// change changes what the API says.
func (a *fakeAPI) change(f func(*fakeAPI)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(a)
}

func (a *fakeAPI) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.calls)
}

// shop is a merchant: a handler that remembers what it got, and everything that
// was printed on the way.
type shop struct {
	api     *fakeAPI
	handler http.Handler
	runs    atomic.Int64
	do      func(context.Context, *recurring.Notification) error // nil: succeed

	mu     sync.Mutex
	got    []*recurring.Notification
	events []midhook.Event
	log    bytes.Buffer
}

type shopOptions struct {
	limit   rate.Limit
	burst   int
	gateway []recurring.Option
	hook    []midhook.Option
}

func newShop(t testing.TB, api *fakeAPI, o shopOptions) *shop {
	t.Helper()
	if o.limit == 0 {
		o.limit, o.burst = 1e6, 1000
	}
	s := &shop{api: api}
	client := &http.Client{Transport: api}
	gateway, err := recurring.New(testKey, o.limit, o.burst, append(o.gateway, recurring.WithHTTPClient(client))...)
	require.NoError(t, err)
	hook, err := midhook.NewFor(gateway, append([]midhook.Option{
		midhook.WithObserver(s.observe),
		midhook.WithLogger(slog.New(slog.NewTextHandler(s, &slog.HandlerOptions{Level: slog.LevelDebug}))),
	}, o.hook...)...)
	require.NoError(t, err)
	s.handler = midhook.HandleValue(hook, s.handle)
	return s
}

func (s *shop) handle(ctx context.Context, n *recurring.Notification) error {
	s.runs.Add(1)
	s.mu.Lock()
	s.got = append(s.got, n)
	s.mu.Unlock()
	if s.do != nil {
		return s.do(ctx, n)
	}
	return nil
}

func (s *shop) observe(_ context.Context, e midhook.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

func (s *shop) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

func (s *shop) post(body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/recurring", strings.NewReader(body)))
	return w
}

func (s *shop) last() midhook.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.events[len(s.events)-1]
}

// printed is everything that came out: log, events in every form, and what the
// handler got in every form.
func (s *shop) printed() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	b.WriteString(s.log.String())
	for _, e := range s.events {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			fmt.Fprintf(&b, verb+"\n", e)
		}
		if e.Err != nil {
			fmt.Fprintf(&b, "%v %+v %#v\n", e.Err, e.Err, e.Err.Error())
		}
	}
	for _, n := range s.got {
		b.WriteString(inEveryForm(n))
	}
	return b.String()
}

// untouched is a store that fails the test when it is asked anything.
type untouched struct{ t testing.TB }

func (u untouched) Acquire(context.Context, midhook.Claim) (midhook.ClaimState, error) {
	u.t.Error("the store was asked about what the API did not confirm")
	return 0, io.ErrUnexpectedEOF
}
func (u untouched) Finish(context.Context, midhook.Claim, time.Duration) error { return nil }
func (u untouched) Release(context.Context, midhook.Claim) error               { return nil }
