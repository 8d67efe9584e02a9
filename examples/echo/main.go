// Command echo receives Midtrans' notifications with echo.
package main

import (
	"log"
	"net/http"

	"github.com/labstack/echo/v5"
	"github.com/labstack/echo/v5/middleware"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/echohook"
	"github.com/midhook/midhook/examples/internal/demo"
)

func main() { demo.Main(demo.HTTP(routes)) }

func routes(hook *midhook.Middleware) http.Handler {
	e := echo.New()
	e.Use(middleware.RequestLogger(), middleware.Recover())
	e.POST(demo.Path, notified, echohook.New(hook))
	return e
}

func notified(c *echo.Context) error {
	n, _ := echohook.FromContext(c)
	if n.Paid() {
		log.Printf("ship order %s", n.OrderID) // with n.IdempotencyKey() in a unique index
	}
	return c.JSON(http.StatusOK, map[string]any{"order": n.OrderID, "paid": n.Paid()})
}
