// Command gorilla receives Midtrans' notifications with gorilla/mux.
//
//	MIDTRANS_SERVER_KEY=SB-Mid-server-test-key-0001 go run ./gorilla
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

	"github.com/gorilla/mux"

	"github.com/midhook/midhook"
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

// routes has no StrictSlash: it would answer a slash too many with a 301, which
// Midtrans takes as the end.
func routes(hook *midhook.Middleware, s *shop) http.Handler {
	r := mux.NewRouter()
	r.Handle("/payments/notification", hook.HandlerFunc(s.notified)).Methods(http.MethodPost)
	return r
}

// notified runs for verified notifications only. Its error has Midtrans send the
// notification again.
func (s *shop) notified(ctx context.Context, n *midhook.Notification) error {
	if !n.Paid() {
		return nil // not the payment that the order waits for
	}
	return s.shipOnce(ctx, n.OrderID)
}
