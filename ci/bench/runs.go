package main

import (
	"net/http"
	"sync"
	"time"

	"github.com/midhook/midhook"
)

// run is when the handler of an order began, since the server's first one.
type run struct {
	Order string
	At    time.Duration
}

// runs are those that the server's handler has made.
type runs struct {
	mu   sync.Mutex
	zero time.Time
	made []run
}

func (r *runs) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		n, _ := midhook.FromContext(req.Context())
		r.add(n.OrderID, time.Now())
		next.ServeHTTP(w, req)
	})
}

func (r *runs) add(order string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.made == nil {
		r.zero = at
	}
	r.made = append(r.made, run{order, at.Sub(r.zero)})
}

func (r *runs) all() []run {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.made
}
