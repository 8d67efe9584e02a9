// Package api asks a payment gateway's JSON API: GET only, with the secret key as
// the user of Basic authentication.
package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/midhook/midhook/internal/secret"
)

// timeout is for a whole request, where the caller's context ends later.
const timeout = 15 * time.Second

var (
	// ErrLimited says that the limiter would have had a request wait for too long.
	ErrLimited = errors.New("over the rate limit")
	// ErrTooLarge says that an answer is longer than MaxBytes.
	ErrTooLarge = errors.New("its answer is too large")
)

// Client asks one API. The zero values of HTTP and Limiter are a client of its
// own and no limit.
type Client struct {
	Base     string // URL without a slash at its end, see [CheckBase]
	Key      secret.Key
	HTTP     *http.Client
	Limiter  *rate.Limiter
	MaxBytes int64 // of an answer
}

// Init makes the client ready to use.
func (c *Client) Init() {
	if c.HTTP == nil {
		c.HTTP = &http.Client{Transport: newTransport(), Timeout: timeout}
	}
	client := *c.HTTP
	// A redirect would take the key along.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.HTTP = &client
}

// newTransport keeps connections for as many concurrent requests as a burst of
// notifications has.
func newTransport() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	t = t.Clone()
	t.MaxIdleConnsPerHost = 64
	return t
}

// Ready reports whether the client was made by a constructor.
func (c *Client) Ready() bool { return c.HTTP != nil && c.Base != "" }

// CheckBase returns a base URL without the slash at its end: an https one, or an
// http one whose host is this machine, because the key is sent there.
func CheckBase(base string) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", errors.New("base URL: it cannot be parsed")
	}
	secure := u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname())
	if !secure || u.Host == "" || u.User != nil || strings.ContainsAny(base, "?#") {
		return "", errors.New("base URL: an https URL (http to loopback only) without user, query or fragment is required")
	}
	return strings.TrimRight(base, "/"), nil
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// Get asks for a path below the base URL, with header besides its own. The error
// is ErrLimited, ErrTooLarge, or what the network gave; it never has the key.
func (c *Client) Get(ctx context.Context, path string, header http.Header) (status int, body []byte, err error) {
	if c.Limiter != nil {
		if err := c.Limiter.Wait(ctx); err != nil {
			return 0, nil, fmt.Errorf("%w: %w", ErrLimited, err)
		}
	}
	res, err := c.send(ctx, path, header)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, c.MaxBytes+1))
	if err == nil && int64(len(body)) > c.MaxBytes {
		err = ErrTooLarge
	}
	return res.StatusCode, body, err
}

// Errors are a package's own names for what can come of a request.
type Errors struct{ Unauthorized, NotFound, RateLimited, Unavailable error }

// Of classifies what [Client.Get] gave: err, or an answer with its HTTP status and
// its code, which is that status or what the answer itself has in its place. It is
// nil for an answer that succeeded.
func (e Errors) Of(status int, code string, err error) error {
	switch {
	case errors.Is(err, ErrLimited):
		return fmt.Errorf("%w: %w", e.RateLimited, err)
	case err != nil:
		return fmt.Errorf("%w: %w", e.Unavailable, err)
	}
	switch code {
	case "401", "403":
		return e.Unauthorized
	case "404":
		return e.NotFound
	case "429":
		return e.RateLimited
	}
	if status != http.StatusOK {
		return fmt.Errorf("%w: it answered %d", e.Unavailable, status)
	}
	return nil
}

// send makes the request, and again if the connection broke before the first
// byte of an answer: a keep-alive connection that the API had just given up. The
// second one is made on a new connection.
//
// The transport would repeat a GET by itself as often as it has such connections.
// It doesn't where the request has a body, and this one's has nothing in it.
func (c *Client) send(ctx context.Context, path string, header http.Header) (*http.Response, error) {
	for attempt := 1; ; attempt++ {
		var broke atomic.Bool
		trace := &httptrace.ClientTrace{
			GotConn:              func(httptrace.GotConnInfo) { broke.Store(true) },
			GotFirstResponseByte: func() { broke.Store(false) },
		}
		req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), http.MethodGet, c.Base+path, emptyBody{})
		if err != nil {
			return nil, err
		}
		for name, values := range header {
			req.Header[name] = values
		}
		req.SetBasicAuth(c.Key.Reveal(), "")
		req.Header.Set("Accept", "application/json")
		res, err := c.HTTP.Do(req)
		if err == nil || attempt == 2 || !broke.Load() || ctx.Err() != nil || isTimeout(err) {
			return res, err
		}
		c.HTTP.CloseIdleConnections()
	}
}

// emptyBody is a body that [http.NewRequest] does not know to be empty.
type emptyBody struct{}

func (emptyBody) Read([]byte) (int, error) { return 0, io.EOF }

func isTimeout(err error) bool {
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}

// The base URLs of Midtrans' API in its two environments.
const (
	Sandbox    = "https://api.sandbox.midtrans.com"
	Production = "https://api.midtrans.com"
)

// MidtransBase is the base URL of Midtrans' API in the environment that a server key
// belongs to, "" if its prefix does not tell.
func MidtransBase(serverKey string) string {
	switch {
	case strings.HasPrefix(serverKey, "SB-"):
		return Sandbox
	case strings.HasPrefix(serverKey, "Mid-server-"):
		return Production
	}
	return ""
}

// EscapeID makes one path segment of an id: order ids contain / and #, and a
// segment of dots would lead elsewhere.
func EscapeID(id string) string {
	if strings.Trim(id, ".") == "" {
		return strings.ReplaceAll(id, ".", "%2E")
	}
	return url.PathEscape(id)
}
