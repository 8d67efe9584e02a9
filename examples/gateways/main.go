// Command gateways receives Midtrans' payments and PayMongo's on one server, each
// verified by its own rules and answered as its sender wants.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/paymongo"
)

// The secrets of whoever sets none.
const (
	testKey    = "SB-Mid-server-test"
	testSecret = "whsk_test"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "listen on this address")
	flag.Parse()
	handler, err := routes(
		cmp.Or(os.Getenv("MIDTRANS_SERVER_KEY"), testKey),
		cmp.Or(os.Getenv("PAYMONGO_WEBHOOK_SECRET"), testSecret),
		newShop(func(order string) { log.Printf("ship order %s", order) }),
	)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("Receiving Midtrans at http://%[1]s/midtrans and PayMongo at http://%[1]s/paymongo\n", *addr)
	if os.Getenv("MIDTRANS_SERVER_KEY")+os.Getenv("PAYMONGO_WEBHOOK_SECRET") == "" { // else these would be refused
		fmt.Print(commands(*addr))
	}
	server := &http.Server{
		Addr:              *addr,
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      15 * time.Second,
	}
	log.Fatal(server.ListenAndServe())
}

// shop ships each order once, however many events say that it is paid: a card payment
// is captured and then settled, which are two events, and both are Paid. A real shop
// has a unique index over the order in its database for that, in the transaction of
// what it books.
type shop struct {
	mu      sync.Mutex
	shipped map[string]bool
	deliver func(order string)
}

func newShop(deliver func(order string)) *shop {
	return &shop{shipped: map[string]bool{}, deliver: deliver}
}

func (s *shop) ship(_ context.Context, order string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.shipped[order] {
		s.shipped[order] = true
		s.deliver(order)
	}
	return nil
}

// routes is the merchant's server. One store serves both: their events never meet.
func routes(serverKey, webhookSecret string, s *shop) (http.Handler, error) {
	store := midhook.NewLRUStore(65536)

	midtrans, err := midhook.New(serverKey, midhook.WithStore(store))
	if err != nil {
		return nil, err
	}
	gateway, err := paymongo.New(webhookSecret)
	if err != nil {
		return nil, err
	}
	philippines, err := midhook.NewFor(gateway, midhook.WithStore(store))
	if err != nil {
		return nil, err
	}

	mux := http.NewServeMux()
	mux.Handle("POST /midtrans", midtrans.HandlerFunc(func(ctx context.Context, n *midhook.Notification) error {
		if !n.Paid() {
			return nil
		}
		return s.ship(ctx, n.OrderID)
	}))
	mux.Handle("POST /paymongo", midhook.HandleValue(philippines, func(ctx context.Context, e *paymongo.Event) error {
		if e.Type != paymongo.EventTypePaymentPaid {
			return nil // nothing that this shop waits for: an error would have it sent again
		}
		var payment struct {
			Metadata struct {
				OrderID string `json:"order_id"`
			} `json:"metadata"`
		}
		if err := e.Resource.Decode(&payment); err != nil {
			return midhook.Permanent(err)
		}
		if payment.Metadata.OrderID == "" {
			return midhook.Permanent(errors.New("a payment without an order"))
		}
		// A shop that is open passes over !e.Livemode, for a test payment is free, and
		// compares e.Resource.Amount() with what the order costs.
		return s.ship(ctx, payment.Metadata.OrderID)
	}))
	return mux, nil
}

// commands deliver one payment of each, signed with the test secrets.
func commands(addr string) string {
	body := midhooktest.Body(midhooktest.Sample("gopay", midhooktest.Order("A-1")), testKey)
	event := midhooktest.PayMongoSender().Body("payment.paid", midhooktest.Member("A-2", "data", "attributes", "data", "attributes", "metadata", "order_id"))
	header, event := midhooktest.PayMongoSender().Sign(event, testSecret, time.Now())
	return fmt.Sprintf("\ncurl -i -d '%s' http://%s/midtrans\n\ncurl -i -H 'Paymongo-Signature: %s' -d '%s' http://%s/paymongo\n\n",
		body, addr, header.Get("Paymongo-Signature"), event, addr)
}
