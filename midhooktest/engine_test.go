package midhooktest_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// onceOnly is the policy of a test that looks at one attempt.
func onceOnly() *midhooktest.RetryPolicy {
	p := midhooktest.MidtransRetries()
	p.Waits = nil
	return &p
}

// attempt delivers a sample once.
func attempt(t *testing.T, g *midhooktest.Engine) midhooktest.Attempt {
	t.Helper()
	g.Secret, g.Policy = key, onceOnly()
	d, err := g.Deliver(t.Context(), midhooktest.Sample("gopay"))
	require.NoError(t, err)
	require.Len(t, d.Attempts, 1)
	return d.Attempts[0]
}

// The request is Midtrans' own: POST, its headers, the signed body; the same for
// a handler and over a socket.
func TestEngineRequest(t *testing.T) {
	type seen struct {
		Method, Path, Query, URI, Proto, UserAgent, ContentType, Accept, Length string
		ContentLength                                                           int64
		Body                                                                    string
	}
	var got seen
	var tlsVersion uint16
	h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.TLS != nil {
			tlsVersion = r.TLS.Version
		}
		got = seen{
			r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.RequestURI, r.Proto, r.UserAgent(),
			r.Header.Get("Content-Type"), r.Header.Get("Accept"), r.Header.Get("Content-Length"), r.ContentLength, string(body),
		}
		assert.NotEmpty(t, r.Host)
		assert.NotEmpty(t, r.RemoteAddr)
		assert.False(t, r.URL.IsAbs())
	})
	sent := string(midhooktest.Body(midhooktest.Sample("gopay"), key))
	want := seen{
		"POST", "/mid%2Ftrans/x", "a=1", "/mid%2Ftrans/x?a=1", "HTTP/1.1", "Veritrans",
		"application/json", "application/json", fmt.Sprint(len(sent)), int64(len(sent)), sent,
	}

	a := attempt(t, &midhooktest.Engine{Handler: h, URL: "https://shop.example/mid%2Ftrans/x?a=1#y"})
	assert.NoError(t, a.Err)
	assert.Equal(t, want, got)
	assert.EqualValues(t, tls.VersionTLS12, tlsVersion)

	server := httptest.NewServer(h)
	defer server.Close()
	a = attempt(t, &midhooktest.Engine{URL: server.URL + "/mid%2Ftrans/x?a=1#y"})
	assert.NoError(t, a.Err)
	want.Length = got.Length // net/http's server keeps it from the handler or not
	assert.Equal(t, want, got)
}

// Midtrans hangs up after 15 s. The request's context ends, the rest is written
// to nobody, and a flushed beginning is not an answer.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var written error
		var after time.Duration
		start := time.Now()
		g := &midhooktest.Engine{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "a moment")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			after = time.Since(start)
			time.Sleep(time.Hour)
			_, written = w.Write([]byte("done"))
		})}
		a := attempt(t, g)
		assert.ErrorIs(t, a.Err, context.DeadlineExceeded)
		assert.Equal(t, "no answer within 15s: no retry follows, lost", a.Why)
		assert.Equal(t, 15*time.Second, a.Duration)
		g.Wait()
		assert.Equal(t, 15*time.Second, after)
		assert.Equal(t, time.Hour+15*time.Second, time.Since(start), "Wait waits for the handler")
		assert.Error(t, written)
	})
	// The same over a socket, with less patience.
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		<-release
	}))
	defer server.Close()
	defer close(release)
	g := &midhooktest.Engine{URL: server.URL, Policy: &midhooktest.RetryPolicy{Timeout: 50 * time.Millisecond}}
	d, err := g.DeliverBody(t.Context(), nil)
	require.NoError(t, err)
	assert.ErrorIs(t, d.Attempts[0].Err, context.DeadlineExceeded)
	assert.Equal(t, "no answer within 50ms: no retry follows, lost", d.Reason)
}

