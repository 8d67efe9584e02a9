package midhook

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/midhook/midhook/internal/identity"
)

// PaymentKey names the payment: it is the same for every event of one transaction
// of one order, so that what is bought is delivered once although its capture and
// its settlement are two events that are both [Notification.Paid]. With it in a
// unique index beside the effect, the effect happens once for each payment. Where an
// order is paid once, be unique by OrderID: a customer can pay it twice, by two
// transactions. For a Pay Account it names the account.
//
// It is 64 hexadecimal digits and stays the same in later versions.
func (n *Notification) PaymentKey() string {
	if n.Kind() == PayAccount {
		return identity.Digest("pay-account", n.AccountID)
	}
	return identity.Digest("payment", n.OrderID, n.TransactionID)
}

// IdempotencyKey names the event: every delivery of one change has the same key, and
// no two changes share one. It is 64 hexadecimal digits and stays the same
// in later versions. With it in a unique index beside the effect, the event is
// booked once even when the handler runs twice. The capture and the settlement of
// one payment are two events: what is bought is delivered once by
// [Notification.PaymentKey], or by order.
func (n *Notification) IdempotencyKey() string {
	if n.Kind() == PayAccount {
		return identity.Digest("pay-account", n.AccountID, n.AccountStatus)
	}
	parts := append(make([]string, 0, 8), "payment", n.OrderID, n.TransactionID,
		strings.ToLower(string(n.TransactionStatus)), strings.ToLower(string(n.FraudStatus)), n.GrossAmount)
	if !n.borneOut() {
		// Someone edited it, who must not pre-empt the event itself.
		parts[0], parts = "unproven payment", append(parts, n.StatusCode)
	}
	// The status_code of what is borne out is left out: the status API gives another
	// one for the same event.
	if n.reverses() {
		parts = append(parts, n.RefundAmount, n.RefundChargebackAmount, n.RefundKey)
		parts = append(parts, fingerprints(n.Refunds)...)
	}
	return identity.Digest(parts...)
}

// reverses reports whether the event takes money back. Only such an event is known
// by its refunds: in any other, someone wrote them into it.
func (n *Notification) reverses() bool {
	switch n.status() {
	case StatusRefund, StatusPartialRefund, StatusChargeback, StatusPartialChargeback:
		return true
	}
	return false
}

// fingerprints are those of all refunds, in whichever order they are listed.
func fingerprints(refunds []Refund) (parts []string) {
	if len(refunds) > 1 {
		refunds = slices.SortedFunc(slices.Values(refunds), func(a, b Refund) int {
			return slices.Compare(a.fingerprint(), b.fingerprint())
		})
	}
	for _, r := range refunds {
		parts = append(parts, r.fingerprint()...)
	}
	return parts
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

// stage is the notification's place in the life of its transaction. Where
// Midtrans can go back and forth (settlement, then deny by the bank; settlement,
// then partial_refund, after which the goods are still owed) the stages are equal,
// for neither supersedes the other. It is 0, which nothing supersedes and which
// supersedes nothing, where the status is unknown or not borne out: the pending
// body of an order, edited to expire, would keep the settlement from the handler.
func (n *Notification) stage() int {
	if n.Kind() == PayAccount || !n.borneOut() {
		return 0 // a Pay Account is linked, unlinked and linked again, in no order
	}
	switch n.status() {
	case StatusPending:
		return 10
	case StatusAuthorize:
		return 20
	case StatusCapture:
		if n.fraud(FraudChallenge) {
			return 25
		}
		return 30
	case StatusSettlement, StatusDeny, StatusCancel, StatusExpire, StatusFailure, StatusPartialRefund, StatusPartialChargeback:
		return 40
	case StatusRefund, StatusChargeback:
		return 60
	default:
		return 0
	}
}

// borneOut reports whether the status_code, which is signed, is the one that
// Midtrans sends with the transaction_status, which is not. The status API has
// codes of its own, and does not need them as a proof.
func (n *Notification) borneOut() bool {
	if n.confirmed {
		return true
	}
	switch n.status() {
	case StatusCapture, StatusAuthorize:
		return n.fraud(FraudChallenge) && n.StatusCode == "201" || !n.fraud(FraudChallenge) && n.StatusCode == "200"
	case StatusSettlement, StatusRefund, StatusPartialRefund, StatusChargeback, StatusPartialChargeback:
		return n.StatusCode == "200"
	case StatusPending:
		return n.StatusCode == "201"
	case StatusExpire:
		return n.StatusCode == "202" || n.StatusCode == "407"
	case StatusDeny, StatusCancel, StatusFailure:
		return n.StatusCode == "202"
	}
	return false
}

func (n *Notification) status() TransactionStatus {
	return TransactionStatus(strings.ToLower(string(n.TransactionStatus)))
}
