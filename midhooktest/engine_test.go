package midhooktest_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
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

// A handler in this process and one behind net/http's server look alike to the
// engine, whatever they do.
func TestHandlerAndServerGiveTheSameAnswer(t *testing.T) {
	for _, c := range []struct {
		name string
		h    http.HandlerFunc
		want midhooktest.Attempt // Err: any
	}{
		{"nothing written", func(http.ResponseWriter, *http.Request) {}, midhooktest.Attempt{Status: 200}},
		{"a body", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "fine") }, midhooktest.Attempt{Status: 200, Answer: "fine"}},
		{"the first status counts", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(418)
			w.WriteHeader(200)
			fmt.Fprint(w, "tea")
		}, midhooktest.Attempt{Status: 418, Answer: "tea"}},
		{"1xx is no answer", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(103)
			w.WriteHeader(201)
		}, midhooktest.Attempt{Status: 201}},
		{"204 has no body", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(204)
			_, err := w.Write([]byte("x"))
			if !errors.Is(err, http.ErrBodyNotAllowed) {
				panic(err)
			}
		}, midhooktest.Attempt{Status: 204}},
		{"too many bytes", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			_, _ = w.Write([]byte("ok"))
			if _, err := w.Write([]byte("!")); !errors.Is(err, http.ErrContentLength) {
				panic(err)
			}
		}, midhooktest.Attempt{Status: 200, Answer: "ok"}},
		{"too few bytes", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "3")
			_, _ = w.Write([]byte("ok"))
		}, midhooktest.Attempt{Err: io.ErrUnexpectedEOF}},
		{"too few bytes of many", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "20000")
			_, _ = w.Write(make([]byte, 10000))
		}, midhooktest.Attempt{Err: io.ErrUnexpectedEOF}},
		{"a long answer is cut", func(w http.ResponseWriter, _ *http.Request) {
			for range 10 {
				_, _ = w.Write(bytes.Repeat([]byte("x"), 1000))
			}
		}, midhooktest.Attempt{Status: 200, Answer: strings.Repeat("x", 1024)}},
		{"panic", func(http.ResponseWriter, *http.Request) { panic("crash") }, midhooktest.Attempt{Err: io.EOF}},
		{"abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, midhooktest.Attempt{Err: io.EOF}},
		{"panic with an answer written", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(200)
			fmt.Fprint(w, "ok")
			panic("crash")
		}, midhooktest.Attempt{Err: io.EOF}},
		{"panic with an answer begun", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "ok")
			w.(http.Flusher).Flush()
			panic("crash")
		}, midhooktest.Attempt{Err: io.EOF}},
		{"panic after a complete answer", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			fmt.Fprint(w, "ok")
			w.(http.Flusher).Flush()
			panic("crash")
		}, midhooktest.Attempt{Status: 200, Answer: "ok"}},
		{"Goexit", func(http.ResponseWriter, *http.Request) { runtime.Goexit() }, midhooktest.Attempt{Err: io.EOF}},
		{"a read deadline that has passed", func(w http.ResponseWriter, r *http.Request) {
			if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
				panic(err)
			}
			w.WriteHeader(200)
		}, midhooktest.Attempt{Status: 200}},
		{"full duplex", func(w http.ResponseWriter, r *http.Request) {
			if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
				panic(err)
			}
			w.WriteHeader(200)
		}, midhooktest.Attempt{Status: 200}},
		{"an impossible status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(42) }, midhooktest.Attempt{Err: io.EOF}},
	} {
		t.Run(c.name, func(t *testing.T) {
			log.SetOutput(io.Discard) // the late panic's
			defer log.SetOutput(os.Stderr)
			server := httptest.NewUnstartedServer(c.h)
			server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
			server.Start()
			defer server.Close()
			for where, g := range map[string]*midhooktest.Engine{"handler": {Handler: c.h}, "server": {URL: server.URL}} {
				got := attempt(t, g)
				g.Wait()
				if c.want.Err != nil {
					assert.Error(t, got.Err, where)
					continue
				}
				assert.NoError(t, got.Err, where)
				assert.Equal(t, c.want.Status, got.Status, where)
				assert.Equal(t, c.want.Answer, got.Answer, where)
			}
		})
	}
}

// What went wrong with a handler in this process is told in full.
func TestBrokenConnections(t *testing.T) {
	a := attempt(t, &midhooktest.Engine{Handler: answers(0)})
	p, ok := errors.AsType[*midhooktest.PanicError](a.Err)
	require.True(t, ok)
	assert.Equal(t, "crash", p.Value)
	assert.Contains(t, string(p.Stack), "answers", "the stack is that of the panic")
	assert.Zero(t, a.Status)

	a = attempt(t, &midhooktest.Engine{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { runtime.Goexit() })})
	assert.ErrorContains(t, a.Err, "runtime.Goexit")

	server := httptest.NewServer(nil)
	server.Close()
	a = attempt(t, &midhooktest.Engine{URL: server.URL})
	assert.ErrorContains(t, a.Err, "refused")
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

