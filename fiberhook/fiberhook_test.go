package fiberhook_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/log"
	"github.com/gofiber/fiber/v3/middleware/adaptor"
	"github.com/gofiber/fiber/v3/middleware/logger"
	recovery "github.com/gofiber/fiber/v3/middleware/recover"
	"github.com/gofiber/fiber/v3/middleware/requestid"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/fiberhook"
	"github.com/midhook/midhook/midhooktest"
)

const key = "SB-Mid-server-test"

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard)
	os.Exit(m.Run())
}

func newHook(t *testing.T, opts ...midhook.Option) *midhook.Middleware {
	t.Helper()
	hook, err := midhook.New(key, append(opts, midhook.WithLogger(slog.New(slog.DiscardHandler)))...)
	if err != nil {
		t.Fatal(err)
	}
	return hook
}

// serve runs app on a socket.
func serve(t *testing.T, app *fiber.App) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- app.Listener(l, fiber.ListenConfig{DisableStartupMessage: true}) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := errors.Join(app.Shutdown(), <-ended); err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

type answer struct {
	status int
	header http.Header
	body   string
}

func post(t *testing.T, url string, body io.Reader) answer {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(text)}
}

func notification(tweaks ...midhooktest.Tweak) io.Reader {
	return bytes.NewReader(midhooktest.Body(midhooktest.Sample("gopay", tweaks...), key))
}

// Each way in which a fiber handler can end has the meaning that it has in fiber.
func TestHandlersEnd(t *testing.T) {
	secret := errors.New("secret")
	for _, test := range []struct {
		name    string
		handle  fiber.Handler
		status  int
		body    string
		handled bool // a second delivery does not run the handler
	}{
		{"nothing", func(fiber.Ctx) error { return nil }, 200, "", true},
		{"string", func(c fiber.Ctx) error { return c.SendString("done") }, 200, "done", true},
		{"status", func(c fiber.Ctx) error { return c.SendStatus(fiber.StatusAccepted) }, 202, "Accepted", true},
		{"no content", func(c fiber.Ctx) error { return c.SendStatus(fiber.StatusNoContent) }, 204, "", true},
		{"stream", func(c fiber.Ctx) error { return c.SendStream(strings.NewReader("done")) }, 200, "done", true},
		{"500", func(c fiber.Ctx) error { return c.Status(fiber.StatusInternalServerError).SendString("secret") }, 503, "handler failed\n", false},
		{"redirect", func(c fiber.Ctx) error { return c.Redirect().To("/login") }, 503, "handler redirected\n", false},
		{"error", func(fiber.Ctx) error { return secret }, 503, "handler failed\n", false},
		{"error after an answer", func(c fiber.Ctx) error { _ = c.SendString("done"); return secret }, 503, "handler failed\n", false},
		{"fiber.Error", func(fiber.Ctx) error { return fiber.NewError(fiber.StatusConflict, "secret") }, 409, "Conflict\n", false},
		{"wrapped fiber.Error", func(fiber.Ctx) error { return errors.Join(secret, fiber.ErrNotFound) }, 404, "Not Found\n", false},
		{"fiber.Error 502", func(fiber.Ctx) error { return fiber.ErrBadGateway }, 503, "handler failed\n", false},
		{"fiber.Error 200", func(fiber.Ctx) error { return fiber.NewError(fiber.StatusOK, "secret") }, 503, "handler failed\n", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			runs := 0
			app := fiber.New(fiber.Config{ErrorHandler: func(c fiber.Ctx, err error) error { // an API that answers 200 to everything
				return c.Status(fiber.StatusOK).SendString(err.Error())
			}})
			app.Post("/", fiberhook.New(newHook(t)), func(c fiber.Ctx) error { runs++; return test.handle(c) })
			url := serve(t, app)
			if a := post(t, url, notification()); a.status != test.status || a.body != test.body {
				t.Errorf("got %d %q, want %d %q", a.status, a.body, test.status, test.body)
			}
			post(t, url, notification())
			if handled := runs == 1; handled != test.handled {
				t.Errorf("the handler ran %d times for two deliveries", runs)
			}
		})
	}
}

