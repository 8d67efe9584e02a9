package midhook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// modes are the ways to run a handler that all keep the budget.
var modes = []struct {
	name     string
	protocol string
	opts     []midhook.Option
}{
	{"inline HTTP/1.1", "HTTP/1.1", nil},
	{"inline HTTP/2", "HTTP/2.0", nil},
	{"detached HTTP/1.1", "HTTP/1.1", []midhook.Option{midhook.WithDetachedHandler()}},
	{"detached HTTP/2", "HTTP/2.0", []midhook.Option{midhook.WithDetachedHandler()}},
}

// inEachMode runs a test in a bubble of its own for each mode.
func inEachMode(t *testing.T, test func(t *testing.T, protocol string, opts []midhook.Option)) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, m.protocol, m.opts) })
		})
	}
}

// A handler that ignores its context runs on; the client has its 503 at the
// budget, and the retry after the late success is a 200 that runs nothing.
func TestLateSuccess(t *testing.T) {
	inEachMode(t, func(t *testing.T, protocol string, opts []midhook.Option) {
		hook, rec := newHook(t, opts...)
		var late error
		next := &counter{do: func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(20 * time.Second)
			w.Header().Set("X-Late", "yes")
			_, late = w.Write([]byte("paid"))
			_, err := io.WriteString(w, "paid")
			assert.ErrorIs(t, err, http.ErrHandlerTimeout)
			_, err = io.Copy(w, strings.NewReader("paid"))
			assert.ErrorIs(t, err, http.ErrHandlerTimeout)
			assert.ErrorIs(t, http.NewResponseController(w).Flush(), http.ErrHandlerTimeout)
			assert.ErrorIs(t, http.NewResponseController(w).SetWriteDeadline(time.Now()), http.ErrHandlerTimeout)
		}}
		_, client := bubble(t, protocol, hook.Handler(next))
		start := time.Now()
		res, err := client.Post(bubbleURL, "application/json", bytes.NewReader(notify("gopay")))
		require.NoError(t, err)
		assert.Equal(t, 5*time.Second, time.Since(start), "the status")
		assert.Equal(t, 503, res.StatusCode)
		assert.Equal(t, "30", res.Header.Get("Retry-After"))
		assert.Equal(t, "20", res.Header.Get("Content-Length"))
		assert.Equal(t, protocol == "HTTP/1.1" && opts == nil, res.Close, "no other request is queued behind the handler")
		body := make([]byte, len("still being handled\n"))
		_, err = io.ReadFull(res.Body, body)
		require.NoError(t, err)
		assert.Equal(t, "still being handled\n", string(body))
		assert.Equal(t, 5*time.Second, time.Since(start), "the body")
		if protocol == "HTTP/1.1" || opts != nil {
			rest, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			assert.Empty(t, rest)
			assert.Equal(t, 5*time.Second, time.Since(start), "the end")
		}
		synctest.Wait()
		assert.Equal(t, []midhook.Outcome{midhook.OutcomeBudgetExceeded}, rec.outcomes())
		assert.ErrorIs(t, rec.last().Err, midhook.ErrBudgetExceeded)
		assert.Equal(t, "in_flight", postOutcome(t, client, rec))

		pass(2 * time.Minute)
		assert.ErrorIs(t, late, http.ErrHandlerTimeout)
		assert.Equal(t, midhook.OutcomeLateHandled, rec.last().Outcome)
		assert.Equal(t, 503, rec.last().StatusCode)
		assert.Equal(t, 20*time.Second, rec.last().Duration)
		res.Body.Close()
		assert.Equal(t, "duplicate", postOutcome(t, client, rec))
		assert.Equal(t, int64(1), next.runs.Load())
	})
}

// pass lets time pass in a bubble, and what is due then happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func postOutcome(t *testing.T, client *http.Client, rec *recorder) string {
	t.Helper()
	post(t, client, bubbleURL, notify("gopay"))
	synctest.Wait()
	return rec.last().Outcome.String()
}

