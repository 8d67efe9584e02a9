package midhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// delivery is one request's way through the middleware.
type delivery struct {
	*Middleware
	w        bufferedWriter
	r        *http.Request
	values   context.Context // the request's values, without its cancellation
	ctx      context.Context // the same for a request: a client that hangs up must not undo a payment
	arrived  time.Time
	deadline time.Time // of the budget
	timer    *time.Timer

	body    []byte
	again   bodyReader  // for the handler to read
	read    atomic.Bool // body is complete
	opened  Message
	message atomic.Pointer[Message] // nil until the body is authentic; opened, or what was confirmed

	mu       sync.Mutex    // not held while the store is at work
	claims   []Claim       // held: of the event, and of the event that was confirmed instead
	renewing chan struct{} // if not nil: closed when a renewal has ended
	renewal  atomic.Pointer[time.Timer]

	own      bool    // the handler's own answer goes out
	claiming bool    // it got as far as the store
	outcome  Outcome // proceed until it is concluded
	err      error
	ordered  sync.Mutex // has a late handler's event come after the budget's
}

// bodyReader is a body that has been read, once more.
type bodyReader struct{ bytes.Reader }

func (*bodyReader) Close() error { return nil }

// arrive starts the budget.
func (m *Middleware) arrive(w http.ResponseWriter, r *http.Request) *delivery {
	now := time.Now()
	values := context.WithoutCancel(r.Context())
	d := &delivery{
		Middleware: m,
		w:          bufferedWriter{inner: w},
		r:          r,
		values:     values,
		ctx:        values,
		arrived:    now,
		deadline:   now.Add(m.budget),
	}
	if m.detached {
		d.w.expired = make(chan struct{})
	}
	d.timer = time.AfterFunc(m.budget, d.expire)
	return d
}

// leave makes sure that the response is not touched after ServeHTTP.
func (d *delivery) leave() {
	d.timer.Stop()
	d.w.close()
}

// receive reads the body, within the budget and the limit.
func (d *delivery) receive() (Outcome, error) {
	if d.r.Method != http.MethodPost {
		return OutcomeMethodNotAllowed, nil
	}
	if d.r.ContentLength > d.maxBodyBytes {
		return OutcomeBodyTooLarge, nil
	}
	if d.r.Body == nil {
		return proceed, nil
	}
	body, err := readBody(d.r, d.maxBodyBytes) // expire ends one that takes too long
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case tooLarge || int64(len(body)) > d.maxBodyBytes:
		return OutcomeBodyTooLarge, nil
	case err != nil:
		return OutcomeBodyIncomplete, err
	case int64(len(body)) < d.r.ContentLength:
		return OutcomeBodyIncomplete, errors.New("the body is shorter than its Content-Length: has outer middleware read it?")
	}
	d.body = body
	return proceed, nil
}

// readBody reads little more than limit bytes.
func readBody(r *http.Request, limit int64) ([]byte, error) {
	body := make([]byte, 0, min(max(0, r.ContentLength), 64<<10)+1)
	for {
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case err == io.EOF:
			return body, nil
		case err != nil || int64(len(body)) > limit:
			return body, err
		case len(body) == cap(body):
			body = slices.Grow(body, bytes.MinRead)
		}
	}
}

var errNoEvent = errors.New("the gateway did not say which event this is")

// open has the gateway tell whether the body is authentic.
func (d *delivery) open() (Outcome, error) {
	d.read.Store(true)
	done := false
	defer d.abandon("gateway", &done)
	var err error
	d.opened, err = d.gateway.Open(d.r.Header, d.body)
	asked := err == nil && d.authenticate != nil
	if asked {
		ctx, cancel := context.WithDeadlineCause(d.ctx, d.deadline, ErrBudgetExceeded)
		defer cancel()
		d.opened, err = d.authenticate(ctx, d.opened)
	}
	done = true
	if err == nil && d.opened.Key == "" {
		err = errNoEvent // nothing runs unclaimed
	}
	if err == nil || errors.Is(err, ErrUnconfirmed) && !asked {
		d.message.Store(&d.opened)
	}
	switch {
	case err == nil && d.opened.Test && !d.handOnTests:
		return OutcomeTest, nil
	case err == nil:
		return proceed, nil
	case errors.Is(err, ErrUnconfirmed) && asked:
		return OutcomeContradicted, err
	case errors.Is(err, ErrUnconfirmed):
		return OutcomeUnconfirmed, err
	case errors.Is(err, ErrSignature):
		return OutcomeForged, err
	case errors.Is(err, ErrRateLimited) && asked:
		return OutcomeRateLimited, err
	case !asked, errors.Is(err, ErrMalformed) && !errors.Is(err, ErrStatusUnavailable): // it may be the API's answer
		return OutcomeMalformed, err
	default:
		return OutcomeStatusUnavailable, err
	}
}

// check makes sure that what the message says may be acted upon. What turns out
// to be another event is claimed, too.
func (d *delivery) check(ctx context.Context) (Outcome, error) {
	for _, check := range d.checks {
		before := d.message.Load()
		msg, outcome, err := check(ctx, *before)
		if outcome != proceed {
			return outcome, err
		}
		d.message.Store(&msg)
		if msg.Key != before.Key { // its own notification is on its way
			if outcome, err := d.acquire(ctx); outcome != proceed {
				return outcome, err
			}
		}
	}
	return proceed, nil
}

