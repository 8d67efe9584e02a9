package midhook_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

func newStatusServer(t testing.TB) *midhooktest.StatusServer {
	s := midhooktest.NewStatusServer(testKey)
	t.Cleanup(s.Close)
	return s
}

func TestNewStatusClientRefuses(t *testing.T) {
	for _, base := range []string{"", "api.midtrans.com", "http://api.midtrans.com", "ftp://x", "https://", "https://user@x", "https://x?y", "https://x#y", "http://localhost.example", "http://127.0.0.1.example", "https://x\x00"} {
		_, err := midhook.NewStatusClient(testKey, midhook.WithBaseURL(base))
		assert.ErrorContains(t, err, "base URL", "%q", base)
	}
	for _, base := range []string{"https://x", "https://x/prefix/", "http://localhost:1", "http://127.8.9.1", "http://[::1]:80"} {
		_, err := midhook.NewStatusClient("any-key-of-16-or-more", midhook.WithBaseURL(base))
		assert.NoError(t, err, base)
	}
	for key, ok := range map[string]bool{testKey: true, "Mid-server-test": true, "VT-server-test": false, "": false, "Mid-client-test": false, " ": false} {
		_, err := midhook.NewStatusClient(key)
		assert.Equal(t, ok, err == nil, key)
	}
	_, err := midhook.NewStatusClient("Mid-client-abc", midhook.WithHTTPClient(nil), midhook.WithRate(nil), nil)
	require.Error(t, err)
	assert.Len(t, strings.Split(err.Error(), "\n"), 5)
	assert.NotContains(t, err.Error(), "abc")
}

// roundTrip is an http.RoundTripper of a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The key's prefix chooses the environment, ids make one path segment, and the
// key is the user of Basic auth.
func TestStatusRequest(t *testing.T) {
	for key, host := range map[string]string{testKey: "api.sandbox.midtrans.com", "Mid-server-test": "api.midtrans.com"} {
		for id, path := range map[string]string{
			"A-1":                    "/v2/A-1/status",
			"00561/05/ADI-IL/24JKT":  "/v2/00561%2F05%2FADI-IL%2F24JKT/status",
			"a#b?c":                  "/v2/a%23b%3Fc/status",
			"..":                     "/v2/%2E%2E/status",
			".":                      "/v2/%2E/status",
			"a b%41;=é":              "/v2/a%20b%2541%3B=%C3%A9/status",
			"../../v1/subscriptions": "/v2/..%2F..%2Fv1%2Fsubscriptions/status",
		} {
			var got *http.Request
			c, err := midhook.NewStatusClient(key, midhook.WithHTTPClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				got = r
				return nil, errors.New("no network")
			})}))
			require.NoError(t, err)
			_, err = c.Get(t.Context(), id)
			assert.ErrorIs(t, err, midhook.ErrStatusUnavailable)
			assert.NotContains(t, err.Error(), key)
			assert.Equal(t, "https", got.URL.Scheme)
			assert.Equal(t, host, got.URL.Host)
			assert.Equal(t, path, got.URL.EscapedPath())
			assert.Empty(t, got.URL.RawQuery+got.URL.Fragment)
			user, password, _ := got.BasicAuth()
			assert.Equal(t, key, user)
			assert.Empty(t, password)
			assert.Empty(t, got.Header.Get("transaction-source"))
		}
	}
	c, err := midhook.NewStatusClient(testKey)
	require.NoError(t, err)
	_, err = c.Get(t.Context(), "")
	assert.ErrorIs(t, err, midhook.ErrTransactionNotFound)
}

func TestStatusGet(t *testing.T) {
	s := newStatusServer(t)
	c := s.Client()
	for _, name := range midhooktest.Samples() {
		n := midhooktest.Sample(name)
		if n.Kind() != midhook.Payment {
			continue
		}
		s.Put(n)
		for _, id := range []string{n.OrderID, n.TransactionID} {
			got, err := c.Get(t.Context(), id)
			require.NoError(t, err, name)
			assert.True(t, got.Confirmed())
			assert.Nil(t, got.Notified())
			assert.Equal(t, n.TransactionStatus, got.TransactionStatus)
			assert.Equal(t, n.GrossAmount, got.GrossAmount)
			assert.Equal(t, n.Paid(), got.Paid(), name)
			if id == n.OrderID {
				assert.Equal(t, id, got.OrderID, "DANA and some banks answer with the transaction_id")
			}
		}
	}
	_, err := c.Get(t.Context(), "unknown")
	assert.ErrorIs(t, err, midhook.ErrTransactionNotFound)

	other, err := midhook.NewStatusClient("SB-Mid-server-other", midhook.WithBaseURL(s.URL))
	require.NoError(t, err)
	_, err = other.Get(t.Context(), "gopay-01")
	assert.ErrorIs(t, err, midhook.ErrUnauthorized)
}

// Each way to fail has its error, and none has the key in it.
func TestStatusErrors(t *testing.T) {
	s := newStatusServer(t)
	s.Put(midhooktest.Sample("gopay"))
	c := s.Client()
	for trouble, want := range map[midhooktest.Trouble]error{
		midhooktest.NothingFound:    midhook.ErrTransactionNotFound,
		midhooktest.WrongKey:        midhook.ErrUnauthorized,
		midhooktest.TooManyRequests: midhook.ErrRateLimited,
		midhooktest.Failing:         midhook.ErrStatusUnavailable,
		midhooktest.Stalling:        midhook.ErrStatusUnavailable,
		midhooktest.Garbage:         midhook.ErrStatusUnavailable,
		midhooktest.TooMuch:         midhook.ErrStatusUnavailable,
		midhooktest.Redirecting:     midhook.ErrStatusUnavailable,
		midhooktest.Breaking:        midhook.ErrStatusUnavailable,
	} {
		s.Be(trouble)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		_, err := c.Get(ctx, "gopay-01")
		cancel()
		assert.ErrorIs(t, err, want)
		assert.NotContains(t, fmt.Sprint(err), testKey)
		if trouble == midhooktest.Stalling {
			assert.ErrorIs(t, err, context.DeadlineExceeded)
		}
	}
}

