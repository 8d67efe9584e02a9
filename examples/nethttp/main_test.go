package main

import (
	"net/http"
	"testing"

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
			"/tree/acme":          http.StatusTemporaryRedirect, // 307: Midtrans follows
			"/tree/acme/":         http.StatusCreated,
		},
	})
}

func server(s suite.Setup) http.Handler {
	handle := http.Handler(suite.Notification(s.Shop, shopOf))
	switch s.Around {
	case suite.RecoveryInside:
		handle = suite.Recovery(handle)
	case suite.LoginInside:
		handle = suite.RequireLogin(handle)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /notification/{shop}", suite.Tenant(shopOf)(s.Hook.Handler(handle)))
	mux.Handle("POST /slow/{shop}", suite.Tenant(shopOf)(s.Slow.Handler(handle)))
	mux.Handle("POST /tree/{shop}/", suite.Tenant(shopOf)(s.Hook.Handler(handle)))

	switch s.Around {
	case suite.RecoveryOutside:
		return suite.Recovery(mux)
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

// shopOf is the route's parameter.
func shopOf(r *http.Request) string { return r.PathValue("shop") }
