package midhook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// New lists everything that is wrong, and quotes no key.
func TestNewRefusesAllAtOnce(t *testing.T) {
	hook, err := midhook.New("SB-Mid-client-abc",
		midhook.WithServerKey("next", " "),
		midhook.WithServerKey("next", "Mid-client-abc"),
		midhook.WithServerKey("default", testKey),
		midhook.WithServerKey("", testKey),
		midhook.WithServerKey("newline", testKey+"\n"),
		midhook.WithBudget(15*time.Second),
		midhook.WithGrace(-1),
		midhook.WithMaxBodyBytes(0),
		midhook.WithKeep(0),
		midhook.WithHandlerRate(0, 1),
		midhook.WithHandlerRate(1, 0),
		midhook.WithStore(nil),
		midhook.WithStore(midhook.NewLRUStore(0)),
		midhook.WithObserver(nil),
		midhook.WithLogger(nil),
		nil,
	)
	require.Error(t, err)
	assert.Nil(t, hook)
	lines := strings.Split(err.Error(), "\n")
	assert.Len(t, lines, 18, err.Error())
	for _, want := range []string{"client key", "empty", "white space", "label", "15s", "grace", "body", "keep", "rate", "store", "size", "observer", "logger", "option 16"} {
		assert.Contains(t, err.Error(), want)
	}
	assert.NotContains(t, err.Error(), "abc")
	assert.NotContains(t, err.Error(), testKey)

	for _, key := range []string{"", " \t", "Mid-client-x", "SB-Mid-client-x"} {
		_, err := midhook.New(key)
		assert.Error(t, err, "key %q", key)
	}
	for _, d := range []time.Duration{-1, 0, 15 * time.Second, time.Hour} {
		_, err := midhook.New(testKey, midhook.WithBudget(d))
		assert.Error(t, err, "budget %v", d)
	}
	_, err = midhook.New(testKey, midhook.WithBudget(15*time.Second-1), midhook.WithGrace(0))
	assert.NoError(t, err)
}

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
		{name: "307", body: good, do: status(307), status: 307, line: own, ran: true, outcome: midhook.OutcomeHandlerFailed},
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

// A client that stalls is answered at the budget, and its connection is freed.
func TestStalledBody(t *testing.T) {
	for _, detached := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			opts := []midhook.Option{midhook.WithBudget(2 * time.Second)}
			if detached {
				opts = append(opts, midhook.WithDetachedHandler())
			}
			hook, rec := newHook(t, opts...)
			server, client := bubble(t, "HTTP/1.1", hook.Handler(&counter{}))
			var state atomic.Value
			server.ConnState = func(_ net.Conn, s http.ConnState) { state.Store(s) }
			start := time.Now()
			body, stall := io.Pipe()
			go io.WriteString(stall, `{"order_id":`) //nolint:errcheck // stalls
			res, err := client.Post(bubbleURL, "application/json", body)
			require.NoError(t, err)
			assert.Equal(t, 408, res.StatusCode)
			assert.True(t, res.Close, "no other request on this connection")
			assert.Equal(t, 2*time.Second, time.Since(start))
			res.Body.Close()
			stall.Close()
			time.Sleep(time.Second) // net/http lets the client read the answer first
			synctest.Wait()
			assert.Equal(t, http.StateClosed, state.Load())
			assert.Equal(t, []midhook.Outcome{midhook.OutcomeBodyIncomplete}, rec.outcomes())
		})
	}
}

// The same on a server whose reads have no deadline.
func TestStalledBodyWithoutDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook, rec := newHook(t)
		body, _ := io.Pipe()
		w := httptest.NewRecorder()
		start := time.Now()
		hook.Handler(&counter{}).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", body))
		assert.Equal(t, 5*time.Second, time.Since(start))
		assert.Equal(t, 408, w.Code)
		synctest.Wait()
		assert.Equal(t, []midhook.Outcome{midhook.OutcomeBodyIncomplete}, rec.outcomes())
	})
}

// A client that goes away is no forger, and no event is claimed.
func TestTornBody(t *testing.T) {
	hook, rec := newHook(t)
	url, _ := serve(t, hook.Handler(&counter{}))
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	require.NoError(t, err)
	good := notify("gopay")
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(good)+1, good)
	conn.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(conn)
	assert.Contains(t, string(answer), "408")
	assert.Equal(t, []midhook.Outcome{midhook.OutcomeBodyIncomplete}, rec.outcomes())
}

// endless is a body of 10 GB that counts what is taken of it.
type endless struct {
	left  int64
	taken atomic.Int64
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), e.left)
	e.left -= n
	e.taken.Add(n)
	return int(n), nil
}

