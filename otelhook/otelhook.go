// Package otelhook exports what midhook does to OpenTelemetry: metrics of deliveries,
// handlers, the store and the status API, and a span for each run of a handler.
//
//	hook, err := midhook.New(serverKey, otelhook.New())
//
// It depends on OpenTelemetry's API alone. Which SDK and exporter receive the figures
// is the program's choice: set the global providers, or hand them to [New].
//
// # Metrics
//
//   - midhook.deliveries ({delivery}) counts events by midhook.outcome,
//     midhook.gateway and http.response.status_code. error.type is set where the
//     failure is the merchant's own: handler, store, API or record of orders. A handler
//     that outlives the budget makes two events, budget_exceeded and late_handled or
//     late_failed: leave the late ones out to count requests.
//   - midhook.events ({event}) counts the events that the handler has handled, by
//     midhook.status: a transaction's status that Midtrans documents, "challenge" for a
//     capture that is challenged, "other" for anything else. All of them begin at zero
//     with a gateway's first delivery, so that a rate sees the first chargeback.
//   - midhook.delivery.duration (s) is from the arrival of a request to its answer.
//   - midhook.handler.duration (s) is the handler's alone. midhook.late says that it
//     ended after the budget had been answered.
//   - midhook.handler.active ({handler}) is how many handlers run at this moment.
//   - midhook.handler.overdue ({handler}) is how many of them run on although their
//     context has ended: budget and grace are over.
//   - midhook.store.operation.duration (s) is one call of the store, by
//     midhook.store.operation (acquire, finish, release), and error.type if it failed.
//   - midhook.confirmation.duration (s) is one question to Midtrans' status API, another
//     sender's API or the merchant's own record of orders, by midhook.check.
//   - midhook.event.lag (s) is from the settlement_time or transaction_time of a payment,
//     by Midtrans' clock, to the arrival of its notification, by this machine's.
//
// The values of all attributes are names that midhook or the program gives: outcomes,
// gateways, operations, labels of keys. So the number of series is bounded, whatever
// strangers send.
//
// # Spans
//
// The span "process midtrans", of kind consumer, is around the merchant's handler: a
// child of the HTTP server's span where otelhttp or its like is in front, and the parent
// of what the handler does. A handler that runs on after the budget ends its span when
// it ends, after the server has answered. That is one span and not a linked one, because
// the time that matters is the handler's whole time.
//
// messaging.message.id is the idempotency key, which is a digest. No attribute holds an
// order, an amount, a signature, an error's text or anything of a customer.
package otelhook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/midhook/midhook"
)

// scope names this package as the source of what it exports.
const scope = "github.com/midhook/midhook/otelhook"

// Option changes a default of [New].
type Option func(*settings)

type settings struct {
	meters   metric.MeterProvider
	tracers  trace.TracerProvider
	keyLabel bool
}

// WithMeterProvider sets where the metrics go: otel.GetMeterProvider() by default, and
// for nil.
func WithMeterProvider(p metric.MeterProvider) Option {
	return func(s *settings) { s.meters = p }
}

// WithTracerProvider sets where the spans go: otel.GetTracerProvider() by default, and
// for nil.
func WithTracerProvider(p trace.TracerProvider) Option {
	return func(s *settings) { s.tracers = p }
}

// WithKeyLabel adds midhook.key to midhook.deliveries: the label of the key that
// matched, see [midhook.WithServerKey]. It shows whether an old key is still in use
// after a rotation. There is one more series for each label, so leave it out where each
// merchant of a platform has a label.
func WithKeyLabel() Option {
	return func(s *settings) { s.keyLabel = true }
}

// New returns an option for [midhook.New] and [midhook.NewFor]. An instrument that
// cannot be made is reported to OpenTelemetry's own error handler (otel.Handle), and
// nothing is recorded by it.
func New(opts ...Option) midhook.Option {
	var s settings
	for _, opt := range opts {
		if opt != nil {
			opt(&s)
		}
	}
	if s.meters == nil {
		s.meters = otel.GetMeterProvider()
	}
	if s.tracers == nil {
		s.tracers = otel.GetTracerProvider()
	}
	h := &hook{instruments: newInstruments(s.meters.Meter(scope)), tracer: s.tracers.Tracer(scope), keyLabel: s.keyLabel}
	return midhook.Options(
		midhook.WithObserver(h.observe),
		midhook.WithTrace(midhook.Trace{
			HandlerStart: h.handlerStart,
			HandlerDone:  h.handlerDone,
			StoreDone:    h.storeDone,
			CheckDone:    h.checkDone,
		}),
	)
}

type hook struct {
	instruments
	tracer   trace.Tracer
	keyLabel bool
	seen     sync.Map // the gateways whose events are counted
}

// run is what handlerStart leaves for handlerDone, under the hook as the context's key:
// another hook's run, or the server's own span, must not be ended in its place.
type run struct {
	span       trace.Span
	notOverdue func() bool
}

type instruments struct {
	deliveries       metric.Int64Counter
	events           metric.Int64Counter
	deliveryDuration metric.Float64Histogram
	handlerDuration  metric.Float64Histogram
	handlerActive    metric.Int64UpDownCounter
	handlerOverdue   metric.Int64UpDownCounter
	storeDuration    metric.Float64Histogram
	confirmDuration  metric.Float64Histogram
	eventLag         metric.Float64Histogram
}

func newInstruments(m metric.Meter) (i instruments) {
	seconds := func(name, description string, bounds ...float64) metric.Float64Histogram {
		h, err := m.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description), metric.WithExplicitBucketBoundaries(bounds...))
		report(err)
		return h
	}
	var err error
	i.deliveries, err = m.Int64Counter("midhook.deliveries", metric.WithUnit("{delivery}"), metric.WithDescription("Events of deliveries, by outcome."))
	report(err)
	i.events, err = m.Int64Counter("midhook.events", metric.WithUnit("{event}"), metric.WithDescription("Events that were handled, by the transaction's status."))
	report(err)
	i.handlerActive, err = m.Int64UpDownCounter("midhook.handler.active", metric.WithUnit("{handler}"), metric.WithDescription("Handlers that run at this moment."))
	report(err)
	i.handlerOverdue, err = m.Int64UpDownCounter("midhook.handler.overdue", metric.WithUnit("{handler}"), metric.WithDescription("Handlers that run on although their context has ended."))
	report(err)
	// The budget is 5 s, Midtrans hangs up after 15 s, and budget and grace are 30 s.
	i.deliveryDuration = seconds("midhook.delivery.duration", "From the arrival of a request to its answer.", 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 4.5, 5, 5.5, 7.5, 15)
	i.handlerDuration = seconds("midhook.handler.duration", "Time of the merchant's handler.", 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 300)
	i.storeDuration = seconds("midhook.store.operation.duration", "One call of the store.", 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
	i.confirmDuration = seconds("midhook.confirmation.duration", "One question about a notification to an API or to the record of orders.", 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
	i.eventLag = seconds("midhook.event.lag", "From a payment's own time to the arrival of its notification.", 1, 5, 15, 60, 300, 900, 3600, 3*3600, 6*3600, 24*3600)
	return i
}

func report(err error) {
	if err != nil {
		otel.Handle(err)
	}
}

// observe counts one event of a delivery.
func (h *hook) observe(ctx context.Context, e midhook.Event) {
	attrs := []attribute.KeyValue{gateway(e.Gateway), attribute.String("midhook.outcome", e.Outcome.String())}
	if failed := ownFailure(e.Outcome); failed != "" {
		attrs = append(attrs, attribute.String("error.type", failed))
	}
	outcome := metric.WithAttributes(attrs...)
	if e.StatusCode != 0 {
		attrs = append(attrs, attribute.Int("http.response.status_code", e.StatusCode))
	}
	if h.keyLabel && e.KeyLabel != "" {
		attrs = append(attrs, attribute.String("midhook.key", e.KeyLabel))
	}
	h.deliveries.Add(ctx, 1, metric.WithAttributes(attrs...))
	if _, seen := h.seen.Load(e.Gateway); !seen {
		h.beginAtZero(ctx, e.Gateway)
	}
	switch e.Outcome {
	case midhook.OutcomeHandled, midhook.OutcomeHandledPermanent, midhook.OutcomeLateHandled:
		h.events.Add(ctx, 1, metric.WithAttributes(gateway(e.Gateway), attribute.String("midhook.status", status(e.Notification))))
	}
	if e.Outcome == midhook.OutcomeLateHandled || e.Outcome == midhook.OutcomeLateFailed {
		return // the answer left at the budget, and the handler's time has a metric of its own
	}
	h.deliveryDuration.Record(ctx, e.Duration.Seconds(), outcome)
	if lag, ok := lag(e); ok {
		h.eventLag.Record(ctx, lag.Seconds(), metric.WithAttributes(gateway(e.Gateway)))
	}
}

// beginAtZero makes the series of a gateway's events before there is anything to count:
// what is rare would begin at one in each process, and no rate would see it.
func (h *hook) beginAtZero(ctx context.Context, name string) {
	if _, seen := h.seen.LoadOrStore(name, true); seen {
		return
	}
	for _, s := range append(slices.Clone(statuses), midhook.TransactionStatus(challenge), midhook.TransactionStatus(other)) {
		h.events.Add(ctx, 0, metric.WithAttributes(gateway(name), attribute.String("midhook.status", string(s))))
	}
}

const (
	challenge = "challenge" // a capture that waits for the merchant's decision
	other     = "other"     // a status that Midtrans does not document, and other senders' events
)

var statuses = []midhook.TransactionStatus{
	midhook.StatusPending, midhook.StatusAuthorize, midhook.StatusCapture, midhook.StatusSettlement, midhook.StatusDeny, midhook.StatusCancel,
	midhook.StatusExpire, midhook.StatusFailure, midhook.StatusRefund, midhook.StatusPartialRefund, midhook.StatusChargeback, midhook.StatusPartialChargeback,
}

// status is one of a few names, whatever the body says: whoever holds a signed body can
// write anything into this field.
func status(n *midhook.Notification) string {
	switch {
	case n == nil:
		return other
	case n.TransactionStatus == midhook.StatusCapture && n.FraudStatus == midhook.FraudChallenge:
		return challenge
	case slices.Contains(statuses, n.TransactionStatus):
		return string(n.TransactionStatus)
	}
	return other
}

// lag is how long after the payment its notification arrived.
func lag(e midhook.Event) (time.Duration, bool) {
	n := e.Notification
	if n == nil || n.Notified() == nil {
		return 0, false
	}
	at := n.TransactionTime
	if n.SettlementTime != "" {
		at = n.SettlementTime
	}
	then, err := midhook.ParseTime(at)
	if err != nil {
		return 0, false
	}
	// Since saturates: a time that is far ahead must not wrap around.
	return max(0, max(0, time.Since(then))-e.Duration), true
}

// ownFailure names a failure that is the merchant's own to mend, "" for what strangers
// send and for what went well.
func ownFailure(o midhook.Outcome) string {
	switch o {
	case midhook.OutcomeHandledPermanent, midhook.OutcomeStoreUnavailable, midhook.OutcomeStatusUnavailable, midhook.OutcomeOrderUnavailable,
		midhook.OutcomeRateLimited, midhook.OutcomeHandlerFailed, midhook.OutcomeHandlerRedirected, midhook.OutcomeHandlerPanicked,
		midhook.OutcomeBudgetExceeded, midhook.OutcomeLateFailed:
		return o.String()
	}
	return ""
}

func (h *hook) handlerStart(ctx context.Context, s midhook.HandlerStart) context.Context {
	h.handlerActive.Add(ctx, 1, metric.WithAttributes(gateway(s.Gateway)))
	ctx, span := h.tracer.Start(ctx, "process "+gatewayName(s.Gateway), trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		gateway(s.Gateway),
		attribute.String("messaging.system", gatewayName(s.Gateway)),
		attribute.String("messaging.operation.type", "process"),
		attribute.String("messaging.operation.name", "process"),
		attribute.String("messaging.message.id", digest(s.Message.Key)),
	))
	overdue := func() { h.handlerOverdue.Add(context.WithoutCancel(ctx), 1, metric.WithAttributes(gateway(s.Gateway))) }
	return context.WithValue(ctx, h, run{span, context.AfterFunc(ctx, overdue)})
}