// fiber's own bridge runs the handler when midhook has answered: what the
// package comment says of it.
func TestAdaptorWillNotDo(t *testing.T) {
	runs := 0
	app := fiber.New()
	app.Post("/", adaptor.HTTPMiddleware(newHook(t).Handler), func(fiber.Ctx) error {
		runs++
		return errors.New("database down")
	})
	url := serve(t, app)
	post(t, url, notification())
	if a := post(t, url, notification()); a.body != "already handled\n" || runs != 1 {
		t.Errorf("fiber's adaptor waits for the handler now: %d %q after %d runs", a.status, a.body, runs)
	}
}

// What middleware outside has set stays, whoever answers; what a handler has set
// goes out with its own answer alone.
func TestHeaders(t *testing.T) {
	app := fiber.New()
	app.Use(requestid.New(), func(c fiber.Ctx) error {
		c.Cookie(&fiber.Cookie{Name: "outer", Value: "1"})
		return c.Next()
	})
	app.Post("/", fiberhook.New(newHook(t)), func(c fiber.Ctx) error {
		c.Set("Inner", "yes")
		c.Cookie(&fiber.Cookie{Name: "inner", Value: "1"})
		n, _ := fiberhook.FromContext(c)
		if n.OrderID == "fails" {
			return c.SendStatus(fiber.StatusInternalServerError)
		}
		return c.JSON(fiber.Map{"order": n.OrderID})
	})
	url := serve(t, app)
	for _, test := range []struct {
		order   string
		status  int
		cookies []string
		inner   string
	}{
		{"A-1", 200, []string{"inner", "outer"}, "yes"},
		{"fails", 503, []string{"outer"}, ""},
		{"A-1", 200, []string{"outer"}, ""}, // a duplicate
	} {
		a := post(t, url, notification(midhooktest.Order(test.order)))
		var cookies []string
		for _, line := range a.header["Set-Cookie"] {
			name, _, _ := strings.Cut(line, "=")
			cookies = append(cookies, name)
		}
		slices.Sort(cookies)
		if a.status != test.status || !slices.Equal(cookies, test.cookies) || a.header.Get("Inner") != test.inner || a.header.Get("X-Request-Id") == "" {
			t.Errorf("%s: got %d, cookies %v, header %v", test.order, a.status, cookies, a.header)
		}
	}
}

// With StreamRequestBody the body comes while it is read: midhook's limit stops
// it, and the handler can still bind it.
func TestStreamedBody(t *testing.T) {
	var bound struct {
		OrderID string `json:"order_id"`
	}
	app := fiber.New(fiber.Config{StreamRequestBody: true, BodyLimit: 1})
	app.Post("/", fiberhook.New(newHook(t)), func(c fiber.Ctx) error { return c.Bind().Body(&bound) })
	url := serve(t, app)
	if a := post(t, url, notification(midhooktest.Order("A-1"))); a.status != 200 || bound.OrderID != "A-1" {
		t.Errorf("got %d %q, bound %q", a.status, a.body, bound.OrderID)
	}
	if a := post(t, url, io.MultiReader(notification(midhooktest.Order("A-2")))); a.status != 200 || bound.OrderID != "A-2" { // chunked
		t.Errorf("got %d %q, bound %q", a.status, a.body, bound.OrderID)
	}
	if a := post(t, url, strings.NewReader(strings.Repeat(" ", 65<<10))); a.status != 413 {
		t.Errorf("got %d %q", a.status, a.body)
	}
}

// A streamed body that does not arrive is answered at the budget.
func TestStreamedBodyThatStalls(t *testing.T) {
	app := fiber.New(fiber.Config{StreamRequestBody: true})
	app.Post("/", fiberhook.New(newHook(t, midhook.WithBudget(100*time.Millisecond))), func(fiber.Ctx) error {
		t.Error("must not run")
		return nil
	})
	conn, err := net.Dial("tcp", strings.TrimPrefix(serve(t, app), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn) // to its end: the connection must close
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") || !strings.HasSuffix(string(answer), "body did not arrive\n") {
		t.Errorf("got %q, %v", answer, err)
	}
}

