package midhook_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

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

// Rule: what was cut off is not complete, also where it looks so and no length says how
// much there is to come.
func TestTornBodyOfUnknownLength(t *testing.T) {
	hook, rec := newHook(t)
	next := &counter{}
	r := httptest.NewRequest(http.MethodPost, "/", io.MultiReader(bytes.NewReader(notify("gopay")), iotest.ErrReader(io.ErrUnexpectedEOF)))
	w := httptest.NewRecorder()
	hook.Handler(next).ServeHTTP(w, r)
	assert.Equal(t, 408, w.Code)
	assert.Equal(t, midhook.OutcomeBodyIncomplete, rec.last().Outcome)
	assert.ErrorIs(t, rec.last().Err, io.ErrUnexpectedEOF)
	assert.Zero(t, next.runs.Load())
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
			if value == nil {
				assert.EqualError(t, rec.last().Err, "handler called runtime.Goexit")
			} else {
				assert.EqualError(t, rec.last().Err, fmt.Sprint("handler panicked: ", value))
			}
			assert.Contains(t, rec.logged(), "delivery_test.go", "the stack is in the log")

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
	chunked, err := http.NewRequest(http.MethodPost, url, io.MultiReader(bytes.NewReader(notify("gopay")))) // of unknown length
	require.NoError(t, err)
	assert.Equal(t, 408, do(t, client, chunked).StatusCode)
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

// wrapped is the status recorder that is in front of many handlers: it has neither
// Unwrap nor Flush.
type wrapped struct {
	http.ResponseWriter
	status int
}

func (w *wrapped) WriteHeader(status int) { w.status = status; w.ResponseWriter.WriteHeader(status) }

func withoutUnwrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(&wrapped{ResponseWriter: w}, r) })
}

// unwrapped is a wrapper as it should be.
type unwrapped struct{ wrapped }

func (w *unwrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func withUnwrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(&unwrapped{wrapped{ResponseWriter: w}}, r)
	})
}

// Rule: where an outer wrapper keeps the answer back, the log says once what is
// missing and what to do, and the event says that the answer has not left.
func TestOuterWrapperWithoutUnwrap(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hook, rec := newHook(t)
				_, client := bubble(t, protocol, withoutUnwrap(hook.Handler(&counter{do: func(http.ResponseWriter, *http.Request) { time.Sleep(20 * time.Second) }})))
				for _, order := range []string{"first", "second"} {
					start := time.Now()
					res := post(t, client, bubbleURL, notify("gopay", midhooktest.Order(order)))
					assert.Equal(t, 503, res.StatusCode)
					assert.Equal(t, 20*time.Second, time.Since(start))
				}
				assert.Equal(t, 1, strings.Count(rec.logged(), "add Unwrap() http.ResponseWriter"))
				assert.Contains(t, rec.logged(), "flush")
				for _, e := range rec.events {
					if e.Outcome == midhook.OutcomeBudgetExceeded {
						assert.ErrorIs(t, e.Err, midhook.ErrBudgetExceeded)
						assert.ErrorContains(t, e.Err, "Unwrap")
						assert.ErrorContains(t, e.Err, "*midhook_test.wrapped")
					}
				}
			})
		})
	}
}

// Rule: a body that does not arrive ends its request at the budget, also where no
// deadline reaches the server.
func TestStalledBodyBehindAWrapper(t *testing.T) {
	for name, wrap := range map[string]func(http.Handler) http.Handler{"without Unwrap": withoutUnwrap, "with Unwrap": withUnwrap} {
		t.Run(name, func(t *testing.T) { stalledBodyBehind(t, wrap) })
	}
}

func stalledBodyBehind(t *testing.T, wrap func(http.Handler) http.Handler) {
	hook, rec := newHook(t, midhook.WithBudget(100*time.Millisecond))
	next := &counter{}
	returned := make(chan struct{}, 1)
	inner := wrap(hook.Handler(next))
	url, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(w, r)
		returned <- struct{}{}
	}))
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
	require.NoError(t, err)
	<-returned
	line, err := bufio.NewReader(c).ReadString('\n')
	require.NoError(t, err)
	assert.Contains(t, line, "408")
	assert.Eventually(t, func() bool { return len(rec.outcomes()) > 0 }, time.Minute, time.Millisecond) // it may be told a moment later
	assert.Equal(t, []midhook.Outcome{midhook.OutcomeBodyIncomplete}, rec.outcomes())
	assert.Zero(t, next.runs.Load())
}

