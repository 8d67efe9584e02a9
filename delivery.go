package midhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"
)

// delivery is one request's way through the middleware.
type delivery struct {
	*pipeline
	w       bufferedWriter
	r       *http.Request
	ctx     context.Context // the request's values; a client that hangs up must not undo a payment
	arrived time.Time
	timer   *time.Timer

	body           []byte
	bodyComplete   atomic.Bool // body is complete
	handlerBody    bodyReader  // body, for the handler to read
	handlerCtx     handlerContext
	authenticated  Message
	message        atomic.Pointer[Message] // authenticated, and nil until the body is authentic; what was confirmed replaces it
	claim          claims
	budgetReported atomic.Pointer[chan struct{}] // closed when the budget's event has been told; nil before the budget
	nested         atomic.Pointer[error]         // what a handler of this Middleware has returned within this delivery's own
}

// result is how a step of a delivery ends.
type result struct {
	outcome        Outcome // proceed: the next step follows
	err            error
	handlersAnswer bool // the handler's own answer goes out
}

// newDelivery is for a request, or for a message whose request nobody has sent.
func (p *pipeline) newDelivery(w http.ResponseWriter, r *http.Request, ctx context.Context) *delivery {
	d := &delivery{pipeline: p, w: bufferedWriter{inner: w}, r: r, ctx: ctx, arrived: time.Now()}
	d.claim.pipeline = p
	d.handlerCtx.Context, d.handlerCtx.delivery = ctx, d
	return d
}

// deadline is the end of the budget.
func (d *delivery) deadline() time.Time { return d.arrived.Add(d.budget) }

// graceEnds is when the handler's context ends at the latest.
func (d *delivery) graceEnds() time.Time { return d.deadline().Add(d.grace) }

// startBudget has the request answered when the budget is spent.
func (d *delivery) startBudget() {
	if d.detached {
		d.w.atEnd = make(chan struct{})
	}
	d.timer = time.AfterFunc(d.budget, d.answerAtBudget)
}

// finishResponse makes sure that the response is not touched after ServeHTTP.
func (d *delivery) finishResponse() {
	d.timer.Stop()
	d.w.close()
}

// errNoEvent is the gateway's fault: nothing runs unclaimed.
var errNoEvent = errors.New("the gateway did not say which event this is")

// authenticate has the gateway tell whether the body is authentic.
func (d *delivery) authenticate() result {
	returned := false
	defer d.afterPanic("gateway", &returned)
	opened := d.open()
	if opened.outcome == proceed && d.authenticator != nil {
		opened = d.askAuthenticator()
	}
	returned = true
	if opened.outcome == proceed && d.authenticated.Key == "" {
		opened = result{outcome: OutcomeMalformed, err: errNoEvent}
	}
	switch opened.outcome {
	case proceed, OutcomeUnconfirmed:
		d.message.Store(&d.authenticated)
	}
	if opened.outcome == proceed && d.authenticated.Test && !d.handOnTests {
		opened.outcome = OutcomeTest
	}
	return opened
}

func (d *delivery) open() (res result) {
	d.authenticated, res.err = d.gateway.Open(d.r.Header, d.body)
	res.outcome = openOutcome(res.err)
	return res
}

func (d *delivery) askAuthenticator() result {
	ctx, cancel := context.WithDeadlineCause(d.ctx, d.deadline(), ErrBudgetExceeded)
	defer cancel()
	began := d.now()
	msg, err := d.authenticator(ctx, d.authenticated)
	d.authenticated = msg
	outcome := authenticationOutcome(err)
	d.traceCheck(ctx, "authentication", began, outcome, err)
	return result{outcome: outcome, err: err}
}

// openOutcome classifies an error of [Gateway].Open.
func openOutcome(err error) Outcome {
	switch {
	case err == nil:
		return proceed
	case errors.Is(err, ErrUnconfirmed):
		return OutcomeUnconfirmed
	case errors.Is(err, ErrSignature):
		return OutcomeForged
	default:
		return OutcomeMalformed
	}
}

// authenticationOutcome classifies an error of [Authenticator].Authenticate.
func authenticationOutcome(err error) Outcome {
	switch {
	case err == nil:
		return proceed
	case errors.Is(err, ErrUnconfirmed):
		return OutcomeContradicted
	case errors.Is(err, ErrSignature):
		return OutcomeForged
	case errors.Is(err, ErrRateLimited):
		return OutcomeRateLimited
	case errors.Is(err, ErrMalformed) && !errors.Is(err, ErrStatusUnavailable): // it may be the API's answer
		return OutcomeMalformed
	default:
		return OutcomeStatusUnavailable
	}
}