// A body goes out as it is, were it no notification at all.
func TestDeliverBody(t *testing.T) {
	n := midhooktest.Sample("gopay")
	tampered := bytes.Replace(midhooktest.Body(n, key), []byte("154600.00"), []byte("1.00"), 1)
	hook := newHook(t).HandlerFunc(func(context.Context, *midhook.Notification) error {
		t.Error("the handler must not run")
		return nil
	})
	for _, c := range []struct {
		body     []byte
		statuses []int
		order    string
	}{
		{tampered, []int{403, 403, 403, 403, 403, 403}, "gopay-01"},
		{[]byte("{"), []int{400, 400, 400}, ""},
		{nil, []int{400, 400, 400}, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := &midhooktest.Engine{Handler: hook}
			d, err := g.DeliverBody(t.Context(), c.body)
			require.NoError(t, err)
			assert.Equal(t, c.statuses, statuses(d))
			if c.order == "" {
				assert.Nil(t, d.Notification)
			} else {
				assert.Equal(t, c.order, d.Notification.OrderID)
			}
		})
	}
}

func TestEngineThatCannotWork(t *testing.T) {
	n, h := midhooktest.Sample("gopay"), answers(200)
	for says, g := range map[string]*midhooktest.Engine{
		"a Handler or a URL": {Secret: key},
		"Secret":             {Handler: h},
		"speed -1":           {Handler: h, Secret: key, Speed: -1},
		"an absolute http":   {URL: "localhost:8080", Secret: key},
	} {
		d, err := g.Deliver(t.Context(), n)
		assert.ErrorContains(t, err, says)
		assert.Empty(t, d.Attempts)
	}
	_, err := (&midhooktest.Engine{Handler: h, Secret: key}).Deliver(t.Context(), nil)
	assert.ErrorContains(t, err, "nil notification")
}

// By default the engine speaks TLS 1.2, and checks certificates, as Midtrans does.
func TestEngineTLS(t *testing.T) {
	serve := func(config *tls.Config) *httptest.Server {
		s := httptest.NewUnstartedServer(answers(200))
		s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
		s.TLS = config
		s.StartTLS()
		t.Cleanup(s.Close)
		return s
	}
	a := attempt(t, &midhooktest.Engine{URL: serve(&tls.Config{MinVersion: tls.VersionTLS13}).URL})
	assert.ErrorContains(t, a.Err, "protocol version")
	a = attempt(t, &midhooktest.Engine{URL: serve(nil).URL})
	assert.ErrorContains(t, a.Err, "certificate")
	s := serve(nil)
	a = attempt(t, &midhooktest.Engine{URL: s.URL, Client: s.Client()})
	assert.NoError(t, a.Err)
}

// Many deliveries at once through one engine (for the race detector), and Wait
// beside them.
func TestEngineIsSafeForConcurrentUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, attempts atomic.Int64
		g := &midhooktest.Engine{
			Secret: key,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				running.Add(1)
				defer running.Add(-1)
				w.Header().Set("Content-Length", "0")
				w.WriteHeader(503)
				w.(http.Flusher).Flush()
				time.Sleep(time.Minute)
			}),
			OnAttempt: func(*midhook.Notification, midhooktest.Attempt) { attempts.Add(1) },
		}
		for i := range 50 {
			go func() {
				_, err := g.Deliver(t.Context(), midhooktest.Sample("gopay", midhooktest.Order(fmt.Sprint(i))))
				assert.NoError(t, err)
			}()
		}
		time.Sleep(time.Second)
		assert.EqualValues(t, 50, running.Load())
		time.Sleep(342 * time.Minute)
		g.Wait()
		assert.Zero(t, running.Load())
		assert.EqualValues(t, 5*50, attempts.Load())
	})
}

