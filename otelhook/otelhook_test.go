package otelhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/otelhook"
)

const testKey = "SB-Mid-server-test-key-0001"

// telemetry collects what is exported.
type telemetry struct {
	reader *sdkmetric.ManualReader
	spans  *tracetest.InMemoryExporter
	tracer *sdktrace.TracerProvider
	option midhook.Option
}

func newTelemetry(opts ...otelhook.Option) *telemetry {
	t := &telemetry{reader: sdkmetric.NewManualReader(), spans: tracetest.NewInMemoryExporter()}
	t.tracer = sdktrace.NewTracerProvider(sdktrace.WithSyncer(t.spans))
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(t.reader))
	t.option = otelhook.New(append(opts, otelhook.WithMeterProvider(meters), otelhook.WithTracerProvider(t.tracer))...)
	return t
}

// collect returns the data points of all metrics, each with its attributes in one line.
func (tm *telemetry) collect(t *testing.T) map[string][]string {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, tm.reader.Collect(t.Context(), &all))
	points := map[string][]string{}
	add := func(name string, set attribute.Set, value any) {
		points[name] = append(points[name], fmt.Sprintf("%s %v", set.Encoded(attribute.DefaultEncoder()), value))
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					add(m.Name, p.Attributes, p.Value)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					add(m.Name, p.Attributes, p.Sum)
				}
			}
		}
	}
	return points
}

func newHook(t *testing.T, opts ...midhook.Option) *midhook.Middleware {
	t.Helper()
	hook, err := midhook.New(testKey, append(opts, midhook.WithLogger(slog.New(slog.DiscardHandler)))...)
	require.NoError(t, err)
	return hook
}

// Rule: each delivery is counted by its outcome, and what takes time is measured.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tm := newTelemetry(otelhook.WithKeyLabel())
		hook := newHook(t, tm.option, midhook.WithExpectation(func(context.Context, *midhook.Notification) (midhook.Expectation, error) {
			time.Sleep(time.Second)
			return midhook.Expectation{Amount: 15460000}, nil
		}))
		h := hook.HandlerFunc(func(_ context.Context, n *midhook.Notification) error {
			if n.OrderID == "slow" {
				time.Sleep(10 * time.Second)
				return errors.New("too late for everyone")
			}
			return nil
		})
		for _, order := range []string{"A-1", "A-1", "slow"} {
			n := midhooktest.Sample("gopay", midhooktest.Order(order), midhooktest.Field("settlement_time", time.Now().Add(-time.Minute).In(time.FixedZone("WIB", 7*60*60)).Format(time.DateTime)))
			h.ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(n, testKey))
		}
		n := midhooktest.Sample("gopay")
		h.ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(n, "SB-Mid-server-another-key-0002"))

		points := tm.collect(t)
		assert.ElementsMatch(t, []string{
			"http.response.status_code=200,midhook.gateway=midtrans,midhook.key=default,midhook.outcome=handled 1",
			"http.response.status_code=200,midhook.gateway=midtrans,midhook.key=default,midhook.outcome=duplicate 1",
			"http.response.status_code=403,midhook.gateway=midtrans,midhook.outcome=forged 1",
			"error.type=budget_exceeded,http.response.status_code=503,midhook.gateway=midtrans,midhook.key=default,midhook.outcome=budget_exceeded 1",
			"error.type=late_failed,http.response.status_code=503,midhook.gateway=midtrans,midhook.key=default,midhook.outcome=late_failed 1",
		}, points["midhook.deliveries"])
		assert.ElementsMatch(t, []string{
			"midhook.gateway=midtrans,midhook.late=false,midhook.outcome=handled 0",
			"error.type=handler_failed,midhook.gateway=midtrans,midhook.late=true,midhook.outcome=handler_failed 10",
		}, points["midhook.handler.duration"])
		assert.Equal(t, []string{"midhook.gateway=midtrans 0"}, points["midhook.handler.active"])
		assert.Equal(t, []string{"midhook.check=expectation,midhook.gateway=midtrans 2"}, points["midhook.confirmation.duration"])
		assert.ElementsMatch(t, []string{
			"midhook.gateway=midtrans,midhook.store.operation=acquire 0",
			"midhook.gateway=midtrans,midhook.store.operation=finish 0",
			"midhook.gateway=midtrans,midhook.store.operation=release 0",
		}, points["midhook.store.operation.duration"])
		assert.Equal(t, []string{"midhook.gateway=midtrans 180"}, points["midhook.event.lag"], "a minute each, of three")
		for _, point := range points["midhook.delivery.duration"] {
			assert.NotContains(t, point, "late_")
		}
	})
}

