package midhook_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// notify is the signed body of a sample.
func notify(sample string, tweaks ...midhooktest.Tweak) []byte {
	return midhooktest.Body(midhooktest.Sample(sample, tweaks...), testKey)
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

func (r *recorder) outcomes() []midhook.Outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	var outcomes []midhook.Outcome
	for _, e := range r.events {
		outcomes = append(outcomes, e.Outcome)
	}
	return outcomes
}

func (r *recorder) last() midhook.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events[len(r.events)-1]
}

// options puts the recorder in front of opts.
func (r *recorder) options(opts []midhook.Option) []midhook.Option {
	return append([]midhook.Option{
		midhook.WithObserver(r.observe),
		midhook.WithLogger(slog.New(slog.NewTextHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug}))),
	}, opts...)
}

// newHook is New with a recorder for observer and log.
func newHook(t testing.TB, opts ...midhook.Option) (*midhook.Middleware, *recorder) {
	t.Helper()
	rec := &recorder{}
	hook, err := midhook.New(testKey, rec.options(opts)...)
	require.NoError(t, err)
	return hook, rec
}

// counter is a handler that counts its runs and then does what do says.
type counter struct {
	runs atomic.Int64
	do   http.HandlerFunc
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.runs.Add(1)
	if c.do != nil {
		c.do(w, r)
	}
}

// response is a whole answer.
type response struct {
	*http.Response
	body string
}

func do(t testing.TB, client *http.Client, req *http.Request) response {
	t.Helper()
	res, err := client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err, "the answer must arrive whole")
	return response{res, string(body)}
}

func post(t testing.TB, client *http.Client, url string, body []byte) response {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	require.NoError(t, err)
	return do(t, client, req)
}

// serve starts a server on a real socket whose client follows no redirect.
func serve(t testing.TB, h http.Handler) (url string, client *http.Client) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.Start()
	t.Cleanup(s.Close)
	client = s.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return s.URL, client
}

// bubble starts a server and a client that talk over pipes, so that all of
// their time is that of the synctest bubble they are in.
func bubble(t testing.TB, protocol string, h http.Handler) (*http.Server, *http.Client) {
	t.Helper()
	var protocols http.Protocols
	protocols.SetHTTP1(protocol == "HTTP/1.1")
	protocols.SetUnencryptedHTTP2(protocol == "HTTP/2.0")
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: h, Protocols: &protocols, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	transport := &http.Transport{Protocols: &protocols, DialContext: l.dial}
	go server.Serve(l) //nolint:errcheck // ErrServerClosed
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		// The bubble must not end while net/http still lingers on a connection:
		// Shutdown waits for that, Close alone does not.
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = server.Shutdown(ctx)
		server.Close()
	})
	return server, &http.Client{Transport: transport}
}

// inProcess is a client of a status API without a socket, for a bubble.
func inProcess(s *midhooktest.StatusServer) *midhook.StatusClient {
	return s.Client(midhook.WithHTTPClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r)
		return rec.Result(), nil
	})}))
}

const bubbleURL = "http://merchant.example/notification"

var discard = slog.New(slog.DiscardHandler)

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	server, client := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }
