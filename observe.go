package midhook

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/midhook/midhook/internal/redact"
)

// Outcome is what became of a delivery.
type Outcome int

// proceed is the zero Outcome: the delivery goes on.
const proceed Outcome = 0

const (
	OutcomeHandled           Outcome = iota + 1 // the handler answered 2xx
	OutcomeHandledPermanent                     // the handler returned a Permanent error: answered 200, look at Err
	OutcomeDuplicate                            // already handled
	OutcomeSuperseded                           // a later status was handled before
	OutcomeTest                                 // the dashboard's test notification
	OutcomeMethodNotAllowed                     // not a POST
	OutcomeBodyTooLarge                         // more than WithMaxBodyBytes
	OutcomeBodyIncomplete                       // the body did not arrive, or not within the budget
	OutcomeMalformed                            // not a notification
	OutcomeForged                               // no key signed it
	OutcomeUnconfirmed                          // authentic, but edited: it claims more than was signed or confirmed
	OutcomeInFlight                             // another delivery of the event is being handled
	OutcomeStoreUnavailable                     // the store failed; nothing runs unclaimed
	OutcomeStatusUnavailable                    // the status API failed, or does not know the transaction
	OutcomeContradicted                         // the status API says something else: edited, or not true yet
	OutcomeUnknownOrder                         // WithExpectation does not know the order
	OutcomeOrderUnavailable                     // WithExpectation failed
	OutcomeUnexpectedAmount                     // WithExpectation expects another amount or currency
	OutcomeRateLimited                          // over WithHandlerRate for longer than the budget
	OutcomeHandlerFailed                        // the handler answered neither 2xx nor a redirect, or returned an error
	OutcomeHandlerRedirected                    // the handler answered 301, 302 or 303, which Midtrans takes as the end
	OutcomeHandlerPanicked                      // the handler panicked or called runtime.Goexit
	OutcomeBudgetExceeded                       // answered 503 at the budget, see Event
	OutcomeLateHandled                          // the handler succeeded after the budget: the retry gets a cheap 200
	OutcomeLateFailed                           // the handler failed after the budget: the retry runs it again
	outcomeCount
)

// outcomes says of each outcome what is answered and what is logged.
var outcomes = [outcomeCount]struct {
	name    string
	status  int
	line    string // the answer's body
	level   slog.Level
	limited bool // so that a flood from outside cannot flood the log
}{
	OutcomeHandled:           {"handled", http.StatusOK, "handled", slog.LevelInfo, false},
	OutcomeHandledPermanent:  {"handled_permanent", http.StatusOK, "handled", slog.LevelError, false},
	OutcomeDuplicate:         {"duplicate", http.StatusOK, "already handled", slog.LevelInfo, true},
	OutcomeSuperseded:        {"superseded", http.StatusOK, "superseded by a later status", slog.LevelInfo, true},
	OutcomeTest:              {"test", http.StatusOK, "test notification received", slog.LevelInfo, true},
	OutcomeMethodNotAllowed:  {"method_not_allowed", http.StatusMethodNotAllowed, "only POST is allowed", slog.LevelWarn, true},
	OutcomeBodyTooLarge:      {"body_too_large", http.StatusRequestEntityTooLarge, "body too large", slog.LevelWarn, true},
	OutcomeBodyIncomplete:    {"body_incomplete", http.StatusRequestTimeout, "body did not arrive", slog.LevelWarn, true},
	OutcomeMalformed:         {"malformed", http.StatusBadRequest, "malformed notification", slog.LevelWarn, true},
	OutcomeForged:            {"forged", http.StatusForbidden, "signature does not match", slog.LevelWarn, true},
	OutcomeUnconfirmed:       {"unconfirmed", http.StatusForbidden, "notification claims more than was signed or confirmed", slog.LevelError, true},
	OutcomeInFlight:          {"in_flight", http.StatusServiceUnavailable, "already being handled", slog.LevelInfo, true},
	OutcomeStoreUnavailable:  {"store_unavailable", http.StatusServiceUnavailable, "temporarily unavailable", slog.LevelError, true},
	OutcomeStatusUnavailable: {"status_unavailable", http.StatusServiceUnavailable, "temporarily unavailable", slog.LevelError, true},
	OutcomeContradicted:      {"contradicted", http.StatusForbidden, "notification claims more than was signed or confirmed", slog.LevelError, true},
	OutcomeUnknownOrder:      {"unknown_order", http.StatusNotFound, "unknown order", slog.LevelWarn, true},
	OutcomeOrderUnavailable:  {"order_unavailable", http.StatusServiceUnavailable, "temporarily unavailable", slog.LevelError, true},
	OutcomeUnexpectedAmount:  {"unexpected_amount", http.StatusConflict, "amount or currency is not the order's", slog.LevelError, true},
	OutcomeRateLimited:       {"rate_limited", http.StatusServiceUnavailable, "busy", slog.LevelWarn, true},
	OutcomeHandlerFailed:     {"handler_failed", http.StatusServiceUnavailable, "handler failed", slog.LevelError, false},
	OutcomeHandlerRedirected: {"handler_redirected", http.StatusServiceUnavailable, "handler redirected", slog.LevelError, false},
	OutcomeHandlerPanicked:   {"handler_panicked", http.StatusInternalServerError, "handler failed", slog.LevelError, false},
	OutcomeBudgetExceeded:    {"budget_exceeded", http.StatusServiceUnavailable, "still being handled", slog.LevelWarn, false},
	OutcomeLateHandled:       {"late_handled", http.StatusServiceUnavailable, "still being handled", slog.LevelWarn, false},
	OutcomeLateFailed:        {"late_failed", http.StatusServiceUnavailable, "still being handled", slog.LevelError, false},
}

