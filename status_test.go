package midhook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
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

func newStatusServer(t testing.TB) *midhooktest.StatusServer {
	s := midhooktest.NewStatusServer(testKey)
	t.Cleanup(s.Close)
	return s
}

func TestNewStatusClientRefuses(t *testing.T) {
	for _, base := range []string{"", "api.midtrans.com", "http://api.midtrans.com", "ftp://x", "https://", "https://user@x", "https://x?y", "https://x#y", "http://localhost.example", "http://127.0.0.1.example", "https://x\x00"} {
		_, err := midhook.NewStatusClient(testKey, midhook.WithBaseURL(base))
		assert.ErrorContains(t, err, "base URL", "%q", base)
	}
	for _, base := range []string{"https://x", "https://x/prefix/", "http://localhost:1", "http://127.8.9.1", "http://[::1]:80"} {
		_, err := midhook.NewStatusClient("any key", midhook.WithBaseURL(base))
		assert.NoError(t, err, base)
	}
	for key, ok := range map[string]bool{testKey: true, "Mid-server-test": true, "VT-server-test": false, "": false, "Mid-client-test": false, " ": false} {
		_, err := midhook.NewStatusClient(key)
		assert.Equal(t, ok, err == nil, key)
	}
	_, err := midhook.NewStatusClient("Mid-client-abc", midhook.WithHTTPClient(nil), midhook.WithRate(nil), nil)
	require.Error(t, err)
	assert.Len(t, strings.Split(err.Error(), "\n"), 5)
	assert.NotContains(t, err.Error(), "abc")
}

// roundTrip is an http.RoundTripper of a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The key's prefix chooses the environment, ids make one path segment, and the
// key is the user of Basic auth.
func TestStatusRequest(t *testing.T) {
	for key, host := range map[string]string{testKey: "api.sandbox.midtrans.com", "Mid-server-test": "api.midtrans.com"} {
		for id, path := range map[string]string{
			"A-1":                    "/v2/A-1/status",
			"00561/05/ADI-IL/24JKT":  "/v2/00561%2F05%2FADI-IL%2F24JKT/status",
			"a#b?c":                  "/v2/a%23b%3Fc/status",
			"..":                     "/v2/%2E%2E/status",
			".":                      "/v2/%2E/status",
			"a b%41;=é":              "/v2/a%20b%2541%3B=%C3%A9/status",
			"../../v1/subscriptions": "/v2/..%2F..%2Fv1%2Fsubscriptions/status",
		} {
			var got *http.Request
			c, err := midhook.NewStatusClient(key, midhook.WithHTTPClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				got = r
				return nil, errors.New("no network")
			})}))
			require.NoError(t, err)
			_, err = c.Get(t.Context(), id)
			assert.ErrorIs(t, err, midhook.ErrStatusUnavailable)
			assert.NotContains(t, err.Error(), key)
			assert.Equal(t, "https", got.URL.Scheme)
			assert.Equal(t, host, got.URL.Host)
			assert.Equal(t, path, got.URL.EscapedPath())
			assert.Empty(t, got.URL.RawQuery+got.URL.Fragment)
			user, password, _ := got.BasicAuth()
			assert.Equal(t, key, user)
			assert.Empty(t, password)
			assert.Empty(t, got.Header.Get("transaction-source"))
		}
	}
	c, err := midhook.NewStatusClient(testKey)
	require.NoError(t, err)
	_, err = c.Get(t.Context(), "")
	assert.ErrorIs(t, err, midhook.ErrTransactionNotFound)
}

func TestStatusGet(t *testing.T) {
	s := newStatusServer(t)
	c := s.Client()
	for _, name := range midhooktest.Samples() {
		n := midhooktest.Sample(name)
		if n.Kind() != midhook.Payment {
			continue
		}
		s.Put(n)
		for _, id := range []string{n.OrderID, n.TransactionID} {
			got, err := c.Get(t.Context(), id)
			require.NoError(t, err, name)
			assert.True(t, got.Confirmed())
			assert.Nil(t, got.Notified())
			assert.Equal(t, n.TransactionStatus, got.TransactionStatus)
			assert.Equal(t, n.GrossAmount, got.GrossAmount)
			assert.Equal(t, n.Paid(), got.Paid(), name)
			if id == n.OrderID {
				assert.Equal(t, id, got.OrderID, "DANA and some banks answer with the transaction_id")
			}
		}
	}
	_, err := c.Get(t.Context(), "unknown")
	assert.ErrorIs(t, err, midhook.ErrTransactionNotFound)

	other, err := midhook.NewStatusClient("SB-Mid-server-other", midhook.WithBaseURL(s.URL))
	require.NoError(t, err)
	_, err = other.Get(t.Context(), "gopay-01")
	assert.ErrorIs(t, err, midhook.ErrUnauthorized)
}