// The status of an answer that does not come to its end decides nothing: it is a
// broken connection or a timeout, with the five retries of those.
func TestTornAnswersAreNoAnswers(t *testing.T) {
	for _, status := range []int{200, 302, 503} {
		for name, end := range map[string]func(*http.Request){
			"timeout": func(r *http.Request) { <-r.Context().Done() },
			"panic":   func(*http.Request) { panic(http.ErrAbortHandler) },
		} {
			t.Run(fmt.Sprint(status, " ", name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					g := &midhooktest.Engine{Secret: key, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						w.WriteHeader(status)
						_ = http.NewResponseController(w).Flush()
						end(r)
					})}
					d, err := g.Deliver(t.Context(), midhooktest.Sample("gopay"))
					require.NoError(t, err)
					assert.False(t, d.Delivered)
					assert.Len(t, d.Attempts, 6)
					assert.Contains(t, d.Reason, "no more than 5 retries, lost")
				})
			})
		}
	}
}

// As under net/http's server, the request's context ends with the handler.
func TestContextEndsWithTheHandler(t *testing.T) {
	var ctx context.Context
	g := &midhooktest.Engine{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { ctx = r.Context() })}
	attempt(t, g)
	g.Wait()
	assert.ErrorIs(t, ctx.Err(), context.Canceled)
}

// An answer counts when its last byte is flushed, although the handler runs on:
// as midhook answers at its budget.
func TestACompleteAnswerCountsWhileTheHandlerRunsOn(t *testing.T) {
	for _, c := range []struct {
		name    string
		flushed func(w http.ResponseWriter)
		after   time.Duration // until there is an answer
		hangsUp bool
	}{
		{"complete", func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "4")
			w.WriteHeader(503)
			fmt.Fprint(w, "busy")
			w.(http.Flusher).Flush()
		}, 0, false},
		{"complete, the connection's last", func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "4")
			w.Header().Set("Connection", "close")
			w.WriteHeader(503)
			fmt.Fprint(w, "busy")
			_ = http.NewResponseController(w).Flush()
		}, 0, true},
		{"not flushed", func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "4")
			w.WriteHeader(503)
			fmt.Fprint(w, "busy")
		}, 10 * time.Second, false},
		{"no Content-Length", func(w http.ResponseWriter) {
			w.WriteHeader(503)
			fmt.Fprint(w, "busy")
			w.(http.Flusher).Flush()
		}, 10 * time.Second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var hungUp error
				g := &midhooktest.Engine{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					c.flushed(w)
					time.Sleep(10 * time.Second)
					hungUp = r.Context().Err()
				})}
				a := attempt(t, g)
				assert.NoError(t, a.Err)
				assert.Equal(t, 503, a.Status)
				assert.Equal(t, "busy", a.Answer)
				assert.Equal(t, c.after, a.Duration)
				g.Wait()
				assert.Equal(t, c.hangsUp, hungUp != nil)
			})
		})
	}
	t.Run("midhook", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			runs := 0
			g := &midhooktest.Engine{Secret: key, Handler: newHook(t).HandlerFunc(func(context.Context, *midhook.Notification) error {
				runs++
				time.Sleep(20 * time.Second)
				return nil
			})}
			d, err := g.Deliver(t.Context(), midhooktest.Sample("gopay"))
			require.NoError(t, err)
			assert.Equal(t, []int{503, 200}, statuses(d))
			assert.Equal(t, 5*time.Second, d.Attempts[0].Duration, "its budget")
			assert.Equal(t, "still being handled\n", d.Attempts[0].Answer)
			assert.Equal(t, "already handled\n", d.Attempts[1].Answer)
			assert.Equal(t, 1, runs)
		})
	})
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wrote, flushed, read error
		a := attempt(t, &midhooktest.Engine{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := http.NewResponseController(w)
			_ = c.SetWriteDeadline(time.Now().Add(time.Second))
			_ = c.SetReadDeadline(time.Now().Add(time.Second))
			fmt.Fprint(w, "early")
			time.Sleep(time.Second)
			_, wrote = w.Write([]byte("late"))
			flushed = c.Flush()
			_, read = r.Body.Read(make([]byte, 1))
		})})
		assert.ErrorIs(t, a.Err, os.ErrDeadlineExceeded, "what was not flushed before is lost")
		assert.ErrorIs(t, wrote, os.ErrDeadlineExceeded)
		assert.ErrorIs(t, flushed, os.ErrDeadlineExceeded)
		assert.ErrorIs(t, read, os.ErrDeadlineExceeded)
	})
}

// A panic that nobody waits for any more is not kept quiet.
func TestLatePanicIsLogged(t *testing.T) {
	var logged bytes.Buffer
	log.SetOutput(&logged)
	defer log.SetOutput(os.Stderr)
	synctest.Test(t, func(t *testing.T) {
		g := &midhooktest.Engine{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			time.Sleep(time.Minute)
			panic("much later")
		})}
		a := attempt(t, g)
		assert.ErrorIs(t, a.Err, context.DeadlineExceeded)
		g.Wait()
	})
	assert.Contains(t, logged.String(), "handler panicked: much later")
	assert.Contains(t, logged.String(), "TestLatePanicIsLogged")
}

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