// namedCheck is a step between claim and handler, by the name that a [Trace] shows.
type namedCheck struct {
	name string
	run  check
}

// check makes sure that what the message says may be acted upon. Where it turns out
// to be another event, the claim moves to that one.
func (d *delivery) check(ctx context.Context) result {
	for _, check := range d.checks {
		before, began := d.message.Load(), d.now()
		msg, outcome, err := check.run(ctx, *before)
		d.traceCheck(ctx, check.name, began, outcome, err)
		if outcome != proceed {
			return result{outcome: outcome, err: err}
		}
		d.message.Store(&msg)
		if raw, ok := msg.Value.(interface{ Raw() []byte }); ok && msg.Value != before.Value {
			d.body = raw.Raw() // the handler's body says what its value says
		}
		if moved := d.claim.moveTo(ctx, d.newClaim(msg), d.deadline()); moved.outcome != proceed {
			return moved
		}
	}
	return result{}
}

// waitForHandlerRate decides whether a claimed event may go to the handler now.
func (d *delivery) waitForHandlerRate(ctx context.Context) result {
	if d.limiter != nil {
		if err := d.limiter.Wait(ctx); err != nil {
			return result{outcome: OutcomeRateLimited, err: err}
		}
	}
	if d.w.isDecided() {
		return result{outcome: OutcomeLateFailed, err: ErrBudgetExceeded} // the retry finds more time than is left
	}
	return result{}
}

// run calls the handler and says what its answer means.
func (d *delivery) run(handle handler) (res result) {
	defer d.handlerCtx.handlerReturned()
	d.running.Add(1)
	defer d.running.Add(-1)
	ctx, done := d.traceHandler(&d.handlerCtx)
	defer func() { done(res) }()

	answers, err := handle(&d.w, d.handlerRequest(ctx))
	if inner := d.nested.Load(); inner != nil && err == nil {
		answers, err = false, *inner
	}

	status := d.w.handlerStatus()
	switch {
	case isPermanent(err):
		return result{outcome: OutcomeHandledPermanent, err: err}
	case err != nil && (!answers || status == 0):
		return result{outcome: OutcomeHandlerFailed, err: err}
	case answers && status == 0 && ctx.Err() != nil:
		return result{outcome: OutcomeHandlerFailed, err: context.Cause(ctx)} // it gave up
	case status == 0, status/100 == 2:
		return result{outcome: OutcomeHandled, err: err, handlersAnswer: answers && d.isAccepted()}
	}
	err = errors.Join(fmt.Errorf("handler answered %d", status), err)
	if status/100 == 3 && status != http.StatusNotModified {
		return result{outcome: OutcomeHandlerRedirected, err: err, handlersAnswer: d.passThrough}
	}
	return result{outcome: OutcomeHandlerFailed, err: err, handlersAnswer: d.passThrough || status < 500}
}

// handlerRequest is the request as the handler gets it, with the body to read.
func (d *delivery) handlerRequest(ctx context.Context) *http.Request {
	r := d.r.WithContext(ctx)
	d.handlerBody.body.Reset(d.body)
	r.Body = &d.handlerBody
	r.ContentLength = int64(len(d.body))
	if isObject(d.body) && !(saysJSON(r.Header["Content-Type"]) && len(r.Header["Content-Encoding"]) == 0) {
		header := make(http.Header, len(r.Header)+1)
		maps.Copy(header, r.Header)
		header["Content-Type"] = []string{"application/json"}
		delete(header, "Content-Encoding") // the body is JSON as it is: decoded, it would be another text
		r.Header = header
	}
	return r
}