// A handler that fails late is run again by the retry.
func TestLateFailure(t *testing.T) {
	inEachMode(t, func(t *testing.T, protocol string, opts []midhook.Option) {
		fail := true
		hook, rec := newHook(t, opts...)
		next := &counter{do: func(w http.ResponseWriter, r *http.Request) {
			if fail {
				time.Sleep(6 * time.Second)
				w.WriteHeader(http.StatusInternalServerError)
			}
		}}
		_, client := bubble(t, protocol, hook.Handler(next))
		assert.Equal(t, 503, post(t, client, bubbleURL, notify("gopay")).StatusCode)
		pass(2 * time.Minute)
		assert.Equal(t, []midhook.Outcome{midhook.OutcomeBudgetExceeded, midhook.OutcomeLateFailed}, rec.outcomes())
		fail = false
		assert.Equal(t, "handled", postOutcome(t, client, rec))
		assert.Equal(t, int64(2), next.runs.Load())
	})
}

// The same for a function that returns an error.
func TestLateHandlerFunc(t *testing.T) {
	for want, result := range map[midhook.Outcome]error{
		midhook.OutcomeLateHandled: nil,
		midhook.OutcomeLateFailed:  errors.New("deadlock detected"),
	} {
		inEachMode(t, func(t *testing.T, protocol string, opts []midhook.Option) {
			hook, rec := newHook(t, opts...)
			_, client := bubble(t, protocol, hook.HandlerFunc(func(context.Context, *midhook.Notification) error {
				time.Sleep(6 * time.Second)
				return result
			}))
			assert.Equal(t, 503, post(t, client, bubbleURL, notify("gopay")).StatusCode)
			pass(time.Minute)
			assert.Equal(t, want, rec.last().Outcome)
			if result != nil {
				assert.ErrorIs(t, rec.last().Err, result)
			}
		})
	}
}

// A late panic has nobody above it that tells: its stack is in the log, its
// claim given back, and the process lives.
func TestLatePanic(t *testing.T) {
	inEachMode(t, func(t *testing.T, protocol string, opts []midhook.Option) {
		fail := true
		hook, rec := newHook(t, opts...)
		next := &counter{do: func(http.ResponseWriter, *http.Request) {
			if fail {
				time.Sleep(6 * time.Second)
				panic("too late")
			}
		}}
		_, client := bubble(t, protocol, hook.Handler(next))
		res, err := client.Post(bubbleURL, "application/json", bytes.NewReader(notify("gopay")))
		require.NoError(t, err)
		assert.Equal(t, 503, res.StatusCode)
		pass(time.Minute)
		res.Body.Close()
		assert.Equal(t, []midhook.Outcome{midhook.OutcomeBudgetExceeded, midhook.OutcomeLateFailed}, rec.outcomes())
		assert.Contains(t, rec.logged(), "too late")
		assert.Contains(t, rec.logged(), "writer_test.go")
		fail = false
		assert.Equal(t, "handled", postOutcome(t, client, rec))
	})
}

// Rule: a panic at the very moment at which the budget ends is told once, as the client
// saw it: as a broken connection, or as the budget's answer and what came after it.
func TestPanicAtTheEndOfTheBudget(t *testing.T) {
	for range 50 {
		inEachMode(t, func(t *testing.T, protocol string, opts []midhook.Option) {
			hook, rec := newHook(t, opts...)
			_, client := bubble(t, protocol, hook.Handler(&counter{do: func(http.ResponseWriter, *http.Request) {
				time.Sleep(5 * time.Second)
				panic("just now")
			}}))
			res, err := client.Post(bubbleURL, "application/json", bytes.NewReader(notify("gopay")))
			pass(time.Minute)
			if err == nil {
				assert.Equal(t, 503, res.StatusCode)
				assert.Equal(t, []midhook.Outcome{midhook.OutcomeBudgetExceeded, midhook.OutcomeLateFailed}, rec.outcomes())
				res.Body.Close()
				return
			}
			assert.Equal(t, midhook.OutcomeHandlerPanicked, rec.outcomes()[0])
			assert.Len(t, rec.outcomes(), 1)
		})
	}
}