// A huge body costs no more memory than a small one, with and without a length.
func TestHugeBody(t *testing.T) {
	const size = 10 << 30
	hook, rec := newHook(t)
	url, client := serve(t, hook.Handler(&counter{}))
	for _, chunked := range []bool{false, true} {
		body := &endless{left: size}
		req, _ := http.NewRequest(http.MethodPost, url, body)
		if !chunked {
			req.ContentLength = size
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		res, err := client.Do(req)
		runtime.ReadMemStats(&after)
		if err == nil { // the client may notice the closed connection before the answer
			assert.Equal(t, 413, res.StatusCode)
			res.Body.Close()
		}
		assert.Equal(t, midhook.OutcomeBodyTooLarge, rec.last().Outcome)
		assert.Less(t, body.taken.Load(), int64(64<<20))
		assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20))
	}
}

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

// A handler that ends otherwise than by returning gives its claim back, and its
// panic goes on up the stack with its value.
func TestPanicAndGoexitRelease(t *testing.T) {
	for _, opts := range [][]midhook.Option{nil, {midhook.WithDetachedHandler()}} {
		for _, value := range []any{"boom", errors.New("boom"), http.ErrAbortHandler, nil} {
			hook, rec := newHook(t, opts...)
			fail := true
			next := &counter{do: func(w http.ResponseWriter, r *http.Request) {
				if !fail {
					return
				}
				w.WriteHeader(200)
				if value == nil {
					runtime.Goexit()
				}
				panic(value)
			}}
			var recovered any
			w := httptest.NewRecorder()
			w.Code = 0
			done := make(chan struct{})
			go func() { // Goexit ends this goroutine
				defer close(done)
				defer func() { recovered = recover() }()
				hook.Handler(next).ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
			}()
			<-done
			assert.Equal(t, value, recovered)
			assert.Zero(t, w.Code, "no 200 after a panic")
			assert.Equal(t, []midhook.Outcome{midhook.OutcomeHandlerPanicked}, rec.outcomes())
			assert.Contains(t, rec.logged(), "middleware_test.go", "the stack is in the log")

			fail = false
			hook.Handler(next).ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
			assert.Equal(t, int64(2), next.runs.Load(), "the retry runs the handler")
		}
	}
}

// Over a real socket a panic is a broken connection: five retries.
func TestPanicOverTheWire(t *testing.T) {
	hook, _ := newHook(t)
	url, client := serve(t, hook.Handler(&counter{do: func(http.ResponseWriter, *http.Request) { panic("boom") }}))
	_, err := client.Post(url, "application/json", bytes.NewReader(notify("gopay")))
	assert.Error(t, err)
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
			{notify("pay-account-enabled"), true}, {notify("pay-account-disabled"), true}, {notify("pay-account-enabled"), false},
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

// Rotation works in either order, and sandbox beside production; the label says
// which key it was.
func TestSeveralKeys(t *testing.T) {
	const old, next, sandbox = "Mid-server-old-test", "Mid-server-new-test", "SB-Mid-server-test"
	for _, keys := range [][2]string{{old, next}, {next, old}} {
		var e midhook.Event
		hook, err := midhook.New(keys[0], midhook.WithServerKey("other", keys[1]), midhook.WithServerKey("sandbox", sandbox),
			midhook.WithLogger(discard), midhook.WithObserver(func(_ context.Context, got midhook.Event) { e = got }))
		require.NoError(t, err)
		h := hook.Handler(&counter{})
		for key, label := range map[string]string{keys[0]: "default", keys[1]: "other", sandbox: "sandbox", "Mid-server-gone-test": ""} {
			h.ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay", midhooktest.Order("order "+label)), key))
			assert.Equal(t, label, e.KeyLabel)
			assert.Equal(t, label == "", e.Outcome == midhook.OutcomeForged)
		}
	}
}

// A handler can find its claims, to finish them with its own effects.
func TestClaimsFromContext(t *testing.T) {
	store := &spyStore{Store: midhook.NewLRUStore(10)}
	hook, rec := newHook(t, midhook.WithStore(store))
	var ctx context.Context
	hook.HandlerFunc(func(c context.Context, n *midhook.Notification) error {
		ctx = c
		claims := midhook.ClaimsFromContext(ctx)
		require.Len(t, claims, 1)
		assert.Equal(t, n.IdempotencyKey(), claims[0].Event)
		return store.Store.Finish(ctx, claims[0], time.Hour)
	}).ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
	assert.Equal(t, []string{"acquire", "finish"}, store.calls)
	assert.NoError(t, rec.last().Err, "the middleware's own finish is no error then")
	assert.Empty(t, midhook.ClaimsFromContext(ctx), "the claim was finished")
	assert.Nil(t, midhook.ClaimsFromContext(t.Context()))
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
	assert.Equal(t, midhooktest.Sample("gopay").IdempotencyKey(), store.claims[0].Event)
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
	assert.Contains(t, rec.logged(), "level=ERROR")
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

// A client that hangs up does not take the handler's context, or the store's,
// away.
func TestClientHangsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &spyStore{Store: midhook.NewLRUStore(10)}
		store.finish = func(ctx context.Context, c midhook.Claim) error {
			assert.NoError(t, ctx.Err())
			return store.Store.Finish(ctx, c, time.Hour)
		}
		hook, rec := newHook(t, midhook.WithStore(store))
		next := &counter{do: func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			assert.NoError(t, r.Context().Err())
		}}
		_, client := bubble(t, "HTTP/1.1", hook.Handler(next))
		ctx, hangUp := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer hangUp()
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, bubbleURL, bytes.NewReader(notify("gopay")))
		_, err := client.Do(req)
		require.Error(t, err)
		time.Sleep(time.Second)
		assert.Equal(t, []midhook.Outcome{midhook.OutcomeHandled}, rec.outcomes())
		assert.Equal(t, "already handled\n", post(t, client, bubbleURL, notify("gopay")).body)
	})
}

