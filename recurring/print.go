package recurring

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/midhook/midhook/internal/redact"
)

// summary is what may be shown of a subscription anywhere.
func (s Subscription) summary() []slog.Attr {
	attrs := redact.Attrs(nil,
		"subscription_id", s.ID,
		"subscription_status", s.Status,
		"amount", s.Amount,
		"currency", s.Currency,
		"payment_type", s.PaymentType,
	)
	if s.Schedule.CurrentInterval != 0 {
		attrs = append(attrs, slog.Int64("current_interval", s.Schedule.CurrentInterval))
	}
	return attrs
}

// summary is what may be shown of a notification anywhere.
func (n *Notification) summary() []slog.Attr {
	attrs := []slog.Attr{
		slog.String("kind", n.kind.String()),
		slog.String("confirmed", strconv.FormatBool(n.Confirmed())),
	}
	attrs = append(attrs, n.Subscription.summary()...)
	code, _ := n.Failure()
	attrs = redact.Attrs(attrs, "notified_status_code", code)
	t := n.Transaction
	if t == nil {
		return attrs
	}
	return redact.Attrs(attrs,
		"order_id", t.OrderID,
		"transaction_id", t.TransactionID,
		"transaction_status", string(t.TransactionStatus),
		"fraud_status", string(t.FraudStatus),
		"status_code", t.StatusCode,
		"gross_amount", t.GrossAmount,
		"refund_amount", t.RefundAmount,
	)
}

// LogValue shows ids, statuses and amounts, nothing sensitive.
func (n *Notification) LogValue() slog.Value {
	if n == nil {
		return slog.Value{}
	}
	return slog.GroupValue(n.summary()...)
}

// Format prints what LogValue shows, quoted, whatever the verb: %+v and %#v too.
func (n Notification) Format(f fmt.State, _ rune) { redact.Format(f, n.summary()) }

// MarshalJSON gives what LogValue shows, and a mark by which Parse refuses it. To keep a notification, keep
// [Notification.Raw] where tokens may be kept.
func (n Notification) MarshalJSON() ([]byte, error) { return redact.MarkedJSON(n.summary()) }

// LogValue shows id, status and amount, nothing sensitive.
func (s Subscription) LogValue() slog.Value { return slog.GroupValue(s.summary()...) }

// Format prints what LogValue shows, quoted, whatever the verb.
func (s Subscription) Format(f fmt.State, _ rune) { redact.Format(f, s.summary()) }

// MarshalJSON gives what LogValue shows, which UnmarshalJSON refuses.
func (s Subscription) MarshalJSON() ([]byte, error) { return redact.JSON(s.summary()) }

// Attention says what a merchant should look at by himself, "" if nothing: a charge
// that failed, a subscription that does not charge any more, and what the
// transaction of a charge says by itself, such as a chargeback. The text holds
// nothing of the body.
func (n *Notification) Attention() string {
	switch n.kind {
	case ChargeFailed:
		return "the charge of a subscription is said to have failed: look at the subscription, for nothing proves it"
	case Created:
		if n.Confirmed() && n.Subscription.Status == "inactive" {
			return "the subscription is inactive: its charges have stopped"
		}
	case Charged:
		if t, ok := any(n.Transaction).(interface{ Attention() string }); ok && n.Transaction != nil {
			return t.Attention()
		}
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
	_ slog.LogValuer                  = Subscription{}
	_ fmt.Formatter                   = Subscription{}
	_ json.Marshaler                  = Subscription{}
	_ json.Unmarshaler                = (*Subscription)(nil)
)