// Rule: the late event comes after the budget's, and waits for it by no lock: a bubble
// of the merchant's own tests would stand still while a peer does not read.
func TestLateEventBesideAPeerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook, rec := newHook(t)
		_, client := bubble(t, "HTTP/1.1", hook.HandlerFunc(func(context.Context, *midhook.Notification) error {
			time.Sleep(6 * time.Second) // the answer at the budget is on its way
			return errors.New("too late")
		}))
		conn, err := client.Transport.(*http.Transport).DialContext(t.Context(), "pipe", "merchant")
		require.NoError(t, err)
		defer conn.Close()
		body := notify("gopay")
		_, err = fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		require.NoError(t, err)
		pass(time.Minute)
		assert.Equal(t, []midhook.Outcome{midhook.OutcomeBudgetExceeded, midhook.OutcomeLateFailed}, rec.outcomes())
		assert.ErrorContains(t, rec.events[0].Err, "has not left")
	})
}

// The handler's context keeps values and outlives budget and client; it ends
// with the grace, and says why. A handler that then gives up has not succeeded.
func TestGrace(t *testing.T) {
	inEachMode(t, func(t *testing.T, protocol string, opts []midhook.Option) {
		hook, rec := newHook(t, append(opts, midhook.WithGrace(10*time.Second))...)
		start := time.Now()
		var ended time.Duration
		next := &counter{do: func(w http.ResponseWriter, r *http.Request) {
			deadline, ok := r.Context().Deadline()
			assert.True(t, ok)
			assert.Equal(t, 15*time.Second, deadline.Sub(start))
			<-r.Context().Done()
			ended = time.Since(start)
			assert.Equal(t, midhook.ErrGraceExceeded, context.Cause(r.Context()))
			assert.ErrorIs(t, r.Context().Err(), context.DeadlineExceeded)
		}}
		_, client := bubble(t, protocol, hook.Handler(next))
		post(t, client, bubbleURL, notify("gopay"))
		pass(time.Minute)
		assert.Equal(t, 15*time.Second, ended)
		assert.Equal(t, midhook.OutcomeLateFailed, rec.last().Outcome)
		assert.ErrorIs(t, rec.last().Err, midhook.ErrGraceExceeded)
	})
}

// Beyond the grace the claim of a handler that ignores its context is renewed
// for as long as it runs: retries never run beside it.
func TestClaimOutlivesItsLease(t *testing.T) {
	for _, budget := range []time.Duration{time.Millisecond, 5 * time.Second, 14 * time.Second} {
		for _, grace := range []time.Duration{0, 25 * time.Second} {
			synctest.Test(t, func(t *testing.T) {
				hook, rec := newHook(t, midhook.WithBudget(budget), midhook.WithGrace(grace))
				var running atomic.Int64
				next := &counter{do: func(w http.ResponseWriter, r *http.Request) {
					assert.Equal(t, int64(1), running.Add(1), "at most one run at a time")
					time.Sleep(10 * time.Minute)
					running.Add(-1)
					w.WriteHeader(http.StatusOK)
				}}
				_, client := bubble(t, "HTTP/1.1", hook.Handler(next))
				post(t, client, bubbleURL, notify("gopay"))
				for range 100 {
					time.Sleep(5 * time.Second)
					assert.Equal(t, "in_flight", postOutcome(t, client, rec))
				}
				pass(5 * time.Minute)
				assert.Equal(t, "duplicate", postOutcome(t, client, rec))
				assert.Equal(t, int64(1), next.runs.Load())
			})
		}
	}
}

// Shutdown waits for a late handler that runs on its request's goroutine.
func TestShutdownWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook, rec := newHook(t)
		server, client := bubble(t, "HTTP/1.1", hook.Handler(&counter{do: func(http.ResponseWriter, *http.Request) { time.Sleep(20 * time.Second) }}))
		start := time.Now()
		post(t, client, bubbleURL, notify("gopay"))
		require.NoError(t, server.Shutdown(t.Context()))
		assert.GreaterOrEqual(t, time.Since(start), 20*time.Second)
		assert.Equal(t, midhook.OutcomeLateHandled, rec.last().Outcome)
	})
}

// The answer does not depend on whether the handler or the budget comes first
// by a hair: it is whole, and no claim is lost. Handlers end within a millisecond
// of the budget on either side, 2,000 of them.
func TestStorm(t *testing.T) {
	for _, opts := range [][]midhook.Option{nil, {midhook.WithDetachedHandler()}} {
		const requests, budget = 2000, 100 * time.Millisecond
		hook, rec := newHook(t, append(opts, midhook.WithBudget(budget))...)
		var succeeded sync.Map
		url, client := serve(t, hook.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, _ := midhook.FromContext(r.Context())
			var i int
			fmt.Sscan(n.OrderID, &i)
			time.Sleep(budget + time.Duration(i%201-100)*10*time.Microsecond)
			fmt.Fprint(w, "the handler's answer")
			count, _ := succeeded.LoadOrStore(n.OrderID, new(atomic.Int64))
			count.(*atomic.Int64).Add(1)
		})))
		client.Transport.(*http.Transport).MaxIdleConnsPerHost = 64
		deliver := func(i int) response {
			return post(t, client, url, notify("gopay", midhooktest.Order(fmt.Sprint(i))))
		}
		each := func(do func(i int)) {
			var wg sync.WaitGroup
			slots := make(chan struct{}, 64)
			for i := range requests {
				slots <- struct{}{}
				wg.Go(func() {
					defer func() { <-slots }()
					do(i)
				})
			}
			wg.Wait()
		}
		var ok, late atomic.Int64
		each(func(i int) {
			switch res := deliver(i); {
			case res.StatusCode == 200 && res.body == "the handler's answer":
				ok.Add(1)
			case res.StatusCode == 503 && res.body == "still being handled\n":
				late.Add(1)
			case res.StatusCode == 408: // on a busy machine, before the body was read
			default:
				t.Errorf("torn: %d %q", res.StatusCode, res.body)
			}
		})
		each(func(i int) {
			for deliver(i).StatusCode != 200 { // in flight for a moment at the most
				time.Sleep(time.Millisecond)
			}
		})
		t.Logf("%d in time, %d late", ok.Load(), late.Load())
		for i := range requests {
			count, found := succeeded.Load(fmt.Sprint(i))
			if assert.True(t, found, "order %d was lost", i) {
				assert.Equal(t, int64(1), count.(*atomic.Int64).Load(), "order %d", i)
			}
		}
		for _, e := range rec.events {
			switch e.Outcome {
			case midhook.OutcomeHandled, midhook.OutcomeDuplicate, midhook.OutcomeInFlight, midhook.OutcomeBudgetExceeded, midhook.OutcomeLateHandled:
			default:
				// On a busy machine the budget may be over before the handler begins.
				assert.ErrorIs(t, e.Err, midhook.ErrBudgetExceeded, "%v", e)
			}
		}
	}
}

