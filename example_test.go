package midhook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// deliver plays Midtrans: it posts a signed notification.
func deliver(h http.Handler, path string, n *midhook.Notification, key string) int {
	r := midhooktest.NewRequest(n, key)
	r.URL.Path = path
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// A card payment is captured and later settled: two events that both mean paid, and
// one order to ship.
func Example() {
	hook, err := midhook.New("SB-Mid-server-test-key-0001") // os.Getenv("MIDTRANS_SERVER_KEY")
	if err != nil {
		log.Fatal(err)
	}
	shipped := map[string]bool{} // a table with a unique index on the order, in real life
	mux := http.NewServeMux()
	mux.Handle("POST /payments/notification", hook.HandlerFunc(
		func(_ context.Context, n *midhook.Notification) error {
			if !n.Paid() || shipped[n.OrderID] {
				return nil
			}
			fmt.Println("ship order", n.OrderID) // an error of it is returned: Midtrans comes again
			shipped[n.OrderID] = true
			return nil
		}))

	capture := midhooktest.Sample("credit-card", midhooktest.Order("A-1"))
	settlement := midhooktest.Sample("credit-card", midhooktest.Order("A-1"), midhooktest.Status("200", midhook.StatusSettlement))
	fmt.Println(deliver(mux, "/payments/notification", capture, "SB-Mid-server-test-key-0001"))
	fmt.Println(deliver(mux, "/payments/notification", capture, "SB-Mid-server-test-key-0001")) // once more
	fmt.Println(deliver(mux, "/payments/notification", settlement, "SB-Mid-server-test-key-0001"))
	// Somebody else would like an order shipped, too.
	fmt.Println(deliver(mux, "/payments/notification", capture, "a guess"))
	// Output:
	// ship order A-1
	// 200
	// 200
	// 200
	// 403
}

// A key is rotated without losing a notification: accept both for as long as
// Midtrans may retry what the old one signed, and then take the old one out.
func ExampleWithServerKey() {
	hook, err := midhook.New("Mid-server-new-test",
		midhook.WithServerKey("retired 2026-11", "Mid-server-old-test"),
		midhook.WithObserver(func(_ context.Context, e midhook.Event) {
			fmt.Println(e.Outcome, "with key", e.KeyLabel)
		}))
	if err != nil {
		log.Fatal(err)
	}
	h := hook.HandlerFunc(func(context.Context, *midhook.Notification) error { return nil })

	deliver(h, "/", midhooktest.Sample("gopay"), "Mid-server-old-test")
	deliver(h, "/", midhooktest.Sample("qris"), "Mid-server-new-test")
	// Output:
	// handled with key retired 2026-11
	// handled with key default
}

var errNoSuchOrder = errors.New("no such order")

// An error has Midtrans come again; a Permanent one does not.
func ExampleMiddleware_HandlerFunc() {
	hook, err := midhook.New("SB-Mid-server-test", midhook.WithLogger(discard))
	if err != nil {
		log.Fatal(err)
	}
	databaseUp := false
	h := hook.HandlerFunc(func(ctx context.Context, n *midhook.Notification) error {
		switch {
		case n.OrderID == "unknown":
			return midhook.Permanent(errNoSuchOrder)
		case !databaseUp:
			return errors.New("database is away")
		}
		fmt.Println("booked", n.OrderID, n.TransactionStatus)
		return nil
	})

	unknown := midhooktest.Sample("qris", midhooktest.Order("unknown"))
	fmt.Println(deliver(h, "/", unknown, "SB-Mid-server-test"))
	paid := midhooktest.Sample("qris", midhooktest.Order("A-1"))
	fmt.Println(deliver(h, "/", paid, "SB-Mid-server-test"))
	databaseUp = true
	fmt.Println(deliver(h, "/", paid, "SB-Mid-server-test"))
	// Output:
	// 200
	// 503
	// booked A-1 settlement
	// 200
}

// An observer counts outcomes and raises an alarm.
func ExampleWithObserver() {
	count := map[midhook.Outcome]int{}
	hook, err := midhook.New("SB-Mid-server-test", midhook.WithLogger(discard),
		midhook.WithObserver(func(_ context.Context, e midhook.Event) {
			count[e.Outcome]++ // a metric with the label e.Outcome.String()
			if e.Outcome == midhook.OutcomeUnconfirmed {
				fmt.Println("somebody edits bodies of order", e.Notification.OrderID)
			}
		}))
	if err != nil {
		log.Fatal(err)
	}
	h := hook.HandlerFunc(func(context.Context, *midhook.Notification) error { return nil })

	// A pending body, whose status_code 201 is signed, edited to say settlement.
	edited := midhooktest.Sample("gopay", midhooktest.Order("A-1"), midhooktest.Status("201", midhook.StatusSettlement))
	deliver(h, "/", edited, "SB-Mid-server-test")
	deliver(h, "/", midhooktest.Sample("gopay"), "a guess")
	fmt.Println(count)
	// Output:
	// somebody edits bodies of order A-1
	// map[forged:1 unconfirmed:1]
}

// The route and the URL in the dashboard must be spelled alike. A slash too many
// or too few is a 404, of which Midtrans retries two before the notification is
// lost; ServeMux' own redirect (307, since Go 1.26) Midtrans follows, but the 301
// of other routers and of older Go it does not. Register both spellings.
func ExampleMiddleware_Handler_trailingSlash() {
	hook, err := midhook.New("SB-Mid-server-test")
	if err != nil {
		log.Fatal(err)
	}
	receive := hook.HandlerFunc(func(_ context.Context, n *midhook.Notification) error {
		fmt.Println("received", n.OrderID)
		return nil
	})
	shop := http.NewServeMux()
	shop.Handle("POST /midtrans", receive)
	mux := http.NewServeMux()
	mux.Handle("/hooks/", http.StripPrefix("/hooks", shop))

	first := midhooktest.Sample("gopay", midhooktest.Order("A-1"))
	fmt.Println(deliver(mux, "/hooks/midtrans", first, "SB-Mid-server-test"))
	second := midhooktest.Sample("gopay", midhooktest.Order("A-2"))
	fmt.Println(deliver(mux, "/hooks/midtrans/", second, "SB-Mid-server-test"))

	shop.Handle("POST /midtrans/{$}", receive)
	fmt.Println(deliver(mux, "/hooks/midtrans/", second, "SB-Mid-server-test"))
	// Output:
	// received A-1
	// 200
	// 404
	// received A-2
	// 200
}

// A signature is not enough: what Midtrans' status API answers about a cancelled
// transaction is signed as a payment is. Whoever has seen that answer can edit it.
func ExampleWithStatusCheck() {
	api := midhooktest.NewStatusServer("SB-Mid-server-test") // stands in for Midtrans' own
	defer api.Close()
	api.Put(midhooktest.Sample("cancel", midhooktest.Order("A-1")))
	client := api.Client() // midhook.NewStatusClient(os.Getenv("MIDTRANS_SERVER_KEY"))

	answer, err := client.Get(context.Background(), "A-1")
	if err != nil {
		log.Fatal(err)
	}
	forged := bytes.Replace(answer.Raw(), []byte(`"cancel"`), []byte(`"settlement"`), 1)

	receive := func(opts ...midhook.Option) {
		hook, err := midhook.New("SB-Mid-server-test", append(opts, midhook.WithLogger(discard))...)
		if err != nil {
			log.Fatal(err)
		}
		h := hook.HandlerFunc(func(_ context.Context, n *midhook.Notification) error {
			fmt.Println("paid:", n.Paid())
			return nil
		})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(forged)))
		fmt.Print(w.Code, " ", w.Body)
	}
	receive()
	receive(midhook.WithStatusCheck(client))
	// Output:
	// paid: true
	// 200 handled
	// 403 notification claims more than was signed or confirmed
}

