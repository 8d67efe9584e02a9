package echohook_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v5"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/echohook"
	"github.com/midhook/midhook/internal/bindtest"
)

// routes are echo's binders of a body.
func routes() map[string]bindtest.Route {
	routes := map[string]bindtest.Route{}
	for name, bind := range map[string]func(*echo.Context, any) error{
		"Bind":     (*echo.Context).Bind,
		"BindBody": echo.BindBody,
	} {
		routes[name] = func(hook *midhook.Middleware, read func(*midhook.Notification, bindtest.Bind)) func(*http.Request) {
			e := newEcho()
			e.POST("/hook/:order_id/:fraud_status", func(c *echo.Context) error {
				n, _ := echohook.FromContext(c)
				read(n, func(target any) error { return bind(c, target) })
				return nil
			}, echohook.New(hook))
			return func(request *http.Request) { e.ServeHTTP(httptest.NewRecorder(), request) }
		}
	}
	return routes
}

// Rule: what echo's binders read from a delivery is what the notification says, or
// they fail, whatever its headers, its query and its path are.
func TestBindersReadAlike(t *testing.T) { bindtest.Test(t, routes()) }

func FuzzBind(f *testing.F) { bindtest.Fuzz(f, routes()) }