// What a handler may do with a ResponseWriter comes out as it does without the
// middleware: each of these runs on a plain server and behind midhook.
func TestWriterIsAsNetHTTPs(t *testing.T) {
	outer := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Outer", "outer")
			w.Header().Set("X-Removed", "outer")
			w.Header().Add("X-Both", "outer")
			next.ServeHTTP(w, r)
		})
	}
	for name, handler := range map[string]http.HandlerFunc{
		"nothing": func(http.ResponseWriter, *http.Request) {},
		"write":   func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>hello") },
		"json": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, "{}")
		},
		"io.Copy":        func(w http.ResponseWriter, _ *http.Request) { io.Copy(w, strings.NewReader("copied")) },
		"io.WriteString": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "written") },
		"large":          func(w http.ResponseWriter, _ *http.Request) { w.Write(bytes.Repeat([]byte("x"), 1<<20)) },
		"twice": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprint(w, "once")
		},
		"header after WriteHeader": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			w.Header().Set("X-Too-Late", "1")
		},
		"header after Write": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "x")
			w.WriteHeader(http.StatusTeapot)
		},
		"outer headers": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Del("X-Removed")
			w.Header().Add("X-Both", w.Header().Get("X-Outer")+" and inner")
		},
		"no content": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNoContent)
			_, err := w.Write([]byte("x"))
			assert.ErrorIs(t, err, http.ErrBodyNotAllowed)
		},
		"flusher": func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprint(w, "flushed")
		},
		"controller": func(w http.ResponseWriter, _ *http.Request) {
			c := http.NewResponseController(w)
			assert.NoError(t, c.Flush())
			assert.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Minute)))
			assert.NoError(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
			fmt.Fprint(w, "controlled")
		},
		"content length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			fmt.Fprint(w, "exact")
		},
		"processing, without a header": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusProcessing)
			fmt.Fprint(w, "processed")
		},
		"early hints": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusAccepted)
			w.WriteHeader(http.StatusProcessing)
			fmt.Fprint(w, "after hints")
		},
	} {
		t.Run(name, func(t *testing.T) {
			hook, _ := newHook(t)
			detached, _ := newHook(t, midhook.WithDetachedHandler())
			var want string
			for i, h := range []http.Handler{outer(handler), outer(hook.Handler(handler)), outer(detached.Handler(handler))} {
				url, client := serve(t, h)
				var got strings.Builder
				trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
					fmt.Fprintln(&got, code, header)
					return nil
				}}
				req, _ := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodPost, url, bytes.NewReader(notify("gopay")))
				res := do(t, client, req)
				res.Header.Del("Date")
				if name == "flusher" || name == "controller" {
					// Here the answer is held back: its length and type are known.
					res.Header.Del("Content-Length")
					res.Header.Del("Content-Type")
				}
				fmt.Fprintln(&got, res.Status, res.Header, res.body)
				if i == 0 {
					want = got.String()
				}
				assert.Equal(t, want, got.String())
			}
		})
	}
}

// slowWriter takes its time for the header.
type slowWriter struct {
	*httptest.ResponseRecorder
	headers int
}

func (w *slowWriter) WriteHeader(status int) {
	w.headers++
	time.Sleep(time.Minute)
	w.ResponseRecorder.WriteHeader(status)
}

// Rule: an answer that is on its way when the budget ends is the only one.
func TestAnswerOnItsWayAtTheBudget(t *testing.T) {
	for outcome, body := range map[midhook.Outcome][]byte{midhook.OutcomeHandled: notify("gopay"), midhook.OutcomeMalformed: nil} {
		synctest.Test(t, func(t *testing.T) {
			hook, rec := newHook(t)
			w := &slowWriter{ResponseRecorder: httptest.NewRecorder()}
			hook.Handler(&counter{}).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body)))
			assert.Equal(t, 1, w.headers)
			assert.Equal(t, []midhook.Outcome{outcome}, rec.outcomes())
		})
	}
}

// Rule: what a handler sends ahead is no part of an answer that is not its own.
func TestEarlyHintsOfAFailure(t *testing.T) {
	hook, _ := newHook(t)
	url, client := serve(t, hook.HandlerWithError(func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		return errors.New("too early")
	}))
	res := post(t, client, url, notify("gopay"))
	assert.Equal(t, 503, res.StatusCode)
	assert.Empty(t, res.Header.Get("Link"))
}

// A declared length that is wrong would tear the response; here it is known.
func TestWrongContentLength(t *testing.T) {
	hook, _ := newHook(t)
	url, client := serve(t, hook.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "500")
		fmt.Fprint(w, "short")
	})))
	res := post(t, client, url, notify("gopay"))
	assert.Equal(t, 200, res.StatusCode)
	assert.Equal(t, "short", res.body)
}

