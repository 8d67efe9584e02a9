package otelhook_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http/httptest"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/otelhook"
)

// The spans of one delivery: midhook's, and the merchant's own inside it.
func ExampleNew() {
	spans := tracetest.NewInMemoryExporter() // a program exports to its collector
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	tracer := tracers.Tracer("shop")

	hook, err := midhook.New("SB-Mid-server-test-key-0001",
		otelhook.New(otelhook.WithTracerProvider(tracers)),
		midhook.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		log.Fatal(err)
	}
	handler := hook.HandlerFunc(func(ctx context.Context, _ *midhook.Notification) error {
		_, span := tracer.Start(ctx, "UPDATE orders")
		defer span.End()
		return nil
	})
	handler.ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay"), "SB-Mid-server-test-key-0001"))

	process := spans.GetSpans()[1]
	fmt.Println(process.Name, process.SpanKind)
	for _, a := range process.Attributes {
		if a.Key != "messaging.message.id" { // a digest
			fmt.Println(" ", a.Key, "=", a.Value.String())
		}
	}
	fmt.Println("parent of", spans.GetSpans()[0].Name, spans.GetSpans()[0].Parent.SpanID() == process.SpanContext.SpanID())
	// Output:
	// process midtrans consumer
	//   midhook.gateway = midtrans
	//   messaging.system = midtrans
	//   messaging.operation.type = process
	//   messaging.operation.name = process
	//   midhook.outcome = handled
	//   midhook.late = false
	// parent of UPDATE orders true
}
