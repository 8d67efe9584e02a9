package payout_test

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/payout"
)

// Rule: the key is stable across versions: merchants have it in a unique index.
func TestIdempotencyKeyIsStable(t *testing.T) {
	assert.Equal(t, "ac064182896edad8fa40b06d7c1b93ca365fc7bec656a9add9a13a676574b6bc", parse(t, completed).IdempotencyKey())
	assert.Equal(t, "7d1b57deb631d81b01fbe52066e35e8a54c1c144cec55ec797bca75fc7e5efbf", parse(t, topUp).IdempotencyKey())
}

// Rule: one change is one event however it is written; another change, another
// payout, another kind and another gateway are other events.
func TestIdempotencyKey(t *testing.T) {
	payoutWith := func(change func(*payout.Notification)) payout.Notification {
		n := payout.Notification{ReferenceNo: "r", Status: payout.StatusCompleted, UpdatedAt: "2026-01-01T09:12:44Z", Amount: "10000.00"}
		change(&n)
		return n
	}
	topUpWith := func(change func(*payout.Notification)) payout.Notification {
		n := payout.Notification{TransactionID: "t", OrderID: "o", Status: payout.StatusTopUp, GrossAmount: "10000.00"}
		change(&n)
		return n
	}
	same := func(*payout.Notification) {}
	for _, c := range []struct {
		rule string
		a, b payout.Notification
		same bool
	}{
		{"amount spelled otherwise", payoutWith(same), payoutWith(func(n *payout.Notification) { n.Amount = "10000.0" }), true},
		{"status in another case", payoutWith(same), payoutWith(func(n *payout.Notification) { n.Status = "COMPLETED" }), true},
		{"an error text more", payoutWith(same), payoutWith(func(n *payout.Notification) { n.ErrorCode, n.ErrorMessage = "1", "m" }), true},
		{"top-up's amount spelled otherwise", topUpWith(same), topUpWith(func(n *payout.Notification) { n.GrossAmount = "10000" }), true},
		{"top-up's time spelled otherwise", topUpWith(same), topUpWith(func(n *payout.Notification) { n.TransactionTime = "now" }), true},

		{"another payout", payoutWith(same), payoutWith(func(n *payout.Notification) { n.ReferenceNo = "R" }), false},
		{"another status", payoutWith(same), payoutWith(func(n *payout.Notification) { n.Status = payout.StatusFailed }), false},
		{"completed once more, later", payoutWith(same), payoutWith(func(n *payout.Notification) { n.UpdatedAt = "2026-01-03T00:00:00Z" }), false},
		{"no updated_at", payoutWith(same), payoutWith(func(n *payout.Notification) { n.UpdatedAt = "" }), false},
		{"the same letters, cut otherwise", payoutWith(func(n *payout.Notification) { n.ReferenceNo, n.Status = "ab", "c" }),
			payoutWith(func(n *payout.Notification) { n.ReferenceNo, n.Status = "a", "bc" }), false},
		{"another transaction_id", topUpWith(same), topUpWith(func(n *payout.Notification) { n.TransactionID = "u" }), false},
		{"another order_id", topUpWith(same), topUpWith(func(n *payout.Notification) { n.OrderID = "p" }), false},
		{"another status of a top-up", topUpWith(func(n *payout.Notification) { n.Status = "held" }),
			topUpWith(func(n *payout.Notification) { n.Status = "returned" }), false},
		{"ids changed places", topUpWith(func(n *payout.Notification) { n.TransactionID, n.OrderID = "x", "" }),
			topUpWith(func(n *payout.Notification) { n.TransactionID, n.OrderID = "", "x" }), false},
		{"payout and top-up", payout.Notification{ReferenceNo: "x", Status: "held", UpdatedAt: ""},
			payout.Notification{OrderID: "x", Status: "held"}, false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			assert.Equal(t, c.same, c.a.IdempotencyKey() == c.b.IdempotencyKey())
			assert.Regexp(t, regexp.MustCompile("^[0-9a-f]{64}$"), c.a.IdempotencyKey())
		})
	}

	payment := midhook.Notification{OrderID: "83hgf882", TransactionStatus: "completed"}
	assert.NotEqual(t, payment.IdempotencyKey(), parse(t, completed).IdempotencyKey())
}
