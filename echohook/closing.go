package echohook

import (
	"net/http"
	"sync/atomic"
)

// closing ends an HTTP/1 connection with an answer that leaves while the handler
// runs. midhook does so itself, but not for a detached handler, for which it
// would not wait: here the next request on the connection would.
type closing struct {
	http.ResponseWriter
	busy   atomic.Bool
	closes bool
}

func (w *closing) WriteHeader(status int) {
	if w.closes && status >= http.StatusOK && w.busy.Load() {
		w.Header().Set("Connection", "close")
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for [http.ResponseController].
func (w *closing) Unwrap() http.ResponseWriter { return w.ResponseWriter }
