package echohook_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/echohook"
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

// newEcho has an error handler that answers 200 to everything, and never asks
// whether there is an answer already.
func newEcho() *echo.Echo {
	e := echo.New()
	e.Logger = slog.New(slog.DiscardHandler)
	e.HTTPErrorHandler = func(c *echo.Context, err error) { _ = c.String(http.StatusOK, err.Error()) }
	return e
}

func deliver(h http.Handler) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay"), key))
	return w
}

type teapot struct{ error }

func (teapot) StatusCode() int { return http.StatusTeapot }

// Each way in which an echo handler can end has the meaning that it has in echo.
func TestHandlersEnd(t *testing.T) {
	secret := errors.New("secret")
	for _, test := range []struct {
		name    string
		handle  echo.HandlerFunc
		status  int
		body    string
		handled bool // a second delivery does not run the handler
	}{
		{"nothing", func(*echo.Context) error { return nil }, 200, "", true},
		{"string", func(c *echo.Context) error { return c.String(http.StatusOK, "done") }, 200, "done", true},
		{"no content", func(c *echo.Context) error { return c.NoContent(http.StatusNoContent) }, 204, "", true},
		{"500", func(c *echo.Context) error { return c.String(http.StatusInternalServerError, "secret") }, 503, "handler failed\n", false},
		{"redirect", func(c *echo.Context) error { return c.Redirect(http.StatusSeeOther, "/login") }, 503, "handler redirected\n", false},
		{"error", func(*echo.Context) error { return secret }, 503, "handler failed\n", false},
		{"HTTPError", func(*echo.Context) error { return echo.NewHTTPError(http.StatusConflict, "secret") }, 409, "Conflict\n", false},
		{"wrapped HTTPError", func(*echo.Context) error { return errors.Join(secret, echo.ErrNotFound) }, 404, "Not Found\n", false},
		{"error with a status", func(*echo.Context) error { return teapot{secret} }, 418, "I'm a teapot\n", false},
		{"error with status 502", func(*echo.Context) error { return echo.ErrBadGateway.Wrap(secret) }, 503, "handler failed\n", false},
		{"error with status 200", func(*echo.Context) error { return echo.NewHTTPError(http.StatusOK, "secret") }, 503, "handler failed\n", false},
		{"error with status 302", func(*echo.Context) error { return echo.NewHTTPError(http.StatusFound, "secret") }, 503, "handler failed\n", false},
		{"error after an answer", func(c *echo.Context) error { _ = c.String(http.StatusOK, "done"); return secret }, 200, "done", true},
		{"ErrHandlerTimeout without an answer", func(*echo.Context) error { return http.ErrHandlerTimeout }, 503, "handler failed\n", false},
		{"JSON that is none", func(c *echo.Context) error { return c.JSON(http.StatusOK, func() {}) }, 503, "handler failed\n", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			runs := 0
			e := newEcho()
			e.POST("/", func(c *echo.Context) error { runs++; return test.handle(c) }, echohook.New(newHook(t)))
			if w := deliver(e); w.Code != test.status || w.Body.String() != test.body {
				t.Errorf("got %d %q, want %d %q", w.Code, w.Body, test.status, test.body)
			}
			deliver(e)
			if handled := runs == 1; handled != test.handled {
				t.Errorf("the handler ran %d times for two deliveries", runs)
			}
		})
	}
}

// Without echohook, an error of the handler is a success for midhook: what its
// package comment says of echo.WrapMiddleware.
func TestWrapMiddlewareWillNotDo(t *testing.T) {
	runs := 0
	e := echo.New()
	e.POST("/", func(*echo.Context) error { runs++; return errors.New("database down") }, echo.WrapMiddleware(newHook(t).Handler))
	deliver(e)
	if w := deliver(e); w.Body.String() != "already handled\n" || runs != 1 {
		t.Errorf("echo.WrapMiddleware hears of errors now: %d %q after %d runs", w.Code, w.Body, runs)
	}
}

// The error is in echo's log; middleware outside sees the answer that left, its
// own request and response, and no error.
func TestBookkeeping(t *testing.T) {
	var log bytes.Buffer
	e := newEcho()
	e.Logger = slog.New(slog.NewTextHandler(&log, nil))
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			request, response := c.Request(), c.Response()
			if err := next(c); err != nil {
				t.Error(err)
			}
			if c.Request() != request || c.Response() != response {
				t.Error("request and response must be put back")
			}
			r, err := echo.UnwrapResponse(c.Response())
			if err != nil || !r.Committed || r.Status != http.StatusServiceUnavailable || r.Size != int64(len("handler failed\n")) {
				t.Errorf("recorded %+v, %v", r, err)
			}
			return nil
		}
	})
	e.POST("/", func(c *echo.Context) error {
		if _, ok := echohook.FromContext(c); !ok {
			t.Error("no notification")
		}
		return errors.New("database down")
	}, echohook.New(newHook(t)))
	deliver(e)
	if !strings.Contains(log.String(), "database down") {
		t.Errorf("the error must be in the log: %s", &log)
	}
}

