// Package lives has what Midtrans lets happen to a transaction.
package lives

import (
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// Change is one genuine event of a transaction.
type Change struct {
	Status midhook.TransactionStatus
	Code   string
	Fraud  midhook.FraudStatus
	Refund string        // refund_amount so far
	After  time.Duration // the event before
	Delay  time.Duration // of the first delivery
}

// All are what Midtrans lets happen to one transaction, in order.
var All = [][]Change{
	{{Status: "pending", Code: "201"}, {Status: "settlement", Code: "200"}},
	{{Status: "pending", Code: "201"}, {Status: "expire", Code: "202"}},
	{{Status: "pending", Code: "201"}, {Status: "cancel", Code: "202"}},
	{{Status: "deny", Code: "202"}},
	{{Status: "authorize", Code: "200"}, {Status: "capture", Code: "200"}, {Status: "settlement", Code: "200"}},
	{{Status: "capture", Code: "201", Fraud: "challenge"}, {Status: "capture", Code: "200", Fraud: "accept"}, {Status: "settlement", Code: "200", Fraud: "accept"}},
	{{Status: "capture", Code: "201", Fraud: "challenge"}, {Status: "deny", Code: "202", Fraud: "deny"}},
	{{Status: "pending", Code: "201"}, {Status: "settlement", Code: "200"}, {Status: "deny", Code: "202"}},
	{{Status: "settlement", Code: "200"}, {Status: "partial_refund", Code: "200", Refund: "100.00"}, {Status: "partial_refund", Code: "200", Refund: "300.00"}, {Status: "refund", Code: "200", Refund: "154600.00"}},
	{{Status: "capture", Code: "200", Fraud: "accept"}, {Status: "settlement", Code: "200", Fraud: "accept"}, {Status: "chargeback", Code: "200"}},
}

// Personal is in every body, and must be nowhere else.
const Personal = "name-of-a-customer"

// Notification is the change as Midtrans tells of it.
func (c Change) Notification(order, transaction string) *midhook.Notification {
	tweaks := []midhooktest.Tweak{
		midhooktest.Order(order), midhooktest.Transaction(transaction),
		midhooktest.Status(c.Code, c.Status), midhooktest.Fraud(c.Fraud),
		midhooktest.Field("customer_details", map[string]any{"first_name": Personal}),
	}
	if c.Refund != "" {
		tweaks = append(tweaks, midhooktest.Field("refund_amount", c.Refund), midhooktest.Field("refund_key", "r-"+c.Refund))
	}
	return midhooktest.Sample("gopay", tweaks...)
}

// IsVoid reports whether a successful run makes it needless to run n: because it was a
// run of n itself, or of a later event of the same transaction.
func IsVoid(n, run *midhook.Notification) bool {
	return run.IdempotencyKey() == n.IdempotencyKey() || run.TransactionID == n.TransactionID && rank(run) > rank(n)
}

// rank is the stage of a status in the life of a transaction, as the documentation of Store.Stage has it.
func rank(n *midhook.Notification) int {
	switch n.TransactionStatus {
	case "pending":
		return 10
	case "authorize":
		return 20
	case "capture":
		if n.FraudStatus == "challenge" {
			return 25
		}
		return 30
	case "refund", "chargeback":
		return 60
	}
	return 40
}
