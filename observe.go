package midhook

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
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

// attrs is what may be shown of an event.
func (e Event) attrs() []slog.Attr {
	attrs := []slog.Attr{
		slog.String("outcome", e.Outcome.String()),
		slog.Int("status", e.StatusCode),
		slog.Duration("duration", e.Duration),
	}
	if e.Gateway != "" {
		attrs = append(attrs, slog.String("gateway", e.Gateway))
	}
	if e.KeyLabel != "" {
		attrs = append(attrs, slog.String("key", e.KeyLabel))
	}
	switch {
	case e.Notification != nil:
		attrs = append(attrs, slog.Attr{Key: "notification", Value: e.Notification.LogValue()})
	case e.Value != nil:
		attrs = append(attrs, slog.Attr{Key: "notification", Value: shown(e.Value)})
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("error", e.Err.Error()))
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

// String shows the event without anything sensitive.
func (e Event) String() string { return e.LogValue().String() }

// Format prints what String shows, whatever the verb.
func (e Event) Format(f fmt.State, _ rune) { fmt.Fprint(f, e.String()) }

// MarshalJSON gives what LogValue shows.
func (e Event) MarshalJSON() ([]byte, error) { return redact.JSON(e.attrs()) }

// observation carries events to the log and to the observer.
type observation struct {
	logger   *slog.Logger
	observer func(context.Context, Event)
	limits   [outcomeCount]limit
}

type limit struct {
	sometimes  rate.Sometimes
	suppressed atomic.Int64
}

func newObservation(logger *slog.Logger, observer func(context.Context, Event)) *observation {
	o := &observation{logger: logger, observer: observer}
	for i := range o.limits {
		o.limits[i].sometimes = rate.Sometimes{First: 10, Interval: 10 * time.Second}
	}
	return o
}

// report tells of e. An observer or a log handler that panics does no harm to
// the delivery.
func (o *observation) report(ctx context.Context, e Event, remote string, stack []byte) {
	o.safely(ctx, func() { o.log(ctx, e, remote, stack) })
	if o.observer != nil {
		o.safely(ctx, func() { o.observer(ctx, e) })
	}
}

func (o *observation) safely(ctx context.Context, tell func()) {
	defer func() {
		if v := recover(); v != nil {
			defer func() { _ = recover() }() // it may have been the logger
			o.logger.ErrorContext(ctx, "midhook: observer panicked", "panic", v, "stack", string(debug.Stack()))
		}
	}()
	tell()
}

func (o *observation) log(ctx context.Context, e Event, remote string, stack []byte) {
	about := outcomes[e.Outcome]
	level := about.level
	if e.Err != nil && (e.Outcome == OutcomeHandled || e.Outcome == OutcomeLateHandled) {
		level = slog.LevelError // it was handled, but could not be finished
	}
	var attention string
	if e.Notification != nil && !about.limited {
		attention = e.Notification.attention()
	}
	if attention != "" {
		level = max(level, slog.LevelWarn)
	}
	if !o.logger.Enabled(ctx, level) {
		return
	}
	write := func(suppressed int64) {
		attrs := append(e.attrs(), slog.String("remote", remote))
		if attention != "" {
			attrs = append(attrs, slog.String("attention", attention))
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
