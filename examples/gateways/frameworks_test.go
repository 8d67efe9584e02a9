package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/gofiber/fiber/v3"
	"github.com/labstack/echo/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/echohook"
	"github.com/midhook/midhook/fiberhook"
	"github.com/midhook/midhook/ginhook"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/paymongo"
)

// TestFrameworks receives PayMongo through each adapter: the handler finds the event
// in the request's context, and what it writes becomes what PayMongo understands.
func TestFrameworks(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	recorded := func(h http.Handler) func(*http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Result(), nil
		}
	}
	for name, serve := range map[string]func(hook *midhook.Middleware, received func(*paymongo.Event, bool)) func(*http.Request) (*http.Response, error){
		"gin": func(hook *midhook.Middleware, received func(*paymongo.Event, bool)) func(*http.Request) (*http.Response, error) {
			router := gin.New()
			router.POST("/", ginhook.New(hook), func(c *gin.Context) {
				received(paymongo.FromContext(c.Request.Context()))
				c.String(http.StatusOK, "OK")
			})
			return recorded(router)
		},
		"echo": func(hook *midhook.Middleware, received func(*paymongo.Event, bool)) func(*http.Request) (*http.Response, error) {
			router := echo.New()
			router.POST("/", func(c *echo.Context) error {
				received(paymongo.FromContext(c.Request().Context()))
				return c.NoContent(http.StatusNoContent)
			}, echohook.New(hook))
			return recorded(router)
		},
		"fiber": func(hook *midhook.Middleware, received func(*paymongo.Event, bool)) func(*http.Request) (*http.Response, error) {
			app := fiber.New()
			app.Post("/", fiberhook.New(hook), func(c fiber.Ctx) error {
				received(paymongo.FromContext(c.Context()))
				return c.SendString("OK")
			})
			return func(r *http.Request) (*http.Response, error) {
				r.Host = "shop.test" // without one fasthttp refuses a request
				return app.Test(r)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			gateway, err := paymongo.New(testSecret)
			require.NoError(t, err)
			hook, err := midhook.NewFor(gateway)
			require.NoError(t, err)
			var ids []string
			send := serve(hook, func(e *paymongo.Event, ok bool) {
				if assert.True(t, ok) {
					ids = append(ids, e.ID)
				}
			})
			sender := midhooktest.PayMongoSender()
			for _, want := range []string{`{"outcome":"handled"}`, `{"outcome":"duplicate"}`} {
				res, err := send(sender.NewRequest(sender.Event(7), testSecret))
				require.NoError(t, err)
				body, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				assert.Equal(t, http.StatusOK, res.StatusCode)
				assert.JSONEq(t, want, string(body))
			}
			assert.Equal(t, []string{"evt_7"}, ids)
		})
	}
}
