package midhook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

func TestNilHandlersPanicWhereTheyAreGiven(t *testing.T) {
	hook, _ := newHook(t)
	assert.PanicsWithValue(t, "midhook: nil handler", func() { hook.Handler(nil) })
	assert.PanicsWithValue(t, "midhook: nil handler", func() { hook.HandlerFunc(nil) })
}

// The method value composes, the handler finds notification, body, path values
// and context values.
func TestHandlerGetsNotificationAndRequest(t *testing.T) {
	hook, _ := newHook(t)
	body := notify("gopay", midhooktest.Order("A-1"))
	type outerKey struct{}
	ran := false
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ran = true
		n, ok := midhook.FromContext(r.Context())
		require.True(t, ok)
		assert.Equal(t, "A-1", n.OrderID)
		assert.True(t, n.Paid())
		again, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.Equal(t, string(body), string(again))
		assert.Equal(t, int64(len(body)), r.ContentLength)
		assert.NoError(t, r.Body.Close())
		assert.Equal(t, "shop", r.PathValue("merchant"))
		assert.Equal(t, "outer", r.Context().Value(outerKey{}))
		fmt.Fprint(w, "thanks")
	})
	var wrap func(http.Handler) http.Handler = hook.Handler
	outer := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), outerKey{}, "outer")))
		})
	}
	mux := http.NewServeMux()
	mux.Handle("POST /{merchant}/notification", outer(wrap(next)))
	url, client := serve(t, mux)
	for _, chunked := range []bool{false, true} {
		ran = false
		body = notify("gopay", midhooktest.Order("A-1"), midhooktest.Transaction(fmt.Sprint(chunked)))
		var r io.Reader = bytes.NewReader(body)
		if chunked {
			r = io.MultiReader(r) // hides the length
		}
		req, _ := http.NewRequest(http.MethodPost, url+"/shop/notification", r)
		res := do(t, client, req)
		assert.Equal(t, 200, res.StatusCode)
		assert.Equal(t, "thanks", res.body)
		assert.True(t, ran)
	}
	_, ok := midhook.FromContext(t.Context())
	assert.False(t, ok)
}

type failingStore struct{ midhook.Store }

func (failingStore) Acquire(context.Context, midhook.Claim) (midhook.ClaimState, error) {
	return 0, errors.New("connection refused")
}

func (failingStore) Release(context.Context, midhook.Claim) error {
	return errors.New("connection refused")
}

