package midhooktest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

func newStatusServer(t *testing.T) *midhooktest.StatusServer {
	s := midhooktest.NewStatusServer(key)
	t.Cleanup(s.Close)
	return s
}

// ask is a request as a merchant's own client would make it.
func ask(t *testing.T, s *midhooktest.StatusServer, path string, header ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(key, "")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// plainClient follows no redirect and leaves no connection behind.
var plainClient = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// answered returns the HTTP status and the body.
func answered(t *testing.T, r *http.Request) (int, []byte) {
	t.Helper()
	res, err := plainClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, body
}

// Each trouble is what its name says to a client of one's own, and to midhook's
// the error that is documented; without it, all is well again.
func TestStatusServerTroubles(t *testing.T) {
	s := newStatusServer(t)
	s.Put(midhooktest.Sample("gopay"))
	client := s.Client()
	for name, tt := range map[string]struct {
		trouble midhooktest.Trouble
		status  int    // 0 for no answer
		body    string // contained in it
		err     error
	}{
		"NothingFound":    {midhooktest.NothingFound, 200, `"status_code":"404"`, midhook.ErrTransactionNotFound},
		"WrongKey":        {midhooktest.WrongKey, 401, `"status_code":"401"`, midhook.ErrUnauthorized},
		"TooManyRequests": {midhooktest.TooManyRequests, 429, `"status_code":"429"`, midhook.ErrRateLimited},
		"Failing":         {midhooktest.Failing, 500, "", midhook.ErrStatusUnavailable},
		"Stalling":        {midhooktest.Stalling, 0, "", context.DeadlineExceeded},
		"Garbage":         {midhooktest.Garbage, 200, "<html>", midhook.ErrStatusUnavailable},
		"TooMuch":         {midhooktest.TooMuch, 200, `"order_id":"gopay-01"`, midhook.ErrStatusUnavailable},
		"Redirecting":     {midhooktest.Redirecting, 302, "elsewhere.example", midhook.ErrStatusUnavailable},
		"Breaking":        {midhooktest.Breaking, 0, "", midhook.ErrStatusUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			s.Be(tt.trouble)
			patience := time.Minute
			if tt.trouble == midhooktest.Stalling {
				patience = 50 * time.Millisecond
			}
			within := func() context.Context {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				t.Cleanup(cancel)
				return ctx
			}
			r := ask(t, s, "/v2/gopay-01/status")
			if tt.status == 0 {
				res, err := plainClient.Do(r.WithContext(within()))
				if err == nil {
					res.Body.Close()
					t.Errorf("answered %d, want no answer", res.StatusCode)
				}
				if stalled := errors.Is(err, context.DeadlineExceeded); stalled != (tt.trouble == midhooktest.Stalling) {
					t.Errorf("error is %v", err)
				}
			} else if status, body := answered(t, r); status != tt.status || !strings.Contains(string(body), tt.body) {
				t.Errorf("answered %d with %d bytes, want %d with %s", status, len(body), tt.status, tt.body)
			} else if long := len(body) > 16<<20; long != (tt.trouble == midhooktest.TooMuch) {
				t.Errorf("the answer has %d bytes", len(body))
			}
			if _, err := client.Get(within(), "gopay-01"); !errors.Is(err, tt.err) {
				t.Errorf("the client's error is %v, want %v", err, tt.err)
			}

			s.Be(midhooktest.NoTrouble)
			if n, err := client.Get(t.Context(), "gopay-01"); err != nil || !n.Paid() {
				t.Errorf("without trouble: %v", err)
			}
		})
	}
}

