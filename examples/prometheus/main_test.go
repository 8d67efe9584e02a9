package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// Rule: both ways serve the same counts, over a real socket.
func TestMetrics(t *testing.T) {
	for name, metrics := range map[string]func(*prometheus.Registry) (midhook.Option, error){"OpenTelemetry": throughOpenTelemetry, "plain": withObserver} {
		t.Run(name, func(t *testing.T) {
			const key = "SB-Mid-server-test-key-0001"
			handler, err := newHandler(key, metrics)
			require.NoError(t, err)
			server := httptest.NewServer(handler)
			defer server.Close()
			engine := &midhooktest.Engine{URL: server.URL + "/payments/notification", Client: server.Client(), Secret: key}
			for range 2 {
				d, err := engine.Deliver(t.Context(), midhooktest.Sample("gopay"))
				require.NoError(t, err)
				assert.True(t, d.Delivered)
			}
			res, err := http.Get(server.URL + "/metrics")
			require.NoError(t, err)
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			assert.Regexp(t, `(?m)^midhook_deliveries_total\{.*midhook_outcome="handled".*\} 1$`, string(text))
			assert.Regexp(t, `(?m)^midhook_deliveries_total\{.*midhook_outcome="duplicate".*\} 1$`, string(text))
			assert.Regexp(t, `(?m)^midhook_delivery_duration_seconds_bucket\{.*le="4.5"\} [12]$`, string(text))
			assert.NotContains(t, string(text), "gopay")
		})
	}
}

func TestWrongKey(t *testing.T) {
	_, err := newHandler("", withObserver)
	assert.ErrorContains(t, err, "server key")
}
