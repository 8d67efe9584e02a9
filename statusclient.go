package midhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"golang.org/x/time/rate"

	"github.com/midhook/midhook/internal/api"
	"github.com/midhook/midhook/internal/object"
	"github.com/midhook/midhook/internal/option"
	"github.com/midhook/midhook/internal/secret"
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

// statusErrors are the names of what can come of a request.
var statusErrors = api.Errors{
	Unauthorized: ErrUnauthorized,
	NotFound:     ErrTransactionNotFound,
	RateLimited:  ErrRateLimited,
	Unavailable:  ErrStatusUnavailable,
}

// StatusClient asks Midtrans' status API, GET /v2/{id}/status, and its Pay Account
// API. It is made by [NewStatusClient] and safe for concurrent use; the zero value
// asks nobody.
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
	c := &StatusClient{api.Client{Key: secret.Hide(serverKey), MaxBytes: maxStatusBytes}}
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

// usable returns an error for a client that [NewStatusClient] did not make.
func (c *StatusClient) usable() error {
	if c == nil || !c.api.Ready() {
		return errors.New("status client: it must be made by NewStatusClient")
	}
	return nil
}

// environment is what the client's key, or else its base URL, belongs to: the base
// URL of the sandbox or of production, "" if neither tells.
func (c *StatusClient) environment() string {
	if base := api.MidtransBase(c.api.Key.Reveal()); base != "" {
		return base
	}
	if c.api.Base == api.Sandbox || c.api.Base == api.Production {
		return c.api.Base
	}
	return ""
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
// The API has two kinds of request. One does not find DANA, and the other finds little
// else. For an order_id that has had several transactions each answers with one of
// them. Get makes the second one unless the first finds what is
// paid or is asked for by transaction_id. Of two transactions it prefers the one that
// is paid, then the one that was paid and refunded, then the later one.
//
// Of a payment by DANA, or to a virtual account of Danamon, BSI, Seabank or Saqu, the
// API does not say the order: asked for by transaction_id, that is the OrderID, too.
func (c *StatusClient) Get(ctx context.Context, id string) (*Notification, error) {
	found, err := c.getBoth(ctx, id, func(n *Notification) bool { return n.Paid() || n.TransactionID == id })
	if err != nil {
		return nil, err
	}
	best := found[0]
	for _, n := range found[1:] {
		if n.tells() > best.tells() || n.tells() == best.tells() && n.TransactionTime > best.TransactionTime {
			best = n
		}
	}
	return best, nil
}

// tells is how much a transaction says of whether its order is paid.
func (n *Notification) tells() int {
	switch {
	case n.Paid():
		return 2
	case n.wasPaid():
		return 1
	}
	return 0
}

// getBoth makes one kind of request and then the other, until enough says so of an
// answer. It finds at least one, or returns an error.
func (c *StatusClient) getBoth(ctx context.Context, id string, enough func(*Notification) bool) (found []*Notification, err error) {
	for _, snap := range [...]bool{false, true} {
		n, err := c.getStatus(ctx, id, snap)
		if errors.Is(err, ErrTransactionNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if n.OrderID == n.TransactionID {
			n.setOrderID(id) // see contradicts
		}
		if id != n.OrderID && id != n.TransactionID {
			return nil, fmt.Errorf("%w: its answer is another transaction's", ErrStatusUnavailable)
		}
		found = append(found, n)
		if enough(n) {
			break
		}
	}
	if found == nil {
		return nil, ErrTransactionNotFound
	}
	return found, nil
}

// setOrderID writes the order's own id where the API has the transaction_id. The
// answer itself has it, too, then: whoever reads that must not look for another
// order.
func (n *Notification) setOrderID(id string) {
	if n.OrderID != id {
		n.OrderID, n.raw = id, object.Replace(n.raw, "order_id", id)
	}
}

// getStatus makes one request of GET /v2/{id}/status, snap for those kinds that the
// API calls SNAP. An expired transaction has the status_code 407.
func (c *StatusClient) getStatus(ctx context.Context, id string, snap bool) (*Notification, error) {
	header := http.Header{}
	if snap {
		header.Set("transaction-source", "SNAP_API")
	}
	n, err := c.get(ctx, "/v2/"+api.EscapeID(id)+"/status", id, header)
	if err == nil && (n.Kind() != Payment || n.TransactionID == "" || n.TransactionStatus == "") {
		return nil, fmt.Errorf("%w: its answer has no transaction", ErrStatusUnavailable)
	}
	return n, err
}

// GetAccount asks for a customer's linked GoPay account, GET
// /v2/pay/account/{account_id}: AccountID and AccountStatus are what the answer has.
// Its errors are those of [StatusClient.Get].
func (c *StatusClient) GetAccount(ctx context.Context, accountID string) (*Notification, error) {
	n, err := c.get(ctx, "/v2/pay/account/"+api.EscapeID(accountID), accountID, nil)
	if err == nil && (n.Kind() != PayAccount || n.AccountID != accountID) {
		return nil, fmt.Errorf("%w: its answer is not the account's", ErrStatusUnavailable)
	}
	return n, err
}

// get reads an answer. The API says not found with the HTTP status 404, or with
// that status_code in an answer that succeeded.
func (c *StatusClient) get(ctx context.Context, path, id string, header http.Header) (*Notification, error) {
	if err := c.usable(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStatusUnavailable, err)
	}
	if id == "" {
		return nil, fmt.Errorf("%w: an id is required", ErrTransactionNotFound)
	}
	status, body, err := c.api.Get(ctx, path, header)
	n, malformed := decode(body, string(body))
	code := strconv.Itoa(status)
	if malformed == nil && status == http.StatusOK {
		code = n.StatusCode
	}
	if err := statusErrors.Of(status, code, err); err != nil {
		return nil, err
	}
	if malformed == nil {
		malformed = n.checkSigned()
	}
	if malformed != nil {
		return nil, fmt.Errorf("%w: its answer: %w", ErrStatusUnavailable, malformed)
	}
	n.confirmed = true
	return n, nil
}

// Interface guards
var (
	_ fmt.Formatter = StatusClient{}
)