// An invalid status panics in the handler, as net/http does, and not later.
func TestInvalidStatusPanics(t *testing.T) {
	hook, rec := newHook(t)
	h := hook.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(0) }))
	assert.Panics(t, func() {
		h.ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
	})
	assert.Equal(t, []midhook.Outcome{midhook.OutcomeHandlerPanicked}, rec.outcomes())
}

// Nothing behind the buffer can be reached past it.
func TestNoWayAroundTheBuffer(t *testing.T) {
	hook, _ := newHook(t)
	url, client := serve(t, hook.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _, err := http.NewResponseController(w).Hijack()
		assert.ErrorIs(t, err, http.ErrNotSupported)
		_, hijacker := w.(http.Hijacker)
		_, readerFrom := w.(io.ReaderFrom)
		_, unwrapper := w.(interface{ Unwrap() http.ResponseWriter })
		assert.False(t, hijacker || readerFrom || unwrapper)
	})))
	assert.Equal(t, 200, post(t, client, url, notify("gopay")).StatusCode)
}

// The 503 carries what outer middleware set, and nothing of the handler's.
func TestBudgetAnswerHasOuterHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook, _ := newHook(t)
		inner := hook.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Handler", "half done")
			w.Header().Del("X-Outer")
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, "half")
			time.Sleep(time.Minute)
		}))
		_, client := bubble(t, "HTTP/1.1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Outer", "yes")
			inner.ServeHTTP(w, r)
		}))
		res := post(t, client, bubbleURL, notify("gopay"))
		assert.Equal(t, 503, res.StatusCode)
		assert.Equal(t, "yes", res.Header.Get("X-Outer"))
		assert.Empty(t, res.Header.Get("X-Handler"))
		assert.Equal(t, "still being handled\n", res.body)
		time.Sleep(time.Minute) // for the handler to end
	})
}

// flusher panics when it is flushed, as wrappers do around what cannot flush.
type flusher struct{ http.ResponseWriter }

func (flusher) Flush() { panic("not a Flusher") }

// On a timer's goroutine no server recovers a panic: neither a response writer
// nor a store may end the process there.
func TestPanicAtTheBudget(t *testing.T) {
	inEachMode(t, func(t *testing.T, protocol string, opts []midhook.Option) {
		store := &spyStore{Store: midhook.NewLRUStore(10)}
		store.acquire = func(ctx context.Context, c midhook.Claim) (midhook.ClaimState, error) {
			store.mu.Lock()
			renewal := len(store.calls) > 1
			store.mu.Unlock()
			if renewal {
				panic("driver bug")
			}
			return store.Store.Acquire(ctx, c)
		}
		hook, rec := newHook(t, append(opts, midhook.WithStore(store))...)
		inner := hook.Handler(&counter{do: func(http.ResponseWriter, *http.Request) { time.Sleep(25 * time.Second) }})
		_, client := bubble(t, protocol, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			inner.ServeHTTP(flusher{w}, r)
		}))
		res := post(t, client, bubbleURL, notify("gopay"))
		assert.Equal(t, 503, res.StatusCode)
		pass(time.Minute)
		assert.Contains(t, rec.logged(), "may not have left: an outer http.ResponseWriter panicked: not a Flusher")
		assert.Contains(t, rec.logged(), "the store's Acquire panicked: driver bug")
		assert.Equal(t, midhook.OutcomeLateHandled, rec.last().Outcome)
	})
}

// A renewal that fails is tried again while there is time.
func TestRenewalFailsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &spyStore{Store: midhook.NewLRUStore(10)}
		var failed atomic.Bool
		store.acquire = func(ctx context.Context, c midhook.Claim) (midhook.ClaimState, error) {
			store.mu.Lock()
			again := len(store.claims) > 1 && c.Owner == store.claims[0].Owner
			store.mu.Unlock()
			if again && failed.CompareAndSwap(false, true) {
				return 0, errors.New("connection reset")
			}
			return store.Store.Acquire(ctx, c)
		}
		hook, rec := newHook(t, midhook.WithStore(store))
		next := &counter{do: func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(2 * time.Minute)
			w.WriteHeader(http.StatusOK)
		}}
		_, client := bubble(t, "HTTP/1.1", hook.Handler(next))
		post(t, client, bubbleURL, notify("gopay"))
		for range 20 {
			pass(5 * time.Second)
			assert.Equal(t, "in_flight", postOutcome(t, client, rec))
		}
		pass(time.Minute)
		assert.True(t, failed.Load())
		assert.Equal(t, int64(1), next.runs.Load())
	})
}

