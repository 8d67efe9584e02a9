package opn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/time/rate"

	"github.com/midhook/midhook/internal/api"
	"github.com/midhook/midhook/internal/option"
	"github.com/midhook/midhook/internal/secret"
)

// What a [Client] returns, to be matched with errors.Is.
var (
	// ErrUnauthorized says that the API refused the secret key.
	ErrUnauthorized = errors.New("events API refused the secret key")
	// ErrRateLimited says that there were too many requests, by the API's limit or
	// by one's own (see [WithRate]).
	ErrRateLimited = errors.New("events API rate limit")
	// ErrUnavailable says that there was no answer, or none that makes sense.
	ErrUnavailable = errors.New("events API unavailable")
)

// Client asks Opn's events API, GET /events. It is made by [NewClient] and safe
// for concurrent use.
type Client struct{ api api.Client }

const (
	defaultURL = "https://api.omise.co"

	pageSize     = 100      // the most that Opn allows
	maxListBytes = 32 << 20 // a listed event holds its deliveries, too, and each its body
)

// Format says where the client asks, not with which key.
func (c Client) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "opn.Client(%s)", c.api.Base) }

// ClientOption changes a default of [NewClient].
type ClientOption func(*Client) error

// NewClient returns a client for the secret key from Opn's dashboard (Keys):
// skey_…, or skey_test_… which lists the events of test mode. It is another key
// than the webhook secret. The error lists everything that is wrong.
func NewClient(secretKey string, opts ...ClientOption) (*Client, error) {
	c := &Client{api.Client{Base: defaultURL, Key: secret.Hide(secretKey), MaxBytes: maxListBytes}}
	var errs []error
	if err := checkKey(secretKey); err != nil {
		errs = append(errs, fmt.Errorf("secret key: %w", err))
	}
	errs = append(errs, option.Apply(c, opts))
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("opn: client: %w", err)
	}
	c.api.Init()
	return c, nil
}

// checkKey requires a key that says what it is: a webhook secret in its place
// would be sent to the API.
func checkKey(key string) error {
	if err := secret.Check(secret.OpnSecret, key); err != nil {
		return err
	}
	if secret.KindOf(key) != secret.OpnSecret {
		return errors.New("the key does not begin with skey_: the Opn secret key is required")
	}
	return nil
}

// WithBaseURL sets where the API is, https://api.omise.co by default: an https
// URL, or an http one whose host is this machine, for tests. The secret key is
// sent there.
func WithBaseURL(base string) ClientOption {
	return func(c *Client) error {
		var err error
		c.api.Base, err = api.CheckBase(base)
		return err
	}
}

// WithHTTPClient sets the client to ask with. The default one has a timeout of
// 15 s and keeps connections alive. Redirects are never followed.
func WithHTTPClient(client *http.Client) ClientOption {
	return func(c *Client) error {
		c.api.HTTP = client
		if client == nil {
			return errors.New("HTTP client: it must not be nil")
		}
		return nil
	}
}

// WithRate has requests wait for limiter, within their context. There is none by
// default: a run makes one request for every hundred events.
func WithRate(limiter *rate.Limiter) ClientOption {
	return func(c *Client) error {
		c.api.Limiter = limiter
		if limiter == nil {
			return errors.New("rate: the limiter must not be nil")
		}
		return nil
	}
}

// list is a part of the list of events.
type list struct {
	Object string            `json:"object"`
	Total  *int              `json:"total"`
	Data   []json.RawMessage `json:"data"` // each is read by itself, so that a strange one spoils no other
}

// answers are what can come of a request. The list of events is always there.
var answers = api.Errors{
	Unauthorized: ErrUnauthorized,
	NotFound:     fmt.Errorf("%w: it answered 404", ErrUnavailable),
	RateLimited:  ErrRateLimited,
	Unavailable:  ErrUnavailable,
}

// get asks for the events from offset on, in the order in which they happened.
func (c *Client) get(ctx context.Context, from, to time.Time, offset int) (list, error) {
	query := url.Values{
		"from":   {from.UTC().Format(time.RFC3339)},
		"to":     {to.UTC().Format(time.RFC3339)},
		"limit":  {strconv.Itoa(pageSize)},
		"offset": {strconv.Itoa(offset)},
		"order":  {"chronological"},
	}
	status, body, err := c.api.Get(ctx, "/events?"+query.Encode(), nil)
	if err := answers.Of(status, strconv.Itoa(status), err); err != nil {
		return list{}, err
	}
	var l list
	if err := json.Unmarshal(body, &l); err != nil || l.Object != "list" || l.Total == nil || *l.Total < 0 {
		return list{}, fmt.Errorf("%w: its answer is no list of events", ErrUnavailable)
	}
	return l, nil
}

// Interface guards
var (
	_ fmt.Formatter = Client{}
)
