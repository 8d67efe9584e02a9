package payout

import (
	"fmt"
	"strings"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/object"
	"github.com/midhook/midhook/internal/redact"
)

// Kind tells apart what Midtrans notifies to the URL for payouts.
type Kind int

const (
	// Payout is a change of a payout.
	Payout Kind = iota + 1
	// TopUp is money that was added to the merchant's own balance.
	TopUp
)

// Status is where a payout stands. [Parse] lower-cases it. Midtrans may add
// statuses: they are handed on; treat an unknown one as neither paid nor failed.
type Status string

// The statuses Midtrans documents.
const (
	StatusApproved  Status = "approved"  // by the merchant's approver
	StatusRejected  Status = "rejected"  // by the merchant's approver
	StatusProcessed Status = "processed" // "sent to the bank and completed", says Midtrans: it may be the last
	StatusCompleted Status = "completed" // received by the beneficiary's account; may fail later
	StatusFailed    Status = "failed"    // it did not go through, or the bank has returned the money
	StatusTopUp     Status = "topup"     // of a top-up, the only one
)

// Notification is one notification, the fields named after Midtrans' own. A field
// is empty when the body has none, and [Notification.Extra] finds what has no
// field here. All of the body is signed.
//
// Printed, logged or marshalled to JSON, a Notification shows ids, status, amount
// and the time of the status only: error_message may name the beneficiary.
// [Notification.Raw] has everything.
type Notification struct {
	ReferenceNo  string `json:"reference_no,omitempty"`
	Amount       string `json:"amount,omitempty"` // rupiah, see Hundredths
	Status       Status `json:"status,omitempty"`
	UpdatedAt    string `json:"updated_at,omitempty"`    // of the status, ISO 8601
	ErrorCode    string `json:"error_code,omitempty"`    // why the payout failed
	ErrorMessage string `json:"error_message,omitempty"` // may name the beneficiary

	// Top-ups.
	TransactionID   string `json:"transaction_id,omitempty"`
	OrderID         string `json:"order_id,omitempty"`
	GrossAmount     string `json:"gross_amount,omitempty"`     // rupiah, see Hundredths
	TransactionTime string `json:"transaction_time,omitempty"` // ISO 8601

	raw string
}

// notificationFields finds the fields of a Notification by their JSON names.
var notificationFields = object.TableOf[Notification]()

// Parse reads the body of a notification. It does not check the signature; that
// is [Verify].
//
// Parse is strict where two events could be taken for one: it returns an error
// that is [midhook.ErrMalformed] for anything but one JSON object, for a name given
// twice, for a missing or empty status, a payout without reference_no, a top-up
// with neither transaction_id nor order_id, and where one of these or updated_at is
// neither string nor number. updated_at may be missing. It is tolerant of
// everything else: what does not fit its field is left to [Notification.Extra], and
// an amount is checked by [Notification.Hundredths]. It refuses what MarshalJSON
// printed. A body has the limits of [midhook.Parse].
func Parse(body []byte) (*Notification, error) {
	n := &Notification{raw: string(body)}
	var given []string
	printed := false
	member := func(name string) {
		printed = printed || name == redact.Mark
		if _, ok := n.identifying(name); ok {
			given = append(given, name)
		}
	}
	if err := notificationFields.Decode(body, n.raw, n, member); err != nil {
		return nil, fmt.Errorf("%w: %w", midhook.ErrMalformed, err)
	}
	if printed {
		return nil, fmt.Errorf("%w: it is what MarshalJSON prints, not the body", midhook.ErrMalformed)
	}
	n.Status = Status(strings.ToLower(string(n.Status)))
	for _, name := range given {
		if err := n.checkType(name); err != nil {
			return nil, err
		}
	}
	if err := n.checkIdentity(); err != nil {
		return nil, err
	}
	return n, nil
}

// UnmarshalJSON is [Parse], and leaves n as it was where Parse fails. What
// MarshalJSON printed is refused, for it is not the body: a queue carries
// [Notification.Raw].
func (n *Notification) UnmarshalJSON(body []byte) error {
	if string(body) == "null" {
		return nil // as encoding/json asks for
	}
	parsed, err := Parse(body)
	if err == nil {
		*n = *parsed
	}
	return err
}

// identifying returns the value of a field that tells events apart.
func (n *Notification) identifying(name string) (value string, ok bool) {
	switch name {
	case "reference_no":
		return n.ReferenceNo, true
	case "status":
		return string(n.Status), true
	case "updated_at":
		return n.UpdatedAt, true
	case "transaction_id":
		return n.TransactionID, true
	case "order_id":
		return n.OrderID, true
	}
	return "", false
}

// checkType refuses a field that tells events apart and that could not be read.
// Left out, it would make one event of two.
func (n *Notification) checkType(name string) error {
	if value, _ := n.identifying(name); value != "" {
		return nil
	}
	if _, unread := n.Extra(name); unread {
		return fmt.Errorf("%w: %s must be a string", midhook.ErrMalformed, name)
	}
	return nil
}

// checkIdentity makes sure that the notification says what it is about.
func (n *Notification) checkIdentity() error {
	switch {
	case n.Status == "":
		return fmt.Errorf("%w: status must be a non-empty string", midhook.ErrMalformed)
	case n.Kind() == Payout && n.ReferenceNo == "":
		return fmt.Errorf("%w: reference_no must be a non-empty string", midhook.ErrMalformed)
	case n.Kind() == TopUp && n.TransactionID == "" && n.OrderID == "":
		return fmt.Errorf("%w: transaction_id or order_id must be a non-empty string", midhook.ErrMalformed)
	}
	return nil
}

// Kind tells a payout from a top-up: by the status, and where that is unknown by
// the ids that the notification has. A TopUp of another status than [StatusTopUp]
// is not known to have added money.
func (n *Notification) Kind() Kind {
	hasIDs := n.ReferenceNo == "" && (n.TransactionID != "" || n.OrderID != "")
	if n.Status.is(StatusTopUp) || n.Status.stage() == 0 && hasIDs {
		return TopUp
	}
	return Payout
}

func (s Status) is(other Status) bool { return strings.ToLower(string(s)) == string(other) }

// Raw returns a copy of the body as received, nil for a Notification that was not
// parsed. It may name the beneficiary: keep it out of logs and answers.
func (n *Notification) Raw() []byte {
	if n.raw == "" {
		return nil
	}
	return []byte(n.raw)
}

// Extra returns the JSON of a top-level field of the body that no field of
// Notification holds: one this version does not know, or one of an unexpected
// type. It reads the body again each time.
func (n *Notification) Extra(name string) (json []byte, ok bool) {
	return notificationFields.Extra(n.raw, name)
}
