package recurring_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/recurring"
)

// sandbox stands in for Midtrans' API.
type sandbox map[string]string

func (s sandbox) RoundTrip(r *http.Request) (*http.Response, error) {
	body, ok := s[r.URL.Path]
	status := http.StatusOK
	if !ok {
		status = http.StatusNotFound
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
}

var midtrans = &http.Client{Transport: sandbox{
	"/v1/subscriptions/sub-1": `{"id":"sub-1","name":"MONTHLY","amount":"14000","currency":"IDR","status":"active","transaction_ids":["tx-1"]}`,
	"/v2/tx-1/status": `{"transaction_id":"tx-1","order_id":"SUBS-MONTHLY-1","gross_amount":"14000.00","status_code":"200",
		"transaction_status":"capture","fraud_status":"accept"}`,
}}

// A body proves nothing: the second one was made up.
func Example() {
	gateway, err := recurring.New("SB-Mid-server-test", 20, 40, recurring.WithHTTPClient(midtrans))
	if err != nil {
		fmt.Println(err)
		return
	}
	hook, err := midhook.NewFor(gateway, midhook.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := midhook.HandleValue(hook, func(_ context.Context, n *recurring.Notification) error {
		switch n.Kind() {
		case recurring.Charged:
			paid, _ := n.Transaction.Amount()
			fmt.Println("charged:", n.Paid(), paid/100, n.Transaction.OrderID)
		case recurring.ChargeFailed:
			code, _ := n.Failure()
			fmt.Println("said to have failed:", code, "- still", n.Subscription.Status)
		}
		return nil
	})

	for _, body := range []string{
		`{"transaction":{"transaction_id":"tx-1","transaction_status":"capture"},"subscription":{"id":"sub-1"},"event_name":"subscription.charge"}`,
		`{"transaction":{"transaction_id":"tx-2","transaction_status":"capture"},"subscription":{"id":"sub-1"},"event_name":"subscription.charge"}`,
		`{"transaction":{"status_code":"411","status_message":"Token id is missing"},"subscription":{"id":"sub-1"},"event_name":"subscription.charge"}`,
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/payments/recurring", strings.NewReader(body)))
		fmt.Println(w.Code)
	}
	// Output:
	// charged: true 14000 SUBS-MONTHLY-1
	// 200
	// 403
	// said to have failed: 411 - still active
	// 200
}

// A rate is required, because strangers' bodies cost calls of the API, too.
func ExampleNew() {
	_, err := recurring.New("SB-Mid-client-test", 0, 0)
	fmt.Println(err)
	// Output:
	// recurring: server key "default": the key is of another kind (Midtrans client key, which is public): the Midtrans server key is required
	// rate 0: it must be positive and finite
	// burst 0: it must be positive
}

func ExampleSubscription_Hundredths() {
	price, err := recurring.Subscription{Amount: "14000"}.Hundredths()
	fmt.Println(price, err)
	// Output: 1400000 <nil>
}
