// The command example shows an orders table that is updated exactly once for each
// payment, by three server processes on one SQLite file that are killed at random
// moments. It needs nothing installed and no network beyond loopback ports:
//
//	go run ./example
//
// What a merchant would write is in merchant.go.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// serverKey is the sandbox key that notifications are signed with here.
const serverKey = "SB-Mid-server-test-key-0001"

func main() {
	database := flag.String("serve", "", "be a merchant's server on this database file, on a free port that is printed")
	orders := flag.Int("orders", 300, "how many orders are paid")
	plain := flag.Bool("plain", false, "update the orders without FinishTx, to see what goes wrong")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	run := func() error { return demonstrate(ctx, *orders, *plain) }
	if *database != "" {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin) // until whoever started it has ended
			stop()
		}()
		run = func() error { return serve(ctx, *database, *plain) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "example:", err)
		os.Exit(1)
	}
}

// demonstrate plays Midtrans: it sends each payment to any of three servers, a
// third of them twice at once, comes again until it is answered 200, and kills
// servers all the while.
func demonstrate(ctx context.Context, orders int, plain bool) error {
	dir, err := os.MkdirTemp("", "midhook-example")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "shop.db")
	db, _, err := open(ctx, file)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := create(ctx, db, orders); err != nil {
		return err
	}

	servers, err := startServers(3, file, plain)
	if err != nil {
		return err
	}
	defer servers.stop()
	fmt.Printf("3 server processes share %s; %d orders are paid, each for 10,000 rupiah\n", file, orders)

	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	killing, quiet := context.WithCancel(ctx)
	defer quiet()
	var background sync.WaitGroup
	background.Go(func() {
		for killing.Err() == nil {
			time.Sleep(100*time.Millisecond + rand.N(200*time.Millisecond))
			servers.killOne()
		}
	})

	var attempts, lost atomic.Int64
	gateway := &midhooktest.Engine{
		URL:       "http://merchant.example/midtrans",
		Client:    &http.Client{Transport: servers},
		Secret:    serverKey,
		Speed:     240, // 2 minutes are half a second
		OnAttempt: func(*midhook.Notification, midhooktest.Attempt) { attempts.Add(1) },
	}
	deliver := func(n *midhook.Notification) {
		if d, err := gateway.Deliver(ctx, n); err != nil || !d.Delivered {
			lost.Add(1)
		}
	}
	var deliveries sync.WaitGroup
	limit := make(chan struct{}, 16)
	for i := range orders {
		limit <- struct{}{}
		n := midhooktest.Sample("gopay", midhooktest.Order(orderID(i)), midhooktest.Transaction("T-"+orderID(i)), midhooktest.Amount("10000.00"))
		deliveries.Go(func() {
			defer func() { <-limit }()
			if i%3 == 0 {
				deliveries.Go(func() { deliver(n) })
			}
			deliver(n)
		})
		if i == orders*4/5 {
			quiet() // the last retries come hours later: let them find servers
		}
	}
	quiet()
	background.Wait()
	deliveries.Wait()

	paid, revenue, wrong, err := audit(ctx, db)
	if err != nil {
		return err
	}
	fmt.Printf("%d attempts of delivery, %d processes killed, %d notifications lost\n", attempts.Load(), servers.killed(), lost.Load())
	fmt.Printf("%d payments were booked, revenue is %d rupiah, %d orders were not paid exactly once\n", paid, revenue, wrong)
	if wrong > 0 || paid != orders {
		return fmt.Errorf("that is wrong: %d orders were to be paid", orders)
	}
	return nil
}

func orderID(i int) string { return fmt.Sprintf("A-%04d", i+1) }

var quietLogger = slog.New(slog.DiscardHandler)
