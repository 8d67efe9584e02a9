package payout_test

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/payout"
)

// send plays Midtrans: it posts a body that key signed.
func send(h http.Handler, body, key string) int {
	digest := sha512.Sum512([]byte(body + key))
	r := httptest.NewRequest(http.MethodPost, "/payouts/notification", strings.NewReader(body))
	r.Header.Set("Iris-Signature", hex.EncodeToString(digest[:]))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

func Example() {
	gateway, err := payout.New("IRIS-merchant-test") // os.Getenv("MIDTRANS_IRIS_KEY")
	if err != nil {
		log.Fatal(err)
	}
	hook, err := midhook.NewFor(gateway, midhook.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /payouts/notification", hook.Handler(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			n, _ := payout.FromContext(r.Context())
			switch n.Status {
			case payout.StatusCompleted:
				fmt.Println("paid", n.ReferenceNo)
			case payout.StatusFailed, payout.StatusRejected:
				fmt.Println("returned", n.ReferenceNo)
			}
		})))

	// The payout is completed, Midtrans says it twice, and a day later the bank
	// returns the money.
	paid := `{"reference_no":"83hgf882","amount":"154600.00","status":"completed","updated_at":"2026-01-01T09:12:44Z"}`
	back := `{"reference_no":"83hgf882","amount":"154600.0","status":"failed","updated_at":"2026-01-02T02:00:10Z"}`
	fmt.Println(send(mux, paid, "IRIS-merchant-test"))
	fmt.Println(send(mux, paid, "IRIS-merchant-test"))
	fmt.Println(send(mux, back, "IRIS-merchant-test"))
	// Somebody else would like a payout to have failed.
	fmt.Println(send(mux, back, "a guess"))
	// Output:
	// paid 83hgf882
	// 200
	// 200
	// returned 83hgf882
	// 200
	// 403
}

// A key is rotated without losing a notification: accept both for as long as
// Midtrans may retry what the old one signed, and then take the old one out.
func ExampleWithKey() {
	gateway, err := payout.New("IRIS-merchant-new-test", payout.WithKey("retired 2026-11", "IRIS-merchant-old-test"))
	if err != nil {
		log.Fatal(err)
	}
	hook, err := midhook.NewFor(gateway,
		midhook.WithLogger(slog.New(slog.DiscardHandler)),
		midhook.WithObserver(func(_ context.Context, e midhook.Event) {
			fmt.Println(e.Outcome, "with key", e.KeyLabel)
		}))
	if err != nil {
		log.Fatal(err)
	}
	h := midhook.HandleValue(hook, func(context.Context, *payout.Notification) error { return nil })

	send(h, `{"reference_no":"83hgf882","status":"completed"}`, "IRIS-merchant-old-test")
	send(h, `{"reference_no":"9af31c07","status":"completed"}`, "IRIS-merchant-new-test")
	// Output:
	// handled with key retired 2026-11
	// handled with key default
}

// Without HTTP: a body and its signature that were kept, out of a queue.
func ExampleVerify() {
	body := []byte(`{"reference_no":"abc123","amount":"10000.00","status":"completed","updated_at":"2026-01-01T00:00:00Z"}`)
	signature := "3c5fbf2d2522d9881b40e4e7b7cea4e8db5f38217d99d01941bc7693b2ced7269be4e6b47138a90cba38a1ffec4c0b256250fdceb07f47a1a23db71ebc725681"

	if err := payout.Verify(body, signature, "IRIS-merchant-xxx"); err != nil {
		log.Fatal(err)
	}
	n, err := payout.Parse(body)
	if err != nil {
		log.Fatal(err)
	}
	amount, err := n.Hundredths()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n.ReferenceNo, n.Status, amount)
	fmt.Println(payout.Verify(append(body, '\n'), signature, "IRIS-merchant-xxx"))
	// Output:
	// abc123 completed 1000000
	// signature does not match
}
