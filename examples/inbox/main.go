// Command inbox answers Midtrans as soon as a notification is stored, and handles it
// afterwards, in jobs of River. Its README says when that is worth it.
//
//	MIDTRANS_SERVER_KEY=SB-Mid-server-test-key-0001 go run .
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

	"github.com/midhook/midhook"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "listen on this address")
	file := flag.String("sqlite", "inbox.db", "keep everything in this SQLite file")
	url := flag.String("postgres", "", "keep everything in this PostgreSQL database instead: postgres://…")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, *file, *url, os.Getenv("MIDTRANS_SERVER_KEY")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr, file, url, serverKey string) error {
	database, err := openSQLite(file)
	if url != "" {
		database, err = openPostgreSQL(url)
	}
	if err != nil {
		return err
	}
	defer database.db.Close()
	if err := database.migrate(ctx); err != nil {
		return err
	}
	s := &shop{db: database.db, ship: ship}
	if err := s.migrate(ctx); err != nil {
		return err
	}
	in, err := newInbox(database, s.handle, maxAttempts)
	if err != nil {
		return err
	}
	// A shop that is open also asks Midtrans about each notification and compares the
	// amount, see WithStatusCheck and WithExpectation: what is forged or too little is
	// refused at the door and makes no job.
	hook, err := midhook.New(serverKey, midhook.WithStore(database.store))
	if err != nil {
		return err
	}
	// The workers end by Stop, after the server has, and not in the middle of a job.
	if err := in.river.Start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	server := &http.Server{
		Addr:              addr,
		Handler:           routes(hook, in),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second, // longer than midhook's budget of 5 s
		WriteTimeout:      15 * time.Second,
		IdleTimeout:       time.Minute,
	}
	return errors.Join(serve(ctx, server), in.stop())
}

func routes(hook *midhook.Middleware, in *inbox) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /payments/notification", hook.HandlerFunc(in.receive))
	return mux
}

// serve serves until ctx ends, and then waits for the handlers that are running.
func serve(ctx context.Context, server *http.Server) error {
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	log.Printf("receiving notifications at http://%s/payments/notification", server.Addr)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return server.Shutdown(context.Background())
	}
}