// isObject reports whether an authentic body is a JSON object.
func isObject(body []byte) bool {
	return bytes.HasPrefix(body, []byte("{")) || bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{"))
}

// saysJSON reports whether a binder of a framework takes the body for JSON, in UTF-8.
// The header is not signed: as a form, one field's text would be read as other fields,
// and binders that know no such type read the query instead.
func saysJSON(contentType []string) bool {
	if len(contentType) != 1 {
		return false
	}
	parameters, ok := strings.CutPrefix(contentType[0], "application/json")
	return ok && (parameters == "" || strings.EqualFold(parameters, "; charset=utf-8") || strings.EqualFold(parameters, ";charset=utf-8"))
}

// isAccepted reports whether the handler's own success is one to the sender. The
// handler has succeeded even where the gateway panics.
func (d *delivery) isAccepted() bool {
	defer d.observation.recoverFrom(d.ctx, "the gateway's Accepts")
	return d.accepts == nil || d.w.isAccepted(d.accepts)
}

// settle ends the claim, before the answer: the next delivery may be on its heels.
func (d *delivery) settle(res result) result {
	uncommitted, err := d.claim.settle(d.ctx, res.outcome)
	res.err = errors.Join(res.err, err)
	if uncommitted { // the handler's effects do not exist, whatever it returned
		res.outcome, res.handlersAnswer = OutcomeHandlerFailed, false
	}
	return res
}

// refuse answers what is not to be handled.
func (d *delivery) refuse(res result) {
	a := d.answers[res.outcome]
	switch res.outcome {
	case OutcomeBodyTooLarge, OutcomeBodyIncomplete, OutcomeMethodNotAllowed:
		a.last = d.r.ProtoMajor == 1 && d.r.ContentLength != 0 // what is left of the body is not worth reading
	}
	if d.w.answer(a) {
		d.reportEvent(res.outcome, a.status, res.err)
	}
}

// conclude answers what was claimed, unless the budget has, and tells of it.
func (d *delivery) conclude(res result) {
	status, inTime := d.answers[res.outcome].status, false
	if res.handlersAnswer {
		status, inTime = d.w.commit()
	} else {
		inTime = d.w.answer(d.answers[res.outcome])
	}
	switch {
	case inTime:
		d.reportEvent(res.outcome, status, res.err)
	case res.outcome == OutcomeHandled || res.outcome == OutcomeHandledPermanent:
		d.reportLateEvent(OutcomeLateHandled, res.err)
	case res.err != nil: // else there is nothing more to tell than the budget's event did
		d.reportLateEvent(OutcomeLateFailed, res.err)
	}
}

// afterPanic settles what a panic or runtime.Goexit leaves behind unless the step has
// returned, and lets it go on up the stack. A late one has nobody above that waits for
// it, and some recovery middleware says nothing: the stack goes to the log in any case.
func (d *delivery) afterPanic(who string, returned *bool) {
	if *returned {
		return
	}
	v := recover()
	err := fmt.Errorf("%s panicked: %v", who, v)
	if v == nil {
		err = fmt.Errorf("%s called runtime.Goexit", who)
	}
	stack := debug.Stack()
	err = errors.Join(err, d.settle(result{outcome: OutcomeHandlerPanicked}).err)
	if d.w.decide() { // from here on the answer is that of whoever recovers the panic, and not the budget's
		d.reportEvent(OutcomeHandlerPanicked, 0, err, stack...)
	} else {
		d.reportLateEvent(OutcomeLateFailed, err, stack...)
	}
	if v != nil {
		panic(v)
	}
}

// answerAtBudget answers while the request's goroutine is busy.
func (d *delivery) answerAtBudget() {
	defer d.observation.recoverFrom(d.ctx, "the response budget")
	told := make(chan struct{}) // no lock: it would be held for as long as the peer takes to read
	d.budgetReported.Store(&told)
	defer close(told)
	outcome, isRead := OutcomeBudgetExceeded, d.bodyComplete.Load()
	var reading io.Closer
	if isRead {
		d.claim.keepRenewing(d.ctx, d.renewAfterBudget) // first of all, for to answer may block
	} else {
		outcome = OutcomeBodyIncomplete
		if !d.mustLeaveReading() {
			reading = d.r.Body
		}
	}
	a := d.answers[outcome]
	// A proxy must not queue another request behind the handler, or the body.
	a.last = d.r.ProtoMajor == 1 && !(isRead && d.detached)
	inTime, unsent := d.w.answerAtBudget(a, reading)
	if !inTime {
		return
	}
	if errors.Is(unsent, errUnreachable) {
		d.observation.warnUnreachable(d.ctx, unsent)
	}
	d.reportEvent(outcome, a.status, errors.Join(ErrBudgetExceeded, unsent))
}

// reportEvent reports one event.
func (d *delivery) reportEvent(outcome Outcome, status int, err error, stack ...byte) {
	if !d.observation.isListening(d.ctx) {
		return
	}
	e := newEvent(outcome, d.name, status, d.message.Load(), time.Since(d.arrived), err)
	d.observation.report(d.ctx, e, d.r, stack)
}

// reportLateEvent reports what happened after the budget, after the budget's own event.
func (d *delivery) reportLateEvent(outcome Outcome, err error, stack ...byte) {
	if told := d.budgetReported.Load(); told != nil {
		<-*told
	}
	d.reportEvent(outcome, d.answers[OutcomeBudgetExceeded].status, err, stack...)
}
