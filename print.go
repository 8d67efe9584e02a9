package midhook

import (
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/midhook/midhook/internal/redact"
)

// summary is what may be shown of a notification anywhere.
func (n *Notification) summary() []slog.Attr {
	attrs := make([]slog.Attr, 0, 12)
	return redact.Attrs(attrs,
		"order_id", n.OrderID,
		"transaction_id", n.TransactionID,
		"account_id", n.AccountID,
		"account_status", n.AccountStatus,
		"transaction_status", string(n.TransactionStatus),
		"fraud_status", string(n.FraudStatus),
		"status_code", n.StatusCode,
		"payment_type", n.PaymentType,
		"gross_amount", n.GrossAmount,
		"currency", n.Currency,
		"refund_amount", n.RefundAmount,
	)
}

// LogValue shows ids, statuses and amount, nothing sensitive.
func (n *Notification) LogValue() slog.Value {
	if n == nil {
		return slog.Value{}
	}
	return slog.GroupValue(n.summary()...)
}

// Format prints what LogValue shows, quoted, whatever the verb: %+v and %#v too.
func (n Notification) Format(f fmt.State, _ rune) { redact.Format(f, n.summary()) }

// MarshalJSON gives what LogValue shows. To store a notification or to put it into a
// queue, keep [Notification.Raw], which [Parse] reads again.
func (n Notification) MarshalJSON() ([]byte, error) { return redact.JSON(n.summary()) }

// UnmarshalJSON is [Parse], for what [Notification.Raw] returns. It refuses what
// MarshalJSON printed, which is a husk: without its signature_key, and without what
// tells one refund from another.
func (n *Notification) UnmarshalJSON(body []byte) error {
	if string(body) == "null" {
		return nil // as encoding/json asks for
	}
	parsed, err := Parse(body)
	if err != nil {
		return err
	}
	if parsed.SignatureKey == "" {
		return fmt.Errorf("%w: it has no signature_key: %w", ErrMalformed, redact.ErrPrinted)
	}
	*n = *parsed
	return nil
}

// Attention says what a merchant should look at in a notification that is neither
// forged nor a failure, "" if nothing. The log has it.
func (n *Notification) Attention() string {
	switch {
	case n.fraud(FraudChallenge):
		return "fraud screening challenges the payment: accept or deny it"
	case n.fraud(FraudDeny):
		return "fraud screening denied the payment"
	case n.is(StatusDeny) && n.reversible():
		return "the bank may have reversed a settled payment"
	case n.is(StatusChargeback) || n.is(StatusPartialChargeback):
		return "the customer's bank charged the payment back"
	case n.alsoPaid:
		return "the order has another paid transaction, too, and the status API does not say whose this one is: look at both"
	}
	return ""
}

// reversible tells the methods whose settlement the bank may take back, with a
// deny. A customer pays these at the bank or the store, where nothing is denied
// before it is paid.
func (n *Notification) reversible() bool {
	return n.SettlementTime != "" || n.PermataVANumber != "" || n.PaymentType == "echannel" || n.PaymentType == "cstore"
}

// Interface guards
var (
	_ fmt.Formatter    = Notification{}
	_ json.Marshaler   = Notification{}
	_ json.Unmarshaler = (*Notification)(nil)
	_ slog.LogValuer   = (*Notification)(nil)
)
