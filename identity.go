package midhook

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/midhook/midhook/internal/identity"
)

// IdempotencyKey names the event: the same for every delivery of one change,
// another for every other change. It is 64 hexadecimal digits and stays the same
// in later versions. With it in a unique index beside the effect, the effect
// happens once even when the handler runs twice.
func (n *Notification) IdempotencyKey() string {
	if n.Kind() == PayAccount {
		return identity.Digest("pay-account", n.AccountID, n.AccountStatus)
	}
	// status_code is left out: the status API gives another one for the same event.
	parts := append(make([]string, 0, 16), "payment", n.OrderID, n.TransactionID,
		strings.ToLower(string(n.TransactionStatus)), strings.ToLower(string(n.FraudStatus)),
		n.GrossAmount, n.RefundAmount, n.RefundKey)
	refunds := n.Refunds
	if len(refunds) > 1 {
		refunds = slices.SortedFunc(slices.Values(refunds), func(a, b Refund) int {
			return slices.Compare(a.fingerprint(), b.fingerprint())
		})
	}
	for _, r := range refunds {
		parts = append(parts, r.fingerprint()...)
	}
	return identity.Digest(parts...)
}

// fingerprint is what tells a refund from another, and from itself before the
// bank confirmed it.
func (r Refund) fingerprint() []string {
	return []string{
		cmp.Or(r.RefundKey, r.RefundChargebackID, r.RefundChargebackUUID),
		r.RefundAmount,
		strconv.FormatBool(r.BankConfirmedAt != ""),
	}
}

// subject names what the events of one transaction have in common. It is not
// the order alone: an order has a second transaction when the first was denied,
// and a reusable payment link has many.
func (n *Notification) subject() string {
	if n.Kind() == PayAccount {
		return identity.Digest("pay-account", n.AccountID)
	}
	return identity.Digest("payment", n.OrderID, n.TransactionID)
}

// stage is the notification's place in the life of its transaction. Where
// Midtrans can go back and forth (settlement, then deny by the bank) the stages
// are equal, for neither supersedes the other.
func (n *Notification) stage() int {
	if n.Kind() == PayAccount {
		return 0 // linked, unlinked and linked again: no order
	}
	switch TransactionStatus(strings.ToLower(string(n.TransactionStatus))) {
	case StatusPending:
		return 10
	case StatusAuthorize:
		return 20
	case StatusCapture:
		if n.fraud(FraudChallenge) {
			return 25
		}
		return 30
	case StatusSettlement, StatusDeny, StatusCancel, StatusExpire, StatusFailure:
		return 40
	case StatusPartialRefund, StatusPartialChargeback:
		return n.stageAfterPayment(stageRefunds)
	case StatusRefund, StatusChargeback:
		return n.stageAfterPayment(stageRefunds + 10)
	default:
		return 0 // unknown: never superseded
	}
}

const stageRefunds = 50

// stageAfterPayment is stage if the signed status_code bears it out. Otherwise
// the pending body of an order, edited to a refund, would keep the settlement
// from the handler.
func (n *Notification) stageAfterPayment(stage int) int {
	if n.StatusCode != "200" {
		return 0
	}
	return stage
}
