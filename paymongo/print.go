package paymongo

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"

	"github.com/midhook/midhook/internal/redact"
)

// summary is what may be shown of an event anywhere.
func (e Event) summary() []slog.Attr {
	attrs := redact.Attrs(nil, "id", e.ID, "type", string(e.Type))
	attrs = append(attrs, slog.Bool("livemode", e.Livemode))
	return append(attrs, e.Resource.summary("resource_")...)
}

// summary is what may be shown of a resource anywhere.
func (r Resource) summary(prefix string) []slog.Attr {
	facts := r.facts()
	attrs := redact.Attrs(nil, prefix+"id", r.ID, prefix+"type", r.Type, "status", facts.Status)
	if centavos, ok := facts.amount(); ok {
		attrs = append(attrs, slog.Int64("amount", centavos))
	}
	return redact.Attrs(attrs, "currency", facts.Currency)
}

// LogValue shows ids, type, status and amount, nothing sensitive.
func (e *Event) LogValue() slog.Value {
	if e == nil {
		return slog.Value{}
	}
	return slog.GroupValue(e.summary()...)
}

// Format prints what LogValue shows, quoted, whatever the verb: %+v and %#v too.
func (e Event) Format(f fmt.State, _ rune) { redact.Format(f, e.summary()) }

// MarshalJSON gives what LogValue shows. To store an event, store [Event.Raw],
// which Parse reads again.
func (e Event) MarshalJSON() ([]byte, error) { return redact.JSON(e.summary()) }

// LogValue shows ids, status and amount, nothing sensitive.
func (r Resource) LogValue() slog.Value { return slog.GroupValue(r.summary("")...) }

// Format prints what LogValue shows, quoted, whatever the verb: %+v and %#v too.
func (r Resource) Format(f fmt.State, _ rune) { redact.Format(f, r.summary("")) }

// MarshalJSON gives what LogValue shows, which UnmarshalJSON refuses.
func (r Resource) MarshalJSON() ([]byte, error) { return redact.JSON(r.summary("")) }

// Attention says what a merchant should look at by himself, "" if nothing: every
// event of a dispute, a payout that was returned or failed, a refund that failed,
// and a subscription whose charge failed. The text holds nothing of the body.
func (e *Event) Attention() string {
	about, _, _ := strings.Cut(string(e.Type), ".")
	failed := strings.HasSuffix(string(e.Type), ".failed") || e.Resource.Status() == "failed"
	switch {
	case e.Type == EventTypeDisputeCreated:
		return "a customer disputes a payment: answer it before its deadline, or the money is lost"
	case about == "dispute":
		return "a disputed payment has changed: see whether the money is lost"
	case e.Type == EventTypePayoutReturned, about == "payout" && failed:
		return "a payout did not arrive: its money has come back"
	case (about == "refund" || e.Type == EventTypePaymentRefundUpdated) && failed:
		return "a refund failed: the customer has not got the money back"
	case e.Type == EventTypeSubscriptionInvoicePaymentFailed:
		return "the charge of a subscription failed"
	case e.Type == EventTypeSubscriptionPastDue, e.Type == EventTypeSubscriptionUnpaid:
		return "a subscription is due and not paid"
	}
	return ""
}

// Interface guards
var (
	_ slog.LogValuer                  = (*Event)(nil)
	_ fmt.Formatter                   = Event{}
	_ json.Marshaler                  = Event{}
	_ json.Unmarshaler                = (*Event)(nil)
	_ interface{ Attention() string } = (*Event)(nil)
	_ slog.LogValuer                  = Resource{}
	_ fmt.Formatter                   = Resource{}
	_ json.Marshaler                  = Resource{}
	_ json.Unmarshaler                = (*Resource)(nil)
)
