package midhook

import (
	"context"
	"errors"
	"net/http"
	"strings"
)

// ErrUnconfirmed marks an authentic notification that claims more than was
// signed, or something else than the status API confirms: someone edited it.
var ErrUnconfirmed = errors.New("notification claims more than was signed or confirmed")

// gateway is one sender of webhooks: how to tell that a body is authentic, and
// which answers the sender understands. The rest of a delivery's life is the
// same for all senders.
type gateway interface {
	// open reads a body and checks that it is authentic, without I/O or a
	// clock. Its errors are ErrMalformed, ErrSignature, or ErrUnconfirmed with
	// the message.
	open(header http.Header, body []byte) (message, error)
	// answer is the response to an outcome.
	answer(Outcome) (status int, contentType, body string)
}

// message is an authentic notification as the pipeline sees it.
type message struct {
	value          any    // what the handler gets: a *Notification
	event, subject string // see Claim
	stage          int
	keyLabel       string // of the key that matched
	test           bool   // sent by hand from the sender's dashboard
}

// check is a step between claim and handler that may keep a message from the
// handler, or replace it by one that says what is true.
type check func(context.Context, message) (message, Outcome, error)

// midtrans is the gateway of Midtrans' payment and Pay Account notifications.
type midtrans struct{ keys []serverKey }

// testOrder begins the order_id of the notification that Midtrans' dashboard
// sends on demand.
const testOrder = "payment_notif_test_"

func (g midtrans) open(_ http.Header, body []byte) (message, error) {
	n, err := Parse(body)
	if err != nil {
		return message{}, err
	}
	label, err := signer(n, g.keys)
	if err != nil {
		return message{}, err
	}
	if n.overclaims() {
		return n.message(label), ErrUnconfirmed
	}
	return n.message(label), nil
}

func (n *Notification) message(keyLabel string) message {
	return message{
		value:    n,
		event:    n.IdempotencyKey(),
		subject:  n.subject(),
		stage:    n.stage(),
		keyLabel: keyLabel,
		test:     strings.HasPrefix(n.OrderID, testOrder),
	}
}

// answer speaks to Midtrans' retry engine: a 2xx ends the matter, 400 and 404
// get two retries, 500 one, 503 four, anything else five, and 301, 302 and 303
// none at all. The first retry comes after two minutes at the most, the last
// within six hours. (Midtrans, "Best Practices to Handle Notification")
func (midtrans) answer(o Outcome) (status int, contentType, body string) {
	status, line := o.plain()
	return status, "text/plain; charset=utf-8", line + "\n"
}
