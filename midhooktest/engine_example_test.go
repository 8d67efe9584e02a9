package midhooktest_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// What Midtrans does with a handler that is down for a while, and with one that
// sends it to a login page.
func ExampleEngine() {
	down := 2
	shop := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down--; down >= 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	login := http.RedirectHandler("/login", http.StatusFound)

	for _, handler := range []http.Handler{shop, login} {
		g := &midhooktest.Engine{
			Handler: handler,
			Secret:  "SB-Mid-server-test",
			Speed:   1e6, // in a bubble of testing/synctest there is no need of it
		}
		d, err := g.Deliver(context.Background(), midhooktest.Sample("gopay"))
		if err != nil {
			log.Fatal(err)
		}
		for _, a := range d.Attempts {
			fmt.Println(a.Number, a.Why)
		}
		fmt.Println("delivered:", d.Delivered)
	}

	// Output:
	// 1 503: retry 1 of 4 follows
	// 2 503: retry 2 of 4 follows
	// 3 200: delivered
	// delivered: true
	// 1 302: no retry follows, lost
	// delivered: false
}

// A body that was edited after it was signed.
func ExampleEngine_DeliverBody() {
	hook, err := midhook.New("SB-Mid-server-test", midhook.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		log.Fatal(err)
	}
	g := &midhooktest.Engine{
		Handler: hook.HandlerFunc(func(context.Context, *midhook.Notification) error { return nil }),
		Speed:   1e6,
	}
	signed := string(midhooktest.Body(midhooktest.Sample("gopay"), "SB-Mid-server-test"))
	edited := strings.Replace(signed, "154600.00", "1.00", 1)
	for _, body := range []string{signed, edited} {
		d, err := g.DeliverBody(context.Background(), []byte(body))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(len(d.Attempts), d.Delivered, d.Reason)
	}

	// Output:
	// 1 true 200: delivered
	// 6 false 403: no more than 5 retries, lost
}

// Some scenarios against a merchant with midhook. In a test, TestHandler plays them
// all; here the handler has no Mishap, and accepts one key.
func ExampleScenarios() {
	for _, scenario := range midhooktest.Scenarios() {
		switch scenario.Name {
		case "duplicate-storm", "challenge", "abandoned-attempt", "key-rotation", "edited-status":
		default:
			continue
		}
		hook, err := midhook.New("SB-Mid-server-test", midhook.WithLogger(slog.New(slog.DiscardHandler)))
		if err != nil {
			log.Fatal(err)
		}
		var orders sync.Map // in place of a table with a unique index
		subject := midhooktest.Subject{
			Engine: &midhooktest.Engine{
				Handler: hook.HandlerFunc(func(_ context.Context, n *midhook.Notification) error {
					if n.Paid() {
						orders.LoadOrStore(n.OrderID, 1)
					}
					return nil
				}),
				Secret: "SB-Mid-server-test",
				Speed:  18000,
			},
			Fulfilled: func(orderID string) int {
				times, _ := orders.Load(orderID)
				n, _ := times.(int)
				return n
			},
		}
		deliveries, err := scenario.Play(context.Background(), subject)
		fmt.Println(scenario.Name, len(deliveries), err)
	}

	// Output:
	// duplicate-storm 35 <nil>
	// key-rotation 0 midhooktest: key-rotation needs a NextKey: unsupported operation
	// challenge 10 <nil>
	// abandoned-attempt 24 <nil>
	// edited-status 46 <nil>
}

// A handler that answers 500 while its database is away, of which Midtrans retries
// one: the failure says which rule was broken, and then how.
func ExampleScenario_Play() {
	var mishap midhooktest.Mishap
	fulfil := func(ctx context.Context) error { return mishap.Happen(ctx) } // a test double of the shop
	subject := midhooktest.Subject{
		Engine: &midhooktest.Engine{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if fulfil(r.Context()) != nil {
					w.WriteHeader(http.StatusInternalServerError)
				}
			}),
			Secret: "SB-Mid-server-test",
			Speed:  3600,
		},
		Mishap: &mishap,
	}
	_, err := midhooktest.Outage.Play(context.Background(), subject)
	rule, _, _ := strings.Cut(err.Error(), "\n")
	fmt.Println(rule)

	// Output:
	// outage: An outage of 20 minutes must not lose a payment: answer it with 503, which Midtrans retries four times, and not with 500, which it retries once.
}

// A handler that answers 200 and "OK", as many do. To PayMongo that is no success: it
// comes twelve times again, and after three such events never.
func ExampleEngine_DeliverSigned() {
	sender := midhooktest.PayMongoSender()
	g := &midhooktest.Engine{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "OK") }),
		Sender:  &sender,
		Secret:  "whsk_test",
		Speed:   1e7,
	}
	for nr := range 4 {
		d, err := g.DeliverSigned(context.Background(), sender.Event(nr))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(len(d.Attempts), d.Delivered, d.Reason)
	}

	// Output:
	// 13 false 200 is no success without JSON: no more than 12 retries, lost
	// 13 false 200 is no success without JSON: no more than 12 retries, lost
	// 13 false 200 is no success without JSON: no more than 12 retries, lost
	// 0 false the endpoint is disabled: 3 events in a row were lost
}

// A request for a handler's own test: a sample that was changed, and then signed.
func ExampleSender_NewRequest() {
	sender := midhooktest.PayMongoSender()
	body := sender.Body("payment.paid",
		midhooktest.Member("evt_1", "data", "id"),
		midhooktest.Member(true, "data", "attributes", "livemode"),
	)
	r := sender.NewRequest(body, "whsk_test")
	live := strings.Contains(r.Header.Get("Paymongo-Signature"), ",te=,li=")
	fmt.Println(r.Method, r.Header.Get("Content-Type"), live)

	// Output:
	// POST application/json true
}
