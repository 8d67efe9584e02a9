// Command echo receives Midtrans' notifications with echo.
//
//	MIDTRANS_SERVER_KEY=SB-Mid-server-test-key-0001 go run ./echo
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/labstack/echo/v5"
	"github.com/labstack/echo/v5/middleware"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/echohook"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "listen on this address")
	flag.Parse()
	hook, err := midhook.New(os.Getenv("MIDTRANS_SERVER_KEY"))
	if err != nil {
		log.Fatal(err)
	}
	server := newServer(*addr, routes(hook, newShop(ship)))

	// Shutdown waits for the handlers that are running.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	stopped := make(chan error, 1)
	context.AfterFunc(ctx, func() { stopped <- server.Shutdown(context.Background()) })
	log.Printf("receiving notifications at http://%s/payments/notification", *addr)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	if err := <-stopped; err != nil {
		log.Fatal(err)
	}
}

// newServer has time limits longer than the 5 s within which midhook answers.
func newServer(addr string, handler http.Handler) *http.Server {
	return &http.Server{
		Addr:              addr,
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      15 * time.Second,
		IdleTimeout:       time.Minute,
	}
}

func routes(hook *midhook.Middleware, s *shop) http.Handler {
	e := echo.New()
	e.Use(middleware.RequestLogger(), middleware.Recover())
	e.POST("/payments/notification", s.notified, echohook.New(hook))
	return e
}

// notified runs for verified notifications only. Its error has Midtrans send the
// notification again.
func (s *shop) notified(c *echo.Context) error {
	n, _ := echohook.FromContext(c)
	if n.Paid() { // otherwise it is not the payment that the order waits for
		if err := s.shipOnce(c.Request().Context(), n.OrderID); err != nil {
			return err
		}
	}
	return c.NoContent(http.StatusOK)
}