// Each way to fail has its error, and none has the key in it.
func TestStatusErrors(t *testing.T) {
	s := newStatusServer(t)
	s.Put(midhooktest.Sample("gopay"))
	c := s.Client()
	for trouble, want := range map[midhooktest.Trouble]error{
		midhooktest.NothingFound:    midhook.ErrTransactionNotFound,
		midhooktest.WrongKey:        midhook.ErrUnauthorized,
		midhooktest.TooManyRequests: midhook.ErrRateLimited,
		midhooktest.Failing:         midhook.ErrStatusUnavailable,
		midhooktest.Stalling:        midhook.ErrStatusUnavailable,
		midhooktest.Garbage:         midhook.ErrStatusUnavailable,
		midhooktest.TooMuch:         midhook.ErrStatusUnavailable,
		midhooktest.Redirecting:     midhook.ErrStatusUnavailable,
		midhooktest.Breaking:        midhook.ErrStatusUnavailable,
	} {
		s.Be(trouble)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		_, err := c.Get(ctx, "gopay-01")
		cancel()
		assert.ErrorIs(t, err, want)
		assert.NotContains(t, fmt.Sprint(err), testKey)
		if trouble == midhooktest.Stalling {
			assert.ErrorIs(t, err, context.DeadlineExceeded)
		}
	}
}

// A connection that breaks before the first byte is tried once more; nothing
// else is.
func TestStatusRetry(t *testing.T) {
	for name, tt := range map[string]struct {
		answers []string // "" breaks the connection
		ok      bool
		tries   int
	}{
		"broke once":     {[]string{"", "good"}, true, 2},
		"broke twice":    {[]string{"", "", "good"}, false, 2},
		"failed":         {[]string{"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "good"}, false, 1},
		"broke in it":    {[]string{"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "good"}, false, 1},
		"broke at first": {[]string{"HTTP/1", "good"}, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer l.Close()
			tries := 0
			var wg sync.WaitGroup
			wg.Go(func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = conn.Read(make([]byte, 4096))
					answer := tt.answers[tries]
					tries++
					if answer == "good" {
						body := notify("gopay")
						answer = fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
					}
					fmt.Fprint(conn, answer)
					conn.Close()
				}
			})
			c, err := midhook.NewStatusClient(testKey, midhook.WithBaseURL("http://"+l.Addr().String()))
			require.NoError(t, err)
			_, err = c.Get(t.Context(), "gopay-01")
			l.Close()
			wg.Wait()
			assert.Equal(t, tt.ok, err == nil, "%v", err)
			assert.Equal(t, tt.tries, tries)
		})
	}
}

// The limiter is waited for within the context.
func TestStatusRate(t *testing.T) {
	s := newStatusServer(t)
	s.Put(midhooktest.Sample("gopay"))
	c := s.Client(midhook.WithRate(rate.NewLimiter(rate.Every(time.Hour), 1)))
	_, err := c.Get(t.Context(), "gopay-01")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = c.Get(ctx, "gopay-01")
	assert.ErrorIs(t, err, midhook.ErrRateLimited)
	assert.Equal(t, 1, s.Requests())
}

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
		if n.Kind() == midhook.Payment && name != "dashboard-test" {
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
		assert.Equal(t, n.Kind() == midhook.Payment, confirmed.Confirmed(), name)
		assert.Equal(t, n.OrderID, confirmed.OrderID, "%s: the merchant's own id, DANA's exception included", name)
		assert.Equal(t, n.TransactionStatus, confirmed.TransactionStatus, name)
		assert.Equal(t, string(midhooktest.Body(n, testKey)), string(confirmed.Notified().Raw()), name)
		assert.Same(t, confirmed, rec.last().Notification)
		assert.Equal(t, "default", rec.last().KeyLabel)
	}
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
		notify("gopay", midhooktest.Status("201", "settlement")), notify("dashboard-test"), notify("pay-account-enabled")} {
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
	hook, rec := newHook(t, midhook.WithStatusCheck(s.Client()))
	inside, goOn := make(chan bool), make(chan bool)
	h := hook.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside <- true; <-goOn }))
	done := make(chan bool)
	go func() {
		h.ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(settlement, testKey))
		close(done)
	}()
	<-inside
	w := httptest.NewRecorder()
	h.ServeHTTP(w, midhooktest.NewRequest(capture, testKey))
	assert.Equal(t, 503, w.Code)
	assert.Equal(t, midhook.OutcomeInFlight, rec.last().Outcome)
	close(goOn)
	<-done
	w = httptest.NewRecorder()
	h.ServeHTTP(w, midhooktest.NewRequest(capture, testKey))
	assert.Equal(t, 200, w.Code)
	assert.Equal(t, midhook.OutcomeSuperseded, rec.last().Outcome)
}

