package midhook

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/midhook/midhook/internal/secret"
)

// Middleware receives Midtrans' notifications, or another sender's, and hands
// them to the merchant's handler: verified, once, and answered in time. It is
// made by [New] or [NewFor] and safe for concurrent use.
type Middleware struct {
	settings
	gateway      Gateway
	name         string                                                 // of the gateway, "" if it has none
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

// Keep is for how long handled events are remembered, see [WithKeep]. What asks a
// sender's API for past events must not go further back: the store has forgotten
// what was handled before, and the handler would run for it again.
func (m *Middleware) Keep() time.Duration { return m.keep }

// Attached is the same Middleware, with the same store, without
// [WithDetachedHandler]: its Handler returns when the merchant's handler has. It is
// for adapters of frameworks that use a request's context again for another one as
// soon as the request has ended.
func (m *Middleware) Attached() *Middleware {
	attached := *m
	attached.detached = false
	return &attached
}

// LocalStore reports whether handled events are remembered in this process' memory
// only, see [NewLRUStore]: another process that receives the same events handles
// them, too.
func (m *Middleware) LocalStore() bool {
	_, local := m.store.(*lruStore)
	return local
}

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
	if n, ok := g.(Named); ok {
		m.name = n.Name()
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
