package main

import (
	"errors"
	"log/slog"
	"net/http"
	"testing"

	"github.com/labstack/echo/v5"
	"github.com/labstack/echo/v5/middleware"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/echohook"
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
			suite.BodyLimit: http.StatusRequestTimeout, // its error says nothing to midhook but that the body did not come
			suite.Timeout:   http.StatusCreated,        // ContextTimeout ends the context, which midhook keeps from the handler
			suite.CSRF:      http.StatusBadRequest,     // no token: exempt the route with its Skipper
		},
		Slashes: map[string]int{
			"/notification/acme":  http.StatusCreated,
			"/notification/acme/": http.StatusCreated, // a parameter at the end takes the slash along
			"/fixed":              http.StatusCreated,
			"/fixed/":             http.StatusNotFound,
			"/rewritten/acme/":    http.StatusCreated,          // RemoveTrailingSlash: no redirect
			"/redirected/acme/":   http.StatusMovedPermanently, // with a RedirectCode of 301: lost
		},
	})
}

func server(s suite.Setup) http.Handler {
	e := echo.New()
	e.Logger = slog.New(slog.DiscardHandler)
	e.Pre(
		middleware.RemoveTrailingSlashWithConfig(middleware.RemoveTrailingSlashConfig{Skipper: except("/rewritten/acme/")}),
		middleware.RemoveTrailingSlashWithConfig(middleware.RemoveTrailingSlashConfig{
			Skipper: except("/redirected/acme/"), RedirectCode: http.StatusMovedPermanently,
		}),
	)
	var inside []echo.MiddlewareFunc
	switch s.Around {
	case suite.Nothing: // an error handler as many APIs have it
		e.HTTPErrorHandler = func(c *echo.Context, err error) {
			if echo.StatusCode(err) == http.StatusNotFound { // of the router
				_ = c.NoContent(http.StatusNotFound)
				return
			}
			_ = c.JSON(http.StatusOK, map[string]string{"error": err.Error()})
		}
	case suite.RecoveryOutside:
		e.Use(middleware.Recover())
	case suite.RecoveryInside:
		inside = append(inside, middleware.Recover())
	case suite.LoginOutside:
		e.Use(login)
	case suite.LoginInside:
		inside = append(inside, login)
	case suite.BodyLimit:
		e.Use(middleware.BodyLimit(suite.Limit))
	case suite.Timeout:
		e.Use(middleware.ContextTimeout(suite.TimeoutAfter))
	case suite.CSRF:
		e.Use(middleware.CSRF())
	}
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			c.Set("tenant", c.Param("shop"))
			return next(c)
		}
	})
	handle := notification(s.Shop)
	hook := append([]echo.MiddlewareFunc{echohook.New(s.Hook)}, inside...)
	e.POST("/notification/:shop", handle, hook...)
	e.POST("/slow/:shop", handle, append([]echo.MiddlewareFunc{echohook.New(s.Slow)}, inside...)...)
	e.POST("/fixed", handle, hook...)
	e.POST("/rewritten/:shop", handle, hook...)
	e.POST("/redirected/:shop", handle, hook...)
	return e
}

func except(path string) middleware.Skipper {
	return func(c *echo.Context) bool { return c.Request().URL.Path != path }
}

func login(echo.HandlerFunc) echo.HandlerFunc {
	return func(c *echo.Context) error { return c.Redirect(http.StatusFound, "/login") }
}

func notification(shop *suite.Shop) echo.HandlerFunc {
	return func(c *echo.Context) error {
		n, _ := echohook.FromContext(c)
		var body struct {
			OrderID string `json:"order_id"`
		}
		if err := c.Bind(&body); err != nil {
			return echo.NewHTTPError(http.StatusTeapot, "secret")
		}
		do := shop.Arrived(n, body.OrderID)
		switch do {
		case suite.Late, suite.LatePanic, suite.LateFailure:
			for shop.Lingering() {
				tenant, _ := c.Get("tenant").(string)
				shop.Saw(c.Param("shop"), tenant)
				_, _ = c.Response().Write([]byte("late"))
				c.Response().Header().Set("Late", "yes")
			}
		}
		switch do {
		case suite.Fail:
			return c.NoContent(http.StatusInternalServerError)
		case suite.Refuse:
			return c.JSON(http.StatusConflict, map[string]bool{"refused": true})
		case suite.Error, suite.LateFailure:
			return errors.New("secret")
		case suite.NotFound:
			return echo.NewHTTPError(http.StatusNotFound, "secret").Wrap(errors.New("secret"))
		case suite.Redirect:
			return c.Redirect(http.StatusFound, "/login")
		case suite.Panic, suite.LatePanic:
			panic("secret")
		}
		return c.JSON(http.StatusCreated, map[string]any{
			"order": n.OrderID, "shop": c.Param("shop"), "tenant": c.Get("tenant"),
		})
	}
}
