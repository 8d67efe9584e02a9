package main

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/examples/internal/demo"
	"github.com/midhook/midhook/examples/internal/suite"
)

func TestExample(t *testing.T) { suite.Example(t, demo.HTTP(routes)) }

func TestSuite(t *testing.T) {
	suite.Run(t, suite.Framework{
		Serve:     suite.HTTP(server),
		Pooled:    true, // chi.URLParam reads a context that chi takes back
		Recovered: http.StatusInternalServerError,
		Traps: map[suite.Around]int{
			suite.BodyLimit: http.StatusRequestEntityTooLarge,
			suite.Timeout:   http.StatusCreated, // chi's ends the context, which midhook keeps from the handler
			suite.CSRF:      http.StatusCreated, // Midtrans is no browser, and CrossOriginProtection sees that
		},
		Slashes: map[string]int{
			"/notification/acme":  http.StatusCreated,
			"/notification/acme/": http.StatusNotFound,
			"/stripped/acme/":     http.StatusCreated,          // StripSlashes: no redirect
			"/redirected/acme/":   http.StatusMovedPermanently, // RedirectSlashes: lost
		},
	})
}

type tenantKey struct{}

func server(s suite.Setup) http.Handler {
	r := chi.NewRouter()
	switch s.Around {
	case suite.RecoveryOutside:
		r.Use(silently, middleware.Recoverer)
	case suite.LoginOutside:
		r.Use(suite.RequireLogin)
	case suite.BodyLimit:
		r.Use(middleware.RequestSize(suite.Limit))
	case suite.Timeout:
		r.Use(middleware.Timeout(suite.TimeoutAfter))
	case suite.CSRF:
		r.Use(http.NewCrossOriginProtection().Handler)
	}
	var inside chi.Middlewares
	switch s.Around {
	case suite.RecoveryInside:
		inside = append(inside, silently, middleware.Recoverer)
	case suite.LoginInside:
		inside = append(inside, suite.RequireLogin)
	}
	handle := notification(s.Shop)
	r.With(tenant, s.Hook.Handler).With(inside...).Post("/notification/{shop}", handle)
	r.With(tenant, s.Slow.Handler).With(inside...).Post("/slow/{shop}", handle)
	r.Mount("/stripped", slashes(s, middleware.StripSlashes))
	r.Mount("/redirected", slashes(s, middleware.RedirectSlashes))
	return r
}

func slashes(s suite.Setup, policy func(http.Handler) http.Handler) http.Handler {
	r := chi.NewRouter()
	r.Use(policy)
	r.With(tenant, s.Hook.Handler).Post("/{shop}", notification(s.Shop))
	return r
}

// silently is middleware.Logger without its output and Recoverer's stack.
func silently(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w = middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		next.ServeHTTP(w, middleware.WithLogEntry(r, quiet{}))
	})
}

type quiet struct{ middleware.LogEntry }

func (quiet) Panic(any, []byte) {}

func tenant(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), tenantKey{}, chi.URLParam(r, "shop"))))
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
				shop.Saw(chi.URLParam(r, "shop"), r.Context().Value(tenantKey{}).(string))
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
				"order": n.OrderID, "shop": chi.URLParam(r, "shop"), "tenant": r.Context().Value(tenantKey{}),
			})
		}
	}
}
