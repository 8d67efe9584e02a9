package paymongo

import (
	"fmt"
	"log/slog"

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

// MarshalJSON gives what LogValue shows.
func (r Resource) MarshalJSON() ([]byte, error) { return redact.JSON(r.summary("")) }
