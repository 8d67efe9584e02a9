package ginhook_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/ginhook"
	"github.com/midhook/midhook/midhooktest"
)

const key = "SB-Mid-server-test"

func newHook(t *testing.T, opts ...midhook.Option) *midhook.Middleware {
	t.Helper()
	hook, err := midhook.New(key, append(opts, midhook.WithLogger(slog.New(slog.DiscardHandler)))...)
	if err != nil {
		t.Fatal(err)
	}
	return hook
}

func deliver(h http.Handler) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay"), key))
	return w
}

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	m.Run()
}

// Each way in which a gin handler can end has the meaning that it has in gin.
func TestHandlersEnd(t *testing.T) {
	for _, test := range []struct {
		name         string
		handle       gin.HandlerFunc
		status       int
		body         string
		handledAfter bool // a second delivery does not run the handler
	}{
		{"nothing", func(*gin.Context) {}, 200, "", true},
		{"status alone", func(c *gin.Context) { c.Status(http.StatusAccepted) }, 202, "", true},
		{"status 200 alone", func(c *gin.Context) { c.Status(http.StatusOK) }, 200, "", true},
		{"no content", func(c *gin.Context) { c.AbortWithStatus(http.StatusNoContent) }, 204, "", true},
		{"string", func(c *gin.Context) { c.String(http.StatusOK, "done") }, 200, "done", true},
		{"WriteString", func(c *gin.Context) { _, _ = c.Writer.WriteString("done") }, 200, "done", true},
		{"stream", func(c *gin.Context) {
			c.Stream(func(w io.Writer) bool { _, _ = io.WriteString(w, "done"); return false })
		}, 200, "done", true},
		{"abort", func(c *gin.Context) { c.Abort() }, 200, "", true},
		{"error in the log", func(c *gin.Context) { c.String(http.StatusOK, "done"); _ = c.Error(errors.New("mail")) }, 200, "done", true},
		{"error alone", func(c *gin.Context) { _ = c.Error(errors.New("secret")) }, 503, "handler failed\n", false},
		{"error with status", func(c *gin.Context) { _ = c.AbortWithError(http.StatusConflict, errors.New("secret")) }, 409, "", false},
		{"status 500 alone", func(c *gin.Context) { c.Status(http.StatusInternalServerError) }, 503, "handler failed\n", false},
		{"a status that is none", func(c *gin.Context) { c.Status(-1) }, 200, "", true},
		{"second thoughts before writing", func(c *gin.Context) { c.Status(http.StatusOK); c.Status(http.StatusConflict) }, 409, "", false},
		{"second thoughts after writing", func(c *gin.Context) { c.String(http.StatusOK, "done"); c.Status(http.StatusConflict) }, 200, "done", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			runs := 0
			r := gin.New()
			r.POST("/", ginhook.New(newHook(t)), func(c *gin.Context) { runs++; test.handle(c) })
			if w := deliver(r); w.Code != test.status || w.Body.String() != test.body {
				t.Errorf("got %d %q, want %d %q", w.Code, w.Body, test.status, test.body)
			}
			deliver(r)
			if handled := runs == 1; handled != test.handledAfter {
				t.Errorf("the handler ran %d times for two deliveries", runs)
			}
		})
	}
}

// The handler sees gin's record of its own answer; middleware outside sees that
// of the answer that left, and its own request, writer and errors.
func TestBookkeeping(t *testing.T) {
	r := gin.New()
	r.Use(func(c *gin.Context) {
		writer, request := c.Writer, c.Request
		c.Next()
		if c.Writer != writer || c.Request != request {
			t.Error("writer and request must be put back")
		}
		if c.Writer.Status() != http.StatusServiceUnavailable || c.Writer.Size() != len("handler failed\n") || !c.Writer.Written() {
			t.Errorf("recorded %d, %d bytes", c.Writer.Status(), c.Writer.Size())
		}
		if len(c.Errors) != 1 || c.GetString("seen") != "A-1" {
			t.Error("errors and values must stay")
		}
	})
	r.POST("/", ginhook.New(newHook(t)), func(c *gin.Context) {
		n, ok := ginhook.FromContext(c)
		if _, before := ginhook.FromContext(c.Copy()); !ok || !before {
			t.Fatal("no notification")
		}
		_ = c.Error(errors.New("secret"))
		c.Set("seen", "A-1")
		if c.Writer.Written() || c.Writer.Size() != -1 || c.Writer.Status() != http.StatusOK {
			t.Errorf("before writing: %v, %d bytes, %d", c.Writer.Written(), c.Writer.Size(), c.Writer.Status())
		}
		c.String(http.StatusInternalServerError, n.TransactionID[:4])
		if !c.Writer.Written() || c.Writer.Size() != 4 || c.Writer.Status() != http.StatusInternalServerError {
			t.Errorf("after writing: %v, %d bytes, %d", c.Writer.Written(), c.Writer.Size(), c.Writer.Status())
		}
	})
	deliver(r)
}

