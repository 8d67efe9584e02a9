package payout

import (
	"strings"

	"github.com/midhook/midhook/internal/identity"
)

// IdempotencyKey names the event: the same for every delivery of one change,
// another for every other change. It is 64 hexadecimal digits and stays the same
// in later versions. With it in a unique index beside the effect, the effect
// happens once even when the handler runs twice.
//
// It is made of reference_no, status and updated_at (the text as sent, "" where it
// is missing), and for a top-up of transaction_id, order_id and status. The amount
// has no part in it, for Midtrans spells it in several ways.
func (n *Notification) IdempotencyKey() string {
	status := strings.ToLower(string(n.Status))
	if n.Kind() == TopUp {
		return identity.Digest("payout-topup", n.TransactionID, n.OrderID, status)
	}
	return identity.Digest("payout", n.ReferenceNo, status, n.UpdatedAt)
}

// subject names what the events of one payout have in common.
func (n *Notification) subject() string {
	if n.Kind() == TopUp {
		return "" // it has one status
	}
	return identity.Digest("payout", n.ReferenceNo)
}

// stage is a status' place in the life of a payout. The last three are equal: the
// bank may return what was completed, and nothing says that what has failed or was
// rejected stays so.
func (s Status) stage() int {
	switch Status(strings.ToLower(string(s))) {
	case StatusApproved:
		return 10
	case StatusProcessed:
		return 20
	case StatusRejected, StatusCompleted, StatusFailed:
		return 30
	default:
		return 0 // top-up, and unknown: never superseded
	}
}