// Waiting for the handler rate is within the budget, and duplicates don't wait.
func TestHandlerRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook, _ := newHook(t, midhook.WithHandlerRate(1, 1))
		next := &counter{}
		h := hook.Handler(next)
		codes := map[int]int{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay", midhooktest.Order(fmt.Sprint(i))), testKey))
				mu.Lock()
				defer mu.Unlock()
				codes[w.Code]++
			})
		}
		start := time.Now()
		wg.Wait()
		assert.LessOrEqual(t, time.Since(start), 5*time.Second)
		assert.Equal(t, 20, codes[200]+codes[503])
		assert.Contains(t, []int{5, 6}, codes[200], "one at once and one a second")
		assert.Contains(t, []int64{int64(codes[200]), 6}, next.runs.Load())
	})
}

type rawJSON string

func (r rawJSON) MarshalJSON() ([]byte, error) { return []byte(r), nil }

// FuzzRequest delivers anything at all: no panic, never a redirect, and the
// handler runs only for what verifies.
func FuzzRequest(f *testing.F) {
	for _, name := range midhooktest.Samples() {
		f.Add("POST", notify(name))
		f.Add("POST", midhooktest.Sample(name).Raw())
	}
	f.Add("GET", []byte{})
	f.Fuzz(func(t *testing.T, method string, body []byte) {
		req, err := http.NewRequest(method, "/", bytes.NewReader(body))
		if err != nil {
			t.Skip()
		}
		hook, err := midhook.New(testKey, midhook.WithLogger(discard))
		require.NoError(t, err)
		next := &counter{}
		w := httptest.NewRecorder()
		hook.Handler(next).ServeHTTP(w, req)
		n, err := midhook.Parse(body)
		verified := err == nil && midhook.Verify(n, testKey) == nil
		assert.False(t, next.runs.Load() > 0 && !verified, "the handler ran for what does not verify")
		assert.Contains(t, []int{200, 400, 403, 405, 413}, w.Code)
		if w.Code == 200 {
			assert.True(t, verified)
		}
	})
}

// A body that outer middleware has consumed is no malformed one.
func TestBodyConsumedOutside(t *testing.T) {
	hook, rec := newHook(t)
	inner := hook.Handler(&counter{})
	url, client := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		inner.ServeHTTP(w, r)
	}))
	assert.Equal(t, 408, post(t, client, url, notify("gopay")).StatusCode)
	assert.ErrorContains(t, rec.last().Err, "outer middleware")
}

// A refused method does not wait for a body that never comes.
func TestStalledBodyOfAnotherMethod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook, _ := newHook(t)
		_, client := bubble(t, "HTTP/1.1", hook.Handler(&counter{}))
		body, stall := io.Pipe()
		defer stall.Close()
		start := time.Now()
		req, _ := http.NewRequest(http.MethodPut, bubbleURL, body)
		req.ContentLength = 100
		res, err := client.Do(req)
		require.NoError(t, err)
		res.Body.Close()
		assert.Equal(t, 405, res.StatusCode)
		assert.Less(t, time.Since(start), 5*time.Second)
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
	hook, _ := newHook(t, midhook.WithStore(store))
	next := &counter{}
	h := hook.Handler(next)
	assert.PanicsWithValue(t, "driver bug", func() {
		h.ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
	})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
	assert.Equal(t, "already being handled\n", w.Body.String())
	assert.Equal(t, int64(1), next.runs.Load())
}

// Settings hold keys, and printing them does not.
func TestPrintingShowsNoKey(t *testing.T) {
	hook, _ := newHook(t)
	client, err := midhook.NewStatusClient(testKey)
	require.NoError(t, err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		assert.NotContains(t, fmt.Sprintf(verb+verb, hook, client), testKey)
	}
	_, err = midhook.New(testKey, midhook.WithServerKey("SB-Mid-server-swapped", "sandbox"))
	assert.ErrorContains(t, err, "looks like a key")
	assert.NotContains(t, err.Error(), "swapped")
	_, err = midhook.New(testKey, midhook.WithGrace(25*time.Hour))
	assert.Error(t, err)
}

// Rule: a rate that is no number is no rate.
func TestNewRefusesNaN(t *testing.T) {
	_, err := midhook.New(testKey, midhook.WithHandlerRate(rate.Limit(math.NaN()), 1))
	assert.ErrorContains(t, err, "handler rate NaN")
}
