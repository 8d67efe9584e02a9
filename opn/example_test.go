package opn_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/opn"
)

func Example() {
	gateway, err := opn.New("b21pc2Utd2ViaG9vay1zZWNyZXQ=") // os.Getenv("OPN_WEBHOOK_SECRET")
	if err != nil {
		log.Fatal(err)
	}
	hook, err := midhook.NewFor(gateway, midhook.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		log.Fatal(err)
	}
	h := hook.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e, _ := opn.FromContext(r.Context())
		if object, _ := e.DataObject(); object != "charge" {
			return
		}
		var charge struct {
			ID, Status string
			Amount     int64 // in the smallest unit of the currency
			Metadata   struct {
				OrderID string `json:"order_id"`
			}
		}
		if err := e.Decode(&charge); err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		if e.Livemode && charge.Status == "successful" { // after comparing the amount with the order's
			fmt.Println("ship order", charge.Metadata.OrderID)
		}
	}))

	// Opn sends an event twice.
	const body = `{"object":"event","id":"evnt_1","livemode":true,"key":"charge.complete","created_at":"2026-08-01T10:00:00Z",` +
		`"data":{"object":"charge","id":"chrg_1","amount":100000,"currency":"thb","status":"successful","metadata":{"order_id":"A-1"}}}`
	for range 2 {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, delivery(body))
		fmt.Println(w.Code)
	}
	// Output:
	// ship order A-1
	// 200
	// 200
}

// Verify needs no HTTP, for a queue of recorded deliveries, say: then the time is
// that of the recording.
func ExampleVerify() {
	const (
		secret    = "b21pc2Utd2ViaG9vay1zZWNyZXQ="
		timestamp = "1785578400"
		signature = "c18c99a6612d57ffecba8948a13ccd4b6f9bb21cac805cfa323c080c600cc15f"
	)
	body := []byte(`{"id":"evnt_test_1","key":"charge.complete","data":{"id":"chrg_test_1"}}`)
	received := time.Date(2026, time.August, 1, 10, 0, 2, 0, time.UTC)

	fmt.Println(opn.Verify(body, signature, timestamp, received, secret))
	fmt.Println(opn.Verify(body, signature, timestamp, received.Add(time.Hour), secret))
	fmt.Println(opn.Verify(append(body, '\n'), signature, timestamp, received, secret))
	// Output:
	// <nil>
	// signature does not match: it is genuine, but Omise-Signature-Timestamp is more than 5m0s behind this machine's clock
	// signature does not match
}

// Opn may never deliver an event again. Ask for what has happened, every few
// minutes and with an hour of overlap.
func ExampleClient_Reconcile() {
	gateway, err := opn.New("b21pc2Utd2ViaG9vay1zZWNyZXQ=")
	if err != nil {
		log.Fatal(err)
	}
	hook, err := midhook.NewFor(gateway, // and midhook.WithStore, with one that outlives the process
		midhook.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		log.Fatal(err)
	}
	client, err := opn.NewClient("skey_test", // os.Getenv("OPN_SECRET_KEY")
		opn.WithHTTPClient(&http.Client{Transport: newEventsAPI(2)})) // stands in for Opn's own
	if err != nil {
		log.Fatal(err)
	}
	// The same handler for what is delivered and for what is asked for.
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		e, _ := opn.FromContext(r.Context())
		fmt.Println("handle", e.ID)
	})

	reconcile := func(ctx context.Context, done time.Time, ticks <-chan time.Time) {
		for now := range ticks {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
			err := client.Reconcile(ctx, hook, done.Add(-time.Hour), handler)
			cancel()
			var left *opn.ReconcileError
			if err != nil {
				fmt.Println(err) // what is left for a person to look at is in it, too
			}
			if err == nil || errors.As(err, &left) && left.Complete() {
				done = now // kept where a restart finds it
			}
		}
	}

	// One event is delivered, the other is not.
	w := httptest.NewRecorder()
	hook.Handler(handler).ServeHTTP(w, delivery(chargeEvent("evnt_test_001")))
	ticks := make(chan time.Time, 2) // time.Tick(5 * time.Minute)
	ticks <- time.Now()
	ticks <- time.Now()
	close(ticks)
	reconcile(context.Background(), time.Now(), ticks)
	// Output:
	// handle evnt_test_001
	// handle evnt_test_000
}
