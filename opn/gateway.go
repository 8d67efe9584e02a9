package opn

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/option"
	"github.com/midhook/midhook/internal/secret"
)

// Gateway is the [midhook.Gateway] of Opn's webhooks. It is made by [New] and
// safe for concurrent use.
type Gateway struct {
	secrets   secret.List // decoded
	tolerance time.Duration
	now       func() time.Time
}

// Option changes a default of [New].
type Option func(*Gateway) error

// New returns the gateway for the webhook secret from Opn's dashboard (Webhooks):
// base64 in the standard alphabet, with its padding, of at least 16 bytes. What a
// careless copy has cut short is therefore refused here, and not found out by
// events that are lost. The error lists everything that is wrong with the secret
// and the options.
func New(webhookSecret string, opts ...Option) (*Gateway, error) {
	g := &Gateway{tolerance: DefaultTolerance, now: time.Now}
	own := WithSecret(secret.DefaultLabel, webhookSecret)
	if err := errors.Join(own(g), option.Apply(g, opts)); err != nil {
		return nil, fmt.Errorf("opn: %w", err)
	}
	g.secrets = decoded(g.secrets)
	return g, nil
}

// WithSecret adds one more accepted secret: the old one beside the new for the
// 24 h in which Opn signs with both after it was rolled, or another account's.
// The label of the secret that matched is the KeyLabel of [midhook.Event]; the
// secret of [New] has the label "default".
//
// Each secret can sign every event: take a retired one out, and never accept the
// test mode's where goods are shipped.
func WithSecret(label, webhookSecret string) Option {
	return func(g *Gateway) error {
		if looksLikeSecret(label) { // an error would quote it
			return errors.New("webhook secret: the label looks like a key: the label comes first, and is shorter")
		}
		return g.secrets.Add("webhook secret", label, webhookSecret, checkSecret)
	}
}

// looksLikeSecret finds a webhook secret in the label's place.
func looksLikeSecret(label string) bool {
	label = strings.TrimSpace(label)
	return len(label) >= 20 && strings.Trim(label, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") == ""
}

// WithTolerance sets how far a delivery's timestamp may be from the clock, before
// or after it; the default is [DefaultTolerance]. It must be above 0. Whoever has
// seen a delivery can send it again for as long; what was handled is remembered
// beside that, see [midhook.WithKeep].
//
// A clock that is wrong by more than this has every event refused, which loses
// them. Whether an event that is sent again by hand gets a new timestamp is not
// documented: with a long tolerance it would come through either way.
func WithTolerance(d time.Duration) Option {
	return func(g *Gateway) error {
		g.tolerance = d
		if d <= 0 {
			return fmt.Errorf("tolerance %v: it must be positive", d)
		}
		return nil
	}
}

// WithClock sets the clock that timestamps are compared with, [time.Now] by
// default. It is for tests with recorded deliveries, and must be safe for
// concurrent use.
func WithClock(now func() time.Time) Option {
	return func(g *Gateway) error {
		g.now = now
		if now == nil {
			return errors.New("clock: it must not be nil")
		}
		return nil
	}
}

// Format says no more than the type: a gateway holds secrets.
func (g Gateway) Format(f fmt.State, _ rune) { fmt.Fprint(f, "opn.Gateway") }

// Open verifies a delivery by its Omise-Signature and Omise-Signature-Timestamp
// headers, as [Verify] does, and then parses it, as [Parse] does. The message's
// value is an [*Event].
func (g *Gateway) Open(header http.Header, body []byte) (midhook.Message, error) {
	timestamps := header.Values(timestampHeader)
	if len(timestamps) != 1 || g.now == nil { // the zero Gateway accepts nothing
		return midhook.Message{}, fmt.Errorf("%w: exactly one %s is required", midhook.ErrSignature, timestampHeader)
	}
	signatures := strings.Join(header.Values(signatureHeader), ",")
	label, err := verify(body, signatures, timestamps[0], g.now(), g.tolerance, g.secrets)
	if err != nil {
		return midhook.Message{}, err
	}
	e, err := Parse(body)
	if err != nil {
		return midhook.Message{}, err
	}
	return e.Message(label), nil
}

// Name is "opn", see [midhook.Named].
func (*Gateway) Name() string { return "opn" }

// Answer is [midhook.PlainAnswer]. What Opn makes of an answer other than a 2xx is
// not documented.
func (g *Gateway) Answer(o midhook.Outcome) (status int, contentType, body string) {
	return midhook.PlainAnswer(o)
}

// Retries reports false: Opn guarantees no second delivery. One that meets
// another delivery of its event, or a store that is away, waits for as long as the
// response budget lasts, see [midhook.Retrier].
func (g *Gateway) Retries() bool { return false }

// FromContext returns the event that a handler is to handle. It is shared with the
// observer and the log: do not change it.
func FromContext(ctx context.Context) (*Event, bool) { return midhook.Value[*Event](ctx) }

// Interface guards
var (
	_ midhook.Gateway = (*Gateway)(nil)
	_ midhook.Retrier = (*Gateway)(nil)
	_ midhook.Named   = (*Gateway)(nil)
	_ fmt.Formatter   = Gateway{}
)
