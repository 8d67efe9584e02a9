package midhooktest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook/midhooktest"
)

// 307 and 308 are followed, with POST and the same body, at most five times; 301,
// 302 and 303 never, and end the matter.
func TestRedirects(t *testing.T) {
	var paths, bodies []string
	hop := func(n int, status int) http.HandlerFunc { // n redirects, then 200
		return func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			paths, bodies = append(paths, r.Method+" "+r.URL.Path), append(bodies, string(body))
			if len(paths) <= n {
				http.Redirect(w, r, fmt.Sprintf("/%d", len(paths)), status)
			}
		}
	}
	for _, c := range []struct {
		status, redirects int
		want              int // the last status
		paths             []string
		err               string
	}{
		{307, 1, 200, []string{"POST /a", "POST /1"}, ""},
		{308, 5, 200, []string{"POST /a", "POST /1", "POST /2", "POST /3", "POST /4", "POST /5"}, ""},
		{307, 6, 307, []string{"POST /a", "POST /1", "POST /2", "POST /3", "POST /4", "POST /5"}, "307 after 5 redirects"},
		{301, 1, 301, []string{"POST /a"}, ""},
		{302, 1, 302, []string{"POST /a"}, ""},
		{303, 1, 303, []string{"POST /a"}, ""},
	} {
		for _, overSocket := range []bool{false, true} {
			t.Run(fmt.Sprint(c.redirects, " times ", c.status, " over a socket ", overSocket), func(t *testing.T) {
				paths, bodies = nil, nil
				g := &midhooktest.Engine{Handler: hop(c.redirects, c.status), URL: "https://shop.example/a"}
				if overSocket {
					server := httptest.NewServer(g.Handler)
					defer server.Close()
					g = &midhooktest.Engine{URL: server.URL + "/a"}
					// A client's own opinion of redirects does not count.
					if c.redirects == 5 {
						g.Client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("no") }}
						defer g.Client.CloseIdleConnections()
					}
				}
				a := attempt(t, g)
				assert.Equal(t, c.want, a.Status)
				assert.Equal(t, c.paths, paths)
				assert.Len(t, a.Redirects, len(paths)-1)
				for _, body := range bodies {
					assert.Equal(t, string(midhooktest.Body(midhooktest.Sample("gopay"), key)), body)
				}
				if c.err == "" {
					assert.NoError(t, a.Err)
				} else {
					assert.EqualError(t, a.Err, c.err)
				}
			})
		}
	}
}

// A redirect too many, or to nowhere, is a failure as any other: five retries,
// each of which begins at the notification URL.
func TestRedirectsToNowhere(t *testing.T) {
	for name, location := range map[string]string{"a loop": "/a", "no Location": "", "no host": "mailto:x@shop.example", "no URL": "http://[::1"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := 0
				g := &midhooktest.Engine{Secret: key, URL: "https://shop.example/first", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/first" {
						first++
					}
					if location != "" {
						w.Header().Set("Location", location)
					}
					w.WriteHeader(http.StatusTemporaryRedirect)
				})}
				d, err := g.Deliver(t.Context(), midhooktest.Sample("gopay"))
				require.NoError(t, err)
				assert.False(t, d.Delivered)
				assert.Len(t, d.Attempts, 6)
				assert.Equal(t, 6, first)
			})
		})
	}
}

// The 15 s are for an attempt, redirects included.
func TestTimeoutOfAnAttemptWithRedirects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &midhooktest.Engine{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(4 * time.Second)
			http.Redirect(w, r, "/next", http.StatusPermanentRedirect)
		})}
		defer g.Wait()
		a := attempt(t, g)
		assert.ErrorIs(t, a.Err, context.DeadlineExceeded)
		assert.Equal(t, 15*time.Second, a.Duration)
		assert.Len(t, a.Redirects, 3)
	})
}