// Rule: a body whose reading panics has not arrived. Where no deadline reaches the server
// it is read on a goroutine of its own, on which a panic would end the process.
func TestReadingThatPanics(t *testing.T) {
	hook, rec := newHook(t)
	ctx := context.WithValue(t.Context(), http.ServerContextKey, &http.Server{})
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", readerFunc(func([]byte) (int, error) { panic("not today") }))
	w := httptest.NewRecorder()
	withoutUnwrap(hook.Handler(&counter{})).ServeHTTP(w, r)
	assert.Equal(t, 408, w.Code)
	assert.ErrorContains(t, rec.last().Err, "not today")
}

type readerFunc func([]byte) (int, error)

func (read readerFunc) Read(p []byte) (int, error) { return read(p) }

// Rule: a refusal ends its connection where a body is left that is not worth reading, and
// only there. In HTTP/2 a stream's end costs the others nothing.
func TestRefusalsThatEndTheConnection(t *testing.T) {
	hook, _ := newHook(t, midhook.WithMaxBodyBytes(10))
	for _, test := range []struct {
		method, body string
		major        int
		closes       bool
	}{
		{http.MethodGet, "", 1, false},
		{http.MethodPut, "{}", 1, true},
		{http.MethodPost, "more than ten bytes", 1, true},
		{http.MethodPut, "{}", 2, false},
		{http.MethodPost, "more than ten bytes", 2, false},
		{http.MethodPost, "{}", 1, false}, // malformed, and read
	} {
		r := httptest.NewRequest(test.method, "/", strings.NewReader(test.body))
		r.ProtoMajor = test.major
		w := httptest.NewRecorder()
		hook.Handler(&counter{}).ServeHTTP(w, r)
		assert.Equal(t, test.closes, w.Header().Get("Connection") == "close", "%v", test)
	}
}

// Rule: a peer that does not read the answer holds neither the handler nor its claim.
func TestPeerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook, rec := newHook(t, midhook.WithGrace(10*time.Second))
		ended := make(chan error, 1)
		start := time.Now()
		var took time.Duration
		h := hook.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			w.Header().Set("X-Late", "yes")
			_, err := w.Write([]byte("done"))
			took = time.Since(start)
			ended <- err
		}))
		server, _ := bubble(t, "HTTP/1.1", h)
		l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
		go server.Serve(l) //nolint:errcheck // it ends with the test
		c, err := l.dial(t.Context(), "", "")
		require.NoError(t, err)
		body := notify("gopay")
		_, err = fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		require.NoError(t, err)
		assert.ErrorIs(t, <-ended, http.ErrHandlerTimeout)
		assert.Equal(t, 15*time.Second, took, "the end of the grace")
		synctest.Wait()
		assert.ErrorContains(t, rec.events[0].Err, "has not left")
		assert.Equal(t, midhook.OutcomeLateHandled, rec.last().Outcome, "it wrote, and was not told to fail")
		c.Close()
		l.Close()
	})
}

// Rule: at the budget nothing reads any more, whether or not the peer reads.
func TestStrangersWithAZeroWindow(t *testing.T) {
	hook, rec := newHook(t, midhook.WithBudget(100*time.Millisecond))
	var running sync.WaitGroup
	inner := hook.Handler(&counter{})
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	const strangers = 20
	running.Add(strangers)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer running.Done()
		inner.ServeHTTP(w, r)
	}))
	server.Config.Protocols = &protocols
	server.Start()
	defer server.Close()
	c, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
	require.NoError(t, err)
	defer c.Close()
	go io.Copy(io.Discard, c) //nolint:errcheck // it ends with the connection
	frame := func(kind, flags byte, stream uint32, payload []byte) []byte {
		b := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
		return append(binary.BigEndian.AppendUint32(b, stream), payload...)
	}
	const settings, headers, endHeaders = 4, 1, 4
	out := append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(settings, 0, 0, []byte{0, 4, 0, 0, 0, 0})...) // SETTINGS_INITIAL_WINDOW_SIZE 0
	request := []byte{0x83, 0x86, 0x84, 0x01, 0x01, 'x', 0x0f, 0x0d, 0x04, '1', '0', '0', '0'}                    // POST http / x, Content-Length 1000
	for i := range uint32(strangers) {
		out = append(out, frame(headers, endHeaders, 2*i+1, request)...)
	}
	_, err = c.Write(out)
	require.NoError(t, err)
	running.Wait()
	// The answer may leave, and ServeHTTP return, a moment before the event is told.
	assert.Eventually(t, func() bool { return len(rec.outcomes()) == strangers }, time.Minute, time.Millisecond)
}

