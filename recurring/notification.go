package recurring

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/object"
	"github.com/midhook/midhook/internal/redact"
)

// Kind tells what a [Notification] is about.
type Kind int

const (
	// Created is a subscription alone, as Midtrans sends it when it was created.
	// It says that the subscription exists and how it stands now, see
	// [Subscription].Status: whether Midtrans sends the same when a subscription is
	// changed or disabled is not documented.
	Created Kind = iota + 1
	// Charged is a charge that has a transaction. Whether money came in is for
	// [Notification.Paid] to say: it may be pending or denied.
	Charged
	// ChargeFailed is a charge that never became a transaction, so the API confirms
	// the subscription only. That the charge failed is no more than was notified,
	// and a stranger who knows the id of the subscription can say the same, even
	// before it is so: look at the subscription before anybody is cut off or written
	// to. A stranger who knows the subscription's token, too, can have Midtrans' own
	// taken for a duplicate: look at those that are due by yourself.
	ChargeFailed
)

// String is created, charged or charge_failed.
func (k Kind) String() string {
	switch k {
	case Created:
		return "created"
	case Charged:
		return "charged"
	case ChargeFailed:
		return "charge_failed"
	}
	return fmt.Sprintf("Kind(%d)", int(k))
}

// Notification is one notification about a subscription. What a handler gets is
// confirmed: its Subscription and Transaction are what Midtrans' API answered. What
// [Parse] returns is not, and proves nothing.
//
// Printed, logged or marshalled to JSON it shows ids, statuses and amounts only.
type Notification struct {
	Subscription Subscription
	Transaction  *midhook.Notification // nil unless Kind is Charged

	kind     Kind
	raw      string        // the body
	answer   string        // the API's, about the subscription; "" if unconfirmed
	notified *Notification // nil if unconfirmed
	failure  struct{ code, message string }
	wrapped  bool // raw has the subscription in a field of its own
	signed   bool // raw is a payment with a signature
	printed  bool // raw is no body, but what MarshalJSON gave
}

// Subscription is where a subscription stands. The fields are named after
// Midtrans' own.
//
// Printed, logged or marshalled to JSON it shows neither token nor name.
type Subscription struct {
	ID          string          `json:"id"`
	Name        string          `json:"name"`
	Amount      string          `json:"amount"` // of each charge, without decimals; see Hundredths
	Currency    string          `json:"currency"`
	Status      string          `json:"status"`       // active, inactive
	PaymentType string          `json:"payment_type"` // credit_card, gopay
	Token       string          `json:"token"`        // of the customer's card or account: as good as the card
	MerchantID  string          `json:"merchant_id"`
	CreatedAt   string          `json:"created_at"`
	Schedule    Schedule        `json:"schedule"`
	Metadata    json.RawMessage `json:"metadata"` // the merchant's own, any JSON

	// TransactionIDs are the transactions of the charges so far, transaction_ids in
	// the API's answer. It is nil where the API gave no list, and in what Parse returns.
	TransactionIDs []string
}

// Schedule says when a subscription is charged. Midtrans writes times in several
// ways, some without a zone, and does not say which one is meant then: they are
// left as they are.
type Schedule struct {
	Interval            int64  `json:"interval"`      // every so many units
	IntervalUnit        string `json:"interval_unit"` // day, week, month
	CurrentInterval     int64  `json:"current_interval"`
	MaxInterval         int64  `json:"max_interval"` // 0 for none
	StartTime           string `json:"start_time"`
	PreviousExecutionAt string `json:"previous_execution_at"`
	NextExecutionAt     string `json:"next_execution_at"`
}

// Hundredths is Amount, exact, in hundredths of the currency unit: "14000" and
// "14000.00" are 1400000. Any other shape is an error.
func (s Subscription) Hundredths() (int64, error) {
	if !strings.Contains(s.Amount, ".") {
		return midhook.ParseAmount(s.Amount + ".00")
	}
	return midhook.ParseAmount(s.Amount)
}

// envelope is the body of a charge.
type envelope struct {
	Transaction  midhook.Notification `json:"transaction"`
	Subscription Subscription         `json:"subscription"`
}

var (
	envelopeFields     = object.TableOf[envelope]()
	subscriptionFields = object.TableOf[Subscription]()
)

// Parse reads what a body claims, without asking anyone: the object of a
// subscription, a charge with its transaction, a failed charge whose
// transaction is a status_code and a status_message, or a signed payment with a
// subscription_id, whose Transaction is the whole body. All of it is unproven. A
// signed payment stays so until [Verify], and most of its fields do even then.
//
// It returns an error that is [midhook.ErrMalformed] for anything but one JSON
// object, for a name given twice, and for a subscription or transaction whose id
// is not of 1 to 64 letters, digits, hyphens and underscores, and for what
// MarshalJSON printed. It is tolerant of everything else. A body has the limits of
// [midhook.Parse].
func Parse(body []byte) (*Notification, error) {
	n := &Notification{raw: string(body)}
	var (
		e   envelope
		err error
	)
	if err := envelopeFields.Decode(body, n.raw, &e, n.recognise); err != nil {
		return nil, malformed(err)
	}
	switch {
	case n.printed:
		err = errors.New("it is what MarshalJSON prints, not the body")
	case n.wrapped:
		err = n.readCharge(&e)
	case n.signed:
		err = n.readPayment(body)
	default:
		n.kind = Created
		err = subscriptionFields.Decode(body, n.raw, &n.Subscription, nil)
	}
	switch {
	case errors.Is(err, midhook.ErrMalformed):
		return nil, err
	case err != nil:
		return nil, malformed(err)
	case !plausible(n.Subscription.ID):
		return nil, malformed(fmt.Errorf("%s must be 1 to 64 letters, digits, hyphens and underscores", n.idField()))
	}
	return n, nil
}

