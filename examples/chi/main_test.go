package main

import (
	"net/http"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/examples/internal/suite"
)

func TestMain(m *testing.M) { suite.Main(m, main) }

func TestProgram(t *testing.T) { suite.Program(t) }

func TestTimeouts(t *testing.T) { suite.RequireTimeouts(t, newServer("", nil)) }

// Rule: the example's own router and handler stand what happens to every merchant.
func TestScenarios(t *testing.T) {
	suite.Scenarios(t, func(hook *midhook.Middleware, ship suite.Ship) http.Handler { return routes(hook, newShop(ship)) })
}

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
	handle := suite.Notification(s.Shop, shopOf)
	r.With(suite.Tenant(shopOf), s.Hook.Handler).With(inside...).Post("/notification/{shop}", handle)
	r.With(suite.Tenant(shopOf), s.Slow.Handler).With(inside...).Post("/slow/{shop}", handle)
	r.Mount("/stripped", slashes(s, middleware.StripSlashes))
	r.Mount("/redirected", slashes(s, middleware.RedirectSlashes))
	return r
}

func slashes(s suite.Setup, policy func(http.Handler) http.Handler) http.Handler {
	r := chi.NewRouter()
	r.Use(policy)
	r.With(suite.Tenant(shopOf), s.Hook.Handler).Post("/{shop}", suite.Notification(s.Shop, shopOf))
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

// shopOf is the route's parameter.
func shopOf(r *http.Request) string { return chi.URLParam(r, "shop") }
