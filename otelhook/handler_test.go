package otelhook_test

import (
	"context"
	"net/http/httptest"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/otelhook"
)

// Rule: a capture that is challenged is counted as challenge, a documented status by its
// name, and all statuses begin at zero with the first delivery.
func TestEventsByStatus(t *testing.T) {
	tm := newTelemetry()
	h := newHook(t, tm.option).HandlerFunc(func(context.Context, *midhook.Notification) error { return nil })
	send := func(key string, tweaks ...midhooktest.Tweak) {
		h.ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("credit-card", tweaks...), key))
	}
	send("SB-Mid-server-another-key-0002", midhooktest.Status("200", "chargeback"))
	events := tm.collect(t)["midhook.events"]
	assert.Contains(t, events, "midhook.gateway=midtrans,midhook.status=chargeback 0", "forged: nothing was handled")

	send(testKey, midhooktest.Order("A-1"), midhooktest.Status("201", "capture"), midhooktest.Fraud("challenge"))
	send(testKey, midhooktest.Order("A-2"), midhooktest.Status("200", "capture"), midhooktest.Fraud("accept"))
	send(testKey, midhooktest.Order("A-3"), midhooktest.Status("200", "chargeback"))
	send(testKey, midhooktest.Order("A-4"), midhooktest.Status("200", "challenge"))
	events = tm.collect(t)["midhook.events"]
	for _, point := range []string{"challenge 1", "capture 1", "chargeback 1", "other 1", "settlement 0"} {
		assert.Contains(t, events, "midhook.gateway=midtrans,midhook.status="+point)
	}
}

// Rule: a handler that panics or calls Goexit ends its span, as an error, and is not
// counted as one that runs.
func TestSpanOfAHandlerThatDoesNotReturn(t *testing.T) {
	for name, end := range map[string]func(){"panic": func() { panic("nil map") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			tm := newTelemetry()
			h := newHook(t, tm.option).HandlerFunc(func(context.Context, *midhook.Notification) error { end(); return nil })
			done := make(chan bool)
			go func() {
				defer close(done)
				defer func() { _ = recover() }()
				h.ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
			}()
			<-done
			spans := tm.spans.GetSpans()
			require.Len(t, spans, 1)
			assert.Equal(t, codes.Error, spans[0].Status.Code)
			assert.Equal(t, "handler_panicked", spans[0].Status.Description)
			assert.Equal(t, []string{"midhook.gateway=midtrans 0"}, tm.collect(t)["midhook.handler.active"])
		})
	}
}

// Rule: a handler is overdue from the end of its context on, until it returns.
func TestOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tm := newTelemetry()
		h := newHook(t, tm.option, midhook.WithDetachedHandler()).HandlerFunc(func(context.Context, *midhook.Notification) error {
			time.Sleep(time.Minute)
			return nil
		})
		h.ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
		overdue := func() []string { synctest.Wait(); return tm.collect(t)["midhook.handler.overdue"] }
		time.Sleep(20 * time.Second)
		assert.Empty(t, overdue(), "late, but within the grace")
		time.Sleep(10 * time.Second)
		assert.Equal(t, []string{"midhook.gateway=midtrans 1"}, overdue())
		time.Sleep(time.Minute)
		assert.Equal(t, []string{"midhook.gateway=midtrans 0"}, overdue())
	})
}

// brokenTracers makes tracers that panic.
type brokenTracers struct {
	embedded.TracerProvider
}

func (b brokenTracers) Tracer(string, ...trace.TracerOption) trace.Tracer { return brokenTracer{} }

type brokenTracer struct{ embedded.Tracer }

func (brokenTracer) Start(context.Context, string, ...trace.SpanStartOption) (context.Context, trace.Span) {
	panic("broken")
}

// Rule: a tracer that panics harms neither the delivery nor the server's own span.
func TestBrokenTracer(t *testing.T) {
	tm := newTelemetry()
	h := newHook(t, otelhook.New(otelhook.WithTracerProvider(brokenTracers{}))).HandlerFunc(func(context.Context, *midhook.Notification) error { return nil })
	r := midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey)
	ctx, server := tm.tracer.Tracer("merchant").Start(r.Context(), "POST /payments")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r.WithContext(ctx))
	assert.Equal(t, 200, w.Code)
	assert.True(t, server.(sdktrace.ReadOnlySpan).EndTime().IsZero(), "the server's span is the server's to end")
	server.End()
}

// Rule: a time of a payment that lies far ahead is a lag of zero.
func TestLagOfAFarTime(t *testing.T) {
	tm := newTelemetry()
	newHook(t, tm.option).HandlerFunc(func(context.Context, *midhook.Notification) error { return nil }).
		ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay", midhooktest.Field("settlement_time", "9999-12-31 23:59:59")), testKey))
	for _, point := range tm.collect(t)["midhook.event.lag"] {
		assert.Equal(t, "midhook.gateway=midtrans 0", point)
	}
}
