package recurring

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"golang.org/x/time/rate"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/api"
	"github.com/midhook/midhook/internal/option"
	"github.com/midhook/midhook/internal/secret"
)

// Gateway receives the notifications of Midtrans' recurring payments, for
// [midhook.NewFor]. It is made by [New] and safe for concurrent use.
type Gateway struct {
	keys     secret.List
	accounts []*account   // in the order of keys
	current  atomic.Int64 // the account that the API accepted last
	unlisted bool
}

// account is one server key, and what asks with it.
type account struct {
	label    string
	signed   asker // about what the key, or another one, has signed
	unsigned asker // about what anyone can have written
}

// asker is a way to Midtrans' API, at a rate of its own.
type asker struct {
	subscriptions api.Client
	transactions  *midhook.StatusClient
}

func newAsker(base, key string, client *http.Client, limiter *rate.Limiter) (asker, error) {
	transactions, err := midhook.NewStatusClient(key,
		midhook.WithBaseURL(base), midhook.WithHTTPClient(client), midhook.WithRate(limiter))
	return asker{
		subscriptions: api.Client{Base: base, Key: secret.Hide(key), HTTP: client, Limiter: limiter, MaxBytes: maxAnswerBytes},
		transactions:  transactions,
	}, err
}

// asker is the way for a body.
func (a *account) asker(signed bool) *asker {
	if signed {
		return &a.signed
	}
	return &a.unsigned
}

const maxAnswerBytes = 1 << 20 // some 20,000 transactions

// New returns the gateway for the server key from Midtrans' dashboard:
// SB-Mid-server-… asks the sandbox, Mid-server-… production, and a key that tells
// neither needs [WithBaseURL].
//
// limit and burst say how many calls of Midtrans' API all unsigned bodies together
// may cost: limit a second, and burst at once. Anyone can send those, so there is
// no way to do without: limit must be positive and not [rate.Inf]. Bodies whose
// signature matches may cost as many again, so that a flood of the others does not
// hold them up. A creation and a failed charge cost one call, a charge two; what
// would wait for longer than the response budget is answered 503. A call whose
// connection breaks before an answer is made once more and counted once. Midtrans publishes no limit of its own: allow
// for the charges that fall due in one second, and no more than your API access can
// spare.
//
// Its error lists everything that is wrong.
func New(serverKey string, limit rate.Limit, burst int, opts ...Option) (*Gateway, error) {
	var s settings
	errs := []error{s.addKey(secret.DefaultLabel, serverKey)}
	if !(limit > 0 && limit < rate.Inf) {
		errs = append(errs, fmt.Errorf("rate %v: it must be positive and finite", float64(limit)))
	}
	if burst < 1 {
		errs = append(errs, fmt.Errorf("burst %d: it must be positive", burst))
	}
	errs = append(errs, option.Apply(&s, opts))
	base, err := s.baseURL()
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, fmt.Errorf("recurring: %w", err)
	}

	g := &Gateway{keys: s.keys, unlisted: s.unlisted}
	signed, unsigned := rate.NewLimiter(limit, burst), rate.NewLimiter(limit, burst)
	pool := api.Client{HTTP: s.client} // one for all
	pool.Init()
	for _, key := range s.keys {
		a := &account{label: key.Label}
		var err1, err2 error
		a.signed, err1 = newAsker(base, key.Value.Reveal(), pool.HTTP, signed)
		a.unsigned, err2 = newAsker(base, key.Value.Reveal(), pool.HTTP, unsigned)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("recurring: %w", err)
		}
		g.accounts = append(g.accounts, a)
	}
	return g, nil
}

// baseURL is where all keys belong.
func (s *settings) baseURL() (string, error) {
	base := s.base
	var errs []error
	for i, key := range s.keys {
		own := api.MidtransBase(key.Value.Reveal())
		switch {
		case s.base != "" || secret.Check(secret.MidtransServer, key.Value.Reveal()) != nil:
		case own == "":
			errs = append(errs, fmt.Errorf("server key %q: its prefix tells neither sandbox nor production, a base URL is required", key.Label))
		case i > 0 && base != "" && own != base:
			errs = append(errs, fmt.Errorf("server key %q: it is another environment's than the first", key.Label))
		case base == "":
			base = own
		}
	}
	return base, errors.Join(errs...)
}

// Format says where the gateway asks, not with which key.
func (g *Gateway) Format(f fmt.State, _ rune) {
	if g == nil || len(g.accounts) == 0 {
		fmt.Fprint(f, "recurring.Gateway")
		return
	}
	fmt.Fprintf(f, "recurring.Gateway(%s)", g.accounts[0].unsigned.subscriptions.Base)
}

// FromContext returns the notification that a handler is to handle. It is shared
// with the observer and the log: do not change it.
func FromContext(ctx context.Context) (*Notification, bool) {
	return midhook.Value[*Notification](ctx)
}

// Open reads what a body claims, see [Parse], and checks the signature of one that
// has it. The message it returns is for [Gateway.Authenticate] alone: without
// that, it names no event, so that nothing runs for it.
func (g *Gateway) Open(_ http.Header, body []byte) (midhook.Message, error) {
	n, err := Parse(body)
	if err != nil {
		return midhook.Message{}, err
	}
	msg := midhook.Message{Value: n}
	if n.signed {
		label, ok := g.keys.Match(func(key string) bool { return midhook.Verify(n.Transaction, key) == nil })
		if !ok {
			return midhook.Message{}, midhook.ErrSignature
		}
		msg.KeyLabel = label
	}
	return msg, nil
}

// Name is "recurring", see [midhook.Named].
func (*Gateway) Name() string { return "recurring" }

// Answer is that of [midhook.PlainAnswer]: these notifications are taken to be
// retried as payments are, which Midtrans does not say.
func (g *Gateway) Answer(o midhook.Outcome) (status int, contentType, body string) {
	return midhook.PlainAnswer(o)
}

// Interface guards
var (
	_ midhook.Gateway       = (*Gateway)(nil)
	_ midhook.Authenticator = (*Gateway)(nil)
	_ midhook.Named         = (*Gateway)(nil)
	_ fmt.Formatter         = (*Gateway)(nil)
)