// Handler with a detached handler answers at the budget, and shares nothing with
// the requests that come after it on the same memory.
func TestDetachedHandler(t *testing.T) {
	events := make(chan midhook.Event, 10)
	goOn := make(chan struct{})
	type tenant struct{}
	saw := make(chan string, 1)
	late := newHook(t, midhook.WithDetachedHandler(), midhook.WithBudget(500*time.Millisecond),
		midhook.WithObserver(func(_ context.Context, e midhook.Event) { events <- e }))
	app := fiber.New()
	app.Use(logger.New(logger.Config{Stream: io.Discard}), recovery.New(), func(c fiber.Ctx) error {
		c.SetContext(context.WithValue(c.Context(), tenant{}, strings.Clone(c.Query("tenant"))))
		return c.Next()
	})
	app.Post("/slow", fiberhook.Handler(late.HandlerFunc(func(ctx context.Context, n *midhook.Notification) error {
		<-goOn
		saw <- n.OrderID + " of " + ctx.Value(tenant{}).(string)
		return nil
	})))
	app.Post("/", fiberhook.New(newHook(t)), func(c fiber.Ctx) error { return c.SendString(c.Query("tenant")) })
	url := serve(t, app)

	slow := midhooktest.Order("slow")
	if a := post(t, url+"/slow?tenant=acme", notification(slow)); a.status != 503 || a.body != "still being handled\n" {
		t.Fatalf("got %d %q", a.status, a.body) // and the handler is held up still
	}
	for i := range 500 {
		name := "t" + strings.Repeat("x", i%10)
		a := post(t, url+"/?tenant="+name, notification(midhooktest.Order(name+time.Now().String())))
		if a.status != 200 || a.body != name {
			t.Fatalf("got %d %q, want %q", a.status, a.body, name)
		}
	}
	close(goOn)
	if got := <-saw; got != "slow of acme" {
		t.Errorf("got %q", got)
	}
	if e := <-events; e.Outcome != midhook.OutcomeBudgetExceeded {
		t.Errorf("got %v", e.Outcome)
	}
	if e := <-events; e.Outcome != midhook.OutcomeLateHandled || e.Notification.OrderID != "slow" {
		t.Errorf("got %v", e.Outcome)
	}
	if a := post(t, url+"/slow", notification(slow)); a.status != 200 || a.body != "already handled\n" {
		t.Errorf("got %d %q", a.status, a.body)
	}
}

// What midhook learns of a request is the request, and stays so when fasthttp
// uses its memory for others.
func TestRequest(t *testing.T) {
	var requests []*http.Request
	app := fiber.New()
	app.Post("/shops/:shop", fiberhook.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests = append(requests, r)
		w.Header().Add("Vary", "A")
		w.Header().Add("Vary", "B")
		w.WriteHeader(http.StatusEarlyHints) // fasthttp has no 1xx
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "answer")
	})))
	url := serve(t, app)
	a := post(t, url+"/shops/caf%C3%A9?a=1", strings.NewReader("body"))
	for range 10 {
		post(t, url+"/shops/another?b=2", strings.NewReader("BODY"))
	}
	got := requests[0]
	if body, err := io.ReadAll(got.Body); err != nil || string(body) != "body" {
		t.Errorf("got %q, %v", body, err)
	}
	if a.status != http.StatusAccepted || a.body != "answer" || !slices.Equal(a.header["Vary"], []string{"A", "B"}) {
		t.Errorf("got %+v", a)
	}
	if got.Method != http.MethodPost || got.URL.Path != "/shops/café" || got.URL.RawQuery != "a=1" || got.ContentLength != 4 ||
		got.Header.Get("Content-Type") != "application/json" || !strings.HasPrefix(got.RemoteAddr, "127.0.0.1:") || got.Host == "" {
		t.Errorf("got %+v", got)
	}
}

func TestConstructorsPanicWithoutHook(t *testing.T) {
	panics := func(construct func()) (panicked bool) {
		defer func() { panicked = recover() != nil }()
		construct()
		return false
	}
	if !panics(func() { fiberhook.New(nil) }) || !panics(func() { fiberhook.Handler(nil) }) {
		t.Error("nil must not wait for the first notification")
	}
}

