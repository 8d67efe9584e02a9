package payout

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/option"
	"github.com/midhook/midhook/internal/secret"
)

// signatureHeader holds the signature.
const signatureHeader = "Iris-Signature"

// Gateway is the [midhook.Gateway] of Midtrans' payouts. It is made by [New] and
// safe for concurrent use; its zero value accepts nothing.
type Gateway struct{ keys secret.List }

// Option adds to what [New] sets.
type Option func(*Gateway) error

// New returns the gateway for the Iris merchant key from the dashboard of
// Midtrans' payouts (IRIS-…). It is another secret than the server key of
// payments, and than the API keys of creator and approver, which begin with IRIS-,
// too. The error lists everything that is wrong with the key and the options, and
// quotes no key.
func New(merchantKey string, opts ...Option) (*Gateway, error) {
	g := &Gateway{}
	own := WithKey(secret.DefaultLabel, merchantKey)
	if err := errors.Join(own(g), option.Apply(g, opts)); err != nil {
		return nil, fmt.Errorf("payout: %w", err)
	}
	return g, nil
}

// WithKey adds one more accepted merchant key: the next one during a rotation, or
// another merchant's. The label of the key that matched is [midhook.Event].KeyLabel;
// the key of [New] has the label "default".
//
// Each key can sign every notification: take a retired key out, and never accept
// the sandbox's beside production's, for a payout of the sandbox moves no money.
func WithKey(label, key string) Option {
	return func(g *Gateway) error {
		return g.keys.Add("merchant key", label, key, checkMerchantKey)
	}
}

// Open verifies the one Iris-Signature header over the body, and then reads the
// body. It is for [midhook.NewFor].
func (g *Gateway) Open(header http.Header, body []byte) (midhook.Message, error) {
	signatures := header.Values(signatureHeader)
	if len(signatures) != 1 {
		return midhook.Message{}, fmt.Errorf("%w: there must be exactly one %s header", midhook.ErrSignature, signatureHeader)
	}
	label, ok := g.keys.Match(signedBy(body, signatures[0]))
	if !ok {
		return midhook.Message{}, midhook.ErrSignature
	}
	n, err := Parse(body)
	if err != nil {
		return midhook.Message{}, err
	}
	return midhook.Message{
		Value:    n,
		Key:      n.IdempotencyKey(),
		Subject:  n.subject(),
		Stage:    n.Status.stage(),
		KeyLabel: label,
	}, nil
}

// Name is "payout", see [midhook.Named].
func (*Gateway) Name() string { return "payout" }

// Answer is [midhook.PlainAnswer].
func (*Gateway) Answer(o midhook.Outcome) (status int, contentType, body string) {
	return midhook.PlainAnswer(o)
}

// Format says no more than the type, whatever the verb: a Gateway holds keys.
func (Gateway) Format(f fmt.State, _ rune) { fmt.Fprint(f, "payout.Gateway") }

// FromContext returns the notification that a handler under the gateway's
// [midhook.Middleware] is to handle. It is shared with the observer and the log:
// do not change it.
func FromContext(ctx context.Context) (*Notification, bool) {
	return midhook.Value[*Notification](ctx)
}

// Interface guards
var (
	_ midhook.Gateway = (*Gateway)(nil)
	_ midhook.Named   = (*Gateway)(nil)
	_ fmt.Formatter   = Gateway{}
)