// gin holds a status without a body back. Error middleware outside, which asks
// for c.Writer.Written, must not make a 200 of it.
func TestBodylessAnswerIsFinal(t *testing.T) {
	r := gin.New()
	r.Use(func(c *gin.Context) {
		c.Next()
		if len(c.Errors) > 0 && !c.Writer.Written() {
			c.String(http.StatusOK, "all is well")
		}
	})
	r.POST("/", ginhook.New(newHook(t)), func(c *gin.Context) {
		_ = c.AbortWithError(http.StatusConflict, errors.New("secret"))
	})
	if w := deliver(r); w.Code != http.StatusConflict || w.Body.Len() > 0 {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
}

// What is refused runs no handler, and no middleware behind.
func TestRefusedIsAborted(t *testing.T) {
	r := gin.New()
	r.Use(func(c *gin.Context) {
		c.Next()
		if !c.IsAborted() || c.Writer.Status() != http.StatusBadRequest {
			t.Errorf("aborted %v, %d", c.IsAborted(), c.Writer.Status())
		}
	})
	r.POST("/", ginhook.New(newHook(t)), func(*gin.Context) { t.Error("must not run") })
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", bytes.NewBufferString("{}")))
	if w.Code != http.StatusBadRequest || w.Body.String() != "malformed notification\n" {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
}

// What would reach past midhook's buffer fails.
func TestNoWayAroundTheBuffer(t *testing.T) {
	r := gin.New()
	r.POST("/", ginhook.New(newHook(t)), func(c *gin.Context) {
		if _, _, err := c.Writer.Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("Hijack: %v", err)
		}
		if _, _, err := http.NewResponseController(c.Writer).Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("ResponseController.Hijack: %v", err)
		}
		if c.Writer.Pusher() != nil {
			t.Error("there must be no Pusher")
		}
		select {
		case <-c.Writer.CloseNotify():
			t.Error("a client that hangs up must not stop the handler")
		default:
		}
		c.String(http.StatusOK, "half")
		c.Writer.Flush()
		panic(http.ErrAbortHandler)
	})
	w := httptest.NewRecorder()
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Error("the panic must go on")
		}
		if w.Flushed || w.Body.Len() > 0 {
			t.Errorf("%q has left", w.Body)
		}
	}()
	r.ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay"), key))
}

// Past the budget a write says so, c.Copy still works, and gin's record of the
// 503 is right outside, be it in a recovery middleware.
func TestLate(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func()
	}{
		{"returns", func() {}},
		{"panics", func() { panic("boom") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := gin.New()
			r.Use(func(c *gin.Context) {
				c.Next()
				if c.Writer.Status() != http.StatusServiceUnavailable || c.Writer.Size() != len("still being handled\n") {
					t.Errorf("recorded %d, %d bytes", c.Writer.Status(), c.Writer.Size())
				}
			}, gin.RecoveryWithWriter(io.Discard))
			expired := make(chan struct{})
			r.POST("/", ginhook.New(newHook(t, midhook.WithBudget(250*time.Millisecond))), func(c *gin.Context) {
				_ = c.Copy()
				<-expired
				if _, ok := ginhook.FromContext(c.Copy()); !ok {
					t.Error("no notification")
				}
				if _, err := c.Writer.Write([]byte("late")); !errors.Is(err, http.ErrHandlerTimeout) {
					t.Errorf("got %v", err)
				}
				test.end()
			})
			w := notifying{httptest.NewRecorder(), expired}
			r.ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay"), key))
			if w.Code != http.StatusServiceUnavailable || w.Body.String() != "still being handled\n" {
				t.Errorf("got %d %q", w.Code, w.Body)
			}
		})
	}
}

// A copy of the context races with nothing at the budget, seen by nobody before
// or after it.
func TestCopyAcrossTheBudget(t *testing.T) {
	events := make(chan midhook.Outcome, 2)
	hook := newHook(t, midhook.WithBudget(100*time.Millisecond), midhook.WithObserver(func(_ context.Context, e midhook.Event) {
		events <- e.Outcome
	}))
	r := gin.New()
	r.POST("/", ginhook.New(hook), func(c *gin.Context) {
		for c.Request.Context().Err() == nil && len(events) == 0 {
			_ = c.Copy()
		}
		_ = c.Copy()
	})
	if w := deliver(r); w.Code != http.StatusServiceUnavailable {
		t.Errorf("got %d", w.Code)
	}
}

// A writer that middleware outside has put around gin's gets every answer.
func TestWrappedWriter(t *testing.T) {
	r := gin.New()
	var wrapped *upper
	r.Use(func(c *gin.Context) {
		wrapped = &upper{ResponseWriter: c.Writer}
		c.Writer = wrapped
	})
	expired := make(chan struct{})
	r.POST("/", ginhook.New(newHook(t, midhook.WithBudget(250*time.Millisecond))), func(*gin.Context) { <-expired })
	w := notifying{httptest.NewRecorder(), expired}
	r.ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay"), key))
	if w.Code != http.StatusServiceUnavailable || w.Body.String() != "STILL BEING HANDLED\n" || wrapped.Status() != w.Code {
		t.Errorf("got %d %q, recorded %d", w.Code, w.Body, wrapped.Status())
	}
}