// Rule: fiber uses a context again for another request as soon as its request has
// ended. No handler has one then, with midhook.WithDetachedHandler either: New
// returns when the handler has, and neither meets another request's context.
func TestDetachedHandlerNeverOutlivesItsContext(t *testing.T) {
	overBudget := make(chan struct{}, 1)
	hook := newHook(t, midhook.WithDetachedHandler(), midhook.WithBudget(100*time.Millisecond),
		midhook.WithObserver(func(_ context.Context, e midhook.Event) {
			if e.Outcome == midhook.OutcomeBudgetExceeded {
				overBudget <- struct{}{}
			}
		}))
	app := fiber.New()
	var url string
	var ended atomic.Bool
	app.Post("/other/:shop", fiberhook.New(newHook(t)), func(c fiber.Ctx) error { return c.SendString(c.Params("shop")) })
	app.Post("/slow/:shop", fiberhook.New(hook), func(c fiber.Ctx) error {
		<-overBudget
		for i := range 50 { // these have contexts of the pool
			name := fmt.Sprint("other-", i)
			if a := post(t, url+"/other/"+name, notification(midhooktest.Order(name))); a.status != 200 || a.body != name {
				t.Errorf("got %d %q, want %q", a.status, a.body, name)
			}
		}
		if n, ok := fiberhook.FromContext(c); !ok || n.OrderID != "A-1" || c.Params("shop") != "slow" {
			t.Errorf("the context is another request's: %q", c.Params("shop"))
		}
		ended.Store(true)
		return nil
	})
	url = serve(t, app)
	a := post(t, url+"/slow/slow", notification(midhooktest.Order("A-1")))
	if !ended.Load() {
		t.Error("the context went back to fiber while the handler runs")
	}
	if a.status != 503 || a.body != "still being handled\n" {
		t.Errorf("got %d %q", a.status, a.body)
	}
}

// Rule: a handler says in fiber's way that no retry can mend its error; observers
// learn of each error.
func TestErrorsAreReported(t *testing.T) {
	secret := errors.New("secret")
	for name, test := range map[string]struct {
		err     error
		status  int
		outcome midhook.Outcome
	}{
		"error":              {secret, 503, midhook.OutcomeHandlerFailed},
		"with a status":      {errors.Join(fiber.ErrConflict, secret), 409, midhook.OutcomeHandlerFailed},
		"permanent":          {midhook.Permanent(secret), 200, midhook.OutcomeHandledPermanent},
		"permanent conflict": {midhook.Permanent(errors.Join(fiber.ErrConflict, secret)), 200, midhook.OutcomeHandledPermanent},
		"one of two":         {errors.Join(midhook.Permanent(secret), errors.New("this may be mended")), 503, midhook.OutcomeHandlerFailed},
	} {
		events := make(chan midhook.Event, 2)
		runs := 0
		app := fiber.New()
		app.Post("/", fiberhook.New(newHook(t, midhook.WithObserver(func(_ context.Context, e midhook.Event) { events <- e }))),
			func(fiber.Ctx) error { runs++; return test.err })
		url := serve(t, app)
		if a := post(t, url, notification()); a.status != test.status {
			t.Errorf("%s: got %d %q", name, a.status, a.body)
		}
		if e := <-events; e.Outcome != test.outcome || !errors.Is(e.Err, secret) {
			t.Errorf("%s: observed %v", name, e)
		}
		post(t, url, notification())
		if again := runs == 2; again != (test.status != 200) {
			t.Errorf("%s: %d runs", name, runs)
		}
	}
}

// Rule: what is no POST is refused with the method that there is.
func TestMethods(t *testing.T) {
	app := fiber.New()
	app.All("/new", fiberhook.New(newHook(t)), func(fiber.Ctx) error { t.Error("must not run"); return nil })
	app.All("/handler", fiberhook.Handler(newHook(t).HandlerFunc(func(context.Context, *midhook.Notification) error { t.Error("must not run"); return nil })))
	url := serve(t, app)
	for _, path := range []string{"/new", "/handler"} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete, http.MethodPatch} {
			req, err := http.NewRequest(method, url+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			if res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != http.MethodPost || err != nil {
				t.Errorf("%s %s: got %d, Allow %q, %v", method, path, res.StatusCode, res.Header.Get("Allow"), err)
			}
			if (len(body) == 0) != (method == http.MethodHead) {
				t.Errorf("%s %s: body %q", method, path, body)
			}
		}
	}
}

