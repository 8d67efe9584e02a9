package payout

import (
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/midhook/midhook/internal/redact"
)

// summary is what may be shown of a notification anywhere.
func (n *Notification) summary() []slog.Attr {
	attrs := make([]slog.Attr, 0, 8)
	return redact.Attrs(attrs,
		"reference_no", n.ReferenceNo,
		"transaction_id", n.TransactionID,
		"order_id", n.OrderID,
		"status", string(n.Status),
		"amount", n.Amount,
		"gross_amount", n.GrossAmount,
		"updated_at", n.UpdatedAt,
	)
}

// LogValue shows ids, status, amount and the time of the status, nothing sensitive.
func (n *Notification) LogValue() slog.Value {
	if n == nil {
		return slog.Value{}
	}
	return slog.GroupValue(n.summary()...)
}

// Format prints what LogValue shows, quoted, whatever the verb: %+v and %#v too.
func (n Notification) Format(f fmt.State, _ rune) { redact.Format(f, n.summary()) }

// MarshalJSON gives what LogValue shows, and a mark by which Parse refuses it. To
// store a notification, store [Notification.Raw], which Parse reads again.
func (n Notification) MarshalJSON() ([]byte, error) { return redact.MarkedJSON(n.summary()) }

// Attention says what a merchant should look at by himself, "" if nothing: a payout
// that failed, for the bank may return the money of one that was completed and
// booked as paid. The text holds nothing of the body.
func (n *Notification) Attention() string {
	if n.Kind() == Payout && n.Status.is(StatusFailed) {
		return "the payout failed, or the bank has returned its money: it is not paid, even where it was completed before"
	}
	return ""
}

// Interface guards
var (
	_ slog.LogValuer                  = (*Notification)(nil)
	_ fmt.Formatter                   = Notification{}
	_ json.Marshaler                  = Notification{}
	_ json.Unmarshaler                = (*Notification)(nil)
	_ interface{ Attention() string } = (*Notification)(nil)
)
