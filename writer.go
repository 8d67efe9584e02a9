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
	last   bool // the connection ends after it
}

func newAnswer(status int, contentType, body string) answer {
	return answer{status: status, body: []byte(body), header: http.Header{
		"Content-Type":           {contentType},
		"Content-Length":         {strconv.Itoa(len(body))},
		"X-Content-Type-Options": {"nosniff"},
	}}
}

// bufferedWriter is the ResponseWriter of a handler under a budget. It keeps back
// what the handler writes. The response is decided once and whole: by commit, which
// sends what the handler wrote, or by answer or answerAtBudget, which send something
// else. From the decision on the handler's writes fail with [http.ErrHandlerTimeout].
//
// A decision is taken under mu and sent outside of it: a peer that does not read must
// not stop a handler. Whoever sends holds wire.
type bufferedWriter struct {
	inner http.ResponseWriter
	wire  sync.Mutex // serialises what goes to inner; it is never taken under mu

	mu      sync.Mutex
	header  http.Header // the handler's, which begins with what outer middleware has set; nil until it asks
	status  int         // 0 until the handler decides
	sent    http.Header // the handler's header at the time of its status
	body    bytes.Buffer
	decided bool          // the response is; inner's header is nobody's but the sender's from here on
	expired bool          // it was decided at the budget
	atEnd   chan struct{} // closed when the answer at the budget has been sent; nil if nobody waits for it yet
}

func (b *bufferedWriter) Header() http.Header {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.header == nil {
		b.header = http.Header{}
		if !b.decided {
			maps.Copy(b.header, b.inner.Header().Clone())
		}
	}
	return b.header
}

func (b *bufferedWriter) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("midhook: invalid WriteHeader code %d", status)) // as net/http does
	}
	if status < 200 && status != http.StatusSwitchingProtocols {
		b.inform(status)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.decideStatus(status)
}

// decideStatus fixes status and header, once. It does so even after the response has
// gone out: what a late handler decides tells whether it succeeded.
func (b *bufferedWriter) decideStatus(status int) {
	if b.status == 0 {
		b.status, b.sent = status, b.header.Clone()
	}
}

// inform sends a 1xx response at once, with the handler's header.
func (b *bufferedWriter) inform(status int) {
	b.wire.Lock()
	defer b.wire.Unlock()
	b.mu.Lock()
	header, tooLate := b.header.Clone(), b.decided || b.status != 0
	b.mu.Unlock()
	switch {
	case tooLate:
	case header == nil:
		b.inner.WriteHeader(status)
	default:
		outer := b.inner.Header().Clone()
		replaceHeader(b.inner.Header(), header)
		b.inner.WriteHeader(status)
		replaceHeader(b.inner.Header(), outer)
	}
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
	b.decideStatus(http.StatusOK)
	switch {
	case b.decided:
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
	b.decideStatus(http.StatusOK)
	if b.decided {
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
	if b.decided {
		return http.ErrHandlerTimeout
	}
	return set(http.NewResponseController(b.inner))
}

// handlerStatus returns the status that the handler has decided on, 0 for none.
func (b *bufferedWriter) handlerStatus() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status
}

// isAccepted asks accepts about what the handler has written, a 2xx.
func (b *bufferedWriter) isAccepted(accepts func(int, http.Header, []byte) bool) bool {
	b.mu.Lock()
	b.decideStatus(http.StatusOK)
	status, header, body := b.status, b.sent, bytes.Clone(b.body.Bytes())
	b.mu.Unlock()
	return accepts(status, header, body)
}

// isDecided reports whether the response is decided, so that writing is in vain.
func (b *bufferedWriter) isDecided() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.decided
}

// isExpired reports whether it was the budget that decided the response.
func (b *bufferedWriter) isExpired() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.expired
}

// decide makes the caller the one who sends the response. It reports false to all
// but the first.
func (b *bufferedWriter) decide() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.decided {
		return false
	}
	b.decided = true
	return true
}

