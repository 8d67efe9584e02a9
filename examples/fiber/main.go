// Command fiber receives Midtrans' notifications with fiber.
package main

import (
	"context"
	"log"
	"net"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/logger"
	"github.com/gofiber/fiber/v3/middleware/recover"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/examples/internal/demo"
	"github.com/midhook/midhook/fiberhook"
)

func main() { demo.Main(serve) }

func serve(ctx context.Context, hook *midhook.Middleware, l net.Listener) error {
	return routes(hook).Listener(l, fiber.ListenConfig{GracefulContext: ctx, DisableStartupMessage: true})
}

func routes(hook *midhook.Middleware) *fiber.App {
	app := fiber.New(fiber.Config{ReadTimeout: 10 * time.Second, WriteTimeout: 15 * time.Second}) // fiber has no limits of its own
	app.Use(logger.New(), recover.New())
	app.Post(demo.Path, fiberhook.New(hook), notified)
	return app
}

func notified(c fiber.Ctx) error {
	n, _ := fiberhook.FromContext(c)
	if n.Paid() {
		log.Printf("ship order %s", n.OrderID) // with n.IdempotencyKey() in a unique index
	}
	return c.JSON(fiber.Map{"order": n.OrderID, "paid": n.Paid()})
}