// Another sender's event goes out with the header that proves it, the same in every
// attempt, to a handler and over a socket.
func TestDeliverSigned(t *testing.T) {
	policy := midhooktest.RetryPolicy{Waits: []time.Duration{time.Second, time.Second}, Otherwise: 2}
	for _, sender := range midhooktest.Senders() {
		t.Run(sender.Name, func(t *testing.T) {
			var headers []http.Header
			var bodies []string
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				bodies = append(bodies, string(body))
				headers = append(headers, r.Header.Clone())
				for name := range r.Header { // as a handler should not
					r.Header[name][0] = "spoilt"
				}
				w.WriteHeader(503)
			})
			check := func(t *testing.T, g *midhooktest.Engine, want http.Header, body []byte) {
				headers, bodies = nil, nil
				d, err := g.DeliverSigned(t.Context(), sender.Event(0))
				require.NoError(t, err)
				require.Len(t, d.Attempts, 3)
				require.Len(t, headers, 3)
				assert.Equal(t, sender.Name == "midtrans", d.Notification != nil)
				for i, header := range headers {
					assert.Equal(t, string(body), bodies[i])
					assert.Equal(t, "application/json", header.Get("Content-Type"))
					for name := range want {
						assert.Equal(t, want.Values(name), header.Values(name), "attempt %d", i+1)
					}
				}
			}
			synctest.Test(t, func(t *testing.T) { // retries come later, and are not signed anew
				g := &midhooktest.Engine{Handler: handler, Sender: &sender, Secret: "whsk_test", Policy: &policy}
				want, body := sender.Sign(sender.Event(0), "whsk_test", time.Now())
				check(t, g, want, body)
			})

			still := sender
			want, body := sender.Sign(sender.Event(0), "whsk_test", time.Now())
			still.Sign = func([]byte, string, time.Time) (http.Header, []byte) { return want, body }
			server := httptest.NewServer(handler)
			defer server.Close()
			g := &midhooktest.Engine{URL: server.URL, Sender: &still, Secret: "whsk_test", Policy: &policy, Speed: 1e6}
			check(t, g, want.Clone(), body)
		})
	}
}

// What is given is sent as it is, and stays the caller's.
func TestDeliverRequest(t *testing.T) {
	header, body := http.Header{"Content-Type": {"text/plain"}, "X-Kind": {"a", "b"}}, []byte(`{"a":1}`)
	var got http.Header
	g := &midhooktest.Engine{Policy: onceOnly(), Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		r.Header["X-Kind"][0] = "spoilt"
		b, _ := io.ReadAll(r.Body)
		b[0] = 'x'
	})}
	d, err := g.DeliverRequest(t.Context(), header, body)
	require.NoError(t, err)
	assert.True(t, d.Delivered)
	assert.Nil(t, d.Notification)
	assert.Equal(t, []string{"text/plain"}, got["Content-Type"], "in place of the usual one")
	assert.Equal(t, []string{"a", "b"}, got["X-Kind"])
	assert.Equal(t, "Veritrans", got.Get("User-Agent"))
	assert.Equal(t, http.Header{"Content-Type": {"text/plain"}, "X-Kind": {"a", "b"}}, header)
	assert.Equal(t, `{"a":1}`, string(body))
}

// Another sender sends no notifications of Midtrans', and a sender that cannot sign
// none of its own.
func TestSendersThatCannotDeliver(t *testing.T) {
	h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("nothing must be delivered") })
	for _, sender := range midhooktest.Senders()[1:] {
		g := &midhooktest.Engine{Handler: h, Sender: &sender, Secret: key}
		d, err := g.Deliver(t.Context(), midhooktest.Sample("gopay"))
		assert.EqualError(t, err, "midhooktest: "+sender.Name+" does not send Midtrans' notifications: its own go out by DeliverSigned")
		assert.Empty(t, d.Attempts)
		_, err = midhooktest.Crash.Play(t.Context(), midhooktest.Subject{Engine: g})
		assert.ErrorContains(t, err, "does not send Midtrans' notifications")

		g = &midhooktest.Engine{Handler: h, Sender: &sender}
		_, err = g.DeliverSigned(t.Context(), sender.Event(0))
		assert.ErrorContains(t, err, "Secret")
	}
	g := &midhooktest.Engine{Handler: h, Secret: key, Sender: &midhooktest.Sender{Name: "warung"}}
	_, err := g.DeliverSigned(t.Context(), []byte(`{}`))
	assert.EqualError(t, err, `midhooktest: the sender "warung" needs a Sign`)
}

// An Engine with Midtrans for its Sender is one without.
func TestMidtransSenderIsTheDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sender := midhooktest.MidtransSender()
		for _, g := range []*midhooktest.Engine{{}, {Sender: &sender}} {
			g.Handler, g.Secret = answers(503), key
			d, err := g.Deliver(t.Context(), midhooktest.Sample("gopay"))
			require.NoError(t, err)
			assert.Equal(t, []int{503, 503, 503, 503, 503}, statuses(d))
			signed, err := g.DeliverSigned(t.Context(), sender.Body("gopay"))
			require.NoError(t, err)
			assert.NoError(t, midhook.Verify(signed.Notification, key))
			assert.Equal(t, d.Attempts[0].Next, signed.Attempts[0].Next, "which is drawn from the body")
		}
	})
}