// final reports whether the event needs no further delivery.
func (o Outcome) final() bool {
	switch o {
	case OutcomeHandled, OutcomeHandledPermanent, OutcomeDuplicate, OutcomeSuperseded:
		return true
	}
	return false
}

func (o Outcome) valid() bool { return o > proceed && o < outcomeCount }

// String is the outcome's name, fit for a metric's label: handled, duplicate,
// forged and so on.
func (o Outcome) String() string {
	if !o.valid() {
		return fmt.Sprintf("Outcome(%d)", int(o))
	}
	return outcomes[o].name
}

// MarshalText gives the outcome's name.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// plain is the status and the one line that tell a sender of the outcome.
func (o Outcome) plain() (status int, line string) { return outcomes[o].status, outcomes[o].line }

// Event tells an observer (see [WithObserver]) of one delivery. A delivery whose
// handler outlives the budget makes two: OutcomeBudgetExceeded, and when the
// handler ends OutcomeLateHandled or OutcomeLateFailed. So does one that fails
// after the budget before it got to the handler.
type Event struct {
	Outcome
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

// MarshalText hides Outcome's, which would stand for the whole event.
func (e Event) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// summary is what may be shown of a notification anywhere.
func (n *Notification) summary() []slog.Attr {
	attrs := make([]slog.Attr, 0, 12)
	return redact.Attrs(attrs,
		"order_id", n.OrderID,
		"transaction_id", n.TransactionID,
		"account_id", n.AccountID,
		"account_status", n.AccountStatus,
		"transaction_status", string(n.TransactionStatus),
		"fraud_status", string(n.FraudStatus),
		"status_code", n.StatusCode,
		"payment_type", n.PaymentType,
		"gross_amount", n.GrossAmount,
		"currency", n.Currency,
		"refund_amount", n.RefundAmount,
	)
}

// LogValue shows ids, statuses and amount, nothing sensitive.
func (n *Notification) LogValue() slog.Value {
	if n == nil {
		return slog.Value{}
	}
	return slog.GroupValue(n.summary()...)
}

// Format prints what LogValue shows, quoted, whatever the verb: %+v and %#v too.
func (n Notification) Format(f fmt.State, _ rune) { redact.Format(f, n.summary()) }

// MarshalJSON gives what LogValue shows. To store a notification, store
// [Notification.Raw], which Parse reads again.
func (n Notification) MarshalJSON() ([]byte, error) { return redact.JSON(n.summary()) }

// attention says what a merchant should look at in a notification that is
// neither forged nor a failure, "" if nothing.
func (n *Notification) attention() string {
	switch {
	case n.fraud(FraudChallenge):
		return "fraud screening challenges the payment: accept or deny it"
	case n.fraud(FraudDeny):
		return "fraud screening denied the payment"
	case n.is(StatusDeny) && n.reversible():
		return "the bank may have reversed a settled payment"
	case n.is(StatusChargeback) || n.is(StatusPartialChargeback):
		return "the customer's bank charged the payment back"
	}
	return ""
}

// reversible tells the methods whose settlement the bank may take back, with a
// deny. A customer pays these at the bank or the store, where nothing is denied
// before it is paid.
func (n *Notification) reversible() bool {
	return n.SettlementTime != "" || n.PermataVANumber != "" || n.PaymentType == "echannel" || n.PaymentType == "cstore"
}

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
