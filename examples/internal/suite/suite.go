// Package suite proves that midhook keeps its promises inside a web framework:
// over real sockets, with the framework's own handlers, errors and pools.
package suite

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

const key = "SB-Mid-server-test-key-0001"

// Framework is a framework under test.
type Framework struct {
	// Serve serves setup's routes on l until the test ends.
	Serve func(t *testing.T, l net.Listener, setup Setup)
	// Buffers says that an answer leaves when the handler has returned.
	Buffers bool
	// Pooled says that a detached handler must not use the framework's context,
	// and no adapter sees to it.
	Pooled bool
	// Recovered is the answer of recovery middleware outside midhook, 0 if the
	// connection breaks.
	Recovered int
	// Traps has the answer to a valid notification for each trap in front.
	Traps map[Around]int
	// Slashes has the answer to a valid notification by path.
	Slashes map[string]int
}

// Setup is what a framework's server is made of: POST /notification/{shop} under
// Hook and POST /slow/{shop} under Slow, both with the same native handler, which
// does what Shop.Arrived says. Middleware in front puts the parameter shop into
// the framework's own context as "tenant". The framework's error handler, if it
// has one, answers 200 to everything if Around is Nothing.
type Setup struct {
	Hook, Slow *midhook.Middleware
	Shop       *Shop
	Around     Around
}

// Around is middleware around midhook or the handler.
type Around string

const (
	Nothing         Around = ""
	RecoveryOutside Around = "recovery outside"
	RecoveryInside  Around = "recovery inside"
	LoginOutside    Around = "login outside"
	LoginInside     Around = "login inside"
	BodyLimit       Around = "body limit" // of Limit, in front
	Timeout         Around = "timeout"    // of TimeoutAfter, in front
	CSRF            Around = "CSRF protection"
)

const (
	Limit        = 16 << 10
	TimeoutAfter = 500 * time.Millisecond
	slowBudget   = 500 * time.Millisecond
)

// HTTP makes Serve of a net/http handler.
func HTTP(handler func(Setup) http.Handler) func(*testing.T, net.Listener, Setup) {
	return func(t *testing.T, l net.Listener, setup Setup) {
		s := httptest.NewUnstartedServer(handler(setup))
		s.Listener.Close()
		s.Listener = l
		s.Config.ErrorLog = slog.NewLogLogger(failOnLog{t}, slog.LevelError)
		s.Start()
		t.Cleanup(s.Close)
	}
}

// failOnLog has the test fail when net/http complains: of a superfluous
// WriteHeader, say. Of a panic that nobody recovers it must.
type failOnLog struct{ t *testing.T }

func (failOnLog) Enabled(context.Context, slog.Level) bool { return true }
func (h failOnLog) WithAttrs([]slog.Attr) slog.Handler     { return h }
func (h failOnLog) WithGroup(string) slog.Handler          { return h }
func (h failOnLog) Handle(_ context.Context, r slog.Record) error {
	h.t.Errorf("net/http: %s", r.Message)
	return nil
}

// server is a framework's server under test.
type server struct {
	*Shop
	url         string
	client      *http.Client
	events      chan midhook.Event // of Slow
	connections *atomic.Int64      // accepted
}

func (f Framework) start(t *testing.T, around Around, slow ...midhook.Option) *server {
	t.Helper()
	silent := midhook.WithLogger(slog.New(slog.DiscardHandler))
	s := &server{Shop: newShop(), events: make(chan midhook.Event, 100), connections: new(atomic.Int64)}
	hook, err := midhook.New(key, silent, midhook.WithBudget(14*time.Second))
	require.NoError(t, err)
	late, err := midhook.New(key, append(slow, silent, midhook.WithBudget(slowBudget),
		midhook.WithObserver(func(_ context.Context, e midhook.Event) { s.events <- e }))...)
	require.NoError(t, err)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.url = "http://" + l.Addr().String()
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	s.client = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       30 * time.Second,
	}
	f.Serve(t, countingListener{l, s.connections}, Setup{Hook: hook, Slow: late, Shop: s.Shop, Around: around})
	// Before the server stops: fasthttp waits for connections that the client
	// has opened and not used.
	t.Cleanup(transport.CloseIdleConnections)
	return s
}

type countingListener struct {
	net.Listener
	accepted *atomic.Int64
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.accepted.Add(1)
	}
	return c, err
}

// notification is the signed body of an order that has the handler do something.
func notification(order, do string, tweaks ...midhooktest.Tweak) []byte {
	tweaks = append(tweaks, midhooktest.Order(order), midhooktest.Field("custom_field1", do))
	return midhooktest.Body(midhooktest.Sample("gopay", tweaks...), key)
}

// answer is a whole response.
type answer struct {
	status int
	header http.Header
	body   string
}

func (s *server) post(t *testing.T, path string, body []byte) answer {
	t.Helper()
	a, err := s.try(s.url+path, bytes.NewReader(body))
	require.NoError(t, err)
	return a
}

// later is post, for the answer to come.
func (s *server) later(t *testing.T, url string, body []byte) <-chan answer {
	t.Helper()
	answers := make(chan answer, 1)
	go func() {
		defer close(answers)
		a, err := s.try(url, bytes.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		answers <- a
	}()
	return answers
}

func (s *server) try(url string, body io.Reader) (answer, error) {
	req, err := http.NewRequest(http.MethodPost, url, body)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := s.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, fmt.Errorf("the answer did not arrive whole: %w", err)
	}
	return answer{res.StatusCode, res.Header, string(text)}, nil
}

// await waits for an event of Slow.
func (s *server) await(t *testing.T, want midhook.Outcome) {
	t.Helper()
	for {
		select {
		case e := <-s.events:
			if e.Outcome == want {
				return
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("no event %v", want)
		}
	}
}

// requireHandled checks the native handler's answer, with its parameter and its
// context value.
func requireHandled(t *testing.T, a answer, order, shop string) {
	t.Helper()
	require.Equal(t, http.StatusCreated, a.status, a.body)
	require.JSONEq(t, fmt.Sprintf(`{"order": %q, "shop": %q, "tenant": %q}`, order, shop, shop), a.body)
	require.Contains(t, a.header.Get("Content-Type"), "application/json")
}
