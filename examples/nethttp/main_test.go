package main

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/examples/internal/demo"
	"github.com/midhook/midhook/examples/internal/suite"
)

func TestExample(t *testing.T) { suite.Example(t, demo.HTTP(routes)) }

func TestSuite(t *testing.T) {
	suite.Run(t, suite.Framework{
		Serve:     suite.HTTP(server),
		Recovered: http.StatusInternalServerError,
		Traps: map[suite.Around]int{
			suite.BodyLimit: http.StatusRequestEntityTooLarge,
			suite.Timeout:   http.StatusServiceUnavailable, // TimeoutHandler answers, and does not wait
			suite.CSRF:      http.StatusCreated,            // Midtrans is no browser, and CrossOriginProtection sees that
		},
		Slashes: map[string]int{
			"/notification/acme":  http.StatusCreated,
			"/notification/acme/": http.StatusNotFound,
			"/tree/acme":          http.StatusTemporaryRedirect, // 307: Midtrans follows
			"/tree/acme/":         http.StatusCreated,
		},
	})
}

type tenantKey struct{}

func server(s suite.Setup) http.Handler {
	handle := http.Handler(notification(s.Shop))
	switch s.Around {
	case suite.RecoveryInside:
		handle = recovery(handle)
	case suite.LoginInside:
		handle = suite.RequireLogin(handle)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /notification/{shop}", tenant(s.Hook.Handler(handle)))
	mux.Handle("POST /slow/{shop}", tenant(s.Slow.Handler(handle)))
	mux.Handle("POST /tree/{shop}/", tenant(s.Hook.Handler(handle)))

	switch s.Around {
	case suite.RecoveryOutside:
		return recovery(mux)
	case suite.LoginOutside:
		return suite.RequireLogin(mux)
	case suite.BodyLimit:
		return suite.LimitBody(mux)
	case suite.Timeout:
		return http.TimeoutHandler(mux, suite.TimeoutAfter, "too slow")
	case suite.CSRF:
		return http.NewCrossOriginProtection().Handler(mux)
	}
	return mux
}

// recovery is what every net/http service has of its own.
func recovery(next http.Handler) http.Handler {
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

func tenant(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), tenantKey{}, r.PathValue("shop"))))
	})
}

func notification(shop *suite.Shop) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n, _ := midhook.FromContext(r.Context())
		var body struct {
			OrderID string `json:"order_id"`
		}
		_ = json.NewDecoder(r.Body).Decode(&body)
		do := shop.Arrived(n, body.OrderID)
		switch do {
		case suite.Late, suite.LatePanic, suite.LateFailure:
			for shop.Lingering() {
				shop.Saw(r.PathValue("shop"), r.Context().Value(tenantKey{}).(string))
				_, _ = w.Write([]byte("late"))
			}
		}
		switch do {
		case suite.Fail, suite.Error, suite.LateFailure:
			http.Error(w, "secret", http.StatusInternalServerError)
		case suite.Refuse:
			w.WriteHeader(http.StatusConflict)
		case suite.NotFound:
			http.NotFound(w, r)
		case suite.Redirect:
			http.Redirect(w, r, "/login", http.StatusFound)
		case suite.Panic, suite.LatePanic:
			panic("secret")
		default:
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusCreated)
			_ = json.NewEncoder(w).Encode(map[string]any{
				"order": n.OrderID, "shop": r.PathValue("shop"), "tenant": r.Context().Value(tenantKey{}),
			})
		}
	}
}