// What an order costs is the merchant's own record: the total that it asked
// Midtrans for, with the fee that it adds for a payment method.
func ExampleWithExpectation() {
	type order struct{ price, fee int64 } // in hundredths of a rupiah
	orders := map[string]order{
		"A-1": {price: 150_000_00, fee: 4_600_00},
	}
	hook, err := midhook.New("SB-Mid-server-test", midhook.WithLogger(discard),
		midhook.WithExpectation(func(_ context.Context, n *midhook.Notification) (midhook.Expectation, error) {
			o, ok := orders[n.OrderID]
			if !ok {
				return midhook.Expectation{}, midhook.ErrUnknownOrder
			}
			return midhook.Expectation{Amount: o.price + o.fee, Currency: "IDR"}, nil
		}))
	if err != nil {
		log.Fatal(err)
	}
	shipped := map[string]bool{}
	h := hook.HandlerFunc(func(_ context.Context, n *midhook.Notification) error {
		if n.Paid() && !shipped[n.OrderID] {
			fmt.Println("ship order", n.OrderID)
			shipped[n.OrderID] = true
		}
		return nil
	})

	for _, paid := range []struct{ order, amount string }{
		{"A-1", "1.00"}, // a customer who has set a price of his own
		{"A-1", "150000.00"},
		{"A-1", "154600.00"},
		{"A-2", "154600.00"},
	} {
		n := midhooktest.Sample("gopay", midhooktest.Order(paid.order), midhooktest.Amount(paid.amount))
		fmt.Println(paid.order, paid.amount, deliver(h, "/", n, "SB-Mid-server-test"))
	}
	// Output:
	// A-1 1.00 409
	// A-1 150000.00 409
	// ship order A-1
	// A-1 154600.00 200
	// A-2 154600.00 404
}

