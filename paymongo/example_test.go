package paymongo_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/paymongo"
)

// exampleBody and exampleSignature are what PayMongo sends for a payment.
const (
	exampleBody = `{"data":{"id":"evt_1","type":"event","attributes":{"type":"payment.paid","livemode":true,"created_at":1700000000,` +
		`"data":{"id":"pay_1","type":"payment","attributes":{"amount":10000,"currency":"PHP","status":"paid","metadata":{"order":"A-1"}}}}}}`
	exampleSignature = "t=1700000000,te=,li=23e2047ae59298a7725b4e97a559d3120b0706bce47eeec26a214dd7c535bd39"
)

func Example() {
	gateway, err := paymongo.New("whsk_test")
	if err != nil {
		log.Fatal(err)
	}
	hook, err := midhook.NewFor(gateway)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /paymongo", midhook.HandleValue(hook, func(_ context.Context, e *paymongo.Event) error {
		if !e.Livemode || e.Type != paymongo.EventTypePaymentPaid {
			return nil // not ours: an error would have PayMongo come again, and in the end disable the webhook
		}
		var payment struct {
			Metadata struct{ Order string }
		}
		if err := e.Resource.Decode(&payment); err != nil {
			return midhook.Permanent(err)
		}
		centavos, ok := e.Resource.Amount()
		fmt.Println(payment.Metadata.Order, centavos, ok, e.Resource.Currency())
		return nil
	}))

	for range 2 {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/paymongo", bytes.NewReader([]byte(exampleBody)))
		r.Header.Set(paymongo.SignatureHeader, exampleSignature)
		mux.ServeHTTP(w, r)
		fmt.Print(w.Code, " ", w.Body)
	}
	// Output:
	// A-1 10000 true PHP
	// 200 {"outcome":"handled"}
	// 200 {"outcome":"duplicate"}
}

func ExampleVerify() {
	body := []byte(exampleBody)
	fmt.Println(paymongo.Verify(body, exampleSignature, "whsk_test"))
	fmt.Println(paymongo.Verify(body, exampleSignature, "whsk_other"))
	// Output:
	// <nil>
	// signature does not match
}

func ExampleParse() {
	e, err := paymongo.Parse([]byte(exampleBody))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(e.Type, e.Livemode, e.CreatedAt, e.Resource.ID)
	fmt.Println(e) // nothing of the customer
	// Output:
	// payment.paid true 2023-11-14 22:13:20 +0000 UTC pay_1
	// id="evt_1" type="payment.paid" livemode="true" resource_id="pay_1" resource_type="payment" status="paid" amount="10000" currency="PHP"
}

// A webhook is replaced by another one, whose secret is accepted beside the old
// one for as long as both exist.
func ExampleWithSecret() {
	gateway, err := paymongo.New("whsk_other", paymongo.WithSecret("from May on", "whsk_test"))
	if err != nil {
		log.Fatal(err)
	}
	msg, err := gateway.Open(http.Header{paymongo.SignatureHeader: {exampleSignature}}, []byte(exampleBody))
	fmt.Println(msg.KeyLabel, err)
	// Output: from May on <nil>
}
