// Command platform receives the notifications of many merchants, each of whom has a
// Midtrans account of their own, on one server and with one store.
//
//	MERCHANTS='{"kopi": "SB-Mid-server-test-key-0001", "batik": "SB-Mid-server-test-key-0002"}' go run ./platform
//
// Each merchant enters a Payment Notification URL of their own in their dashboard:
// https://platform.example/merchants/kopi/notification.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/midhook/midhook"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "listen on this address")
	flag.Parse()
	// A real platform reads its merchants from its database, and their keys from where
	// it keeps secrets.
	var serverKeys map[string]string
	if err := json.Unmarshal([]byte(os.Getenv("MERCHANTS")), &serverKeys); err != nil {
		log.Fatal("MERCHANTS must be a JSON object of server keys by merchant")
	}
	// With more than one process, or to remember events across a restart, this is a
	// store of redisstore or sqlstore.
	store := midhook.NewLRUStore(65536)
	p := newPlatform(store, newLedger(credit))
	for merchant, serverKey := range serverKeys {
		if err := p.add(merchant, serverKey); err != nil {
			log.Fatal(err)
		}
	}
	server := &http.Server{
		Addr:              *addr,
		Handler:           p.routes(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      15 * time.Second,
		IdleTimeout:       time.Minute,
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	stopped := make(chan error, 1)
	context.AfterFunc(ctx, func() { stopped <- server.Shutdown(context.Background()) })
	log.Printf("receiving the notifications of %d merchants at http://%s/merchants/{merchant}/notification", len(serverKeys), *addr)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	if err := <-stopped; err != nil {
		log.Fatal(err)
	}
}

// platform has a handler for each merchant.
type platform struct {
	store  midhook.Store // one for all
	ledger *ledger

	mu       sync.RWMutex
	handlers map[string]http.Handler
}

func newPlatform(store midhook.Store, l *ledger) *platform {
	return &platform{store: store, ledger: l, handlers: map[string]http.Handler{}}
}

// add takes a merchant on, or gives one another server key, also while the server
// runs.
//
// The merchant's id is the namespace: without one, a merchant who knows another's
// order could sign that order's events with a key of their own, and the other's
// genuine ones would be taken for duplicates. So the id must never change, and never
// be given to another merchant.
func (p *platform) add(merchant, serverKey string, opts ...midhook.Option) error {
	hook, err := midhook.New(serverKey, append([]midhook.Option{
		midhook.WithStore(p.store),
		midhook.WithNamespace(merchant),
		midhook.WithLogger(slog.With("merchant", merchant)),
	}, opts...)...)
	if err != nil {
		return fmt.Errorf("merchant %s: %w", merchant, err)
	}
	handler := hook.HandlerFunc(func(ctx context.Context, n *midhook.Notification) error {
		if !n.Paid() {
			return nil
		}
		amount, err := n.Amount()
		if err != nil {
			return err
		}
		return p.ledger.creditOnce(ctx, payment{merchant: merchant, orderID: n.OrderID, key: n.PaymentKey(), amount: amount})
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handlers[merchant] = handler
	return nil
}

func (p *platform) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /merchants/{merchant}/notification", func(w http.ResponseWriter, r *http.Request) {
		p.mu.RLock()
		handler := p.handlers[r.PathValue("merchant")]
		p.mu.RUnlock()
		if handler == nil {
			http.NotFound(w, r)
			return
		}
		handler.ServeHTTP(w, r)
	})
	return mux
}
