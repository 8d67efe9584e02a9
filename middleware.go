package midhook

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/midhook/midhook/internal/secret"
)

// Middleware receives Midtrans' notifications, or another sender's, and hands
// them to the merchant's handler: verified, once, and answered in time. It is
// made by [New] or [NewFor] and safe for concurrent use.
type Middleware struct {
	pipeline *pipeline // behind a pointer, so that no print of a copy shows a key
}

// Format says no more than the type: the settings hold keys.
func (m Middleware) Format(f fmt.State, _ rune) { fmt.Fprint(f, "midhook.Middleware") }

// pipeline is what the constructor decides, once for every delivery.
type pipeline struct {
	settings
	gateway            Gateway
	name               string                                                 // of the gateway, "" if it has none
	authenticator      func(context.Context, Message) (Message, error)        // nil: Open is enough
	accepts            func(status int, header http.Header, body []byte) bool // nil: every 2xx
	senderNeverRetries bool
	mayWait            bool         // something may keep a delivery waiting
	checks             []namedCheck // between claim and handler, in this order
	observation        *observation
	lease              time.Duration
	renewAfterBudget   time.Duration
	answers            [outcomeCount]answer
	running            *atomic.Int64 // handlers
	origin             *pipeline     // this one, or the one that Attached was called on
}

// New returns the middleware for the server key from Midtrans' dashboard
// (Settings, Access Keys): Mid-server-… for production, SB-Mid-server-… for the
// sandbox. Its error lists everything that is wrong with the key and the
// options.
func New(serverKey string, opts ...Option) (*Middleware, error) {
	s := defaultSettings()
	s.midtrans = &midtransSettings{}
	own := WithServerKey(secret.DefaultLabel, serverKey)
	if err := errors.Join(own(&s), s.apply(opts), s.midtrans.checkEnvironment(serverKey)); err != nil {
		return nil, fmt.Errorf("midhook: %w", err)
	}
	return newMiddleware(midtrans{s.midtrans.keys}, s)
}

// newMiddleware decides everything that is the same for every delivery.
func newMiddleware(g Gateway, s settings) (*Middleware, error) {
	p := &pipeline{
		settings: s,
		gateway:  g,
		checks:   s.midtrans.checks(),
		lease:    min(s.budget+s.grace, maxLease) + leaseMargin,
		running:  new(atomic.Int64),
	}
	p.origin = p
	p.renewAfterBudget = (p.lease - s.budget) / 2
	if n, ok := g.(Named); ok {
		p.name = n.Name()
	}
	if a, ok := g.(Authenticator); ok {
		p.authenticator = a.Authenticate
	}
	if a, ok := g.(Acceptor); ok {
		p.accepts = a.Accepts
	}
	if r, ok := g.(Retrier); ok {
		p.senderNeverRetries = !r.Retries()
	}
	_, inMemory := s.store.(*lruStore)
	p.mayWait = !inMemory || p.senderNeverRetries || p.limiter != nil || p.checks != nil
	p.observation = newObservation(s.logger, s.observers, g)
	if err := p.prepareAnswers(); err != nil {
		return nil, fmt.Errorf("midhook: gateway: %w", err)
	}
	return &Middleware{p}, nil
}

// prepareAnswers asks the gateway for all its answers.
func (p *pipeline) prepareAnswers() error {
	var errs []error
	for o := proceed + 1; o < outcomeCount; o++ {
		status, contentType, body := p.gateway.Answer(o)
		if status == 0 { // an outcome that the gateway does not know
			status, contentType, body = PlainAnswer(o)
		}
		errs = append(errs, checkAnswer(o, status))
		p.answers[o] = newAnswer(status, contentType, body)
		switch status {
		case http.StatusServiceUnavailable:
			retryAfter := math.Ceil(min(p.budget+p.grace, maxLease).Seconds()) // by then a handler in flight is through
			p.answers[o].header.Set("Retry-After", strconv.Itoa(int(retryAfter)))
		case http.StatusMethodNotAllowed:
			p.answers[o].header.Set("Allow", http.MethodPost)
		}
	}
	return errors.Join(errs...)
}