// digest is a key that says nothing by itself, as those of midhook's own gateways are.
func digest(key string) string {
	if b, err := hex.DecodeString(key); err == nil && len(b) == sha256.Size {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

func (h *hook) handlerDone(ctx context.Context, d midhook.HandlerDone) {
	h.handlerActive.Add(ctx, -1, metric.WithAttributes(gateway(d.Gateway)))
	attrs := []attribute.KeyValue{
		gateway(d.Gateway),
		attribute.String("midhook.outcome", d.Outcome.String()),
		attribute.Bool("midhook.late", d.Late),
	}
	failed := ownFailure(d.Outcome)
	if failed != "" {
		attrs = append(attrs, attribute.String("error.type", failed))
	}
	h.handlerDuration.Record(ctx, d.Duration.Seconds(), metric.WithAttributes(attrs...))
	r, ok := ctx.Value(h).(run)
	if !ok {
		return // a meter or a tracer has panicked at the start
	}
	if !r.notOverdue() {
		h.handlerOverdue.Add(ctx, -1, metric.WithAttributes(gateway(d.Gateway)))
	}
	r.span.SetAttributes(attrs...)
	if failed != "" {
		r.span.SetStatus(codes.Error, failed) // an error's text may hold anything
	}
	r.span.End()
}

func (h *hook) storeDone(ctx context.Context, s midhook.StoreDone) {
	attrs := []attribute.KeyValue{gateway(s.Gateway), attribute.String("midhook.store.operation", s.Operation)}
	if s.Err != nil {
		attrs = append(attrs, attribute.String("error.type", errorType(s.Err)))
	}
	h.storeDuration.Record(ctx, s.Duration.Seconds(), metric.WithAttributes(attrs...))
}

func (h *hook) checkDone(ctx context.Context, c midhook.CheckDone) {
	attrs := []attribute.KeyValue{gateway(c.Gateway), attribute.String("midhook.check", c.Check)}
	if c.Outcome != 0 {
		attrs = append(attrs, attribute.String("error.type", c.Outcome.String()))
	}
	h.confirmDuration.Record(ctx, c.Duration.Seconds(), metric.WithAttributes(attrs...))
}

// errorType is one of a few names, whatever the error's text is.
func errorType(err error) string {
	switch {
	case errors.Is(err, midhook.ErrNotOwner):
		return "not_owner"
	case errors.Is(err, midhook.ErrUncommitted):
		return "uncommitted"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	return "_OTHER"
}

func gateway(name string) attribute.KeyValue {
	return attribute.String("midhook.gateway", gatewayName(name))
}

// gatewayName is a gateway's name, or a word for one that has none.
func gatewayName(name string) string {
	if name == "" {
		return "unnamed"
	}
	return name
}
