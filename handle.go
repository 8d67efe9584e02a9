package midhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
)

// OutcomeError is what [Middleware.Reconcile] and [Middleware.HandleMessage]
// return for an event that was not handled.
type OutcomeError struct {
	Outcome Outcome
	Err     error // may be nil
}

func (e *OutcomeError) Error() string {
	if e.Err == nil {
		return "midhook: " + e.Outcome.String()
	}
	return fmt.Sprintf("midhook: %s: %v", e.Outcome, e.Err)
}

func (e *OutcomeError) Unwrap() error { return e.Err }

var errNoHandler = errors.New("midhook: nil handler")

// HandleMessage hands an event that was not delivered to next as if it had been:
// the same pipeline from the claim on, so that next runs once, whether a delivery
// of the event comes before, after or at the same time. It is for events that the
// sender's API was asked for, and it trusts msg: msg.Value and msg.Key must be
// what the [Gateway] makes of the same event when it is delivered.
//
// It returns nil if next succeeded, or the event had been handled; otherwise an
// [OutcomeError], such as OutcomeInFlight while a delivery of the event is being
// handled. next is the merchant's own handler, or what Handler, HandlerFunc or
// HandleValue have made of it. It gets a POST request with body, which is JSON, and a
// context that ends with ctx, and after budget and grace. What next answers goes
// nowhere, but decides as in [Middleware.Handler].
func (m *Middleware) HandleMessage(ctx context.Context, msg Message, body []byte, next http.Handler) error {
	if next == nil {
		return errNoHandler
	}
	if msg.Key == "" {
		return fmt.Errorf("midhook: %w", errNoEvent)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "/", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("midhook: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")

	d := m.must().newDelivery(nowhere{}, r, ctx)
	d.body = body
	d.message.Store(&msg)
	d.claim.keepRenewing(ctx, d.lease/2)
	handle := answering(next)
	if made, ok := next.(*notificationHandler); ok {
		handle = made.handle
	}
	res := d.process(handle)
	if res.outcome.isFinal() {
		return nil
	}
	return &OutcomeError{res.outcome, res.err}
}

// nowhere is the client of a delivery that has none.
type nowhere struct{}

func (nowhere) Header() http.Header { return http.Header{} }

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

func (nowhere) WriteHeader(int) {}

// HandlerFunc is Handler for a function that returns an error: nil is answered
// 200, a [Permanent] error 200 too, and any other error 503, which Midtrans
// retries four times. The error is in the log and in [Event].Err, not in the answer.
func (m *Middleware) HandlerFunc(fn func(context.Context, *Notification) error) http.Handler {
	return HandleValue(m, fn)
}

// HandleValue is [Middleware.HandlerFunc] for a function that takes the
// notifications of another sender: T is the type of [Message].Value, such as
// *paymongo.Event. A T that is another type fails every delivery.
func HandleValue[T any](m *Middleware, fn func(context.Context, T) error) http.Handler {
	if fn == nil {
		panic("midhook: nil handler")
	}
	return &notificationHandler{m.must(), func(_ http.ResponseWriter, r *http.Request) (bool, error) {
		v, ok := Value[T](r.Context())
		if !ok {
			other, _ := Value[any](r.Context())
			return false, fmt.Errorf("the handler takes a %v, but this gateway gives a %T", reflect.TypeFor[T](), other)
		}
		return false, fn(r.Context(), v)
	}}
}

// HandlerWithError is Handler for a function that answers and returns an error, such
// as an adapter's of a framework whose handlers do. What it has written decides, as
// under Handler, and the error is reported beside it. Where nothing was written, an
// error is answered as that of a [Middleware.HandlerFunc] is: 503. A [Permanent] error
// is answered 200 and counts as handled, whatever was written.
func (m *Middleware) HandlerWithError(fn func(http.ResponseWriter, *http.Request) error) http.Handler {
	if fn == nil {
		panic("midhook: nil handler")
	}
	return &notificationHandler{m.must(), func(w http.ResponseWriter, r *http.Request) (bool, error) { return true, fn(w, r) }}
}

// handleNested runs a handler of this Middleware within the delivery of another one of
// it: one that is wrapped in other middleware and handed to [Middleware.Reconcile], or
// Handler(Handler(h)). The delivery learns how it ended.
func (d *delivery) handleNested(w http.ResponseWriter, r *http.Request, handle handler) {
	answers, err := handle(w, r)
	if answers && err == nil {
		return
	}
	d.nested.Store(&err)
	outcome := OutcomeHandled
	if err != nil && !isPermanent(err) {
		outcome = OutcomeHandlerFailed
	}
	a := d.answers[outcome]
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// deliveryOf is the delivery of this Middleware within which ctx runs, nil if none.
func (p *pipeline) deliveryOf(ctx context.Context) *delivery {
	d, ok := ctx.Value(deliveryKey).(*delivery)
	if !ok || d.origin != p.origin {
		return nil
	}
	if _, held := d.claim.current(); !held {
		return nil
	}
	return d
}

// isPermanent reports whether no retry can mend an error: if it has several parts,
// every one of them must be permanent.
func isPermanent(err error) bool {
	switch e := err.(type) {
	case nil:
		return false
	case *permanentError:
		return true
	case interface{ Unwrap() []error }:
		parts := slices.DeleteFunc(slices.Clone(e.Unwrap()), func(part error) bool { return part == nil })
		return len(parts) > 0 && !slices.ContainsFunc(parts, func(part error) bool { return !isPermanent(part) })
	case interface{ Unwrap() error }:
		return isPermanent(e.Unwrap())
	}
	return false
}

// Permanent marks an error of a [Middleware.HandlerFunc] that no retry can mend. A
// handler behind one of the adapters says it, too, in its framework's way.
// The notification is answered 200 and counts as handled; err is reported.
// Permanent(nil) is nil. An error that joins several ([errors.Join]) is permanent only
// if each of them is: what may still be mended is retried.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return "permanent: " + e.err.Error() }

func (e *permanentError) Unwrap() error { return e.err }

// handler is a merchant's handler, and reports whether it gives an answer of its
// own. An error is a failure.
type handler func(http.ResponseWriter, *http.Request) (answers bool, err error)

func answering(next http.Handler) handler {
	return func(w http.ResponseWriter, r *http.Request) (bool, error) {
		next.ServeHTTP(w, r)
		return true, nil
	}
}
