package recurring

import (
	"errors"
	"net/http"

	"github.com/midhook/midhook/internal/api"
	"github.com/midhook/midhook/internal/secret"
)

// Option changes a default of [New].
type Option func(*settings) error

type settings struct {
	keys     secret.List
	base     string       // "" for what the keys' prefix says
	client   *http.Client // nil: one of its own
	unlisted bool
}

func (s *settings) addKey(label, key string) error {
	return s.keys.Add("server key", label, key, func(key string) error {
		return secret.Check(secret.MidtransServer, key)
	})
}

// WithServerKey adds one more server key of the same merchant and environment: the
// next one, during a rotation. The key of [New] has the label "default".
//
// A signed body may be signed with any of the keys. The API is asked with the key
// that signed the body, or that it accepted last, and when it refuses one (401)
// with the next, at the price of one more call. Which one it accepted is
// [midhook.Event].KeyLabel. Another merchant's subscriptions need a [Gateway] of
// their own.
func WithServerKey(label, key string) Option {
	return func(s *settings) error { return s.addKey(label, key) }
}

// WithBaseURL sets where the API is: an https URL, or an http one whose host is
// this machine, for tests. The server keys are sent there. The default is Midtrans'
// sandbox or production, by the keys' prefix.
func WithBaseURL(base string) Option {
	return func(s *settings) error {
		var err error
		s.base, err = api.CheckBase(base)
		return err
	}
}

// WithHTTPClient sets the client to ask with. The default one has a timeout of
// 15 s and keeps connections alive. Redirects are never followed.
func WithHTTPClient(client *http.Client) Option {
	return func(s *settings) error {
		s.client = client
		if client == nil {
			return errors.New("HTTP client: it must not be nil")
		}
		return nil
	}
}

// WithUnlistedCharges accepts charges of a subscription for which the API gives no
// list of transactions at all, if amount, currency and payment type of the
// transaction are the subscription's. By default they are refused with 403: some of
// Midtrans' samples of a GoPay subscription have no such list, and it is not
// documented whether that is so in earnest.
//
// Where there is no list, whoever knows the id of a subscription can pass off
// another payment of the same price as its charge, such as that of another
// customer's subscription.
func WithUnlistedCharges() Option {
	return func(s *settings) error { s.unlisted = true; return nil }
}
