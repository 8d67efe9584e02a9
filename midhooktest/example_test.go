package midhooktest_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// The handler under test sees each payment once, and Midtrans gets its answer.
func Example() {
	const key = "SB-Mid-server-test"
	hook, err := midhook.New(key, midhook.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		panic(err)
	}
	handler := hook.HandlerFunc(func(_ context.Context, n *midhook.Notification) error {
		fmt.Printf("order %s, %s %s, paid: %v\n", n.OrderID, n.Currency, n.GrossAmount, n.Paid())
		return nil
	})
	deliver := func(n *midhook.Notification, key string) {
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, midhooktest.NewRequest(n, key))
		fmt.Print(rec.Code, " ", rec.Body)
	}

	n := midhooktest.Sample("gopay", midhooktest.Order("A-1001"), midhooktest.Amount("25000.00"))
	deliver(n, key)
	deliver(n, key)
	deliver(n, "SB-Mid-server-of-someone-else")

	// Output:
	// order A-1001, IDR 25000.00, paid: true
	// 200 handled
	// 200 already handled
	// 403 signature does not match
}

// A test of a case that the samples do not have: change one, or write it whole.
func ExampleBody() {
	n := midhooktest.Sample("credit-card",
		midhooktest.Fraud(midhook.FraudChallenge),
		midhooktest.Field("installment_term", 12),
	)
	fmt.Println(n.Paid(), n.InstallmentTerm)

	body := midhooktest.Body(&midhook.Notification{
		OrderID: "A-1002", StatusCode: "200", GrossAmount: "25000.00",
		TransactionStatus: midhook.StatusChargeback,
	}, "SB-Mid-server-test")
	n, err := midhook.Parse(body)
	fmt.Println(n.Paid(), err, midhook.Verify(n, "SB-Mid-server-test"))

	// Output:
	// false 12
	// false <nil> <nil>
}