// The answer is the sample as GET status has it, signed, for both of its ids.
func TestStatusServerAnswers(t *testing.T) {
	s := newStatusServer(t)
	client := s.Client()
	own := map[string]bool{"dana": true, "danamon-va": true, "bsi-va": true, "seabank-va": true, "saqu-va": true}
	for _, name := range midhooktest.Samples() {
		n := midhooktest.Sample(name)
		if n.Kind() != midhook.Payment {
			continue
		}
		t.Run(name, func(t *testing.T) {
			s.Put(n)
			var header []string
			if name == "dana" {
				header = []string{"transaction-source", "SNAP_API"}
			}
			for _, id := range []string{n.OrderID, n.TransactionID} {
				status, body := answered(t, ask(t, s, "/v2/"+url.PathEscape(id)+"/status", header...))
				if status != 200 {
					t.Fatalf("answered %d: %s", status, body)
				}
				got := parse(t, body)
				if got.TransactionID != n.TransactionID || got.TransactionStatus != n.TransactionStatus || got.GrossAmount != n.GrossAmount {
					t.Errorf("not the transaction: %s", body)
				}
				if want := map[bool]string{false: n.OrderID, true: n.TransactionID}[own[name]]; got.OrderID != want {
					t.Errorf("order_id is %q, want %q", got.OrderID, want)
				}
				code := n.StatusCode
				switch n.TransactionStatus {
				case midhook.StatusExpire:
					code = "407"
				case midhook.StatusCancel:
					code = "200"
				}
				if got.StatusCode != code {
					t.Errorf("status_code is %s, want %s", got.StatusCode, code)
				}

				if got, err := client.Get(t.Context(), id); err != nil || got.TransactionStatus != n.TransactionStatus {
					t.Errorf("the client: %v", err)
				}
			}
		})
	}
}

// DANA is not found by who asks as for any other method.
func TestStatusServerHidesDANA(t *testing.T) {
	s := newStatusServer(t)
	s.Put(midhooktest.Sample("dana"))
	for source, found := range map[string]bool{"": false, "CORE_API": false, "SNAP_API": true} {
		_, body := answered(t, ask(t, s, "/v2/dana-01/status", "transaction-source", source))
		if got := !strings.Contains(string(body), `"status_code":"404"`); got != found {
			t.Errorf("with transaction-source %q found: %v", source, got)
		}
	}
	before := s.Requests()
	if _, err := s.Client().Get(t.Context(), "dana-01"); err != nil || s.Requests() != before+2 {
		t.Errorf("the client: %v after %d requests, want the usual one and one for DANA", err, s.Requests()-before)
	}
}

// An id is one segment of the path. A client that does not escape it must fail
// here as it would with Midtrans.
func TestStatusServerIDs(t *testing.T) {
	s := newStatusServer(t)
	client := s.Client()
	for _, id := range []string{"A/1", "/A", "A/", "A#1", "A?1", "A 1", "A%2F1", "A+1", "é", ".", "..", "...", "status", "v2/x/status"} {
		s.Put(midhooktest.Sample("gopay", midhooktest.Order(id), midhooktest.Transaction("tx-of-"+id)))
		for _, id := range []string{id, "tx-of-" + id} {
			if n, err := client.Get(t.Context(), id); err != nil || n.OrderID != strings.TrimPrefix(id, "tx-of-") {
				t.Errorf("%q by the client: %v", id, err)
			}
		}
	}
	escaped := strings.NewReplacer("/", "%2F", "#", "%23", "?", "%3F", ".", "%2E")
	for _, id := range []string{"A/1", "/A", "A/", "A#1", "A?1", ".", "..", "v2/x/status"} {
		if status, _ := answered(t, ask(t, s, "/v2/"+escaped.Replace(id)+"/status")); status != 200 {
			t.Errorf("%q escaped: %d", id, status)
		}
		if status, body := answered(t, ask(t, s, "/v2/"+id+"/status")); status != 404 {
			t.Errorf("%q not escaped: %d %s", id, status, body)
		}
	}
}

