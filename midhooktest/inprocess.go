package midhooktest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"
)

var errGoexit = errors.New("handler called runtime.Goexit")

// call makes one request to the handler. It returns when the answer is complete
// or ctx ends; the handler may run on.
func (e *Engine) call(ctx context.Context, u *url.URL, header http.Header, body []byte) answer {
	connection, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	w := &responseWriter{header: http.Header{}, length: -1, ended: make(chan struct{})}
	r := serverRequest(connection, u, header, body, w)
	e.started()
	go func() {
		defer e.ended()
		defer hangUp() // as net/http does when a handler has returned
		w.serve(e.Handler, r)
	}()
	select {
	case <-w.ended:
	case <-ctx.Done():
	}
	ans := w.take(context.Cause(ctx))
	if ans.err != nil || strings.EqualFold(ans.header.Get("Connection"), "close") {
		hangUp()
	}
	return ans
}

// serverRequest is a request as net/http's server hands it to a handler.
func serverRequest(ctx context.Context, u *url.URL, header http.Header, body []byte, w *responseWriter) *http.Request {
	r := (&http.Request{
		Method:        http.MethodPost,
		URL:           &url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery},
		RequestURI:    u.RequestURI(),
		Host:          u.Host,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        header.Clone(), // the handler's to change
		Body:          &requestBody{r: bytes.NewReader(body), w: w},
		ContentLength: int64(len(body)),
		RemoteAddr:    "192.0.2.1:1234", // as in net/http/httptest: of a network that is nobody's
	}).WithContext(ctx)
	if r.URL.Path == "" {
		r.URL.Path = "/"
	}
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	if u.Scheme == "https" {
		r.TLS = &tls.ConnectionState{Version: tls.VersionTLS12, HandshakeComplete: true, ServerName: u.Hostname()}
	}
	return r
}

// requestBody is all there from the beginning, but heeds a read deadline.
type requestBody struct {
	r io.Reader
	w *responseWriter
}

func (b *requestBody) Read(p []byte) (int, error) {
	b.w.mu.Lock()
	late := passed(b.w.readBy)
	b.w.mu.Unlock()
	if late {
		return 0, os.ErrDeadlineExceeded
	}
	return b.r.Read(p)
}

func (b *requestBody) Close() error { return nil }

// responseWriter is the server's end of a connection to the engine. What is not
// flushed leaves when the handler returns.
type responseWriter struct {
	mu              sync.Mutex
	header          http.Header // the handler's
	status          int         // 0 until it is decided
	sent            http.Header // header when it was
	length          int64       // its Content-Length, -1 without
	written         int64
	body            []byte // the beginning
	readBy, writeBy time.Time
	over            bool // nothing that is written reaches anyone
	err             error
	ended           chan struct{} // closed when over by the handler's doing
}

// serve runs the handler to its end.
func (w *responseWriter) serve(h http.Handler, r *http.Request) {
	err := errGoexit
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
		w.finish(err)
	}()
	h.ServeHTTP(w, r)
	err = nil
}

// finish ends the response when the handler has ended, with err if not by
// returning.
func (w *responseWriter) finish(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		// Nobody is there to be told. net/http's server logs it, too.
		if p, ok := errors.AsType[*PanicError](err); ok && p.Value != http.ErrAbortHandler {
			log.Printf("midhooktest: after its answer or its timeout, the %v\n%s", err, p.Stack)
		}
		return
	}
	if err == nil {
		w.decide(http.StatusOK)
		if w.hasBody() && w.length > w.written {
			err = fmt.Errorf("connection broken: the answer has %d of %d bytes", w.written, w.length)
		}
	}
	if err == nil && passed(w.writeBy) {
		err = fmt.Errorf("connection broken: %w", os.ErrDeadlineExceeded)
	}
	w.end(err)
}

func (w *responseWriter) end(err error) {
	w.over, w.err = true, err
	close(w.ended)
}

// take returns the answer, if there is one by now, and hangs up if there is not.
func (w *responseWriter) take(hungUp error) answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case !w.over:
		w.over = true
		return answer{status: w.status, header: w.sent, body: w.body, err: hungUp}
	case w.err != nil:
		return answer{err: w.err}
	}
	return answer{status: w.status, header: w.sent, body: w.body}
}

func (w *responseWriter) Header() http.Header { return w.header }

func (w *responseWriter) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid WriteHeader code %d", status)) // as net/http does
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if status/100 == 1 && status != http.StatusSwitchingProtocols {
		return // informational: the answer is yet to come
	}
	if !w.over {
		w.decide(status)
	}
}

func (w *responseWriter) decide(status int) {
	if w.status != 0 {
		return
	}
	w.status, w.sent = status, w.header.Clone()
	if n, err := strconv.ParseInt(w.sent.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
		w.length = n
	}
}

func (w *responseWriter) hasBody() bool {
	return w.status/100 != 1 && w.status != http.StatusNoContent && w.status != http.StatusNotModified
}

// usable is the error of writing now.
func (w *responseWriter) usable() error {
	switch {
	case w.over:
		return errors.New("midhooktest: the connection is closed, or the answer complete")
	case passed(w.writeBy):
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (w *responseWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.usable(); err != nil {
		return 0, err
	}
	w.decide(http.StatusOK)
	switch {
	case !w.hasBody():
		return 0, http.ErrBodyNotAllowed
	case w.length >= 0 && w.written+int64(len(p)) > w.length:
		return 0, http.ErrContentLength
	}
	w.written += int64(len(p))
	w.body = append(w.body, p[:min(len(p), answerSize-len(w.body))]...)
	return len(p), nil
}

func (w *responseWriter) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

func (w *responseWriter) Flush() { _ = w.FlushError() }

// FlushError completes the answer if it is one whose end the client can tell.
func (w *responseWriter) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.usable(); err != nil {
		return err
	}
	w.decide(http.StatusOK)
	if !w.hasBody() || w.length == w.written {
		w.end(nil)
	}
	return nil
}

// SetReadDeadline, SetWriteDeadline and EnableFullDuplex are for
// [http.ResponseController].

func (w *responseWriter) SetReadDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.readBy = t
	return nil
}

func (w *responseWriter) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writeBy = t
	return nil
}

func (w *responseWriter) EnableFullDuplex() error { return nil } // a handler may always read on

func passed(deadline time.Time) bool {
	return !deadline.IsZero() && !time.Now().Before(deadline)
}
