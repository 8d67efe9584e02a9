package suite

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/midhook/midhook"
)

type tenantKey struct{}

// Tenant puts a route's parameter into the request's context, as middleware in
// front of midhook does. shop reads it in the router's own way.
func Tenant(shop func(*http.Request) string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), tenantKey{}, shop(r))))
		})
	}
}

// Notification is the native handler on routers of net/http handlers. It needs
// [Tenant] in front of it.
func Notification(s *Shop, shop func(*http.Request) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n, _ := midhook.FromContext(r.Context())
		var body struct {
			OrderID string `json:"order_id"`
		}
		_ = json.NewDecoder(r.Body).Decode(&body)
		do := s.Arrived(n, body.OrderID)
		switch do {
		case Late, LatePanic, LateFailure:
			for s.Lingering() {
				s.Saw(shop(r), r.Context().Value(tenantKey{}).(string))
				_, _ = w.Write([]byte("late"))
			}
		}
		switch do {
		case Fail, Error, LateFailure:
			http.Error(w, "secret", http.StatusInternalServerError)
		case Refuse:
			w.WriteHeader(http.StatusConflict)
		case NotFound:
			http.NotFound(w, r)
		case Redirect:
			http.Redirect(w, r, "/login", http.StatusFound)
		case Panic, LatePanic:
			panic("secret")
		default:
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusCreated)
			_ = json.NewEncoder(w).Encode(map[string]any{
				"order": n.OrderID, "shop": shop(r), "tenant": r.Context().Value(tenantKey{}),
			})
		}
	}
}

// Recovery is what every net/http service has of its own.
func Recovery(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorder := &recorder{ResponseWriter: w}
		defer func() {
			if recover() != nil && !recorder.answered {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(recorder, r)
	})
}

type recorder struct {
	http.ResponseWriter
	answered bool
}

func (r *recorder) WriteHeader(status int) {
	r.answered = true
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter } // for the flush at the budget