// What is not GET /v2/{id}/status is none of this API.
func TestStatusServerRefuses(t *testing.T) {
	s := newStatusServer(t)
	s.Put(midhooktest.Sample("gopay", midhooktest.Transaction("")))
	for _, path := range []string{"/", "/v2/", "/v2/status", "/v2/gopay-01", "/v2/gopay-01/", "/v2/gopay-01/status/", "/v1/gopay-01/status", "/gopay-01/status", "/v2/v2/gopay-01/status"} {
		if status, body := answered(t, ask(t, s, path)); status != 404 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	r := ask(t, s, "/v2/gopay-01/status")
	r.Method = http.MethodPost
	if status, _ := answered(t, r); status != 404 {
		t.Errorf("POST: %d", status)
	}
	for _, id := range []string{"", "unknown"} { // "": a transaction without an id is not found by none
		if _, body := answered(t, ask(t, s, "/v2/"+id+"/status")); !strings.Contains(string(body), `"status_code":"404"`) {
			t.Errorf("%q: %s", id, body)
		}
	}
}

// Only its own key, as the user of Basic auth and without a password, is let in.
func TestStatusServerKey(t *testing.T) {
	s := newStatusServer(t)
	s.Put(midhooktest.Sample("gopay"))
	for name, tt := range map[string]struct {
		authorize func(*http.Request)
		status    int
	}{
		"its own":       {func(r *http.Request) {}, 200},
		"another":       {func(r *http.Request) { r.SetBasicAuth("SB-Mid-server-other", "") }, 401},
		"as a password": {func(r *http.Request) { r.SetBasicAuth("", key) }, 401},
		"a password":    {func(r *http.Request) { r.SetBasicAuth(key, "x") }, 401},
		"a bearer":      {func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+key) }, 401},
		"none":          {func(r *http.Request) { r.Header.Del("Authorization") }, 401},
	} {
		r := ask(t, s, "/v2/gopay-01/status")
		tt.authorize(r)
		if status, body := answered(t, r); status != tt.status {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}

	other, err := midhook.NewStatusClient("SB-Mid-server-other", midhook.WithBaseURL(s.URL))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Get(t.Context(), "gopay-01"); !errors.Is(err, midhook.ErrUnauthorized) {
		t.Errorf("the client with another key: %v", err)
	}
}

// Put replaces what the server says, and keeps nothing of what the test has in
// hand: to change that is not to change the answer.
func TestStatusServerPut(t *testing.T) {
	s := newStatusServer(t)
	client := s.Client()
	status := func(id string) midhook.TransactionStatus {
		n, err := client.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return n.TransactionStatus
	}
	n := midhooktest.Sample("credit-card", midhooktest.Order("A-1"), midhooktest.Transaction("tx-1"))
	s.Put(n)
	n.TransactionStatus = midhook.StatusSettlement
	if got := status("tx-1"); got != midhook.StatusCapture {
		t.Errorf("changed without Put: %s", got)
	}
	s.Put(n)
	if got := status("tx-1"); got != midhook.StatusSettlement {
		t.Errorf("not changed by Put: %s", got)
	}

	// A second transaction of the order.
	s.Put(midhooktest.Sample("cancel", midhooktest.Order("A-1"), midhooktest.Transaction("tx-2")))
	for id, want := range map[string]midhook.TransactionStatus{
		"tx-1": midhook.StatusSettlement, "tx-2": midhook.StatusCancel, "A-1": midhook.StatusCancel,
	} {
		if got := status(id); got != want {
			t.Errorf("%s is %s, want %s", id, got, want)
		}
	}
}

// Every request counts, in trouble too, and every connection: a client's reuse
// of connections can be tested.
func TestStatusServerCounts(t *testing.T) {
	s := newStatusServer(t)
	s.Put(midhooktest.Sample("gopay"))
	if s.Requests() != 0 || s.Connections() != 0 {
		t.Errorf("at first: %d requests, %d connections", s.Requests(), s.Connections())
	}
	client := s.Client()
	for range 3 {
		if _, err := client.Get(t.Context(), "gopay-01"); err != nil {
			t.Fatal(err)
		}
	}
	s.Be(midhooktest.Failing)
	if _, err := client.Get(t.Context(), "gopay-01"); err == nil {
		t.Error("no error")
	}
	if s.Requests() != 4 || s.Connections() != 1 {
		t.Errorf("after 4 on one connection: %d requests, %d connections", s.Requests(), s.Connections())
	}
	for range 2 {
		answered(t, ask(t, s, "/v2/gopay-01/status"))
	}
	if s.Requests() != 6 || s.Connections() != 3 {
		t.Errorf("after 2 more without keep-alive: %d requests, %d connections", s.Requests(), s.Connections())
	}
}

