package bindtest

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/midhook/midhook"
)

// Bind is a binder of a framework, for the delivery that a handler behind the hook has.
type Bind func(target any) error

// Route serves deliveries with a framework: the hook, and behind it a handler that
// calls read with its notification and its binder. Its path is /hook/:order_id/:fraud_status.
type Route func(hook *midhook.Middleware, read func(*midhook.Notification, Bind)) (serve func(*http.Request))

// reading is how one delivery went.
type reading struct {
	handed     bool
	bindError  error
	difference error
}

// reader delivers to a route, and reads by its binder.
type reader struct {
	serve   func(*http.Request)
	numbers bool // amounts are bound as numbers or as text, whichever comes
	last    reading
}

func newReader(t testing.TB, route Route) *reader {
	hook, err := midhook.New(Key, midhook.WithStore(Forgetful{}), midhook.WithTestNotifications(), midhook.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{}
	r.serve = route(hook, func(n *midhook.Notification, bind Bind) {
		r.last.handed = true
		if r.numbers {
			r.last.bindError, r.last.difference = compare[json.Number](n, bind)
		} else {
			r.last.bindError, r.last.difference = compare[string](n, bind)
		}
	})
	return r
}

func compare[Text ~string](n *midhook.Notification, bind Bind) (bindError, difference error) {
	var bound Body[Text]
	if err := bind(&bound); err != nil {
		return err, nil
	}
	return nil, Difference(n, &bound)
}

func (r *reader) deliver(d Delivery, signed []byte) reading {
	request := httptest.NewRequest(http.MethodPost, "/hook/B-3/accept", bytes.NewReader(signed))
	request.URL.RawQuery = url.PathEscape(d.Query) // what no client sends is no matter here
	if values, err := url.ParseQuery(d.Query); err == nil {
		request.URL.RawQuery = values.Encode()
	}
	request.Header = d.Headers()
	r.last = reading{}
	r.serve(request)
	return r.last
}

// Test holds the binders of a framework, by their names, against [Deliveries].
func Test(t *testing.T, routes map[string]Route) {
	for name, route := range routes {
		r := newReader(t, route)
		for _, d := range Deliveries() {
			for _, r.numbers = range []bool{false, true} {
				signed, ok := Sign(d.Body)
				if !ok { // as nobody signs it
					signed = d.Body
				}
				got := r.deliver(d, signed)
				if got.handed == d.Refused && !d.Elsewhere {
					t.Errorf("%s: %s: handed on: %v", name, d.Name, got.handed)
				}
				if got.difference != nil {
					t.Errorf("%s: %s: %v", name, d.Name, got.difference)
				}
				if got.bindError != nil && !d.Unbound {
					t.Errorf("%s: %s: it was not bound: %v", name, d.Name, got.bindError)
				}
			}
		}
	}
}

// Fuzz has the fuzzer change [Deliveries], signs what it makes of them, and fails where
// a binder reads anything else than the notification says.
func Fuzz(f *testing.F, routes map[string]Route) {
	for _, d := range Deliveries() {
		f.Add(d.Body, d.ContentType, d.Encoding, d.Query, d.Unbound)
	}
	readers := map[string]*reader{}
	for name, route := range routes {
		readers[name] = newReader(f, route)
	}
	f.Fuzz(func(t *testing.T, body []byte, contentType, encoding, query string, numbers bool) {
		signed, ok := Sign(body)
		if !ok {
			return
		}
		for name, r := range readers {
			r.numbers = numbers
			got := r.deliver(Delivery{ContentType: contentType, Encoding: encoding, Query: query}, signed)
			if got.difference != nil {
				t.Errorf("%s: %v\n%s", name, got.difference, signed)
			}
		}
	})
}
