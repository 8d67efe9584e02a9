package ginhook

import (
	"net/http"
	"reflect"
	"sync/atomic"

	"github.com/gin-gonic/gin"
)

// outer is what midhook answers through: c.Writer, and so what middleware
// outside has put around it.
//
// An answer that leaves while the handlers run, at the budget, goes past gin's
// own writer to the server's: the handlers may read gin's record of the response
// at any time, with c.Copy. The record follows when they are through.
type outer struct {
	gin    gin.ResponseWriter
	server reflect.Value // the http.ResponseWriter in gin's own writer; not valid in another's
	busy   atomic.Bool   // the handlers run

	early  http.ResponseWriter // the server's, if an answer left meanwhile
	status int                 // its status
	size   int                 // its size
}

func newOuter(c *gin.Context) *outer {
	w := &outer{gin: c.Writer}
	v := reflect.ValueOf(c.Writer)
	if v.Kind() != reflect.Pointer || v.Type().Elem().PkgPath() != reflect.TypeFor[gin.Context]().PkgPath() {
		return w
	}
	if field := v.Elem().FieldByName("ResponseWriter"); field.IsValid() && field.Type() == reflect.TypeFor[http.ResponseWriter]() {
		w.server = field
	}
	return w
}

func (w *outer) Header() http.Header { return w.Unwrap().Header() }

func (w *outer) WriteHeader(status int) {
	if status >= http.StatusOK && w.busy.Load() && w.server.IsValid() {
		w.early, w.status = w.server.Interface().(http.ResponseWriter), status
	}
	w.Unwrap().WriteHeader(status)
}

func (w *outer) Write(p []byte) (int, error) {
	n, err := w.Unwrap().Write(p)
	w.size += n
	return n, err
}

// Unwrap is for [http.ResponseController], too.
func (w *outer) Unwrap() http.ResponseWriter {
	if w.early != nil {
		return w.early
	}
	return w.gin
}

// record brings gin's record up to date with an early answer.
func (w *outer) record() {
	if w.early == nil {
		return
	}
	// gin's writer has no other way to learn of what has been sent.
	w.server.Set(reflect.ValueOf(sent{w.early}))
	w.gin.WriteHeader(w.status)
	w.gin.WriteHeaderNow()
	_, _ = w.gin.Write(make([]byte, w.size))
	w.server.Set(reflect.ValueOf(w.early))
	w.early = nil
}

// sent is a response that has been sent.
type sent struct{ http.ResponseWriter }

func (sent) WriteHeader(int)             {}
func (sent) Write(p []byte) (int, error) { return len(p), nil }

// Interface guards
var (
	_ http.ResponseWriter                       = (*outer)(nil)
	_ interface{ Unwrap() http.ResponseWriter } = (*outer)(nil)
	_ http.ResponseWriter                       = sent{}
)
