// Command fiber receives Midtrans' notifications with fiber.
//
//	MIDTRANS_SERVER_KEY=SB-Mid-server-test-key-0001 go run ./fiber
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/logger"
	"github.com/gofiber/fiber/v3/middleware/recover"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/fiberhook"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "listen on this address")
	flag.Parse()
	hook, err := midhook.New(os.Getenv("MIDTRANS_SERVER_KEY"))
	if err != nil {
		log.Fatal(err)
	}
	// When ctx ends, fiber waits for the handlers that are running.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log.Printf("receiving notifications at http://%s/payments/notification", *addr)
	if err := routes(hook, newShop(ship)).Listen(*addr, fiber.ListenConfig{GracefulContext: ctx, DisableStartupMessage: true}); err != nil {
		log.Fatal(err)
	}
}

// routes has time limits longer than the 5 s within which midhook answers: fiber has
// none of its own.
func routes(hook *midhook.Middleware, s *shop) *fiber.App {
	app := fiber.New(fiber.Config{
		ReadTimeout:  10 * time.Second,
		WriteTimeout: 15 * time.Second,
		IdleTimeout:  time.Minute,
	})
	app.Use(logger.New(logger.Config{Format: "${status} ${method} ${path} ${latency}\n"}), recover.New())
	app.Post("/payments/notification", fiberhook.New(hook), s.notified)
	return app
}

// notified runs for verified notifications only. Its error has Midtrans send the
// notification again.
func (s *shop) notified(c fiber.Ctx) error {
	n, _ := fiberhook.FromContext(c)
	if n.Paid() { // otherwise it is not the payment that the order waits for
		if err := s.shipOnce(c.Context(), n.OrderID); err != nil {
			return err
		}
	}
	return c.SendStatus(fiber.StatusOK)
}
