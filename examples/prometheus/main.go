// Command prometheus receives Midtrans' notifications and serves /metrics, through
// OpenTelemetry by default, and with -plain through Prometheus' own client library.
//
//	MIDTRANS_SERVER_KEY=SB-Mid-server-... go run ./examples/prometheus
package main

import (
	"context"
	"flag"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/otelhook"
)

func main() {
	address := flag.String("address", "127.0.0.1:8080", "to listen on")
	plain := flag.Bool("plain", false, "without OpenTelemetry")
	flag.Parse()
	metrics := throughOpenTelemetry
	if *plain {
		metrics = withObserver
	}
	handler, err := newHandler(os.Getenv("MIDTRANS_SERVER_KEY"), metrics)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: *address, Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 15 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// newHandler has both routes. Keep /metrics away from strangers in your own server.
func newHandler(serverKey string, metrics func(*prometheus.Registry) (midhook.Option, error)) (http.Handler, error) {
	registry := prometheus.NewRegistry()
	watched, err := metrics(registry)
	if err != nil {
		return nil, err
	}
	hook, err := midhook.New(serverKey, watched)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("POST /payments/notification", hook.HandlerFunc(notified))
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return mux, nil
}

// throughOpenTelemetry exports all that otelhook measures. The names are those that
// ops/midhook.rules.yml alerts on.
func throughOpenTelemetry(registry *prometheus.Registry) (midhook.Option, error) {
	exported, err := exporter.New(exporter.WithRegisterer(registry), exporter.WithoutScopeInfo())
	if err != nil {
		return nil, err
	}
	return otelhook.New(otelhook.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(exported)))), nil
}

// withObserver is for who has no OpenTelemetry: the two metrics that most alerts need,
// under the same names. Event has no order and no amount here, so that the number of
// series is bounded.
func withObserver(registry *prometheus.Registry) (midhook.Option, error) {
	deliveries := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "midhook_deliveries_total", Help: "Events of deliveries, by outcome.",
	}, []string{"midhook_gateway", "midhook_outcome", "http_response_status_code"})
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "midhook_delivery_duration_seconds", Help: "From the arrival of a request to its answer.",
		Buckets: []float64{0.01, 0.05, 0.1, 0.5, 1, 2.5, 4.5, 5, 5.5, 15},
	}, []string{"midhook_gateway"})
	for _, c := range []prometheus.Collector{deliveries, durations} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return midhook.WithObserver(func(_ context.Context, e midhook.Event) {
		deliveries.WithLabelValues(e.Gateway, e.Outcome.String(), strconv.Itoa(e.StatusCode)).Inc()
		if e.Outcome != midhook.OutcomeLateHandled && e.Outcome != midhook.OutcomeLateFailed {
			durations.WithLabelValues(e.Gateway).Observe(e.Duration.Seconds())
		}
	}), nil
}

// notified is where a shop fulfils an order once: see examples/shop.
func notified(_ context.Context, n *midhook.Notification) error {
	log.Printf("%v, paid: %t", n, n.Paid())
	return nil
}
