package midhooktest_test

import (
	"bytes"
	"context"
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
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

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