// Rule: the span is a child of the server's and the parent of the handler's own, and a
// late end is in the same span.
func TestSpans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tm := newTelemetry()
		tracer := tm.tracer.Tracer("merchant")
		h := newHook(t, tm.option).HandlerFunc(func(ctx context.Context, n *midhook.Notification) error {
			_, span := tracer.Start(ctx, "UPDATE orders")
			defer span.End()
			time.Sleep(10 * time.Second)
			return errors.New("database away")
		})
		n := midhooktest.Sample("gopay")
		r := midhooktest.NewRequest(n, testKey)
		ctx, server := tracer.Start(r.Context(), "POST /payments", trace.WithSpanKind(trace.SpanKindServer))
		h.ServeHTTP(httptest.NewRecorder(), r.WithContext(ctx))
		server.End()

		spans := map[string]tracetest.SpanStub{}
		for _, s := range tm.spans.GetSpans() {
			spans[s.Name] = s
		}
		process := spans["process midtrans"]
		assert.Equal(t, trace.SpanKindConsumer, process.SpanKind)
		assert.Equal(t, spans["POST /payments"].SpanContext.SpanID(), process.Parent.SpanID())
		assert.Equal(t, process.SpanContext.SpanID(), spans["UPDATE orders"].Parent.SpanID())
		assert.Equal(t, 10*time.Second, process.EndTime.Sub(process.StartTime))
		assert.Equal(t, codes.Error, process.Status.Code)
		assert.Equal(t, "handler_failed", process.Status.Description)
		assert.Contains(t, process.Attributes, attribute.Bool("midhook.late", true))
		assert.Contains(t, process.Attributes, attribute.String("messaging.message.id", n.IdempotencyKey()))
	})
}

// Rule: no attribute, event or status holds an order, an amount, a signature, an error's
// text, or anything of a customer or a key.
func TestNothingSensitiveIsExported(t *testing.T) {
	tm := newTelemetry(otelhook.WithKeyLabel())
	secrets := []string{testKey}
	for _, sample := range midhooktest.Samples() {
		if strings.HasPrefix(sample, "pay-account") {
			continue // it has no order
		}
		n := midhooktest.Sample(sample, midhooktest.Order("order-secret-"+sample), midhooktest.Field("payer_phone_number", "+6281234567890"), midhooktest.Field("masked_card", "481111-1114"))
		secrets = append(secrets, "order-secret-", "+6281234567890", "481111-1114", n.GrossAmount, midhooktest.Sign(n, testKey))
		for _, failure := range []error{nil, fmt.Errorf("no stock for %s", "order-secret-"+sample)} {
			newHook(t, tm.option).HandlerFunc(func(context.Context, *midhook.Notification) error { return failure }).
				ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(n, testKey))
		}
	}
	var out bytes.Buffer
	for name, points := range tm.collect(t) {
		fmt.Fprintln(&out, name, points)
	}
	for _, s := range tm.spans.GetSpans() {
		text, err := json.Marshal([]any{s.Name, s.Attributes, s.Events, s.Status})
		require.NoError(t, err)
		out.Write(text)
	}
	require.NotZero(t, out.Len())
	for _, secret := range secrets {
		if len(secret) > 3 {
			assert.False(t, strings.Contains(out.String(), secret), "%q was exported", secret)
		}
	}
}

// courier is a gateway without a name, whose keys are the sender's own.
type courier struct{}

func (courier) Open(http.Header, []byte) (midhook.Message, error) {
	return midhook.Message{Key: "parcel of Ms Example"}, nil
}

func (courier) Answer(o midhook.Outcome) (int, string, string) { return midhook.PlainAnswer(o) }

// Rule: a key that is no digest is exported as one.
func TestKeyOfAnotherGateway(t *testing.T) {
	tm := newTelemetry()
	hook, err := midhook.NewFor(courier{}, tm.option, midhook.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	hook.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).
		ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}")))
	spans := tm.spans.GetSpans()
	require.Len(t, spans, 1)
	assert.Equal(t, "process unnamed", spans[0].Name)
	for _, a := range spans[0].Attributes {
		assert.NotContains(t, a.Value.String(), "Example")
	}
}

// Rule: without providers the global ones are used, and nothing fails.
func TestDefaults(t *testing.T) {
	hook := newHook(t, otelhook.New(nil, otelhook.WithMeterProvider(nil)))
	w := httptest.NewRecorder()
	hook.HandlerFunc(func(context.Context, *midhook.Notification) error { return nil }).
		ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
	assert.Equal(t, 200, w.Code)
}

// Rule: what a stranger writes into a signed body makes no new series.
func TestCardinalityIsBounded(t *testing.T) {
	tm := newTelemetry(otelhook.WithKeyLabel())
	h := newHook(t, tm.option).HandlerFunc(func(context.Context, *midhook.Notification) error { return nil })
	for i := range 200 {
		n := midhooktest.Sample("gopay", midhooktest.Order(fmt.Sprint("A-", i)), midhooktest.Status("200", midhook.TransactionStatus(fmt.Sprint("made_up_", i))),
			midhooktest.Field("payment_type", fmt.Sprint("type-", i)), midhooktest.Field("currency", fmt.Sprint(i)))
		h.ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(n, testKey))
	}
	collected := tm.collect(t)
	events := collected["midhook.events"]
	assert.Len(t, events, 14, "the statuses, challenge and other")
	delete(collected, "midhook.events")
	for name, points := range collected {
		assert.LessOrEqual(t, len(points), 3, "%s: %v", name, points)
	}
	assert.Contains(t, events, "midhook.gateway=midtrans,midhook.status=other 200")
}