// UnmarshalJSON is [Parse], and leaves n as it was where Parse fails. What
// MarshalJSON printed is refused, for it is not the body: a queue carries
// [Notification.Raw]. As Parse's, the result is unconfirmed.
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

// UnmarshalJSON reads a subscription as Midtrans writes it, and leaves s as it was
// where it fails: for anything but one JSON object, for a name given twice, and where
// there is no id, as in what MarshalJSON printed.
func (s *Subscription) UnmarshalJSON(body []byte) error {
	if string(body) == "null" {
		return nil // as encoding/json asks for
	}
	var (
		read Subscription
		more answer
	)
	err := subscriptionFields.Decode(body, string(body), &read, nil)
	if err == nil {
		err = answerFields.Decode(body, string(body), &more, nil)
	}
	if err == nil && read.ID == "" {
		err = errors.New("a subscription must have an id, which MarshalJSON does not print under that name")
	}
	if err != nil {
		return malformed(err)
	}
	read.TransactionIDs = more.transactions()
	*s = read
	return nil
}

// recognise tells the shape of a body by its fields. Which one it is taken for
// decides only what is asked, not what is believed.
func (n *Notification) recognise(field string) {
	switch field {
	case redact.Mark:
		n.printed = true
	case "transaction", "subscription":
		n.wrapped = true
	case "signature_key", "subscription_id", "order_id", "gross_amount":
		n.signed = true
	}
}

func (n *Notification) idField() string {
	switch {
	case n.wrapped:
		return "subscription.id"
	case n.signed:
		return "subscription_id"
	}
	return "id"
}

func (n *Notification) readCharge(e *envelope) error {
	n.Subscription, n.signed = e.Subscription, false
	t := &e.Transaction
	switch {
	case plausible(t.TransactionID):
		n.kind, n.Transaction = Charged, t
	case t.TransactionID != "":
		return errors.New("transaction.transaction_id must be 1 to 64 letters, digits, hyphens and underscores")
	case isFailure(t.StatusCode):
		n.kind = ChargeFailed
		n.failure.code, n.failure.message = t.StatusCode, t.StatusMessage
	default:
		return errors.New("transaction must have a transaction_id, or the status_code of a failure")
	}
	return nil
}

func (n *Notification) readPayment(body []byte) (err error) {
	n.kind = Charged
	n.Transaction, err = midhook.Parse(body)
	if err != nil {
		return err
	}
	n.Subscription.ID = n.Transaction.SubscriptionID
	if !plausible(n.Transaction.TransactionID) {
		return errors.New("transaction_id must be 1 to 64 letters, digits, hyphens and underscores")
	}
	return nil
}

func malformed(err error) error { return fmt.Errorf("%w: %w", midhook.ErrMalformed, err) }

// plausible reports whether an id may be asked for. Midtrans' are UUIDs, usually.
func plausible(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	return !strings.ContainsFunc(id, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '-' && r != '_'
	})
}

// isFailure reports whether a status_code is one: 411, 402 and 500 are
// documented.
func isFailure(code string) bool {
	return len(code) == 3 && strings.Trim(code, "0123456789") == "" && code[0] != '2'
}

// Kind tells what the notification is about.
func (n *Notification) Kind() Kind { return n.kind }

// Paid reports whether the notification is of a charge whose money is the
// merchant's, by the API's word. Compare [midhook.Notification.Amount] of its
// Transaction with your own record, and count each TransactionID once: it is paid
// when it is captured and when it is settled, and anyone who knows the ids can have
// it said again. It is false for what [Parse] returns.
func (n *Notification) Paid() bool {
	return n.Confirmed() && n.Transaction != nil && n.Transaction.Paid()
}

// Failure returns the status_code and the status_message of a failed charge as
// they were notified: 411 for an invalid token, 402, 500. No API confirms them. Both
// are empty for any other kind.
func (n *Notification) Failure() (code, message string) {
	claimed := n.Notified()
	return claimed.failure.code, claimed.failure.message
}

// Confirmed reports whether the facts are the API's.
func (n *Notification) Confirmed() bool { return n.notified != nil }

// Notified returns the notification as it was received: what anyone could have
// written. It is n itself where nothing was confirmed.
func (n *Notification) Notified() *Notification { return cmp.Or(n.notified, n) }

// Raw returns a copy of the body as received: unproven, and with the customer's
// token in it. Keep it out of logs and answers.
func (n *Notification) Raw() []byte {
	if n.raw == "" {
		return nil
	}
	return []byte(n.raw)
}

// Extra returns the JSON of a field of the subscription that no field of
// [Subscription] holds whole, such as customer_details: of the API's answer where
// the notification is confirmed, and otherwise of the body.
func (n *Notification) Extra(name string) (json []byte, ok bool) {
	switch {
	case n.Confirmed():
		return subscriptionFields.Extra(n.answer, name)
	case n.wrapped:
		return envelopeFields.Extra(n.raw, "subscription", name)
	case n.signed:
		return nil, false
	}
	return subscriptionFields.Extra(n.raw, name)
}
