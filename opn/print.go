package opn

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/midhook/midhook/internal/redact"
)

// summary is what may be shown of an event anywhere.
func (e *Event) summary() []slog.Attr {
	attrs := redact.Attrs(nil, "id", e.ID, "key", string(e.Key))
	attrs = append(attrs, slog.Bool("livemode", e.Livemode))
	c := e.content()
	if _, err := strconv.ParseInt(c.Amount, 10, 64); err != nil {
		c.Amount = ""
	}
	if strings.HasPrefix(c.ID, "tokn_") || c.Object == "token" {
		c.ID = "" // with a card's token its holder can be charged
	}
	return redact.Attrs(attrs,
		"data_object", c.Object,
		"data_id", c.ID,
		"status", c.Status,
		"amount", c.Amount,
		"currency", c.Currency,
	)
}

// LogValue shows ids, key, status and amount, nothing sensitive.
func (e *Event) LogValue() slog.Value {
	if e == nil {
		return slog.Value{}
	}
	return slog.GroupValue(e.summary()...)
}

// Format prints what LogValue shows, quoted, whatever the verb: %+v and %#v too.
func (e Event) Format(f fmt.State, _ rune) { redact.Format(f, e.summary()) }

// MarshalJSON gives what LogValue shows, and a mark by which Parse refuses it. To
// store an event, store [Event.Raw], which Parse reads again.
func (e Event) MarshalJSON() ([]byte, error) { return redact.MarkedJSON(e.summary()) }

// Attention says what a merchant should look at by himself, "" if nothing: every
// event of a dispute, a transfer that failed, a recipient that was deactivated, a
// schedule that ends or is suspended, and a refund that failed. The text holds
// nothing of the body.
func (e *Event) Attention() string {
	switch {
	case e.Key == KeyDisputeCreate:
		return "a customer disputes a charge: answer it before its deadline, or the money is lost"
	case strings.HasPrefix(string(e.Key), "dispute."):
		return "a disputed charge has changed: see whether the money is lost"
	case e.Key == KeyTransferFail:
		return "a transfer to a bank account failed"
	case e.Key == KeyRecipientDeactivate:
		return "a recipient was deactivated: transfers to it fail"
	case e.Key == KeyScheduleSuspend:
		return "a schedule was suspended: its charges have stopped"
	case e.Key == KeyScheduleExpiring:
		return "a schedule is about to expire: its charges will stop"
	case strings.HasPrefix(string(e.Key), "refund.") && e.content().Status == "failed":
		return "a refund failed: the customer has not got the money back"
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
)
