package opn_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/opn"
)

// The published vector.
const (
	testSecret    = "b21pc2Utd2ViaG9vay1zZWNyZXQ="
	testTimestamp = "1785578400"
	testBody      = `{"id":"evnt_test_1","key":"charge.complete","data":{"id":"chrg_test_1"}}`
	testSignature = "c18c99a6612d57ffecba8948a13ccd4b6f9bb21cac805cfa323c080c600cc15f"
)

const testKey = "skey_test"

var (
	otherSecret = base64.StdEncoding.EncodeToString([]byte("another webhook secret"))
	testNow     = time.Unix(1785578400, 0)
)

// sign is written by Opn's formula, without this package.
func sign(secret, timestamp, body string) string {
	key, err := base64.StdEncoding.DecodeString(secret)
	if err != nil {
		panic(err)
	}
	return hexMAC(string(key), timestamp+"."+body)
}

func hexMAC(key, text string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// delivery is a request as Opn sends it, signed now.
func delivery(body string) *http.Request {
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	return signedBy(testSecret, timestamp, body)
}

func signedBy(secret, timestamp, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/opn/events", bytes.NewReader([]byte(body)))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Omise-Signature", sign(secret, timestamp, body))
	r.Header.Set("Omise-Signature-Timestamp", timestamp)
	return r
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// chargeEvent is the body of an event about a charge.
func chargeEvent(id string) string {
	return fmt.Sprintf(`{"object":"event","id":%q,"livemode":false,"key":"charge.complete",`+
		`"data":{"object":"charge","id":"chrg_test_1","amount":100000,"currency":"THB","status":"successful","paid":true}}`, id)
}

// recorder is an observer and a log, to look into afterwards.
type recorder struct {
	mu     sync.Mutex
	events []midhook.Event
	log    bytes.Buffer
}

func (r *recorder) observe(_ context.Context, e midhook.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(p)
}

func (r *recorder) logged() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

func (r *recorder) outcomes() (outcomes []midhook.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		outcomes = append(outcomes, e.Outcome)
	}
	return outcomes
}

// newHook is the middleware for testSecret, with a recorder for observer and log.
func newHook(t testing.TB, opts ...midhook.Option) (*midhook.Middleware, *recorder) {
	t.Helper()
	g, err := opn.New(testSecret)
	require.NoError(t, err)
	rec := &recorder{}
	hook, err := midhook.NewFor(g, append([]midhook.Option{
		midhook.WithObserver(rec.observe),
		midhook.WithLogger(slog.New(slog.NewTextHandler(rec, &slog.HandlerOptions{Level: slog.LevelDebug}))),
	}, opts...)...)
	require.NoError(t, err)
	return hook, rec
}

// shop is a handler that counts its runs for each event, and then does what do says.
type shop struct {
	mu   sync.Mutex
	runs map[string]int
	busy atomic.Int64
	do   func(http.ResponseWriter, *http.Request, *opn.Event)
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.busy.Add(1)
	defer s.busy.Add(-1)
	e, ok := opn.FromContext(r.Context())
	if !ok {
		panic("no event in the handler's context")
	}
	s.mu.Lock()
	if s.runs == nil {
		s.runs = map[string]int{}
	}
	s.runs[e.ID]++
	s.mu.Unlock()
	if s.do != nil {
		s.do(w, r, e)
	}
}

func (s *shop) times(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs[id]
}

func (s *shop) events() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.runs)
}

// roundTrip is an http.RoundTripper of a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status,
		Header:     http.Header{"Content-Type": {"application/json"}},
		Body:       io.NopCloser(bytes.NewReader([]byte(body))),
	}
}

// eventsAPI stands in for Opn's, without a socket.
type eventsAPI struct {
	mu       sync.Mutex
	requests []*http.Request
	events   []string                                           // JSON, in the order in which they happened
	tamper   func(call int, list map[string]any) *http.Response // call counts from 1; nil: list as it is then
}

func newEventsAPI(count int) *eventsAPI {
	a := &eventsAPI{}
	for i := range count {
		a.events = append(a.events, chargeEvent(fmt.Sprintf("evnt_test_%03d", i)))
	}
	return a
}

func (a *eventsAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = append(a.requests, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if user, password, _ := r.BasicAuth(); user != testKey || password != "" {
		return answer(http.StatusUnauthorized, `{"object":"error","code":"authentication_failure"}`), nil
	}
	query := r.URL.Query()
	offset, _ := strconv.Atoi(query.Get("offset"))
	limit, _ := strconv.Atoi(query.Get("limit"))
	items := []json.RawMessage{}
	for _, e := range a.events[min(offset, len(a.events)):min(offset+limit, len(a.events))] {
		items = append(items, json.RawMessage(e))
	}
	list := map[string]any{
		"object": "list", "from": query.Get("from"), "to": query.Get("to"), "order": query.Get("order"),
		"offset": offset, "limit": limit, "total": len(a.events), "data": items,
	}
	if a.tamper != nil {
		if res := a.tamper(len(a.requests), list); res != nil {
			return res, nil
		}
	}
	body, err := json.Marshal(list)
	if err != nil {
		return nil, err
	}
	return answer(http.StatusOK, string(body)), nil
}

func (a *eventsAPI) calls() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.requests)
}

func (a *eventsAPI) client(t testing.TB, opts ...opn.ClientOption) *opn.Client {
	t.Helper()
	c, err := opn.NewClient(testKey, append([]opn.ClientOption{opn.WithHTTPClient(&http.Client{Transport: a})}, opts...)...)
	require.NoError(t, err)
	return c
}
