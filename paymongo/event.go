package paymongo

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/object"
)

// EventType says what has happened. PayMongo adds types at any time: one that
// has no constant here is handed on like the others.
type EventType string

// The types PayMongo documents.
const (
	EventTypePaymentPaid                        EventType = "payment.paid"
	EventTypePaymentFailed                      EventType = "payment.failed"
	EventTypePaymentRefunded                    EventType = "payment.refunded"
	EventTypePaymentRefundUpdated               EventType = "payment.refund.updated"
	EventTypeRefundSucceeded                    EventType = "refund.succeeded"
	EventTypePaymentIntentSucceeded             EventType = "payment_intent.succeeded"
	EventTypePaymentIntentAwaitingPaymentMethod EventType = "payment_intent.awaiting_payment_method"
	EventTypeCheckoutSessionPaymentPaid         EventType = "checkout_session.payment.paid"
	EventTypeLinkPaymentPaid                    EventType = "link.payment.paid"
	EventTypeSourceChargeable                   EventType = "source.chargeable"
	EventTypeQRPaid                             EventType = "qr.paid"
	EventTypeQRExpired                          EventType = "qr.expired"
	EventTypeQRPhExpired                        EventType = "qrph.expired"
	EventTypeDisputeCreated                     EventType = "dispute.created"
	EventTypeDisputeResolved                    EventType = "dispute.resolved"
	EventTypePayoutDeposited                    EventType = "payout.deposited"
	EventTypePayoutReturned                     EventType = "payout.returned"
	EventTypeSubscriptionActivated              EventType = "subscription.activated"
	EventTypeSubscriptionUpdated                EventType = "subscription.updated"
	EventTypeSubscriptionPastDue                EventType = "subscription.past_due"
	EventTypeSubscriptionUnpaid                 EventType = "subscription.unpaid"
	EventTypeSubscriptionInvoiceCreated         EventType = "subscription.invoice.created"
	EventTypeSubscriptionInvoiceFinalized       EventType = "subscription.invoice.finalized"
	EventTypeSubscriptionInvoiceUpdated         EventType = "subscription.invoice.updated"
	EventTypeSubscriptionInvoicePaid            EventType = "subscription.invoice.paid"
	EventTypeSubscriptionInvoicePaymentFailed   EventType = "subscription.invoice.payment_failed"
)

// Event is one event. Printed, logged or marshalled to JSON, it shows ids, type,
// status and amount only, so that no customer's data ends in a log or a browser;
// [Event.Raw] has everything.
type Event struct {
	ID   string // evt_…; an event that is sent again keeps it
	Type EventType

	// Livemode is false for an event of test mode, where nobody has paid anything.
	// Look at it before anything is shipped, in particular where the secret of a
	// test webhook is accepted beside that of a live one, see [WithSecret].
	Livemode bool

	CreatedAt time.Time // UTC; zero if the body does not say
	Resource  Resource  // what it happened to, as it was then

	raw string
}

// attributes are an event's data.attributes. Of what must be of one type, the
// JSON is kept, to see whether it is.
type attributes struct {
	Type      json.RawMessage `json:"type"`
	Livemode  json.RawMessage `json:"livemode"`
	CreatedAt int64           `json:"created_at"` // Unix seconds
	Resource  Resource        `json:"data"`
}

type data struct {
	ID         json.RawMessage `json:"id"`
	Type       string          `json:"type"` // always event
	Attributes attributes      `json:"attributes"`
}

type envelope struct {
	Data data `json:"data"`
}

var envelopeFields = object.TableOf[envelope]()

// Parse reads the body of an event. It does not check the signature; that is
// [Verify], or a [Gateway].
//
// Parse is strict where the signature or the identity depends on it: it returns
// an error that is [midhook.ErrMalformed] for anything but one JSON object, for a
// name given twice in any object of it, and unless data.id and
// data.attributes.type are non-empty strings and data.attributes.livemode is true
// or false. It is tolerant of everything else: what does not fit its field is left
// to [Event.Extra]. It refuses what MarshalJSON printed, which has
// no data. A body has the limits of [midhook.Parse].
func Parse(body []byte) (*Event, error) {
	raw := string(body)
	var env envelope
	if err := envelopeFields.Decode(body, raw, &env, nil); err != nil {
		return nil, fmt.Errorf("%w: %w", midhook.ErrMalformed, err)
	}
	attrs := env.Data.Attributes
	id, idOK := nonEmpty(env.Data.ID)
	eventType, typeOK := nonEmpty(attrs.Type)
	livemode := string(attrs.Livemode)
	switch {
	case !idOK:
		return nil, fmt.Errorf("%w: data.id must be a non-empty string", midhook.ErrMalformed)
	case !typeOK:
		return nil, fmt.Errorf("%w: data.attributes.type must be a non-empty string", midhook.ErrMalformed)
	case livemode != "true" && livemode != "false":
		return nil, fmt.Errorf("%w: data.attributes.livemode must be true or false", midhook.ErrMalformed)
	}
	e := &Event{
		ID:       id,
		Type:     EventType(eventType),
		Livemode: livemode == "true",
		Resource: attrs.Resource,
		raw:      raw,
	}
	if attrs.CreatedAt > 0 {
		e.CreatedAt = time.Unix(attrs.CreatedAt, 0).UTC()
	}
	return e, nil
}

// UnmarshalJSON is [Parse], and leaves e as it was where Parse fails. What
// MarshalJSON printed is refused, for it is not the body: a queue carries
// [Event.Raw].
func (e *Event) UnmarshalJSON(body []byte) error {
	if string(body) == "null" {
		return nil // as encoding/json asks for
	}
	parsed, err := Parse(body)
	if err == nil {
		*e = *parsed
	}
	return err
}

// nonEmpty reads a JSON string that must not be empty.
func nonEmpty(value json.RawMessage) (s string, ok bool) {
	s, ok = object.Text(value)
	return s, ok && s != ""
}

// Raw returns a copy of the body as received, nil for an Event that was not
// parsed. It holds the customer's data: keep it out of logs and answers.
func (e *Event) Raw() []byte {
	if e.raw == "" {
		return nil
	}
	return []byte(e.raw)
}

// Extra returns the JSON of a field of the event's attributes that no field of
// Event holds whole: one this version does not know, such as previous_data and
// pending_webhooks, or one of an unexpected type. It reads the body again each
// time.
func (e *Event) Extra(name string) (json []byte, ok bool) {
	return envelopeFields.Extra(e.raw, "data", "attributes", name)
}
