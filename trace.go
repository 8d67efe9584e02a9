package midhook

import (
	"context"
	"errors"
	"time"
)

// Trace has functions that are called at the steps of a delivery, for metrics and
// traces of what takes long: see [WithTrace]. A nil function is not called, and costs
// nothing. The functions are called from many goroutines at once and must return soon.
// A panic of one of them is logged, and changes nothing.
type Trace struct {
	// HandlerStart is called before the merchant's handler, on its goroutine. The
	// handler gets the context that is returned, which must derive from ctx: a span
	// in it is the parent of what the handler does. nil means ctx.
	HandlerStart func(ctx context.Context, h HandlerStart) context.Context
	// HandlerDone is called when the handler has returned, however late, or has
	// panicked, with the context of HandlerStart.
	HandlerDone func(ctx context.Context, h HandlerDone)
	// StoreDone is called after each call of the [Store].
	StoreDone func(ctx context.Context, s StoreDone)
	// CheckDone is called after each question to the sender's API or to the merchant's
	// record: [WithStatusCheck], [WithExpectation] and an [Authenticator].
	CheckDone func(ctx context.Context, c CheckDone)
}

// HandlerStart is what is known before a handler runs.
type HandlerStart struct {
	Gateway string    // see [Named]
	Message Message   // what is handed on, with everything personal that its Value holds
	Arrived time.Time // when the delivery began
}

// HandlerDone tells how a handler has ended. An error after it, such as a claim that
// cannot be finished, is in the [Event] of the delivery.
type HandlerDone struct {
	Gateway  string
	Outcome  Outcome // OutcomeHandled, HandledPermanent, HandlerFailed, HandlerRedirected or HandlerPanicked
	Err      error
	Duration time.Duration // of the handler alone
	Late     bool          // the budget had been answered before
}

// StoreDone is one call of the [Store].
type StoreDone struct {
	Gateway   string
	Operation string     // acquire, finish or release
	State     ClaimState // the answer to acquire; 0 with an error, and for the others
	Err       error
	Duration  time.Duration
}

// CheckDone is one question about a notification.
type CheckDone struct {
	Gateway  string
	Check    string  // confirmation, expectation or authentication
	Outcome  Outcome // what the delivery ends with, 0 if it goes on
	Err      error
	Duration time.Duration
}

// WithTrace has t's functions called for each delivery. Given several times, each is
// called, the first one outermost.
func WithTrace(t Trace) Option {
	return func(s *settings) error {
		if t.HandlerStart == nil && t.HandlerDone == nil && t.StoreDone == nil && t.CheckDone == nil {
			return errors.New("trace: it has no function")
		}
		s.traces = append(s.traces, t)
		return nil
	}
}

// traceHandler tells that a handler begins, and returns its context and what tells how
// it has ended.
func (d *delivery) traceHandler(ctx context.Context) (context.Context, func(result)) {
	if len(d.traces) == 0 {
		return ctx, func(result) {}
	}
	start := HandlerStart{Gateway: d.name, Message: *d.message.Load(), Arrived: d.arrived}
	contexts := make([]context.Context, len(d.traces))
	for i, t := range d.traces {
		if t.HandlerStart != nil {
			d.observation.safely(ctx, func() {
				if derived := t.HandlerStart(ctx, start); derived != nil {
					ctx = derived
				}
			})
		}
		contexts[i] = ctx
	}
	began := time.Now()
	return ctx, func(res result) {
		done := HandlerDone{Gateway: d.name, Outcome: res.outcome, Err: res.err, Duration: time.Since(began), Late: d.w.isDecided()}
		if res.outcome == proceed {
			done.Outcome = OutcomeHandlerPanicked
		}
		for i := len(d.traces) - 1; i >= 0; i-- {
			if t := d.traces[i]; t.HandlerDone != nil {
				d.observation.safely(contexts[i], func() { t.HandlerDone(contexts[i], done) })
			}
		}
	}
}

// traceStore tells of a call of the store.
func (p *pipeline) traceStore(ctx context.Context, operation string, began time.Time, state ClaimState, err error) {
	for _, t := range p.traces {
		if t.StoreDone != nil {
			done := StoreDone{Gateway: p.name, Operation: operation, State: state, Err: err, Duration: time.Since(began)}
			p.observation.safely(ctx, func() { t.StoreDone(ctx, done) })
		}
	}
}

func (p *pipeline) traceCheck(ctx context.Context, check string, began time.Time, outcome Outcome, err error) {
	for _, t := range p.traces {
		if t.CheckDone != nil {
			done := CheckDone{Gateway: p.name, Check: check, Outcome: outcome, Err: err, Duration: time.Since(began)}
			p.observation.safely(ctx, func() { t.CheckDone(ctx, done) })
		}
	}
}

// now is the time for a trace, which is not asked for when nobody listens.
func (p *pipeline) now() (now time.Time) {
	if len(p.traces) > 0 {
		now = time.Now()
	}
	return now
}
