package paymongo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/option"
	"github.com/midhook/midhook/internal/secret"
)

// Gateway is PayMongo as a [midhook.Gateway], for [midhook.NewFor]. It is made
// by [New] and safe for concurrent use.
type Gateway struct {
	secrets   secret.List
	tolerance time.Duration // 0: any time
	now       func() time.Time
}

const defaultLabel = secret.DefaultLabel

// New returns the gateway for the secret of a webhook, whsk_…: the secret_key that
// PayMongo's API answers when the webhook is created. Every webhook has its own.
// It is neither the account's API key (sk_…) nor base64 of anything. The error
// lists everything that is wrong with the secret and the options.
func New(secret string, opts ...Option) (*Gateway, error) {
	g := &Gateway{now: time.Now}
	own := WithSecret(defaultLabel, secret)
	if err := errors.Join(own(g), option.Apply(g, opts)); err != nil {
		return nil, fmt.Errorf("paymongo: %w", err)
	}
	return g, nil
}

// Option changes a default of [New].
type Option func(*Gateway) error

// WithSecret adds one more accepted secret: that of the next webhook while one
// replaces another, or of another account's. The label of the secret that matched
// is [midhook.Event].KeyLabel; the secret of New has the label "default".
//
// Each secret can sign events of both modes. So do not accept a test webhook's
// secret where goods are shipped: whoever has it can sign a live event. Where it is
// accepted beside a live one, look at [Event.Livemode] before anything is shipped:
// a payment in test mode is free.
func WithSecret(label, secret string) Option {
	return func(g *Gateway) error {
		return g.secrets.Add("webhook secret", label, secret, checkSecret)
	}
}

// WithTolerance refuses a delivery that was signed more than d before or after
// now, with 403, although its signature matches. d must be positive. It is off by
// default, because PayMongo does not document whether a retry is signed anew. If it
// keeps the time of the first delivery, a tolerance of five minutes refuses every
// retry after them: an outage of that length loses its events, and three such
// events in a row disable the webhook. Three hours are safe from that, for PayMongo
// retries for 136.5 minutes at the most, but may still refuse what is resent by hand.
//
// Without it, a delivery that someone has recorded and sends again is answered as
// already handled for as long as the store remembers it ([midhook.WithKeep], 24 h by
// default), and is handed on again after that.
func WithTolerance(d time.Duration) Option {
	return func(g *Gateway) error {
		g.tolerance = d
		if d <= 0 {
			return fmt.Errorf("tolerance %v: it must be positive", d)
		}
		return nil
	}
}

// WithClock sets the clock of [WithTolerance], [time.Now] by default. It is for
// tests, and called from many goroutines.
func WithClock(now func() time.Time) Option {
	return func(g *Gateway) error {
		g.now = now
		if now == nil {
			return errors.New("clock: it must not be nil")
		}
		return nil
	}
}

// Open reads a body that one of the secrets signed. The [midhook.Message] has the
// [*Event] as its Value and no Subject: PayMongo's events have no order.
func (g *Gateway) Open(header http.Header, body []byte) (midhook.Message, error) {
	values := header.Values(SignatureHeader)
	if len(values) != 1 {
		return midhook.Message{}, fmt.Errorf("%w: exactly one %s header is required", midhook.ErrSignature, SignatureHeader)
	}
	s, err := parseSignature(values[0])
	if err != nil {
		return midhook.Message{}, err
	}
	e, label, err := s.open(body, g.secrets)
	if err != nil {
		return midhook.Message{}, err
	}
	if !g.timely(s.time) {
		return midhook.Message{}, fmt.Errorf("%w: %s: t is outside of the tolerance", midhook.ErrSignature, SignatureHeader)
	}
	return midhook.Message{Value: e, Key: e.IdempotencyKey(), KeyLabel: label}, nil
}

// timely compares the time of a signature with the clock.
func (g *Gateway) timely(t string) bool {
	if g.tolerance == 0 {
		return true
	}
	seconds, err := strconv.ParseInt(t, 10, 64)
	return err == nil && g.now().Sub(time.Unix(seconds, 0)).Abs() <= g.tolerance
}

// Name is "paymongo", see [midhook.Named].
func (*Gateway) Name() string { return "paymongo" }

// Answer gives the statuses of [midhook.PlainAnswer] with a JSON body for every
// outcome, {"outcome":"handled"}, because PayMongo takes only JSON for a success.
func (g *Gateway) Answer(o midhook.Outcome) (status int, contentType, body string) {
	status, _, _ = midhook.PlainAnswer(o)
	return status, "application/json", `{"outcome":` + strconv.Quote(o.String()) + "}\n"
}

// Accepts reports whether a handler's own 2xx is a success to PayMongo: a status
// from 200 to 209 and a body that is JSON, not compressed, and says so by its
// Content-Type. If not (204, a line of text), {"outcome":"handled"} is sent instead.
func (g *Gateway) Accepts(status int, header http.Header, body []byte) bool {
	mediaType, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	return status >= 200 && status <= 209 &&
		(mediaType == "application/json" || strings.HasSuffix(mediaType, "+json")) &&
		header.Get("Content-Encoding") == "" &&
		json.Valid(body)
}

// Format says no more than the type: the gateway holds secrets.
func (g Gateway) Format(f fmt.State, _ rune) { fmt.Fprint(f, "paymongo.Gateway") }

// FromContext returns the event that a handler is to handle. It is shared with
// the observer and the log: do not change it.
func FromContext(ctx context.Context) (*Event, bool) { return midhook.Value[*Event](ctx) }

// Interface guards
var (
	_ midhook.Gateway  = (*Gateway)(nil)
	_ midhook.Acceptor = (*Gateway)(nil)
	_ midhook.Named    = (*Gateway)(nil)
	_ fmt.Formatter    = Gateway{}
)
