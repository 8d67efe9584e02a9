package recurring

import (
	"crypto/subtle"
	"strconv"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/identity"
)

// IdempotencyKey names the event, by what the API said of it: the same for every
// delivery of one event. No other event has it, and it differs from
// [midhook.Notification.IdempotencyKey] of the same transaction. It is 64
// hexadecimal digits and stays the same in later versions. It is empty for what
// [Parse] returns.
//
// A charge is the subscription's id and the event of its transaction, whichever
// shape it was notified in. A creation is the subscription's id, status, amount,
// currency, payment type and interval, so that it is handed on again when one of
// these has changed, and when it has changed back. A failed charge is the subscription's id, its status, what its
// schedule says of the past and the next charge, the number of its transactions,
// whether the notified status_code is 402, 411, 500 or another, and whether the body
// has the token that the API has: Midtrans tries a failed charge again, and what it
// notifies of attempts between which nothing of that changed is one event. A
// stranger's bodies, too, are no more events than that, for as long as the store
// remembers them; without the token they are none that Midtrans' own could be.
func (n *Notification) IdempotencyKey() string {
	if !n.Confirmed() {
		return ""
	}
	s := n.Subscription
	number := func(i int64) string { return strconv.FormatInt(i, 10) }
	switch n.kind {
	case Charged:
		return identity.Digest("recurring", "charged", s.ID, n.Transaction.IdempotencyKey())
	case Created:
		return identity.Digest("recurring", "created", s.ID, s.Status, s.Amount, s.Currency, s.PaymentType,
			number(s.Schedule.Interval), s.Schedule.IntervalUnit)
	default:
		return identity.Digest("recurring", "charge_failed", s.ID, s.Status, number(s.Schedule.CurrentInterval),
			s.Schedule.PreviousExecutionAt, s.Schedule.NextExecutionAt, strconv.Itoa(len(s.TransactionIDs)),
			n.failureClass(), n.tokenClass())
	}
}

// tokenClass keeps a stranger, who does not know the token of the customer's card or
// account, from making up the event that Midtrans notifies of: his is another one, so
// that Midtrans' own is not taken for its duplicate.
func (n *Notification) tokenClass() string {
	notified, stored := n.Notified().Subscription.Token, n.Subscription.Token
	if stored != "" && subtle.ConstantTimeCompare([]byte(notified), []byte(stored)) == 1 {
		return "token"
	}
	return ""
}

// failureClass keeps a stranger from making an event of every number.
func (n *Notification) failureClass() string {
	switch code, _ := n.Failure(); code {
	case "402", "411", "500":
		return code
	}
	return "other"
}

// message is what the pipeline is to know of a confirmed notification. The events
// of one transaction are in the order of payments: a pending after the settlement
// is superseded. What a subscription alone says alternates: it can be disabled and
// enabled again.
func (n *Notification) message(keyLabel string) midhook.Message {
	msg := midhook.Message{Value: n, Key: n.IdempotencyKey(), KeyLabel: keyLabel}
	switch n.kind {
	case Charged:
		payment := n.Transaction.Message(keyLabel)
		msg.Subject = identity.Digest("recurring", n.Subscription.ID, payment.Subject)
		msg.Stage = payment.Stage
	case Created:
		msg.Subject = identity.Digest("recurring", "created", n.Subscription.ID)
		msg.Alternates = true
	}
	return msg
}
