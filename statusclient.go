package midhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"

	"golang.org/x/time/rate"

	"github.com/midhook/midhook/internal/api"
	"github.com/midhook/midhook/internal/option"
)

// What a [StatusClient] returns, to be matched with errors.Is. An expired or
// cancelled transaction is an answer, not an error.
var (
	// ErrTransactionNotFound says that the API knows no such transaction. That
	// is normal for a payment page on which no method was chosen yet, and for
	// what happened in the other environment (sandbox, production).
	ErrTransactionNotFound = errors.New("transaction not found")
	// ErrUnauthorized says that the API refused the server key.
	ErrUnauthorized = errors.New("status API refused the server key: it is wrong, or another environment's")
	// ErrRateLimited says that there were too many requests, by the API's limit
	// or by one's own (see WithRate).
	ErrRateLimited = errors.New("status API rate limit")
	// ErrStatusUnavailable says that there was no answer, or none that makes
	// sense.
	ErrStatusUnavailable = errors.New("status API unavailable")
)

// StatusClient asks Midtrans' status API, GET /v2/{id}/status. It is made by
// [NewStatusClient] and safe for concurrent use.
type StatusClient struct{ api api.Client }

const maxStatusBytes = 256 << 10

// Format says where the client asks, not with which key.
func (c StatusClient) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "midhook.StatusClient(%s)", c.api.Base)
}

// StatusOption changes a default of [NewStatusClient].
type StatusOption func(*StatusClient) error

// NewStatusClient returns a client for the server key: SB-Mid-server-… asks the
// sandbox, Mid-server-… production, and a key that tells neither needs
// [WithBaseURL]. Its error lists everything that is wrong.
func NewStatusClient(serverKey string, opts ...StatusOption) (*StatusClient, error) {
	c := &StatusClient{api.Client{Key: serverKey, MaxBytes: maxStatusBytes}}
	var errs []error
	if err := checkServerKey(serverKey); err != nil {
		errs = append(errs, fmt.Errorf("server key: %w", err))
	}
	errs = append(errs, option.Apply(c, opts))
	c.api.Base = cmp.Or(c.api.Base, api.MidtransBase(serverKey))
	if c.api.Base == "" {
		errs = append(errs, errors.New("server key: its prefix tells neither sandbox nor production, a base URL is required"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("midhook: status client: %w", err)
	}
	c.api.Init()
	return c, nil
}

// WithBaseURL sets where the API is: an https URL, or an http one whose host is
// this machine, for tests. The server key is sent there.
func WithBaseURL(base string) StatusOption {
	return func(c *StatusClient) error {
		var err error
		c.api.Base, err = api.CheckBase(base)
		return err
	}
}

// WithHTTPClient sets the client to ask with. The default one has a timeout of
// 15 s and keeps connections alive. Redirects are never followed.
func WithHTTPClient(client *http.Client) StatusOption {
	return func(c *StatusClient) error {
		c.api.HTTP = client
		if client == nil {
			return errors.New("HTTP client: it must not be nil")
		}
		return nil
	}
}

// WithRate has requests wait for limiter, within their context. Midtrans
// publishes no limit of its own. There is none by default.
func WithRate(limiter *rate.Limiter) StatusOption {
	return func(c *StatusClient) error {
		c.api.Limiter = limiter
		if limiter == nil {
			return errors.New("rate: the limiter must not be nil")
		}
		return nil
	}
}

// Get asks for a transaction by its transaction_id or order_id. Its errors are
// [ErrTransactionNotFound], [ErrUnauthorized], [ErrRateLimited] and
// [ErrStatusUnavailable]; none holds the key.
//
// For an order_id that has had several transactions, Midtrans answers with one
// of them. Of a payment by DANA, or to a virtual account of Danamon, BSI, Seabank
// or Saqu, it does not say the order: asked for by transaction_id, that is the
// OrderID, too. A DANA transaction is found only by a request of its own kind,
// which Get makes when the usual one finds nothing.
func (c *StatusClient) Get(ctx context.Context, id string) (*Notification, error) {
	n, err := c.get(ctx, id, false)
	if errors.Is(err, ErrTransactionNotFound) {
		n, err = c.get(ctx, id, true)
	}
	if err != nil {
		return nil, err
	}
	if n.OrderID == n.TransactionID {
		n.OrderID = id // see contradicts
	}
	if id != n.OrderID && id != n.TransactionID {
		return nil, fmt.Errorf("%w: its answer is another transaction's", ErrStatusUnavailable)
	}
	return n, nil
}

func (c *StatusClient) get(ctx context.Context, id string, snap bool) (*Notification, error) {
	if id == "" {
		return nil, fmt.Errorf("%w: an id is required", ErrTransactionNotFound)
	}
	header := http.Header{}
	if snap {
		header.Set("transaction-source", "SNAP_API")
	}
	status, body, err := c.api.Get(ctx, "/v2/"+api.EscapeID(id)+"/status", header)
	switch {
	case errors.Is(err, api.ErrLimited):
		return nil, fmt.Errorf("%w: %w", ErrRateLimited, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrStatusUnavailable, err)
	}
	return statusAnswer(status, body)
}

// statusAnswer reads an answer. The API says not found with HTTP status 404 or
// 200, and has a status_code of 407 for what is expired.
func statusAnswer(httpStatus int, body []byte) (*Notification, error) {
	n, err := decode(body)
	code := fmt.Sprint(httpStatus)
	if err == nil && httpStatus == http.StatusOK {
		code = n.StatusCode
	}
	switch code {
	case "401", "403":
		return nil, ErrUnauthorized
	case "404":
		return nil, ErrTransactionNotFound
	case "429":
		return nil, ErrRateLimited
	}
	switch {
	case httpStatus != http.StatusOK:
		return nil, fmt.Errorf("%w: it answered %d", ErrStatusUnavailable, httpStatus)
	case err == nil:
		err = n.checkSigned()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: its answer: %w", ErrStatusUnavailable, err)
	}
	if n.Kind() != Payment || n.TransactionID == "" || n.TransactionStatus == "" {
		return nil, fmt.Errorf("%w: its answer has no transaction", ErrStatusUnavailable)
	}
	n.confirmed = true
	return n, nil
}