// Rule: a status is of three digits; any other panics where it is written, as net/http's
// ResponseWriter has it.
func TestStatusOfThreeDigits(t *testing.T) {
	hook, _ := newHook(t)
	w := httptest.NewRecorder()
	hook.Handler(&counter{do: func(w http.ResponseWriter, _ *http.Request) {
		for _, status := range []int{-1, 0, 99, 1000} {
			assert.Panics(t, func() { w.WriteHeader(status) }, status)
		}
		w.WriteHeader(100)
		w.WriteHeader(999)
	}}).ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
	assert.NotEqual(t, http.StatusOK, w.Code, "999 is no success")
}

// Rule: what the handler leaves behind and writes after the answer changes nothing, and
// does not wait.
func TestWritingAfterTheAnswer(t *testing.T) {
	for _, status := range []int{200, 503} { // the handler's own answer, and midhook's
		hook, _ := newHook(t)
		var kept http.ResponseWriter
		w := httptest.NewRecorder()
		hook.Handler(&counter{do: func(w http.ResponseWriter, _ *http.Request) {
			kept = w
			w.WriteHeader(status)
		}}).ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
		before := w.Body.String()
		kept.WriteHeader(http.StatusEarlyHints)
		kept.WriteHeader(http.StatusTeapot)
		_, err := kept.Write([]byte("late"))
		assert.ErrorIs(t, err, http.ErrHandlerTimeout)
		assert.ErrorIs(t, http.NewResponseController(kept).Flush(), http.ErrHandlerTimeout)
		assert.Equal(t, status, w.Code)
		assert.Equal(t, before, w.Body.String())
	}
}

// stubborn is a body whose reading only ends when it is closed, and whose Close panics.
type stubborn struct{ closed chan struct{} }

func (s stubborn) Read([]byte) (int, error) {
	<-s.closed
	return 0, io.ErrClosedPipe
}

func (s stubborn) Close() error {
	close(s.closed)
	panic("not today")
}

// Rule: at the budget a body is closed on a goroutine of its own. A Close that panics does
// not end the process there.
func TestClosingThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook, rec := newHook(t)
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Body, r.ContentLength = stubborn{make(chan struct{})}, 10
		w := httptest.NewRecorder()
		hook.Handler(&counter{}).ServeHTTP(w, r)
		synctest.Wait()
		assert.Equal(t, 408, w.Code)
		assert.Equal(t, []midhook.Outcome{midhook.OutcomeBodyIncomplete}, rec.outcomes())
	})
}

// brokenWriter is of a connection that has gone: what is written goes nowhere, and to
// flush nothing succeeds.
type brokenWriter struct{ *httptest.ResponseRecorder }

var errGone = errors.New("connection reset by peer")

func (brokenWriter) Write([]byte) (int, error) { return 0, errGone }

// Rule: an answer that could not be written at the budget is told of as one that has not
// left, and the late end of its handler after it.
func TestAnswerAtBudgetThatIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook, rec := newHook(t)
		next := &counter{do: func(http.ResponseWriter, *http.Request) { time.Sleep(6 * time.Second) }}
		hook.Handler(next).ServeHTTP(brokenWriter{httptest.NewRecorder()}, midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
		assert.Equal(t, []midhook.Outcome{midhook.OutcomeBudgetExceeded, midhook.OutcomeLateHandled}, rec.outcomes())
		assert.ErrorIs(t, rec.events[0].Err, errGone)
		assert.ErrorContains(t, rec.events[0].Err, "has not left")
	})
}