// Attached returns the same Middleware without [WithDetachedHandler], with the same
// store, keys and observers. It is for an adapter to a framework that takes its
// contexts back when a request ends (gin, echo, fiber): a detached handler would use
// one that already belongs to another request.
func (m *Middleware) Attached() *Middleware {
	p := *m.must()
	p.detached = false
	return &Middleware{&p}
}

// Keep is how long a handled event is remembered, see [WithKeep]. What is handed in
// again after that time runs again.
func (m *Middleware) Keep() time.Duration { return m.must().keep }

// InFlight is how many handlers run at this moment, late ones included: for a server
// that is to stop, or a metric.
func (m *Middleware) InFlight() int { return int(m.must().running.Load()) }

// LocalStore reports whether events are remembered in this process's memory alone,
// so that other processes handle them again.
func (m *Middleware) LocalStore() bool {
	_, inMemory := m.must().store.(*lruStore)
	return inMemory
}

// must panics where the program starts, before a payment can be lost.
func (m *Middleware) must() *pipeline {
	if m == nil || m.pipeline == nil {
		panic("midhook: nil Middleware: check the error of New")
	}
	return m.pipeline
}

// Handler returns a handler that calls next for each verified notification that
// was not handled before. next finds the notification with [FromContext], and
// the body in r.Body, which is said to be application/json, and in no Content-Encoding,
// if it is a JSON object: the sender's headers are not signed. A 2xx from next marks the
// event as handled, also one that comes after the budget; anything else has Midtrans
// retry.
//
// The context of next keeps the request's values, not its cancellation: Midtrans
// hanging up must not undo a payment. It ends with the cause [ErrGraceExceeded].
// If it has, a next that returns without having written is taken to have failed.
//
// An event is handled once for each store: two handlers of one Middleware, or of
// two that share a store and a namespace, share the events. Handler panics if next or
// m is nil, or if m was not made by [New] or [NewFor].
func (m *Middleware) Handler(next http.Handler) http.Handler {
	if next == nil {
		panic("midhook: nil handler")
	}
	return &notificationHandler{m.must(), answering(next)}
}

// notificationHandler is what a Middleware makes of a merchant's handler.
type notificationHandler struct {
	pipeline *pipeline
	handle   handler
}

// ServeHTTP is the life of a delivery, from the socket to the handler and back.
// Each step says how the delivery ends, or proceed.
func (h *notificationHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if d := h.pipeline.deliveryOf(r.Context()); d != nil { // its own claim is held already
		d.handleNested(w, r, h.handle)
		return
	}
	d := h.pipeline.newDelivery(w, r, context.WithoutCancel(r.Context()))
	d.startBudget()
	defer d.finishResponse()

	res := d.receive()
	if res.outcome == proceed {
		res = d.authenticate()
	}
	if res.outcome != proceed {
		d.refuse(res)
		return
	}
	if d.detached {
		d.w.runDetached(func() { d.process(h.handle) })
		return
	}
	d.process(h.handle)
}

// process hands an authentic notification on, under a claim.
func (d *delivery) process(handle handler) result {
	ctx, cancel := d.waitContext()
	defer cancel()
	returned := false
	defer d.afterPanic("handler", &returned)

	res := d.claim.acquire(ctx, d.newClaim(*d.message.Load()), d.deadline())
	if res.outcome == proceed {
		res = d.check(ctx)
	}
	if res.outcome == proceed {
		res = d.waitForHandlerRate(ctx)
	}
	if res.outcome == proceed {
		res = d.run(handle)
	}
	res = d.settle(res)
	returned = true
	d.conclude(res)
	return res
}

// Interface guards
var (
	_ http.Handler  = (*notificationHandler)(nil)
	_ fmt.Formatter = Middleware{}
)
