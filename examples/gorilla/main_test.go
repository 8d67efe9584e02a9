package main

import (
	"net/http"
	"testing"

	"github.com/gorilla/mux"

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
		Recovered: http.StatusInternalServerError,
		Traps: map[suite.Around]int{
			suite.BodyLimit: http.StatusRequestEntityTooLarge,
			suite.Timeout:   http.StatusServiceUnavailable, // TimeoutHandler answers, and does not wait
			suite.CSRF:      http.StatusCreated,            // Midtrans is no browser, and CrossOriginProtection sees that
		},
		Slashes: map[string]int{
			"/notification/acme":  http.StatusCreated,
			"/notification/acme/": http.StatusNotFound,
			"/strict/acme/":       http.StatusMovedPermanently, // StrictSlash: lost
			"/notification//acme": http.StatusMovedPermanently, // the router cleans paths, SkipClean(true) does not: lost
		},
	})
}

func server(s suite.Setup) http.Handler {
	r := mux.NewRouter()
	handle := http.Handler(suite.Notification(s.Shop, shopOf))
	switch s.Around {
	case suite.RecoveryOutside:
		r.Use(suite.Recovery)
	case suite.RecoveryInside:
		handle = suite.Recovery(handle)
	case suite.LoginOutside:
		r.Use(suite.RequireLogin)
	case suite.LoginInside:
		handle = suite.RequireLogin(handle)
	case suite.BodyLimit:
		r.Use(suite.LimitBody)
	case suite.CSRF:
		r.Use(http.NewCrossOriginProtection().Handler)
	case suite.Timeout:
		r.Use(func(next http.Handler) http.Handler {
			return http.TimeoutHandler(next, suite.TimeoutAfter, "too slow")
		})
	}
	r.Use(suite.Tenant(shopOf))
	r.Handle("/notification/{shop}", s.Hook.Handler(handle)).Methods(http.MethodPost)
	r.Handle("/slow/{shop}", s.Slow.Handler(handle)).Methods(http.MethodPost)
	strict := r.NewRoute().Subrouter().StrictSlash(true)
	strict.Handle("/strict/{shop}", s.Hook.Handler(handle)).Methods(http.MethodPost)
	return r
}

// shopOf is the route's parameter.
func shopOf(r *http.Request) string { return mux.Vars(r)["shop"] }
