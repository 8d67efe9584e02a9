package otelhook_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/otelhook"
)

// BenchmarkDelivery is a delivery of a new event that nobody watches, that an observer
// watches, and that otelhook watches: with the SDK's metrics, and with spans, too, of
// which none is sampled or all are.
func BenchmarkDelivery(b *testing.B) {
	meters := func() otelhook.Option {
		return otelhook.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader())))
	}
	tracers := func(s sdktrace.Sampler) otelhook.Option {
		return otelhook.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSampler(s)))
	}
	const events = 20_000
	requests := make([]string, events)
	for i := range requests {
		requests[i] = string(midhooktest.Body(midhooktest.Sample("gopay", midhooktest.Order("Order-"+strconv.Itoa(i))), testKey))
	}
	for _, bm := range []struct {
		name string
		opts func() []midhook.Option
	}{
		{"unwatched", func() []midhook.Option { return nil }},
		{"observer", func() []midhook.Option {
			return []midhook.Option{midhook.WithObserver(func(context.Context, midhook.Event) {})}
		}},
		{"metrics", func() []midhook.Option { return []midhook.Option{otelhook.New(meters())} }},
		{"metrics and no span", func() []midhook.Option {
			return []midhook.Option{otelhook.New(meters(), tracers(sdktrace.NeverSample()))}
		}},
		{"metrics and spans", func() []midhook.Option {
			return []midhook.Option{otelhook.New(meters(), tracers(sdktrace.AlwaysSample()))}
		}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			var h http.Handler
			for i := 0; b.Loop(); i++ {
				if i%events == 0 {
					hook, err := midhook.New(testKey, append(bm.opts(), midhook.WithLogger(slog.New(slog.DiscardHandler)))...)
					if err != nil {
						b.Fatal(err)
					}
					h = hook.HandlerFunc(func(context.Context, *midhook.Notification) error { return nil })
				}
				h.ServeHTTP(httptest.NewRecorder(), newRequest(requests[i%events]))
			}
		})
	}
}

func newRequest(body string) *http.Request {
	return httptest.NewRequest(http.MethodPost, "/payments/notification", strings.NewReader(body))
}
