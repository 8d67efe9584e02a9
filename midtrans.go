package midhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unsafe"

	"github.com/midhook/midhook/internal/api"
	"github.com/midhook/midhook/internal/secret"
)

// midtrans is the gateway of Midtrans' payment and Pay Account notifications.
type midtrans struct{ keys secret.List }

// testOrder begins the order_id of the notification that Midtrans' dashboard
// sends on demand.
const testOrder = "payment_notif_test_"

// Open keeps body without copying it: the pipeline, which alone calls it, has read body
// for this delivery only, writes to it no more, and lets a handler read it but not reach
// it, see bodyReader.
func (g midtrans) Open(_ http.Header, body []byte) (msg Message, err error) {
	n, err := parse(body, unsafe.String(unsafe.SliceData(body), len(body)))
	if err != nil {
		return msg, err
	}
	label, ok := g.keys.Match(n.signedBy)
	if !ok {
		return msg, ErrSignature
	}
	msg = n.Message(label)
	if n.overclaims() {
		return msg, ErrUnconfirmed
	}
	return msg, nil
}

func (midtrans) Name() string { return "midtrans" }

func (midtrans) Answer(o Outcome) (status int, contentType, body string) { return PlainAnswer(o) }

// Message is what the pipeline is to know of n, for a [Gateway] of one's own whose
// bodies are Midtrans' notifications. It does not verify n.
func (n *Notification) Message(keyLabel string) Message {
	return Message{
		Value:      n,
		Key:        n.IdempotencyKey(),
		Subject:    n.PaymentKey(),
		Stage:      n.stage(),
		Alternates: n.Kind() == PayAccount,
		KeyLabel:   keyLabel,
		Test:       strings.HasPrefix(n.OrderID, testOrder),
	}
}

// FromContext returns the notification that a handler under [Middleware] is to
// handle. It is shared with the observer and the log: do not change it.
func FromContext(ctx context.Context) (*Notification, bool) { return Value[*Notification](ctx) }

// Reconcile asks the status API about a transaction (by transaction_id or
// order_id) whose notification did not come, and hands its status to next as if
// it had: once, whether a notification comes before, after or at the same time.
// It needs [WithStatusCheck]. Ask by order_id where the customer may have paid by
// DANA or by a virtual account of Danamon, BSI, Seabank or Saqu.
//
// next gets its request from [Middleware.HandleMessage], with the API's answer for a
// body. The errors are those of HandleMessage and of [StatusClient.Get], and
// [ErrUnknownOrder] where the API does not say the order and id is not the order's.
func (m *Middleware) Reconcile(ctx context.Context, id string, next http.Handler) error {
	if m.must().midtrans == nil || m.must().midtrans.status == nil {
		return errors.New("midhook: Reconcile needs WithStatusCheck")
	}
	if next == nil {
		return errNoHandler
	}
	n, err := m.must().midtrans.status.Get(ctx, id)
	if err != nil {
		return fmt.Errorf("midhook: reconcile: %w", err)
	}
	if n.OrderID == n.TransactionID {
		return fmt.Errorf("midhook: reconcile: %w: the status API tells the order of this transaction only to who asks by order_id", ErrUnknownOrder)
	}
	return m.HandleMessage(ctx, n.Message(""), n.Raw(), next)
}

// midtransSettings are of the options that speak of Midtrans' notifications.
type midtransSettings struct {
	keys   secret.List
	status *StatusClient // nil: signatures are enough
	expect check         // nil: any order and amount
}

// forMidtrans is an option that [NewFor] refuses.
func forMidtrans(name string, set func(*midtransSettings) error) Option {
	return func(s *settings) error {
		if s.midtrans == nil {
			return fmt.Errorf("%s: the option is for Midtrans' notifications, of New", name)
		}
		return set(s.midtrans)
	}
}

// checkEnvironment refuses a status client that asks another environment than the one
// that New's key belongs to: it would know none of the payments.
func (s *midtransSettings) checkEnvironment(serverKey string) error {
	if s.status == nil || s.status.usable() != nil {
		return nil
	}
	keys, client := api.MidtransBase(serverKey), s.status.environment()
	if keys != "" && client != "" && keys != client {
		return fmt.Errorf("status check: the client asks %s, but the server key is of %s", client, keys)
	}
	return nil
}

