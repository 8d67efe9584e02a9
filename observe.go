package midhook

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/midhook/midhook/internal/redact"
)

// Event tells an observer (see [WithObserver]) of one delivery. A delivery whose
// handler outlives the budget makes two: OutcomeBudgetExceeded, and when the
// handler ends OutcomeLateHandled or OutcomeLateFailed. So does one that fails
// after the budget before it got to the handler.
type Event struct {
	Outcome      Outcome
	Gateway      string        // the gateway's name, see Named: "midtrans" for Midtrans' payments
	StatusCode   int           // the answer's; 0 when a panic left the answer to whoever recovers it
	Notification *Notification // nil unless its signature matched, and for other senders than Midtrans
	Value        any           // of the Message, for every sender; nil unless it was authentic
	KeyLabel     string        // which key that was, see WithServerKey
	Duration     time.Duration // since the request arrived
	Err          error         // why, if there is more to say than Outcome does
}

// newEvent is an event of a delivery, whose message is nil until it is authentic.
func newEvent(outcome Outcome, gateway string, status int, msg *Message, duration time.Duration, err error) Event {
	e := Event{Outcome: outcome, Gateway: gateway, StatusCode: status, Duration: duration, Err: err}
	if msg != nil {
		e.Value, e.KeyLabel = msg.Value, msg.KeyLabel
		e.Notification, _ = msg.Value.(*Notification)
	}
	return e
}

// attrs is what may be shown of an event.
func (e Event) attrs() []slog.Attr {
	attrs := append(make([]slog.Attr, 0, 12),
		slog.String("outcome", e.Outcome.String()),
		slog.Int("status", e.StatusCode),
		slog.Duration("duration", e.Duration),
	)
	attrs = redact.Attrs(attrs, "gateway", e.Gateway, "key", e.KeyLabel)
	switch {
	case e.Notification != nil:
		attrs = append(attrs, slog.Attr{Key: "notification", Value: e.Notification.LogValue()})
	case e.Value != nil:
		attrs = append(attrs, slog.Attr{Key: "notification", Value: shown(e.Value)})
	}
	if e.Err != nil {
		attrs = redact.Attrs(attrs, "error", e.Err.Error())
	}
	return attrs
}

// shown is what may be seen of a [Message].Value: all that its LogValue shows, or
// no more than its type.
func shown(value any) slog.Value {
	if v, ok := value.(slog.LogValuer); ok {
		return redact.Resolve(slog.AnyValue(v))
	}
	return slog.StringValue(fmt.Sprintf("%T", value))
}

// LogValue shows the event without anything sensitive.
func (e Event) LogValue() slog.Value { return slog.GroupValue(e.attrs()...) }

// String shows the event without anything sensitive, quoted.
func (e Event) String() string { return fmt.Sprint(e) }

// Format prints what String shows, whatever the verb.
func (e Event) Format(f fmt.State, _ rune) { redact.Format(f, e.attrs()) }

// MarshalJSON gives what LogValue shows.
func (e Event) MarshalJSON() ([]byte, error) { return redact.JSON(e.attrs()) }

// observation carries events to the log and to the observers.
type observation struct {
	logger    *slog.Logger
	observers []func(context.Context, Event)
	limits    [outcomeCount]limit

	forgeryHint func() string // nil: the gateway has none
	hinted      sync.Once
	unreachable sync.Once
}

type limit struct {
	sometimes  rate.Sometimes
	suppressed atomic.Int64
}

// hinter is a gateway of ours that can say what is most likely wrong when signatures
// do not match, without showing a key.
type hinter interface{ forgeryHint() string }

func newObservation(logger *slog.Logger, observers []func(context.Context, Event), g Gateway) *observation {
	o := &observation{logger: logger, observers: observers}
	if h, ok := g.(hinter); ok {
		o.forgeryHint = h.forgeryHint
	}
	for i := range o.limits {
		o.limits[i].sometimes = rate.Sometimes{First: 10, Interval: 10 * time.Second}
	}
	return o
}

// isListening reports whether anybody may be told of an event: none is logged above
// slog.LevelError.
func (o *observation) isListening(ctx context.Context) bool {
	defer o.recoverFrom(ctx, "the log")
	return len(o.observers) > 0 || o.logger.Enabled(ctx, slog.LevelError)
}

// report tells of e. An observer or a log handler that panics does no harm to
// the delivery, nor to the other observers.
func (o *observation) report(ctx context.Context, e Event, r *http.Request, stack []byte) {
	o.safely(ctx, func() { o.log(ctx, e, r, stack) })
	for _, observer := range o.observers {
		o.safely(ctx, func() { observer(ctx, e) })
	}
}

func (o *observation) safely(ctx context.Context, tell func()) {
	defer o.recoverFrom(ctx, "an observer or the log")
	tell()
}

// recoverFrom is deferred where a panic must not go on: on a timer's goroutine there
// is no server that recovers it, and elsewhere it would undo what is decided. The
// logger may be what panics.
func (o *observation) recoverFrom(ctx context.Context, where string) {
	if v := recover(); v != nil {
		o.logError(ctx, "midhook: panic in "+where, "panic", v, "stack", string(debug.Stack()))
	}
}

// logError writes a line of its own, beside the events.
func (o *observation) logError(ctx context.Context, line string, args ...any) {
	defer func() { _ = recover() }()
	o.logger.ErrorContext(ctx, line, args...)
}

// warnUnreachable says once what is missing in front of the middleware.
func (o *observation) warnUnreachable(ctx context.Context, err error) {
	o.unreachable.Do(func() {
		o.logError(ctx, "midhook: no answer can leave at the response budget, because an outer middleware wraps the http.ResponseWriter without an Unwrap method, so that neither flush nor deadlines reach the server; "+
			"add Unwrap() http.ResponseWriter to that wrapper, or use WithDetachedHandler", "error", err.Error())
	})
}

func (o *observation) log(ctx context.Context, e Event, r *http.Request, stack []byte) {
	about := outcomes[e.Outcome]
	level := about.level
	if e.Err != nil && (e.Outcome == OutcomeHandled || e.Outcome == OutcomeLateHandled) {
		level = slog.LevelError // it was handled, but could not be finished
	}
	var attention string
	if value, ok := e.Value.(interface{ Attention() string }); ok && !about.limited && o.logger.Enabled(ctx, max(level, slog.LevelWarn)) {
		attention = value.Attention()
	}
	if attention != "" {
		level = max(level, slog.LevelWarn)
	}
	if !o.logger.Enabled(ctx, level) {
		return
	}
	write := func(suppressed int64) {
		attrs := redact.Attrs(e.attrs(), "path", r.URL.Path, "remote", r.RemoteAddr, "attention", attention)
		if e.Outcome == OutcomeForged && o.forgeryHint != nil {
			o.hinted.Do(func() { attrs = redact.Attrs(attrs, "hint", o.forgeryHint()) })
		}
		if stack != nil {
			attrs = append(attrs, slog.String("stack", string(stack)))
		}
		if suppressed > 0 {
			attrs = append(attrs, slog.Int64("suppressed", suppressed)) // lines like this since the last
		}
		o.logger.LogAttrs(ctx, level, "midhook: "+e.Outcome.String(), attrs...)
	}
	if !about.limited {
		write(0)
		return
	}
	l := &o.limits[e.Outcome]
	l.suppressed.Add(1)
	l.sometimes.Do(func() { write(l.suppressed.Swap(0) - 1) })
}

// Interface guards
var (
	_ fmt.Formatter  = Event{}
	_ json.Marshaler = Event{}
	_ slog.LogValuer = Event{}
)
