// Command shop is an online shop on PostgreSQL that is paid through Midtrans. Its
// README says how to run it.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/sqlstore"
)

func main() {
	var c config
	flag.StringVar(&c.addr, "addr", "127.0.0.1:8080", "listen on this address")
	flag.BoolVar(&c.statusCheck, "status-check", true, "ask Midtrans about each notification; off for a try without an account, where amounts alone are checked")
	flag.DurationVar(&c.reconcileEvery, "reconcile-every", 10*time.Minute, "ask Midtrans about pending orders this often")
	flag.Parse()
	c.databaseURL = os.Getenv("DATABASE_URL")
	c.serverKey = os.Getenv("MIDTRANS_SERVER_KEY")
	c.statusURL = os.Getenv("MIDTRANS_STATUS_URL")

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, c); err != nil {
		log.Fatal(err)
	}
}

type config struct {
	addr           string
	databaseURL    string
	serverKey      string
	statusURL      string // another status API than Midtrans', for tests
	statusCheck    bool
	reconcileEvery time.Duration
}

// run is the shop from its start to the end of ctx.
func run(ctx context.Context, c config) error {
	if c.databaseURL == "" {
		return errors.New("DATABASE_URL is not set")
	}
	pool, err := pgxpool.New(ctx, c.databaseURL)
	if err != nil {
		return err
	}
	defer pool.Close()
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	store, err := sqlstore.New(db, sqlstore.PostgreSQL)
	if err != nil {
		return err
	}
	// A database that is not ready is better found out now than by the first payment.
	if err := errors.Join(store.Migrate(ctx), migrate(ctx, pool)); err != nil {
		return err
	}
	if err := store.Check(ctx); err != nil {
		return err
	}

	shop := &shop{pool: pool, store: store}
	hook, err := newHook(c, shop)
	if err != nil {
		return err
	}
	notifications := hook.HandlerFunc(shop.notified)
	server := &http.Server{
		Addr:              c.addr,
		Handler:           routes(shop, notifications),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second, // longer than midhook's budget of 5 s
		WriteTimeout:      15 * time.Second,
		IdleTimeout:       time.Minute,
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	reconciled := make(chan struct{})
	go func() {
		defer close(reconciled)
		if c.statusCheck {
			shop.reconcileEvery(ctx, c.reconcileEvery, hook, notifications)
		}
	}()
	slog.Info("receiving notifications", "url", "http://"+c.addr+"/payments/notification")
	err = serve(ctx, server, hook)
	stop() // where the server has failed, nothing else has
	<-reconciled
	return err
}

// newHook asks Midtrans about each notification, because its signature covers neither
// the transaction's status nor the time, and compares the amount with the order's.
func newHook(c config, s *shop) (*midhook.Middleware, error) {
	opts := []midhook.Option{midhook.WithStore(s.store), midhook.WithExpectation(s.expected)}
	if !c.statusCheck {
		slog.Warn("notifications are not checked with Midtrans, and pending orders are not reconciled")
		return midhook.New(c.serverKey, opts...)
	}
	var statusOpts []midhook.StatusOption
	if c.statusURL != "" {
		statusOpts = append(statusOpts, midhook.WithBaseURL(c.statusURL))
	}
	status, err := midhook.NewStatusClient(c.serverKey, statusOpts...)
	if err != nil {
		return nil, err
	}
	return midhook.New(c.serverKey, append(opts, midhook.WithStatusCheck(status))...)
}

func routes(s *shop, notifications http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /payments/notification", notifications)
	mux.HandleFunc("POST /orders", s.placeOrder)
	return mux
}

// shutdownPatience is midhook's budget and grace, after which a handler's context has
// ended, and some seconds for what it does then.
const shutdownPatience = 35 * time.Second

// serve serves until ctx ends, and then lets the handlers end that are running. What
// is cut off all the same is rolled back, and Midtrans comes again.
func serve(ctx context.Context, server *http.Server, hook *midhook.Middleware) error {
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	patience, cancel := context.WithTimeout(context.Background(), shutdownPatience)
	defer cancel()
	err := server.Shutdown(patience)
	// Handlers that the server does not know of, such as Reconcile's, count as well.
	for hook.InFlight() > 0 && patience.Err() == nil {
		time.Sleep(100 * time.Millisecond)
	}
	return err
}