// Every row of the answer table, over a real socket.
func TestAnswers(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/login")
			w.Header().Set("X-Handler", "yes")
			w.WriteHeader(code)
			fmt.Fprintf(w, "handler says %d", code)
		}
	}
	good := notify("gopay")
	method := func(m string) func(*http.Request) { return func(r *http.Request) { r.Method = m } }
	const (
		plain = "text/plain; charset=utf-8"
		own   = "the handler's own"
	)
	for _, tt := range []struct {
		name    string
		body    []byte
		before  [][]byte // delivered first
		edit    func(*http.Request)
		do      http.HandlerFunc
		opts    []midhook.Option
		status  int
		line    string // own: the handler's answer goes out
		ran     bool
		outcome midhook.Outcome
	}{
		{name: "GET", edit: method("GET"), status: 405, line: "only POST is allowed\n", outcome: midhook.OutcomeMethodNotAllowed},
		{name: "HEAD", edit: method("HEAD"), status: 405, outcome: midhook.OutcomeMethodNotAllowed},
		{name: "PUT", body: good, edit: method("PUT"), status: 405, line: "only POST is allowed\n", outcome: midhook.OutcomeMethodNotAllowed},
		{name: "OPTIONS", edit: method("OPTIONS"), status: 405, line: "only POST is allowed\n", outcome: midhook.OutcomeMethodNotAllowed},
		{name: "too large", body: bytes.Repeat([]byte(" "), 64<<10+1), status: 413, line: "body too large\n", outcome: midhook.OutcomeBodyTooLarge},
		{name: "limit of its own", body: good, opts: []midhook.Option{midhook.WithMaxBodyBytes(10)}, status: 413, line: "body too large\n", outcome: midhook.OutcomeBodyTooLarge},
		{name: "just not too large", body: append(bytes.Repeat([]byte(" "), 64<<10-len(good)), good...), status: 200, line: own, ran: true, outcome: midhook.OutcomeHandled},
		{name: "empty", body: nil, status: 400, line: "malformed notification\n", outcome: midhook.OutcomeMalformed},
		{name: "no object", body: []byte(`[]`), status: 400, line: "malformed notification\n", outcome: midhook.OutcomeMalformed},
		{name: "duplicate name", body: bytes.Replace(good, []byte("{"), []byte(`{"order_id":"x",`), 1), status: 400, line: "malformed notification\n", outcome: midhook.OutcomeMalformed},
		{name: "validation error of Midtrans", body: []byte(`{"status_code":"400","validation_messages":["x"]}`), status: 400, line: "malformed notification\n", outcome: midhook.OutcomeMalformed},
		{name: "recurring is not signed", body: []byte(`{"transaction":{"transaction_status":"capture"},"subscription":{},"event_name":"subscription.charge"}`), status: 400, line: "malformed notification\n", outcome: midhook.OutcomeMalformed},
		{name: "wrong key", body: midhooktest.Body(midhooktest.Sample("gopay"), "SB-Mid-server-other"), status: 403, line: "signature does not match\n", outcome: midhook.OutcomeForged},
		{name: "unsigned", body: midhooktest.Sample("gopay").Raw(), status: 403, line: "signature does not match\n", outcome: midhook.OutcomeForged},
		{name: "pending edited to settlement", body: notify("gopay", midhooktest.Status("201", "settlement")), status: 403, line: "notification claims more than was signed or confirmed\n", outcome: midhook.OutcomeUnconfirmed},
		{name: "pending edited to capture", body: notify("credit-card", midhooktest.Status("201", "capture"), midhooktest.Fraud("accept")), status: 403, line: "notification claims more than was signed or confirmed\n", outcome: midhook.OutcomeUnconfirmed},
		{name: "pending edited to SETTLEMENT", body: notify("gopay", midhooktest.Status("201", "SETTLEMENT"), midhooktest.Fraud("CHALLENGE")), status: 403, line: "notification claims more than was signed or confirmed\n", outcome: midhook.OutcomeUnconfirmed},
		{name: "test notification", body: notify("gopay", midhooktest.Order("payment_notif_test_G1_abc")), status: 200, line: "test notification received\n", outcome: midhook.OutcomeTest},
		{name: "test notification handed on", body: notify("gopay", midhooktest.Order("payment_notif_test_G1_abc")), opts: []midhook.Option{midhook.WithTestNotifications()}, status: 200, line: own, ran: true, outcome: midhook.OutcomeHandled},
		{name: "forged test notification", body: midhooktest.Sample("gopay", midhooktest.Order("payment_notif_test_x")).Raw(), status: 403, line: "signature does not match\n", outcome: midhook.OutcomeForged},
		{name: "already handled", before: [][]byte{good}, body: good, status: 200, line: "already handled\n", outcome: midhook.OutcomeDuplicate},
		{name: "superseded", before: [][]byte{good}, body: notify("gopay", midhooktest.Status("201", "pending")), status: 200, line: "superseded by a later status\n", outcome: midhook.OutcomeSuperseded},
		{name: "superseded handed on", before: [][]byte{good}, body: notify("gopay", midhooktest.Status("201", "pending")), opts: []midhook.Option{midhook.WithSuperseded()}, status: 200, line: own, ran: true, outcome: midhook.OutcomeHandled},
		{name: "store unavailable", body: good, opts: []midhook.Option{midhook.WithStore(failingStore{})}, status: 503, line: "temporarily unavailable\n", outcome: midhook.OutcomeStoreUnavailable},
		{name: "over the handler rate", before: [][]byte{notify("gopay", midhooktest.Order("first"))}, body: good, opts: []midhook.Option{midhook.WithHandlerRate(rate.Every(time.Hour), 1)}, status: 503, line: "busy\n", outcome: midhook.OutcomeRateLimited},
		{name: "implicit 200", body: good, do: func(http.ResponseWriter, *http.Request) {}, status: 200, line: own, ran: true, outcome: midhook.OutcomeHandled},
		{name: "201", body: good, do: status(201), status: 201, line: own, ran: true, outcome: midhook.OutcomeHandled},
		{name: "204", body: good, do: status(204), status: 204, line: own, ran: true, outcome: midhook.OutcomeHandled},
		{name: "301", body: good, do: status(301), status: 503, line: "handler redirected\n", ran: true, outcome: midhook.OutcomeHandlerRedirected},
		{name: "302", body: good, do: status(302), status: 503, line: "handler redirected\n", ran: true, outcome: midhook.OutcomeHandlerRedirected},
		{name: "303", body: good, do: status(303), status: 503, line: "handler redirected\n", ran: true, outcome: midhook.OutcomeHandlerRedirected},
		{name: "300", body: good, do: status(300), status: 503, line: "handler redirected\n", ran: true, outcome: midhook.OutcomeHandlerRedirected},
		{name: "307", body: good, do: status(307), status: 503, line: "handler redirected\n", ran: true, outcome: midhook.OutcomeHandlerRedirected},
		{name: "308", body: good, do: status(308), status: 503, line: "handler redirected\n", ran: true, outcome: midhook.OutcomeHandlerRedirected},
		{name: "304", body: good, do: status(304), status: 304, line: own, ran: true, outcome: midhook.OutcomeHandlerFailed},
		{name: "307 passed through", body: good, do: status(307), opts: []midhook.Option{midhook.WithPassThrough()}, status: 307, line: own, ran: true, outcome: midhook.OutcomeHandlerRedirected},
		{name: "400", body: good, do: status(400), status: 400, line: own, ran: true, outcome: midhook.OutcomeHandlerFailed},
		{name: "404", body: good, do: status(404), status: 404, line: own, ran: true, outcome: midhook.OutcomeHandlerFailed},
		{name: "409", body: good, do: status(409), status: 409, line: own, ran: true, outcome: midhook.OutcomeHandlerFailed},
		{name: "500", body: good, do: status(500), status: 503, line: "handler failed\n", ran: true, outcome: midhook.OutcomeHandlerFailed},
		{name: "502", body: good, do: status(502), status: 503, line: "handler failed\n", ran: true, outcome: midhook.OutcomeHandlerFailed},
		{name: "302 passed through", body: good, do: status(302), opts: []midhook.Option{midhook.WithPassThrough()}, status: 302, line: own, ran: true, outcome: midhook.OutcomeHandlerRedirected},
		{name: "500 passed through", body: good, do: status(500), opts: []midhook.Option{midhook.WithPassThrough()}, status: 500, line: own, ran: true, outcome: midhook.OutcomeHandlerFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hook, rec := newHook(t, tt.opts...)
			next := &counter{do: tt.do}
			url, client := serve(t, hook.Handler(next))
			for _, b := range tt.before {
				post(t, client, url, b)
			}
			ran := next.runs.Load()
			req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(tt.body))
			require.NoError(t, err)
			if tt.edit != nil {
				tt.edit(req)
			}
			res := do(t, client, req)

			assert.Equal(t, tt.status, res.StatusCode)
			assert.Equal(t, tt.ran, next.runs.Load() > ran, "whether the handler ran")
			e := rec.last()
			assert.Equal(t, tt.outcome, e.Outcome)
			assert.Equal(t, tt.status, e.StatusCode)
			if tt.line == own {
				if tt.do != nil && tt.name != "implicit 200" {
					assert.Equal(t, "yes", res.Header.Get("X-Handler"))
				}
				return
			}
			assert.Equal(t, tt.line, res.body)
			assert.Empty(t, res.Header.Get("X-Handler"), "nothing of the handler's answer")
			assert.Empty(t, res.Header.Get("Location"), "never a redirect of our own")
			assert.Equal(t, plain, res.Header.Get("Content-Type"))
			assert.Equal(t, "nosniff", res.Header.Get("X-Content-Type-Options"))
			if tt.status == 503 {
				assert.Equal(t, "30", res.Header.Get("Retry-After"))
			}
			if tt.status == 405 {
				assert.Equal(t, "POST", res.Header.Get("Allow"))
			}
		})
	}
}