// Tests may ask and change it at once.
func TestStatusServerAtOnce(t *testing.T) {
	s := newStatusServer(t)
	n := midhooktest.Sample("gopay")
	s.Put(n)
	client := s.Client()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := client.Get(t.Context(), n.OrderID); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() { s.Put(n); s.Be(midhooktest.NoTrouble) })
	}
	wg.Wait()
	if s.Requests() != 8 {
		t.Errorf("%d requests", s.Requests())
	}
}

// inProcess asks the server as the plain http.Handler it is, without a socket.
type inProcess struct{ http.Handler }

func (h inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

func TestStatusServerAsHandler(t *testing.T) {
	s := newStatusServer(t)
	s.Put(midhooktest.Sample("gopay"))
	client := s.Client(midhook.WithHTTPClient(&http.Client{Transport: inProcess{s}}))
	for trouble, want := range map[midhooktest.Trouble]error{
		midhooktest.NoTrouble:    nil,
		midhooktest.NothingFound: midhook.ErrTransactionNotFound,
		midhooktest.Failing:      midhook.ErrStatusUnavailable,
		midhooktest.TooMuch:      midhook.ErrStatusUnavailable, // and it has an end
	} {
		s.Be(trouble)
		if _, err := client.Get(t.Context(), "gopay-01"); !errors.Is(err, want) {
			t.Errorf("trouble %d: %v, want %v", trouble, err, want)
		}
	}
	if s.Connections() != 0 {
		t.Errorf("%d connections", s.Connections())
	}

	s.Be(midhooktest.Breaking)
	defer func() {
		if v := recover(); v != http.ErrAbortHandler {
			t.Errorf("panic is %v", v)
		}
	}()
	s.ServeHTTP(httptest.NewRecorder(), ask(t, s, "/v2/gopay-01/status"))
}

// In a synctest bubble a stall takes as long as the client waits, in no time:
// the handler waits for nothing that is outside.
func TestStatusServerStallsInABubble(t *testing.T) {
	s := newStatusServer(t) // outside: it has a real socket
	s.Be(midhooktest.Stalling)
	synctest.Test(t, func(t *testing.T) {
		client := s.Client(midhook.WithHTTPClient(&http.Client{Transport: inProcess{s}}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		if _, err := client.Get(ctx, "gopay-01"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if waited := time.Since(start); waited != time.Hour {
			t.Errorf("waited for %v", waited)
		}
	})
}

// Close neither waits for a client that waits for it, nor gives it an answer.
func TestStatusServerCloseWhileStalling(t *testing.T) {
	s := midhooktest.NewStatusServer(key)
	s.Put(midhooktest.Sample("gopay"))
	s.Be(midhooktest.Stalling)
	plain, client := make(chan error, 1), make(chan error, 1)
	r := ask(t, s, "/v2/gopay-01/status")
	go func() {
		res, err := plainClient.Do(r)
		if err == nil {
			res.Body.Close()
		}
		plain <- err
	}()
	c := s.Client()
	go func() {
		_, err := c.Get(t.Context(), "gopay-01")
		client <- err
	}()
	for s.Requests() < 2 {
		time.Sleep(time.Millisecond) // until both are waiting
	}
	s.Close()
	s.Close() // as a deferred one after it would

	if err := <-plain; err == nil {
		t.Error("a plain client got an answer")
	}
	if err := <-client; !errors.Is(err, midhook.ErrStatusUnavailable) {
		t.Errorf("the client's error is %v", err)
	}
	if _, err := c.Get(t.Context(), "gopay-01"); !errors.Is(err, midhook.ErrStatusUnavailable) {
		t.Errorf("after Close: %v", err)
	}
}

// Client passes options on, and says what is wrong with them.
func TestStatusServerClient(t *testing.T) {
	s := newStatusServer(t)
	defer func() {
		v, _ := recover().(string)
		if !strings.HasPrefix(v, "midhooktest: ") || !strings.Contains(v, "HTTP client") {
			t.Errorf("panic is %q", v)
		}
	}()
	s.Client(midhook.WithHTTPClient(nil))
}