// forgeryHint says what is most likely wrong when the first signature does not match.
func (g midtrans) forgeryHint() string {
	var keys []string
	for _, key := range g.keys {
		environment := "of an unknown environment"
		switch api.MidtransBase(key.Value.Reveal()) {
		case api.Sandbox:
			environment = "sandbox"
		case api.Production:
			environment = "production"
		}
		keys = append(keys, fmt.Sprintf("%q (%s)", key.Label, environment))
	}
	return "a stranger, or a wrong key of your own: the configured keys are " + strings.Join(keys, ", ") + "; `midhook verify` tells whether one of them signed a body"
}

// checks are in the order in which they take place.
func (s *midtransSettings) checks() (checks []namedCheck) {
	if s != nil && s.status != nil {
		checks = append(checks, namedCheck{"confirmation", s.status.confirm})
	}
	if s != nil && s.expect != nil {
		checks = append(checks, namedCheck{"expectation", s.expect})
	}
	return checks
}

// WithServerKey adds one more accepted key: the next one during a rotation,
// sandbox beside production, another merchant's. The label of the key that
// matched is [Event].KeyLabel; the key of [New] has the label "default".
//
// Each key can sign every notification: take a retired key out, and never
// accept a sandbox key where goods are shipped, for a sandbox payment is free.
func WithServerKey(label, key string) Option {
	return forMidtrans("server key", func(s *midtransSettings) error {
		return s.keys.Add("server key", label, key, checkServerKey)
	})
}

// WithStatusCheck asks Midtrans' status API about each verified notification,
// before the handler sees it. Midtrans' signature covers order_id, status_code
// and gross_amount only: whoever has one signed body of yours can turn a refund
// or a cancellation into a settlement that verifies. With this option the handler
// gets the API's facts ([Notification.Confirmed]), and what contradicts them is
// answered 403.
//
// If the API says something later than the notification did (settlement for a
// capture), the handler runs for the later one, and not again when its own
// notification comes. A settlement or an accepted capture that was refunded or
// charged back in part stands as it was notified, see [Notification.Confirm].
//
// If the API cannot be asked, or does not know the transaction, the answer is 503 and
// Midtrans comes again: with this option you depend on its API, and on the environment and merchant of the client's key:
// what another key signed (see [WithServerKey]) is not found there. It is off by
// default. The dashboard's test notifications have no status to ask for, and go
// through as they are.
//
// Of a payment by DANA or to a virtual account of Danamon, BSI, Seabank or Saqu the
// API does not say the order. There a payment that is presented for another order of
// the same amount is refused only if the body's own status_code is not 200, as in a
// late pending, or if a transaction of that order was cancelled or only authorized:
// whoever holds a signed body of another paid order of his own can
// present one payment for both. The log asks for attention then, and a unique index
// on the TransactionID closes it.
func WithStatusCheck(c *StatusClient) Option {
	return forMidtrans("status check", func(s *midtransSettings) error {
		s.status = c
		if c == nil {
			return errors.New("status check: the client must not be nil")
		}
		if err := c.usable(); err != nil {
			return fmt.Errorf("status check: %w", err)
		}
		return nil
	})
}

// WithExpectation compares each payment, before the handler sees it, with what
// fn says that the order costs: the merchant's own record, not anything that came
// from the customer's browser. Another amount or currency is answered 409, an
// order for which fn returns [ErrUnknownOrder] 404, of which Midtrans retries two,
// for the record that is committed a moment later. Any other error is answered
// 503. It is off by default.
//
// gross_amount is the total the customer pays, with a fee that you add for a
// payment method: return the total that you asked Midtrans for. Where Midtrans adds
// the fee (Automatic Fee Imposition, a setting of the dashboard), return the amount
// of the order with [Expectation].OrMore: without it every payment is refused. No
// signature covers the currency, only [WithStatusCheck] does. The context ends with the
// response budget. fn must be safe for concurrent use.
func WithExpectation(fn func(context.Context, *Notification) (Expectation, error)) Option {
	return forMidtrans("expectation", func(s *midtransSettings) error {
		if fn == nil {
			return errors.New("expectation: it must not be nil")
		}
		s.expect = expectation(fn)
		return nil
	})
}

// WithTestNotifications hands on the notification that the dashboard sends on
// demand, whose order_id begins with payment_notif_test_. By default it is
// acknowledged and the handler does not see it: it speaks of no order.
func WithTestNotifications() Option {
	return func(s *settings) error { s.handOnTests = true; return nil }
}

// Interface guards
var (
	_ Gateway = midtrans{}
	_ Named   = midtrans{}
	_ hinter  = midtrans{}
)
