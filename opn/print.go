package opn

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/midhook/midhook/internal/redact"
)

// summary is what may be shown of an event anywhere.
func (e *Event) summary() []slog.Attr {
	attrs := []slog.Attr{
		slog.String("id", e.ID),
		slog.String("key", string(e.Key)),
		slog.Bool("livemode", e.Livemode),
	}
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

// MarshalJSON gives what LogValue shows. To store an event, store [Event.Raw],
// which Parse reads again.
func (e Event) MarshalJSON() ([]byte, error) { return redact.JSON(e.summary()) }