func TestExpectation(t *testing.T) {
	lookupFailed := errors.New("database is away")
	for name, tt := range map[string]struct {
		expect  midhook.Expectation
		err     error
		body    []byte
		code    int
		outcome midhook.Outcome
	}{
		"as expected":        {midhook.Expectation{Amount: 1_000_000, Currency: "IDR"}, nil, nil, 200, midhook.OutcomeHandled},
		"any currency":       {midhook.Expectation{Amount: 1_000_000}, nil, nil, 200, midhook.OutcomeHandled},
		"currency's letters": {midhook.Expectation{Amount: 1_000_000, Currency: "idr"}, nil, nil, 200, midhook.OutcomeHandled},
		"a hundredth more":   {midhook.Expectation{Amount: 1_000_001, Currency: "IDR"}, nil, nil, 409, midhook.OutcomeUnexpectedAmount},
		"a hundredth less":   {midhook.Expectation{Amount: 999_999, Currency: "IDR"}, nil, nil, 409, midhook.OutcomeUnexpectedAmount},
		"other currency":     {midhook.Expectation{Amount: 1_000_000, Currency: "USD"}, nil, nil, 409, midhook.OutcomeUnexpectedAmount},
		"zero expectation":   {midhook.Expectation{}, nil, nil, 409, midhook.OutcomeUnexpectedAmount},
		"unknown order":      {midhook.Expectation{}, fmt.Errorf("orders: %w", midhook.ErrUnknownOrder), nil, 404, midhook.OutcomeUnknownOrder},
		"look-up fails":      {midhook.Expectation{}, lookupFailed, nil, 503, midhook.OutcomeOrderUnavailable},
		"beyond an int64":    {midhook.Expectation{Amount: 1_000_000}, nil, notify("gopay", midhooktest.Amount("99999999999999999999.00")), 409, midhook.OutcomeUnexpectedAmount},
		"Pay Account":        {midhook.Expectation{}, lookupFailed, notify("pay-account-enabled"), 200, midhook.OutcomeHandled},
	} {
		t.Run(name, func(t *testing.T) {
			hook, rec := newHook(t, midhook.WithExpectation(func(_ context.Context, n *midhook.Notification) (midhook.Expectation, error) {
				assert.Equal(t, "A-1", n.OrderID)
				return tt.expect, tt.err
			}))
			next := &counter{}
			body := tt.body
			if body == nil {
				body = notify("gopay", midhooktest.Order("A-1"), midhooktest.Amount("10000.00"))
			} else if bytes.Contains(body, []byte("99999")) {
				body = notify("gopay", midhooktest.Order("A-1"), midhooktest.Amount("99999999999999999999.00"))
			}
			for range 2 { // a refusal gives the claim back
				w := httptest.NewRecorder()
				hook.Handler(next).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body)))
				assert.Equal(t, tt.code, w.Code)
				if tt.code == 200 {
					break
				}
				assert.Equal(t, tt.outcome, rec.last().Outcome)
				assert.NotContains(t, w.Body.String(), "database")
			}
			assert.Equal(t, tt.code == 200, next.runs.Load() == 1)
			if tt.err != nil && tt.code != 200 {
				assert.ErrorIs(t, rec.last().Err, tt.err)
			}
			if tt.code == 409 {
				assert.ErrorIs(t, rec.last().Err, midhook.ErrExpectation)
			}
		})
	}
}

// A look-up that is slower than the budget does not hold up the answer.
func TestSlowExpectation(t *testing.T) {
	for _, heedful := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var cause error
			hook, rec := newHook(t, midhook.WithExpectation(func(ctx context.Context, _ *midhook.Notification) (midhook.Expectation, error) {
				<-ctx.Done()
				cause = context.Cause(ctx)
				if !heedful {
					time.Sleep(time.Minute)
				}
				return midhook.Expectation{Amount: 1}, ctx.Err()
			}))
			next := &counter{}
			_, client := bubble(t, "HTTP/1.1", hook.Handler(next))
			start := time.Now()
			assert.Equal(t, 503, post(t, client, bubbleURL, notify("gopay")).StatusCode)
			assert.Equal(t, 5*time.Second, time.Since(start))
			pass(2 * time.Minute)
			assert.ErrorIs(t, cause, midhook.ErrBudgetExceeded)
			assert.Zero(t, next.runs.Load())
			assert.NotEqual(t, midhook.OutcomeHandled, rec.last().Outcome)
		})
	}
}

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

// Rule: a copy of the client prints no key either.
func TestStatusClientPrintsNoKey(t *testing.T) {
	client, err := midhook.NewStatusClient(testKey)
	require.NoError(t, err)
	for _, v := range []any{client, *client} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			assert.Equal(t, "midhook.StatusClient(https://api.sandbox.midtrans.com)", fmt.Sprintf(verb, v))
		}
	}
}
