package ginhook_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/ginhook"
	"github.com/midhook/midhook/internal/bindtest"
)

// routes are gin's binders of a body.
func routes() map[string]bindtest.Route {
	routes := map[string]bindtest.Route{}
	for name, bind := range map[string]func(*gin.Context, any) error{
		"ShouldBind":             (*gin.Context).ShouldBind,
		"ShouldBindJSON":         (*gin.Context).ShouldBindJSON,
		"ShouldBindBodyWithJSON": (*gin.Context).ShouldBindBodyWithJSON,
	} {
		routes[name] = func(hook *midhook.Middleware, read func(*midhook.Notification, bindtest.Bind)) func(*http.Request) {
			r := gin.New()
			r.POST("/hook/:order_id/:fraud_status", ginhook.New(hook), func(c *gin.Context) {
				n, _ := ginhook.FromContext(c)
				read(n, func(target any) error { return bind(c, target) })
			})
			return func(request *http.Request) { r.ServeHTTP(httptest.NewRecorder(), request) }
		}
	}
	return routes
}

// Rule: what gin's binders read from a delivery is what the notification says, or
// they fail, whatever its headers, its query and its path are.
func TestBindersReadAlike(t *testing.T) { bindtest.Test(t, routes()) }

func FuzzBind(f *testing.F) { bindtest.Fuzz(f, routes()) }