// Not every notification comes. Ask, now and then, about the orders that have
// been pending for more than an hour.
func ExampleMiddleware_Reconcile() {
	api := midhooktest.NewStatusServer("SB-Mid-server-test") // stands in for Midtrans' own
	defer api.Close()
	hook, err := midhook.New("SB-Mid-server-test", midhook.WithLogger(discard),
		midhook.WithStatusCheck(api.Client())) // midhook.NewStatusClient(os.Getenv("MIDTRANS_SERVER_KEY"))
	if err != nil {
		log.Fatal(err)
	}

	noon := time.Date(2026, time.November, 2, 12, 0, 0, 0, time.UTC)
	type order struct {
		id     string
		placed time.Time
		paid   bool
	}
	orders := []*order{
		{id: "A-1", placed: noon.Add(-2 * time.Hour)},
		{id: "A-2", placed: noon.Add(-90 * time.Minute)},
		{id: "A-3", placed: noon.Add(-10 * time.Minute)},
	}
	// The same handler for what is notified and for what is asked for.
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n, _ := midhook.FromContext(r.Context())
		for _, o := range orders {
			if o.id == n.OrderID && n.Paid() && !o.paid {
				o.paid = true
				fmt.Println("ship order", o.id)
			}
		}
	})

	reconcile := func(ctx context.Context, ticks <-chan time.Time) {
		for now := range ticks {
			for _, o := range orders {
				if o.paid || now.Sub(o.placed) < time.Hour {
					continue
				}
				switch err := hook.Reconcile(ctx, o.id, handler); {
				case errors.Is(err, midhook.ErrTransactionNotFound):
					fmt.Println("order", o.id, "waits for its customer to choose a payment method")
				case err != nil:
					fmt.Println("order", o.id, "next time:", err)
				}
			}
		}
	}

	paid := midhooktest.Sample("gopay", midhooktest.Order("A-1"))
	api.Put(paid)                    // and its notification went astray
	ticks := make(chan time.Time, 1) // time.Tick(10 * time.Minute)
	ticks <- noon
	close(ticks)
	reconcile(context.Background(), ticks)

	// The notification comes after all.
	fmt.Println(deliver(hook.Handler(handler), "/", paid, "SB-Mid-server-test"))
	// Output:
	// ship order A-1
	// order A-2 waits for its customer to choose a payment method
	// 200
}