// commit sends what the handler wrote, and reports with what status, and whether it was
// in time.
func (b *bufferedWriter) commit() (status int, inTime bool) {
	b.mu.Lock()
	if b.decided {
		b.mu.Unlock()
		return 0, false
	}
	b.decided = true
	b.decideStatus(http.StatusOK)
	b.mu.Unlock() // from here on nobody changes status, sent and body

	b.wire.Lock()
	defer b.wire.Unlock()
	if b.sent.Get("Content-Length") != "" {
		// Here the length is known. A wrong one would tear the response.
		b.sent.Set("Content-Length", strconv.Itoa(b.body.Len()))
	}
	if b.sent != nil {
		replaceHeader(b.inner.Header(), b.sent)
	}
	b.inner.WriteHeader(b.status)
	if b.body.Len() > 0 {
		_, _ = b.inner.Write(b.body.Bytes()) // a client that has gone is no failure of the handler
	}
	return b.status, true
}

// answer sends a instead of what the handler writes, and reports whether it was
// in time.
func (b *bufferedWriter) answer(a answer) bool {
	if !b.decide() {
		return false
	}
	_ = b.send(a) // as in commit
	return true
}

// sendTimeout is how long the peer may take to read the answer at the budget.
const sendTimeout = 3 * time.Second

// errUnreachable says why the answer at the budget is kept back.
var errUnreachable = errors.New("the answer cannot be flushed before the handler returns: an outer http.ResponseWriter has no Unwrap method")

// answerAtBudget is answer while ServeHTTP is busy: the response leaves at once if
// the server can flush, else when ServeHTTP returns. reading is the body if it is
// still being read: its reading ends first, for the peer may read no more than it
// writes. An error says that the answer has not left.
func (b *bufferedWriter) answerAtBudget(a answer, reading io.Closer) (inTime bool, err error) {
	b.mu.Lock()
	if b.decided {
		b.mu.Unlock()
		return false, nil
	}
	b.decided, b.expired = true, true
	if b.atEnd == nil {
		b.atEnd = make(chan struct{})
	}
	defer close(b.atEnd)
	b.mu.Unlock()
	defer func() {
		if v := recover(); v != nil {
			inTime, err = true, fmt.Errorf("the answer may not have left: an outer http.ResponseWriter panicked: %v", v)
		}
	}()

	server := http.NewResponseController(b.inner)
	if reading != nil && server.SetReadDeadline(time.Now()) != nil {
		go func() { // Close may wait for the very Read that it is to end
			defer func() { _ = recover() }()
			_ = reading.Close()
		}()
	}
	_ = server.SetWriteDeadline(time.Now().Add(sendTimeout))
	if err := b.send(a); err != nil {
		return true, fmt.Errorf("the answer has not left: %w", err)
	}
	switch err := server.Flush(); {
	case errors.Is(err, http.ErrNotSupported):
		return true, fmt.Errorf("%w (%T)", errUnreachable, b.inner)
	case err != nil:
		return true, fmt.Errorf("the answer has not left: %w", err)
	}
	_ = server.SetWriteDeadline(time.Time{}) // over HTTP/2 the stream ends with the handler, and must not be torn before
	return true, nil
}

func (b *bufferedWriter) send(a answer) error {
	b.wire.Lock()
	defer b.wire.Unlock()
	maps.Copy(b.inner.Header(), a.header)
	if a.last {
		b.inner.Header().Set("Connection", "close")
	}
	b.inner.WriteHeader(a.status)
	_, err := b.inner.Write(a.body)
	return err
}

// close makes sure that nothing is written any more: ServeHTTP is returning.
func (b *bufferedWriter) close() {
	b.mu.Lock()
	b.decided = true
	expired, atEnd := b.expired, b.atEnd
	b.mu.Unlock()
	if expired {
		<-atEnd
	}
}

// runDetached runs fn on a goroutine of its own, and returns when it has ended or the
// answer at the budget has been sent. A panic or Goexit of fn goes on here if there
// is still someone to answer; a later one ends with fn's goroutine.
func (b *bufferedWriter) runDetached(fn func()) {
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
		if !b.isExpired() {
			goOn()
		}
	case <-b.atEnd:
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
