package main

import (
	"net/http"
	"testing"

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

func server(s suite.Setup) http.Handler {
	handle := http.Handler(suite.Notification(s.Shop, shop))
	switch s.Around {
	case suite.RecoveryInside:
		handle = suite.Recovery(handle)
	case suite.LoginInside:
		handle = suite.RequireLogin(handle)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /notification/{shop}", suite.Tenant(shop)(s.Hook.Handler(handle)))
	mux.Handle("POST /slow/{shop}", suite.Tenant(shop)(s.Slow.Handler(handle)))
	mux.Handle("POST /tree/{shop}/", suite.Tenant(shop)(s.Hook.Handler(handle)))

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

// shop is the route's parameter.
func shop(r *http.Request) string { return r.PathValue("shop") }