// Rule: memory grows with what arrived, and not with what a stranger promises.
func TestPromisedBodyCostsNothing(t *testing.T) {
	hook, _ := newHook(t)
	h := hook.Handler(&counter{})
	bytesOf := func(promised int64) uint64 {
		var before, after runtime.MemStats
		const n = 200
		runtime.ReadMemStats(&before)
		for range n {
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{"))
			r.ContentLength = promised
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
		runtime.ReadMemStats(&after)
		return (after.TotalAlloc - before.TotalAlloc) / n
	}
	bytesOf(1)
	assert.Less(t, bytesOf(64<<10), bytesOf(1)+16<<10)
}

// Rule: an authentic JSON body is JSON to the handler, whatever the Content-Type, which
// nobody signed: a binder must not read a field's text as a form, nor the query.
func TestContentTypeOfTheHandlersRequest(t *testing.T) {
	hook, _ := newHook(t)
	for i, test := range []struct{ given, seen []string }{
		{[]string{"application/json"}, []string{"application/json"}},
		{[]string{"application/json; charset=utf-8"}, []string{"application/json; charset=utf-8"}},
		{nil, []string{"application/json"}},
		{[]string{"application/x-www-form-urlencoded"}, []string{"application/json"}},
		{[]string{"multipart/form-data; boundary=x"}, []string{"application/json"}},
		{[]string{"text/plain"}, []string{"application/json"}},
		{[]string{"application/json;charset=UTF-8"}, []string{"application/json;charset=UTF-8"}},
		{[]string{"application/json; charset=utf-16"}, []string{"application/json"}},
		{[]string{"application/json; a=b+x-www-form-urlencoded"}, []string{"application/json"}},
		{[]string{"application/x-www-form-urlencoded+json"}, []string{"application/json"}},
		{[]string{"Application/JSON"}, []string{"application/json"}},
		{[]string{"application/jsonx"}, []string{"application/json"}},
		{[]string{"application/json", "application/x-www-form-urlencoded"}, []string{"application/json"}},
	} {
		body := notify("pending", midhooktest.Order(fmt.Sprint("A-", i)), midhooktest.Field("custom_field1", "&order_id=B-2&transaction_status=settlement&"))
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Header["Content-Type"] = test.given
		next := &counter{do: func(_ http.ResponseWriter, r *http.Request) {
			assert.Equal(t, test.seen, r.Header["Content-Type"])
			assert.Empty(t, r.PostFormValue("transaction_status"))
		}}
		hook.Handler(next).ServeHTTP(httptest.NewRecorder(), r)
		assert.EqualValues(t, 1, next.runs.Load())
		assert.Equal(t, test.given, r.Header["Content-Type"], "the server's own request is not changed")
	}
	next := &counter{}
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(notify("gopay")))
	r.Header = nil // as a test or a queue may make it
	hook.Handler(next).ServeHTTP(httptest.NewRecorder(), r)
	assert.EqualValues(t, 1, next.runs.Load())

	next.do = func(_ http.ResponseWriter, r *http.Request) {
		assert.Equal(t, http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {"7"}}, r.Header, "the other headers stay")
	}
	r = httptest.NewRequest(http.MethodPost, "/", io.MultiReader(strings.NewReader("\r\n\t "), bytes.NewReader(notify("gopay", midhooktest.Order("A-99")))))
	r.Header = http.Header{"Content-Type": {"text/plain"}, "X-Request-Id": {"7"}}
	hook.Handler(next).ServeHTTP(httptest.NewRecorder(), r)
	assert.EqualValues(t, 2, next.runs.Load(), "white space before the object is part of the JSON")
}

// Rule: what is authentic is the body as it came. The handler's request claims no
// Content-Encoding, which nobody signed: what decodes it behind the hook would read
// another text than was verified.
func TestContentEncodingOfTheHandlersRequest(t *testing.T) {
	hook, _ := newHook(t)
	for i, encoding := range [][]string{nil, {""}, {"br"}, {"gzip", "br"}, {"identity"}} {
		body := notify("pending", midhooktest.Order(fmt.Sprint("A-", i)))
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Header["Content-Type"] = []string{"application/json"}
		if encoding != nil {
			r.Header["Content-Encoding"] = encoding
		}
		next := &counter{do: func(_ http.ResponseWriter, r *http.Request) {
			assert.NotContains(t, r.Header, "Content-Encoding")
			assert.Equal(t, "application/json", r.Header.Get("Content-Type"))
			handed, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			assert.Equal(t, string(body), string(handed))
		}}
		hook.Handler(next).ServeHTTP(httptest.NewRecorder(), r)
		assert.EqualValues(t, 1, next.runs.Load())
		assert.Equal(t, encoding, r.Header["Content-Encoding"], "the server's own request is not changed")
	}
}