// A connection that breaks before the first byte is tried once more; nothing
// else is.
func TestStatusRetry(t *testing.T) {
	for name, tt := range map[string]struct {
		answers []string // "" breaks the connection
		ok      bool
		tries   int
	}{
		"broke once":     {[]string{"", "good"}, true, 2},
		"broke twice":    {[]string{"", "", "good"}, false, 2},
		"failed":         {[]string{"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "good"}, false, 1},
		"broke in it":    {[]string{"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "good"}, false, 1},
		"broke at first": {[]string{"HTTP/1", "good"}, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer l.Close()
			tries := 0
			var wg sync.WaitGroup
			wg.Go(func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = conn.Read(make([]byte, 4096))
					answer := tt.answers[tries]
					tries++
					if answer == "good" {
						body := notify("gopay")
						answer = fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
					}
					fmt.Fprint(conn, answer)
					conn.Close()
				}
			})
			c, err := midhook.NewStatusClient(testKey, midhook.WithBaseURL("http://"+l.Addr().String()))
			require.NoError(t, err)
			_, err = c.Get(t.Context(), "gopay-01")
			l.Close()
			wg.Wait()
			assert.Equal(t, tt.ok, err == nil, "%v", err)
			assert.Equal(t, tt.tries, tries)
		})
	}
}

// The limiter is waited for within the context.
func TestStatusRate(t *testing.T) {
	s := newStatusServer(t)
	s.Put(midhooktest.Sample("gopay"))
	c := s.Client(midhook.WithRate(rate.NewLimiter(rate.Every(time.Hour), 1)))
	_, err := c.Get(t.Context(), "gopay-01")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = c.Get(ctx, "gopay-01")
	assert.ErrorIs(t, err, midhook.ErrRateLimited)
	assert.Equal(t, 1, s.Requests())
}

// Rule: for an order_id with several transactions, Get looks at both kinds of request
// unless the first answer is paid, and prefers what is paid, then what was paid, then
// what is later.
func TestGetPrefersWhatIsPaid(t *testing.T) {
	at := func(sample, tx string, status midhooktest.Tweak, time string) *midhook.Notification {
		return midhooktest.Sample(sample, midhooktest.Order("A-1"), midhooktest.Transaction(tx), status, midhooktest.Field("transaction_time", time))
	}
	const early, late = "2026-08-30 14:00:00", "2026-08-30 15:00:00"
	status := midhooktest.Status
	for name, tt := range map[string]struct {
		plain, snap *midhook.Notification
		want        string
		requests    int
	}{
		"paid by DANA after a deny":       {at("credit-card", "plain", status("202", "deny"), late), at("dana", "snap", status("200", "settlement"), early), "snap", 2},
		"paid at first":                   {at("gopay", "plain", status("200", "settlement"), early), at("dana", "snap", status("200", "settlement"), late), "plain", 1},
		"refunded, then pending":          {at("gopay", "plain", status("200", "refund"), early), at("dana", "snap", status("201", "pending"), late), "plain", 2},
		"refunded, then paid":             {at("gopay", "plain", status("200", "refund"), late), at("dana", "snap", status("200", "settlement"), early), "snap", 2},
		"neither paid, the second later":  {at("gopay", "plain", status("202", "expire"), early), at("dana", "snap", status("201", "pending"), late), "snap", 2},
		"neither paid, the first later":   {at("gopay", "plain", status("201", "pending"), late), at("dana", "snap", status("202", "expire"), early), "plain", 2},
		"only what the second kind finds": {nil, at("dana", "snap", status("201", "pending"), early), "snap", 2},
		"only what the first kind finds":  {at("gopay", "plain", status("201", "pending"), late), nil, "plain", 2},
	} {
		s := newStatusServer(t)
		for _, n := range []*midhook.Notification{tt.plain, tt.snap} {
			if n != nil {
				s.Put(n)
			}
		}
		n, err := s.Client().Get(t.Context(), "A-1")
		require.NoError(t, err, name)
		assert.Equal(t, tt.want, n.TransactionID, name)
		assert.Equal(t, "A-1", n.OrderID, name)
		assert.Equal(t, tt.requests, s.Requests(), name)
	}
}

// Rule: a kept-alive connection that breaks makes two requests, not one more of the
// transport's own.
func TestStatusRetryOnKeptAliveConnections(t *testing.T) {
	s := newStatusServer(t)
	s.Put(midhooktest.Sample("gopay"))
	c := s.Client()
	_, err := c.Get(t.Context(), "gopay-01")
	require.NoError(t, err)
	s.Be(midhooktest.Breaking)
	_, err = c.Get(t.Context(), "gopay-01")
	assert.ErrorIs(t, err, midhook.ErrStatusUnavailable)
	assert.Equal(t, 1+2, s.Requests())
}

// Rule: a client that NewStatusClient did not make asks nobody, and says so.
func TestZeroStatusClient(t *testing.T) {
	for _, c := range []*midhook.StatusClient{{}, nil} {
		_, err := c.Get(t.Context(), "A-1")
		assert.ErrorContains(t, err, "NewStatusClient")
		_, err = c.GetAccount(t.Context(), "acc-1")
		assert.ErrorContains(t, err, "NewStatusClient")
	}
}
