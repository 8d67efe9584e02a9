package midhook

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/midhook/midhook/internal/secret"
)

// Middleware receives Midtrans' notifications, or another sender's, and hands
// them to the merchant's handler: verified, once, and answered in time. It is
// made by [New] or [NewGateway] and safe for concurrent use.
type Middleware struct {
	settings
	gateway      Gateway
	authenticate func(context.Context, Message) (Message, error)        // nil: Open is enough
	accepts      func(status int, header http.Header, body []byte) bool // nil: every 2xx
	patient      bool                                                   // the sender may not come again
	checks       []check                                                // between claim and handler, in this order
	observation  *observation
	lease        time.Duration
	answers      [outcomeCount]answer
}

// Format says no more than the type: settings hold keys.
func (m *Middleware) Format(f fmt.State, _ rune) { fmt.Fprint(f, "midhook.Middleware") }

const (
	// storeTimeout bounds a store call that the budget must not cut short.
	storeTimeout = 5 * time.Second
	// leaseMargin is what a lease lasts beyond budget and grace: time to finish
	// the claim. By default the lease of a process that has died within the budget
	// is over before Midtrans' earliest retry, 33 s after the answer.
	leaseMargin = 2 * time.Second
)

// New returns the middleware for the server key from Midtrans' dashboard
// (Settings, Access Keys): Mid-server-… for production, SB-Mid-server-… for the
// sandbox. Its error lists everything that is wrong with the key and the
// options.
func New(serverKey string, opts ...Option) (*Middleware, error) {
	s := defaultSettings()
	s.midtrans = &midtransSettings{}
	own := WithServerKey(secret.DefaultLabel, serverKey)
	if err := errors.Join(own(&s), s.apply(opts)); err != nil {
		return nil, fmt.Errorf("midhook: %w", err)
	}
	return newMiddleware(midtrans{s.midtrans.keys}, s)
}

// newMiddleware decides everything that is the same for every delivery.
func newMiddleware(g Gateway, s settings) (*Middleware, error) {
	m := &Middleware{
		settings:    s,
		gateway:     g,
		checks:      s.midtrans.checks(),
		observation: newObservation(s.logger, s.observer),
		lease:       s.budget + s.grace + leaseMargin,
	}
	if a, ok := g.(Authenticator); ok {
		m.authenticate = a.Authenticate
	}
	if a, ok := g.(Acceptor); ok {
		m.accepts = a.Accepts
	}
	if r, ok := g.(Retrier); ok {
		m.patient = !r.Retries()
	}
	var errs []error
	for o := proceed + 1; o < outcomeCount; o++ {
		status, contentType, body := g.Answer(o)
		errs = append(errs, checkAnswer(o, status))
		m.answers[o] = newAnswer(status, contentType, body)
		switch status {
		case http.StatusServiceUnavailable:
			retryAfter := math.Ceil((s.budget + s.grace).Seconds()) // by then a handler in flight is through
			m.answers[o].header.Set("Retry-After", strconv.Itoa(int(retryAfter)))
		case http.StatusMethodNotAllowed:
			m.answers[o].header.Set("Allow", http.MethodPost)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("midhook: gateway: %w", err)
	}
	return m, nil
}

// Handler returns a handler that calls next for each verified notification that
// was not handled before. next finds the notification with [FromContext], and
// the body in r.Body. A 2xx from next, in the end also one that comes after the
// budget, marks the event as handled; anything else has Midtrans retry.
//
// The context of next keeps the request's values, not its cancellation: Midtrans
// hanging up must not undo a payment. It ends with the cause [ErrGraceExceeded].
// If it has, a next that returns without having written is taken to have failed.
//
// An event is handled once for each store: two handlers of one Middleware, or of
// two that share a store, share the events. Handler panics if next is nil.
func (m *Middleware) Handler(next http.Handler) http.Handler {
	if next == nil {
		panic("midhook: nil handler")
	}
	return &receiver{m, answering(next)}
}

// HandlerFunc is Handler for a function that returns an error: nil is answered
// 200, a [Permanent] error 200 too, any other error 503, of which Midtrans
// retries four. The error is in the log and in [Event].Err, not in the answer.
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
	return &receiver{m, func(_ http.ResponseWriter, r *http.Request) (bool, error) {
		v, ok := Value[T](r.Context())
		if !ok {
			other, _ := Value[any](r.Context())
			return false, fmt.Errorf("the handler takes a %v, but this gateway gives a %T", reflect.TypeFor[T](), other)
		}
		return false, fn(r.Context(), v)
	}}
}

// Permanent marks an error of a [Middleware.HandlerFunc] that no retry can mend.
// The notification is answered 200 and counts as handled; err is reported.
// Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return "permanent: " + e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// contextKey is the type of the key under which a handler's context carries its
// delivery.
type contextKey struct{ name string }

func (k *contextKey) String() string { return "midhook " + k.name }

var deliveryKey = &contextKey{"delivery"}

// FromContext returns the notification that a handler under [Middleware] is to
// handle. It is shared with the observer and the log: do not change it.
func FromContext(ctx context.Context) (*Notification, bool) { return Value[*Notification](ctx) }

// Value is [FromContext] for any sender: it returns the [Message].Value that a
// handler is to handle, if that is a T.
func Value[T any](ctx context.Context) (value T, ok bool) {
	if d, found := ctx.Value(deliveryKey).(*delivery); found {
		value, ok = d.message.Load().Value.(T)
	}
	return value, ok
}

// ClaimsFromContext returns the claims under which a handler runs: one, or two
// where [WithStatusCheck] has confirmed another event than was notified. It is for
// a [Store] that can finish them in the transaction that has the handler's
// effects. It returns nil outside of a running handler.
func ClaimsFromContext(ctx context.Context) []Claim {
	d, ok := ctx.Value(deliveryKey).(*delivery)
	if !ok {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.claims)
}

// handler is a merchant's handler, and reports whether it gives an answer of its
// own. An error is a failure.
type handler func(http.ResponseWriter, *http.Request) (answers bool, err error)

func answering(next http.Handler) handler {
	return func(w http.ResponseWriter, r *http.Request) (bool, error) {
		next.ServeHTTP(w, r)
		return true, nil
	}
}

// receiver is what a Middleware makes of a merchant's handler.
type receiver struct {
	*Middleware
	handle handler
}

// ServeHTTP is the life of a delivery, from the socket to the handler and back.
// Each step says how the delivery ends, or proceed.
func (m *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d := m.arrive(w, r) // the budget runs from here
	defer d.leave()

	outcome, err := d.receive()
	if outcome == proceed {
		outcome, err = d.open()
	}
	if outcome != proceed {
		d.conclude(outcome, err)
		return
	}
	if m.detached {
		d.w.detach(func() { d.process(m.handle) })
		return
	}
	d.process(m.handle)
}

// process hands an authentic notification on, under a claim.
func (d *delivery) process(handle handler) {
	ctx, cancel := d.waiting(d.ctx, d.deadline, ErrBudgetExceeded)
	defer cancel()
	done := false
	defer d.abandon("handler", &done) // a panic, or runtime.Goexit

	outcome, err := d.acquire(ctx)
	if outcome == proceed {
		outcome, err = d.check(ctx)
	}
	if outcome == proceed {
		outcome, err = d.admit(ctx)
	}
	if outcome == proceed {
		outcome, err = d.run(handle)
	}
	if unsettled := d.settle(outcome); unsettled != nil { // before the answer: the next delivery may be on its heels
		err = errors.Join(err, unsettled)
	}
	done = true
	d.conclude(outcome, err)
}