// c.JSON past the budget returns an error, and that is no failure.
func TestLateAnswer(t *testing.T) {
	expired := make(chan struct{})
	runs := 0
	e := newEcho()
	e.POST("/", func(c *echo.Context) error {
		runs++
		<-expired
		err := c.JSON(http.StatusOK, "late")
		if !errors.Is(err, http.ErrHandlerTimeout) {
			t.Errorf("got %v", err)
		}
		return err
	}, echohook.New(newHook(t, midhook.WithBudget(250*time.Millisecond))))
	w := notifying{httptest.NewRecorder(), expired}
	e.ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay"), key))
	if w.Code != http.StatusServiceUnavailable || w.Body.String() != "still being handled\n" {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
	if w := deliver(e); w.Code != http.StatusOK || runs != 1 {
		t.Errorf("the retry got %d after %d runs", w.Code, runs)
	}
}

// notifying tells when the answer at the budget is flushed.
type notifying struct {
	*httptest.ResponseRecorder
	flushed chan struct{}
}

func (w notifying) Flush() { close(w.flushed) }

// A panic leaves the context as it was for whoever recovers it.
func TestPanic(t *testing.T) {
	e := newEcho()
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			request, response := c.Request(), c.Response()
			defer func() {
				if recover() != "boom" || c.Request() != request || c.Response() != response {
					t.Error("the panic must go on, with request and response put back")
				}
			}()
			return next(c)
		}
	})
	e.POST("/", func(c *echo.Context) error {
		_ = c.String(http.StatusOK, "half")
		panic("boom")
	}, echohook.New(newHook(t)))
	if w := deliver(e); w.Body.Len() > 0 {
		t.Errorf("%q has left", w.Body)
	}
}

func TestNewPanicsWithoutHook(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a nil hook must not wait for the first notification")
		}
	}()
	echohook.New(nil)
}

// Rule: echo uses a context again for another request as soon as its request has
// ended. No handler has one then, with midhook.WithDetachedHandler either: New
// returns when the handler has, and neither meets another request's context.
func TestDetachedHandlerNeverOutlivesItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook := newHook(t, midhook.WithDetachedHandler(), midhook.WithBudget(100*time.Millisecond))
		e := newEcho()
		post := func(shop, sample string) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			request := midhooktest.NewRequest(midhooktest.Sample(sample), key)
			request.URL.Path = "/" + shop
			e.ServeHTTP(w, request)
			return w
		}
		ended := false
		e.POST("/:shop", func(c *echo.Context) error {
			if c.Param("shop") == "slow" {
				time.Sleep(time.Second)
				ended = true
			}
			n, ok := echohook.FromContext(c)
			if want := map[string]string{"slow": "gopay", "other": "qris"}[c.Param("shop")]; !ok || n.PaymentType != want {
				t.Errorf("%s: the context is another request's", c.Param("shop"))
			}
			return nil
		}, echohook.New(hook))
		w := post("slow", "gopay")
		if !ended {
			t.Error("the context went back to echo while the handler runs")
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

// Rule: a handler says in echo's way that no retry can mend its error; observers
// learn of each error.
func TestErrorsAreReported(t *testing.T) {
	secret := errors.New("secret")
	for name, test := range map[string]struct {
		err     error
		status  int
		outcome midhook.Outcome
	}{
		"error":               {secret, 503, midhook.OutcomeHandlerFailed},
		"with a status":       {echo.ErrForbidden.Wrap(secret), 403, midhook.OutcomeHandlerFailed},
		"permanent":           {midhook.Permanent(secret), 200, midhook.OutcomeHandledPermanent},
		"permanent, with one": {midhook.Permanent(echo.ErrForbidden.Wrap(secret)), 200, midhook.OutcomeHandledPermanent},
		"one of two":          {errors.Join(midhook.Permanent(secret), errors.New("this may be mended")), 503, midhook.OutcomeHandlerFailed},
	} {
		var events []midhook.Event
		runs := 0
		e := newEcho()
		e.POST("/", func(*echo.Context) error { runs++; return test.err },
			echohook.New(newHook(t, midhook.WithObserver(func(_ context.Context, e midhook.Event) { events = append(events, e) }))))
		if w := deliver(e); w.Code != test.status {
			t.Errorf("%s: got %d %q", name, w.Code, w.Body)
		}
		if len(events) != 1 || events[0].Outcome != test.outcome || !errors.Is(events[0].Err, secret) {
			t.Errorf("%s: observed %v", name, events)
		}
		deliver(e)
		if again := runs == 2; again != (test.status != 200) {
			t.Errorf("%s: %d runs", name, runs)
		}
	}
}

// Rule: what is no POST is refused with the method that there is.
func TestMethods(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete, http.MethodPatch} {
		e := newEcho()
		e.Any("/", func(*echo.Context) error { t.Error("must not run"); return nil }, echohook.New(newHook(t)))
		server := httptest.NewServer(e)
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

// Rule: a handler that streams, and flushes, has all of it in one answer.
func TestStreaming(t *testing.T) {
	e := newEcho()
	e.POST("/", func(c *echo.Context) error {
		for range 3 {
			if _, err := io.WriteString(c.Response(), "part "); err != nil {
				return err
			}
			if err := http.NewResponseController(c.Response()).Flush(); err != nil {
				return err
			}
		}
		return c.Stream(http.StatusOK, "text/plain", strings.NewReader("end"))
	}, echohook.New(newHook(t)))
	server := httptest.NewServer(e)
	defer server.Close()
	res, err := server.Client().Post(server.URL, "application/json", midhooktest.NewRequest(midhooktest.Sample("gopay"), key).Body)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK || string(body) != "part part part end" || err != nil {
		t.Errorf("got %d %q, %v", res.StatusCode, body, err)
	}
}
