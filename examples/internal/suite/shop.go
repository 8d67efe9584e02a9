package suite

import (
	"net/http"
	"sync"
	"time"

	"github.com/midhook/midhook"
)

// What a notification has the handler do, in its custom_field1. When an event
// comes again, the handler answers as for Answer.
const (
	Answer      = "answer"      // 201 and JSON by native means
	Fail        = "fail"        // status 500
	Refuse      = "refuse"      // status 409
	Error       = "error"       // a native error without a status, where there is such a thing
	NotFound    = "not found"   // a native error with the status 404
	Redirect    = "redirect"    // 302 to /login
	Panic       = "panic"       // at once
	Late        = "late"        // go on past the budget, use the context and write; then 201
	LatePanic   = "late panic"  // the same, and panic
	LateFailure = "late failed" // the same, and fail
)

// Shop is what the native handlers of all frameworks do.
type Shop struct {
	mu     sync.Mutex
	runs   map[string]int    // of the handler, by order
	bound  map[string]string // the order that the handler found in the body, by order
	saw    map[string]bool   // what late handlers found in their context
	begin  chan struct{}     // closed when a late handler is running
	goOn   chan struct{}     // closed when late handlers may act
	finish chan struct{}     // closed when they must end
}

func newShop() *Shop {
	return &Shop{
		runs: map[string]int{}, bound: map[string]string{}, saw: map[string]bool{},
		begin: make(chan struct{}), goOn: make(chan struct{}), finish: make(chan struct{}),
	}
}

// Arrived says what to do about n, whose body's order_id the handler has bound.
func (s *Shop) Arrived(n *midhook.Notification, bound string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs[n.OrderID]++
	s.bound[n.OrderID] = bound
	if s.runs[n.OrderID] > 1 {
		return Answer
	}
	switch n.CustomField1 {
	case Late, LatePanic, LateFailure:
		close(s.begin)
	}
	return n.CustomField1
}

// Lingering reports, first after the budget, whether a late handler is to go on.
// The pause is for others to get a turn.
func (s *Shop) Lingering() bool {
	<-s.goOn
	select {
	case <-s.finish:
		return false
	case <-time.After(time.Millisecond):
		return true
	}
}

// Saw is told what a late handler found in its context.
func (s *Shop) Saw(param, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saw[param+" "+value] = true
}

// Runs is how often the handler ran for order.
func (s *Shop) Runs(order string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs[order]
}

func (s *Shop) boundTo(order string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bound[order]
}

func (s *Shop) sights() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for sight := range s.saw {
		all = append(all, sight)
	}
	return all
}

// RequireLogin is what sends Midtrans to a login page.
func RequireLogin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("session"); err != nil {
			http.Redirect(w, r, "/login", http.StatusFound)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// LimitBody is a body limit for frameworks that have none.
func LimitBody(next http.Handler) http.Handler { return http.MaxBytesHandler(next, Limit) }