// admit decides whether a claimed event may go to the handler now.
func (d *delivery) admit(ctx context.Context) (Outcome, error) {
	if d.limiter != nil {
		if err := d.limiter.Wait(ctx); err != nil {
			return OutcomeRateLimited, err
		}
	}
	if d.w.over() {
		return OutcomeLateFailed, ErrBudgetExceeded // the retry finds more time than is left
	}
	return proceed, nil
}

// run calls the handler and says what its answer means.
func (d *delivery) run(handle handler) (Outcome, error) {
	ctx := context.WithValue(d.ctx, deliveryKey, d)
	ctx, cancel := context.WithDeadlineCause(ctx, d.deadline.Add(d.grace), ErrGraceExceeded)
	defer cancel()
	r := d.r.WithContext(ctx)
	d.again.Reset(d.body)
	r.Body = &d.again
	r.ContentLength = int64(len(d.body))

	answers, err := handle(&d.w, r)

	status := d.w.written()
	_, permanent := errors.AsType[*permanentError](err)
	switch {
	case permanent:
		return OutcomeHandledPermanent, err
	case err != nil:
		return OutcomeHandlerFailed, err
	case answers && status == 0 && ctx.Err() != nil:
		return OutcomeHandlerFailed, context.Cause(ctx) // it gave up
	case status == 0, status/100 == 2:
		d.own = answers && d.accepted()
		return OutcomeHandled, nil
	}
	err = fmt.Errorf("handler answered %d", status)
	redirected := status == http.StatusMovedPermanently || status == http.StatusFound || status == http.StatusSeeOther
	d.own = d.passThrough || status < 500 && !redirected
	if redirected {
		return OutcomeHandlerRedirected, err
	}
	return OutcomeHandlerFailed, err
}

// accepted reports whether the handler's own success is one to the sender. The
// handler has succeeded even where the gateway panics.
func (d *delivery) accepted() bool {
	defer d.survive("Accepts")
	return d.accepts == nil || d.w.judge(d.accepts)
}

// abandon settles what a panic or runtime.Goexit leaves behind unless all was done,
// and lets it go on up the stack. A late one has nobody above that waits for it, and
// some recovery middleware says nothing: the stack goes to the log in any case.
func (d *delivery) abandon(who string, done *bool) {
	if *done {
		return
	}
	v := recover()
	err := fmt.Errorf("%s panicked: %v", who, v)
	if v == nil {
		err = fmt.Errorf("%s called runtime.Goexit", who)
	}
	err = errors.Join(err, d.settle(OutcomeHandlerPanicked))
	if d.w.over() {
		d.tellLate(OutcomeLateFailed, err, debug.Stack()...)
	} else {
		d.tell(OutcomeHandlerPanicked, 0, err, debug.Stack()...)
	}
	if v != nil {
		panic(v)
	}
}

// conclude answers, unless the budget has, and tells of it.
func (d *delivery) conclude(outcome Outcome, err error) {
	d.outcome, d.err = outcome, err
	a := d.answers[outcome]
	switch outcome {
	case OutcomeBodyTooLarge, OutcomeBodyIncomplete, OutcomeMethodNotAllowed:
		a.last = d.r.ProtoMajor == 1 && d.r.ContentLength != 0 // what is left of the body is not worth reading
	}
	inTime := false
	if d.own {
		inTime = d.w.commit()
		a.status = d.w.written()
	} else {
		inTime = d.w.answer(a)
	}
	switch {
	case inTime:
		d.tell(outcome, a.status, err)
	case outcome == OutcomeHandled || outcome == OutcomeHandledPermanent:
		d.tellLate(OutcomeLateHandled, err)
	case d.claiming && err != nil: // else there is nothing more to tell than the budget's event did
		d.tellLate(OutcomeLateFailed, err)
	}
}

// expire answers at the budget, while the request's goroutine is busy.
func (d *delivery) expire() {
	defer d.survive("the response budget")
	d.ordered.Lock()
	defer d.ordered.Unlock()
	outcome := OutcomeBudgetExceeded
	var reading io.Closer
	if !d.read.Load() {
		outcome, reading = OutcomeBodyIncomplete, d.r.Body
	} else {
		// First of all: to answer may block, and so may an observer.
		d.renewal.Store(time.AfterFunc((d.grace+leaseMargin)/2, d.renew))
	}
	a := d.answers[outcome]
	// A proxy must not queue another request behind the handler, or the body.
	a.last = d.r.ProtoMajor == 1 && (reading != nil || !d.detached)
	if d.w.answerNow(a, reading) {
		d.tell(outcome, a.status, ErrBudgetExceeded)
	}
}

// survive keeps a panic of a response writer or a store from ending the process:
// on a timer's goroutine there is no server that recovers it.
func (d *delivery) survive(where string) {
	if v := recover(); v != nil {
		d.logger.ErrorContext(d.values, "midhook: panic at "+where, "panic", v, "stack", string(debug.Stack()))
	}
}

// tell reports one event.
func (d *delivery) tell(outcome Outcome, status int, err error, stack ...byte) {
	e := Event{Outcome: outcome, Gateway: d.name, StatusCode: status, Duration: time.Since(d.arrived), Err: err}
	if msg := d.message.Load(); msg != nil {
		e.Value, e.KeyLabel = msg.Value, msg.KeyLabel
		e.Notification, _ = msg.Value.(*Notification)
	}
	d.observation.report(d.values, e, d.r.RemoteAddr, stack)
}

// tellLate reports what happened after the budget, after the budget's own event.
func (d *delivery) tellLate(outcome Outcome, err error, stack ...byte) {
	d.ordered.Lock()
	defer d.ordered.Unlock()
	d.tell(outcome, d.answers[OutcomeBudgetExceeded].status, err, stack...)
}