// Rule: a handler that streams has all of it in one answer, and has failed where its
// stream does.
func TestStreaming(t *testing.T) {
	app := fiber.New()
	app.Post("/whole", fiberhook.New(newHook(t)), func(c fiber.Ctx) error {
		return c.SendStreamWriter(func(w *bufio.Writer) {
			for range 3 {
				_, _ = w.WriteString("part ")
				_ = w.Flush()
			}
		})
	})
	app.Post("/torn", fiberhook.New(newHook(t)), func(c fiber.Ctx) error {
		return c.SendStream(io.MultiReader(strings.NewReader("part "), iotest.ErrReader(errors.New("secret"))))
	})
	url := serve(t, app)
	if a := post(t, url+"/whole", notification()); a.status != 200 || a.body != "part part part " {
		t.Errorf("got %d %q", a.status, a.body)
	}
	if a := post(t, url+"/torn", notification()); a.status != 503 || a.body != "handler failed\n" {
		t.Errorf("got %d %q", a.status, a.body)
	}
}

// Rule: in a process of fiber's prefork, a store in the process' memory is worth a
// warning; a shared one, and an app of one process, are not.
func TestPreforkWarning(t *testing.T) {
	shared := midhook.WithStore(midhooktest.NewFaultyStore(midhook.NewLRUStore(8))) // not known to be in memory
	for _, test := range []struct {
		name  string
		child string
		opts  []midhook.Option
		warns bool
	}{
		{"prefork", "1", nil, true},
		{"prefork, a shared store", "1", []midhook.Option{shared}, false},
		{"one process", "", nil, false},
	} {
		var out bytes.Buffer
		log.SetOutput(&out)
		t.Setenv("FIBER_PREFORK_CHILD", test.child)
		fiberhook.New(newHook(t, test.opts...))
		log.SetOutput(io.Discard)
		if warned := strings.Contains(out.String(), "WithStore"); warned != test.warns {
			t.Errorf("%s: logged %q", test.name, out.String())
		}
	}
}

// Rule: under a status check the handlers read what was confirmed, however they read
// the body, and middleware outside what was notified.
func TestConfirmedBody(t *testing.T) {
	api := midhooktest.NewStatusServer(key)
	defer api.Close()
	n, err := midhook.Parse(midhooktest.Body(midhooktest.Sample("gopay"), key))
	if err != nil {
		t.Fatal(err)
	}
	api.Put(n)
	edited := strings.Replace(string(n.Raw()), "{", `{"custom_field1":"edited",`, 1)
	for _, config := range []fiber.Config{{}, {StreamRequestBody: true}} {
		app := fiber.New(config)
		app.Use(func(c fiber.Ctx) error {
			err := c.Next()
			if !config.StreamRequestBody && string(c.Body()) != edited {
				t.Errorf("outside: got %s", c.Body())
			}
			return err
		})
		app.Post("/", fiberhook.New(newHook(t, midhook.WithStatusCheck(api.Client()))), func(c fiber.Ctx) error {
			var bound struct {
				OrderID string `json:"order_id"`
				Custom  string `json:"custom_field1"`
			}
			if err := c.Bind().Body(&bound); err != nil {
				return err
			}
			confirmed, _ := fiberhook.FromContext(c)
			if bound.OrderID != n.OrderID || bound.Custom != "" || string(c.Body()) != string(confirmed.Raw()) {
				t.Errorf("got %+v", bound)
			}
			return nil
		})
		if a := post(t, serve(t, app), strings.NewReader(edited)); a.status != 200 {
			t.Errorf("got %d %q", a.status, a.body)
		}
	}
}

// Rule: fiber binds an authentic JSON body as JSON, whatever the Content-Type, which
// nobody signed: as a form, a field's text would be read as other fields.
func TestBindsJSONWhateverTheContentType(t *testing.T) {
	var bound struct {
		OrderID string `json:"order_id" form:"order_id"`
	}
	var outside string
	app := fiber.New()
	app.Use(func(c fiber.Ctx) error {
		err := c.Next()
		outside = c.Get("Content-Type")
		return err
	})
	app.Post("/", fiberhook.New(newHook(t)), func(c fiber.Ctx) error { return c.Bind().Body(&bound) })
	body := notification(midhooktest.Order("A-1"), midhooktest.Field("custom_field1", "&order_id=B-2&"))
	req, err := http.NewRequest(http.MethodPost, serve(t, app), body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 || bound.OrderID != "A-1" || outside != "application/x-www-form-urlencoded" {
		t.Errorf("got %d, bound %q, outside %q", res.StatusCode, bound.OrderID, outside)
	}
}
