package ginhook

import (
	"bufio"
	"io"
	"net"
	"net/http"

	"github.com/gin-gonic/gin"
)

const unwritten = -1

// buffered is a gin.ResponseWriter around midhook's: it keeps gin's record of
// status and size, and like gin's own it holds a status back until something is
// written.
type buffered struct {
	http.ResponseWriter
	status, size int
	decided      bool // the status was set, be it to 200
}

func (w *buffered) WriteHeader(status int) {
	if status <= 0 || w.Written() {
		return
	}
	w.status, w.decided = status, true
}

func (w *buffered) WriteHeaderNow() {
	if !w.Written() {
		w.size = 0
		w.ResponseWriter.WriteHeader(w.status)
	}
}

func (w *buffered) Write(p []byte) (int, error) {
	w.WriteHeaderNow()
	n, err := w.ResponseWriter.Write(p)
	w.size += n
	return n, err
}

func (w *buffered) WriteString(s string) (int, error) {
	w.WriteHeaderNow()
	n, err := io.WriteString(w.ResponseWriter, s)
	w.size += n
	return n, err
}

func (w *buffered) Flush() {
	w.WriteHeaderNow()
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *buffered) Status() int   { return w.status }
func (w *buffered) Size() int     { return w.size }
func (w *buffered) Written() bool { return w.size != unwritten }

// Unwrap is for [http.ResponseController]: it finds midhook's writer, and
// nothing behind it.
func (w *buffered) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Pusher is nil: nothing leaves before the handler has returned.
func (w *buffered) Pusher() http.Pusher { return nil }

// Hijack fails: the connection is midhook's, which has to answer.
func (w *buffered) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, http.ErrNotSupported
}

// CloseNotify never tells: Midtrans hanging up must not undo a payment.
func (w *buffered) CloseNotify() <-chan bool { return make(chan bool) }

// Interface guards
var (
	_ gin.ResponseWriter = (*buffered)(nil)
	_ io.StringWriter    = (*buffered)(nil)
)
