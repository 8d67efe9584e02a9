package opn

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/object"
	"github.com/midhook/midhook/internal/redact"
)

// Key says what has happened, such as charge.complete. Opn may add keys: an
// unknown one is handed on like any other.
type Key string

// The keys Opn documents.
const (
	KeyCardDestroy         Key = "card.destroy"
	KeyCardUpdate          Key = "card.update"
	KeyChargeCapture       Key = "charge.capture"
	KeyChargeComplete      Key = "charge.complete" // it has succeeded or failed; not sent for every charge
	KeyChargeCreate        Key = "charge.create"   // the only one for some card charges
	KeyChargeExpire        Key = "charge.expire"
	KeyChargeReverse       Key = "charge.reverse"
	KeyChargeUpdate        Key = "charge.update"
	KeyCustomerCreate      Key = "customer.create"
	KeyCustomerDestroy     Key = "customer.destroy"
	KeyCustomerUpdate      Key = "customer.update"
	KeyCustomerUpdateCard  Key = "customer.update.card"
	KeyDisputeAccept       Key = "dispute.accept"
	KeyDisputeClose        Key = "dispute.close"
	KeyDisputeCreate       Key = "dispute.create"
	KeyDisputeUpdate       Key = "dispute.update"
	KeyLinkCreate          Key = "link.create"
	KeyRecipientActivate   Key = "recipient.activate"
	KeyRecipientCreate     Key = "recipient.create"
	KeyRecipientDeactivate Key = "recipient.deactivate"
	KeyRecipientDestroy    Key = "recipient.destroy"
	KeyRecipientUpdate     Key = "recipient.update"
	KeyRecipientVerify     Key = "recipient.verify"
	KeyRefundCreate        Key = "refund.create"
	KeyScheduleCreate      Key = "schedule.create"
	KeyScheduleDestroy     Key = "schedule.destroy"
	KeyScheduleExpire      Key = "schedule.expire"
	KeyScheduleExpiring    Key = "schedule.expiring"
	KeyScheduleSuspend     Key = "schedule.suspend"
	KeyTransferCreate      Key = "transfer.create"
	KeyTransferDestroy     Key = "transfer.destroy"
	KeyTransferFail        Key = "transfer.fail"
	KeyTransferPay         Key = "transfer.pay"
	KeyTransferSend        Key = "transfer.send"
	KeyTransferUpdate      Key = "transfer.update"
)

// Event is one event, delivered or listed by the events API. All of a delivered
// one is signed.
//
// Printed, logged or marshalled to JSON, an Event shows ids, key, status and
// amount only, so that no customer's data ends in a log or a browser; [Event.Raw]
// and Data have everything.
type Event struct {
	ID        string
	Key       Key
	Livemode  bool      // false for test mode, where payments are free, and where the body does not say true
	CreatedAt time.Time // zero if the body has none that can be read

	// Data is what the event is about, a charge for charge.complete, as it was
	// then and in the API version that was then the account's. It is nil if the body
	// has none, and can be any JSON: see DataObject, Deleted and Decode.
	Data json.RawMessage

	raw string
}

// fields are those of an Event in its body.
type fields struct {
	ID        []byte `json:"id"` // JSON, to tell a string from a number
	Key       []byte `json:"key"`
	Livemode  bool   `json:"livemode"`
	CreatedAt string `json:"created_at"`
	Created   string `json:"created"` // the same, in older API versions
	Data      []byte `json:"data"`
}

var eventFields = object.TableOf[fields]()

// Parse reads the body of a delivery, or an event of the events API. It does not
// check the signature; that is [Verify].
//
// It returns an error that is [midhook.ErrMalformed] for anything but one JSON
// object, for a name given twice, and where id or key is not a string or is blank.
// It is tolerant of everything else: data may be missing, null, or of a kind this
// version does not know. It refuses what MarshalJSON printed. A body has the limits of
// [midhook.Parse].
func Parse(body []byte) (*Event, error) {
	e := &Event{raw: string(body)}
	var f fields
	printed := false
	member := func(name string) { printed = printed || name == redact.Mark }
	if err := eventFields.Decode(body, e.raw, &f, member); err != nil {
		return nil, fmt.Errorf("%w: %w", midhook.ErrMalformed, err)
	}
	if printed {
		return nil, fmt.Errorf("%w: it is what MarshalJSON prints, not the body", midhook.ErrMalformed)
	}
	e.ID, _ = object.Text(f.ID)
	key, _ := object.Text(f.Key)
	e.Key, e.Livemode, e.Data = Key(key), f.Livemode, f.Data
	switch {
	case strings.TrimSpace(e.ID) == "":
		return nil, fmt.Errorf("%w: id must be a non-empty string", midhook.ErrMalformed)
	case strings.TrimSpace(string(e.Key)) == "":
		return nil, fmt.Errorf("%w: key must be a non-empty string", midhook.ErrMalformed)
	}
	if t, err := time.Parse(time.RFC3339, cmp.Or(f.CreatedAt, f.Created)); err == nil {
		e.CreatedAt = t
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

// content is what this package reads of an event's data.
type content struct {
	Object   string `json:"object"`
	ID       string `json:"id"`
	Deleted  bool   `json:"deleted"`
	Status   string `json:"status"`
	Amount   string `json:"amount"`
	Currency string `json:"currency"`
}

var contentFields = object.TableOf[content]()

func (e *Event) content() content {
	var c content
	if err := contentFields.Decode(e.Data, string(e.Data), &c, nil); err != nil {
		return content{} // none, or no object
	}
	return c
}

// DataObject tells what the event is about: the kind of object, such as "charge",
// and its id. Either is "" if Data does not say. It reads Data again each time.
func (e *Event) DataObject() (object, id string) {
	c := e.content()
	return c.Object, c.ID
}

// Deleted reports whether Data is what is left of a deleted object: its id and
// little else. It reads Data again each time.
func (e *Event) Deleted() bool { return e.content().Deleted }

// Decode unmarshals Data into what v points to, as [json.Unmarshal] does. It
// returns an error if there is no data, or v cannot hold it, whose text quotes
// nothing of the data.
func (e *Event) Decode(v any) error {
	if len(e.Data) == 0 {
		return errors.New("opn: the event has no data")
	}
	err := json.Unmarshal(e.Data, v)
	if err == nil {
		return nil
	}
	if mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && mismatch.Field != "" {
		return fmt.Errorf("opn: the event's data does not fit a %T: %s is no %v", v, mismatch.Field, mismatch.Type)
	}
	if invalid, ok := errors.AsType[*json.InvalidUnmarshalError](err); ok {
		return fmt.Errorf("opn: %w", invalid)
	}
	return fmt.Errorf("opn: the event's data does not fit a %T", v)
}

// Raw returns a copy of the body as received, nil for an Event that was not
// parsed. It holds the customer's data: keep it out of logs and answers.
func (e *Event) Raw() []byte {
	if e.raw == "" {
		return nil
	}
	return []byte(e.raw)
}

// Extra returns the JSON of a top-level field of the body that no field of Event
// holds: one this version does not know, or one of an unexpected type. It reads
// the body again each time.
func (e *Event) Extra(name string) (json []byte, ok bool) { return eventFields.Extra(e.raw, name) }
