package midhook

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"time"
)

var (
	// ErrBudgetExceeded is the cause ([context.Cause]) with which the context of
	// the store, the status check and the expectation ends at the response budget.
	ErrBudgetExceeded = errors.New("response budget exceeded")
	// ErrGraceExceeded is the cause with which the handler's context ends.
	ErrGraceExceeded = errors.New("grace after the response budget exceeded")
)

// answer is a whole response of midhook's own, the same for many requests.
type answer struct {
	status int
	header http.Header
	body   []byte
	last   bool // on this connection
}

func newAnswer(status int, contentType, body string) answer {
	return answer{status: status, body: []byte(body), header: http.Header{
		"Content-Type":           {contentType},
		"Content-Length":         {strconv.Itoa(len(body))},
		"X-Content-Type-Options": {"nosniff"},
	}}
}

// bufferedWriter is the ResponseWriter of a handler under a budget. What the
// handler writes is kept back, until commit sends it or answer sends something
// else instead. Whichever comes first is the response, whole; from then on the
// handler's writes fail with [http.ErrHandlerTimeout].
//
// The handler may be running while answer is called: inner is touched only
// under mu, and the map that header is only by the handler.
type bufferedWriter struct {
	inner http.ResponseWriter

	mu       sync.Mutex
	header   http.Header // the handler's, which begins with what outer middleware has set; nil until it asks
	status   int         // 0 until the handler decides
	decided  http.Header // header when it did
	body     bytes.Buffer
	answered bool
	expired  chan struct{} // if not nil: closed by answerNow
}

func (b *bufferedWriter) Header() http.Header {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.header == nil {
		b.header = http.Header{}
		if !b.answered {
			maps.Copy(b.header, b.inner.Header().Clone())
		}
	}
	return b.header
}

func (b *bufferedWriter) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("midhook: invalid WriteHeader code %d", status)) // as net/http does
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if status < 200 && status != http.StatusSwitchingProtocols {
		b.inform(status)
		return
	}
	b.decide(status)
}

// decide fixes status and header, once. Even after the response has gone out:
// what a late handler decides tells whether it succeeded.
func (b *bufferedWriter) decide(status int) {
	if b.status == 0 {
		b.status, b.decided = status, b.header.Clone()
	}
}

// inform sends a 1xx response at once, with the handler's header.
func (b *bufferedWriter) inform(status int) {
	if b.answered || b.status != 0 {
		return
	}
	if b.header == nil {
		b.inner.WriteHeader(status)
		return
	}
	outer := b.inner.Header().Clone()
	replaceHeader(b.inner.Header(), b.header)
	b.inner.WriteHeader(status)
	replaceHeader(b.inner.Header(), outer)
}

func (b *bufferedWriter) Write(p []byte) (int, error) {
	return buffer(b, p, b.body.Write)
}

func (b *bufferedWriter) WriteString(s string) (int, error) {
	return buffer(b, s, b.body.WriteString)
}

func buffer[T []byte | string](b *bufferedWriter, p T, write func(T) (int, error)) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.decide(http.StatusOK)
	switch {
	case b.answered:
		return 0, http.ErrHandlerTimeout
	case b.status == http.StatusNoContent || b.status == http.StatusNotModified:
		return 0, http.ErrBodyNotAllowed
	}
	return write(p)
}

// Flush decides the status, as net/http's does. The bytes stay here: whether
// they may go out is known when the handler has returned.
func (b *bufferedWriter) Flush() { _ = b.FlushError() }

func (b *bufferedWriter) FlushError() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.decide(http.StatusOK)
	if b.answered {
		return http.ErrHandlerTimeout
	}
	return nil
}

// SetReadDeadline and SetWriteDeadline are for [http.ResponseController]. There
// is no Unwrap: what it reached could write past the buffer.

func (b *bufferedWriter) SetReadDeadline(t time.Time) error {
	return b.control(func(c *http.ResponseController) error { return c.SetReadDeadline(t) })
}

func (b *bufferedWriter) SetWriteDeadline(t time.Time) error {
	return b.control(func(c *http.ResponseController) error { return c.SetWriteDeadline(t) })
}

func (b *bufferedWriter) control(set func(*http.ResponseController) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.answered {
		return http.ErrHandlerTimeout
	}
	return set(http.NewResponseController(b.inner))
}

// written returns the status the handler has decided on, 0 for none.
func (b *bufferedWriter) written() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status
}

// judge asks accepts about what the handler has written, a 2xx.
func (b *bufferedWriter) judge(accepts func(int, http.Header, []byte) bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.decide(http.StatusOK)
	return accepts(b.status, b.decided, b.body.Bytes())
}

// over reports whether the response is decided, and writing is in vain.
func (b *bufferedWriter) over() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.answered
}

// commit sends what the handler wrote, and reports whether it was in time.
func (b *bufferedWriter) commit() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.answered {
		return false
	}
	b.answered = true
	b.decide(http.StatusOK)
	if b.decided.Get("Content-Length") != "" {
		// Here the length is known. A wrong one would tear the response.
		b.decided.Set("Content-Length", strconv.Itoa(b.body.Len()))
	}
	if b.decided != nil {
		replaceHeader(b.inner.Header(), b.decided)
	}
	b.inner.WriteHeader(b.status)
	if b.body.Len() > 0 {
		_, _ = b.inner.Write(b.body.Bytes()) // a client that has gone is no failure of the handler
	}
	return true
}

// answer sends a instead of what the handler writes, and reports whether it was
// in time.
func (b *bufferedWriter) answer(a answer) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.send(a)
}

// answerNow is answer while ServeHTTP is busy: the response leaves at once if
// the server can flush, else when ServeHTTP returns. reading is the body if it is
// still being read: that ends, if the server can do it.
func (b *bufferedWriter) answerNow(a answer, reading io.Closer) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.answered {
		return false
	}
	if b.expired != nil {
		defer close(b.expired)
	}
	b.send(a)
	server := http.NewResponseController(b.inner)
	_ = server.Flush()
	if reading != nil {
		_ = server.SetReadDeadline(time.Now())
		_ = reading.Close()
	}
	return true
}

func (b *bufferedWriter) send(a answer) bool {
	if b.answered {
		return false
	}
	b.answered = true
	maps.Copy(b.inner.Header(), a.header)
	if a.last {
		b.inner.Header().Set("Connection", "close")
	}
	b.inner.WriteHeader(a.status)
	_, _ = b.inner.Write(a.body)
	return true
}

// close makes sure that nothing is written any more: ServeHTTP is returning.
func (b *bufferedWriter) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answered = true
}

// detach runs fn on a goroutine of its own, and returns when it has ended or
// answerNow has been called. A panic or Goexit of fn goes on here if there is
// still someone to answer; a later one ends with fn's goroutine.
func (b *bufferedWriter) detach(fn func()) {
	end := make(chan func(), 1)
	go func() {
		goOn := runtime.Goexit
		defer func() {
			if v := recover(); v != nil {
				goOn = func() { panic(v) }
			}
			end <- goOn
		}()
		fn()
		goOn = func() {}
	}()
	select {
	case goOn := <-end:
		if !b.over() {
			goOn()
		}
	case <-b.expired:
	}
}

func replaceHeader(dst, src http.Header) {
	for name := range dst {
		if _, kept := src[name]; !kept {
			delete(dst, name)
		}
	}
	maps.Copy(dst, src)
}