type upper struct{ gin.ResponseWriter }

func (w *upper) Write(p []byte) (int, error) { return w.ResponseWriter.Write(bytes.ToUpper(p)) }

// notifying tells when the answer at the budget is flushed.
type notifying struct {
	*httptest.ResponseRecorder
	flushed chan struct{}
}

func (w notifying) Flush() { close(w.flushed) }

func TestNewPanicsWithoutHook(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a nil hook must not wait for the first notification")
		}
	}()
	ginhook.New(nil)
}

// Rule: gin uses a context again for another request as soon as its request has
// ended. No handler has one then, with midhook.WithDetachedHandler either: New
// returns when the handler has, and neither meets another request's context.
func TestDetachedHandlerNeverOutlivesItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook := newHook(t, midhook.WithDetachedHandler(), midhook.WithBudget(100*time.Millisecond))
		r := gin.New()
		post := func(shop, sample string) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			request := midhooktest.NewRequest(midhooktest.Sample(sample), key)
			request.URL.Path = "/" + shop
			r.ServeHTTP(w, request)
			return w
		}
		ended := false
		r.POST("/:shop", ginhook.New(hook), func(c *gin.Context) {
			if c.Param("shop") == "slow" {
				time.Sleep(time.Second)
				ended = true
			}
			n, ok := ginhook.FromContext(c)
			if want := map[string]string{"slow": "gopay", "other": "qris"}[c.Param("shop")]; !ok || n.PaymentType != want {
				t.Errorf("%s: the context is another request's", c.Param("shop"))
			}
		})
		w := post("slow", "gopay")
		if !ended {
			t.Error("the context went back to gin while the handler runs")
		}
		if w.Code != http.StatusServiceUnavailable || w.Body.String() != "still being handled\n" {
			t.Errorf("got %d %q", w.Code, w.Body)
		}
		for range 10 { // these have contexts of the pool
			post("other", "qris")
		}
		time.Sleep(2 * time.Second)
	})
}

// Rule: a handler says in gin's way that no retry can mend its error.
func TestPermanent(t *testing.T) {
	for name, handle := range map[string]gin.HandlerFunc{
		"error alone": func(c *gin.Context) { _ = c.Error(midhook.Permanent(errors.New("secret"))) },
		"with status": func(c *gin.Context) {
			_ = c.AbortWithError(http.StatusConflict, midhook.Permanent(errors.New("secret")))
		},
	} {
		var outcomes []midhook.Outcome
		r := gin.New()
		runs := 0
		r.POST("/", ginhook.New(newHook(t, midhook.WithObserver(func(_ context.Context, e midhook.Event) {
			outcomes = append(outcomes, e.Outcome)
		}))), func(c *gin.Context) { runs++; handle(c) })
		for range 2 {
			if w := deliver(r); w.Code != http.StatusOK {
				t.Errorf("%s: got %d %q", name, w.Code, w.Body)
			}
		}
		if runs != 1 || len(outcomes) != 2 || outcomes[0] != midhook.OutcomeHandledPermanent {
			t.Errorf("%s: %d runs, %v", name, runs, outcomes)
		}
	}
	r := gin.New()
	r.POST("/", ginhook.New(newHook(t)), func(c *gin.Context) {
		_ = c.Error(midhook.Permanent(errors.New("secret")))
		_ = c.Error(errors.New("this may be mended"))
	})
	if w := deliver(r); w.Code != http.StatusServiceUnavailable {
		t.Errorf("one of two errors is permanent: got %d %q", w.Code, w.Body)
	}
}

// Rule: what is no POST is refused with the method that there is, and a handler that
// streams has all of it in one answer.
func TestMethods(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete, http.MethodPatch} {
		r := gin.New()
		r.Any("/", ginhook.New(newHook(t)), func(*gin.Context) { t.Error("must not run") })
		server := httptest.NewServer(r)
		req, err := http.NewRequest(method, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != http.MethodPost || err != nil {
			t.Errorf("%s: got %d, Allow %q, %v", method, res.StatusCode, res.Header.Get("Allow"), err)
		}
		if (len(body) == 0) != (method == http.MethodHead) {
			t.Errorf("%s: body %q", method, body)
		}
		res.Body.Close()
		server.Close()
	}
}

func TestStreaming(t *testing.T) {
	r := gin.New()
	r.POST("/", ginhook.New(newHook(t)), func(c *gin.Context) {
		left := 3
		c.Stream(func(w io.Writer) bool {
			_, _ = io.WriteString(w, "part ")
			left--
			return left > 0
		})
		c.SSEvent("message", "end")
	})
	server := httptest.NewServer(r)
	defer server.Close()
	req := midhooktest.NewRequest(midhooktest.Sample("gopay"), key)
	res, err := server.Client().Post(server.URL, "application/json", req.Body)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK || string(body) != "part part part event:message\ndata:end\n\n" || err != nil {
		t.Errorf("got %d %q, %v", res.StatusCode, body, err)
	}
}
