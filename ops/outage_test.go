package ops_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/servers"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/otelhook"
)

// Rule: an outage is seen while it lasts and told apart from what follows: the store is
// away, the handler then is slow and fails, and in the end the payment is handled. Run
// with -v, this test prints the trace and the series, and with -keep writes them.
func TestOutage(t *testing.T) {
	if testing.Short() {
		t.Skip("promtool is started: not with -short")
	}
	tool := servers.Promtool.For(t)
	var trace bytes.Buffer
	exported, err := stdouttrace.New(stdouttrace.WithWriter(&trace), stdouttrace.WithPrettyPrint())
	require.NoError(t, err)
	all := series{}
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		s := newShop(registry, otelhook.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(exported))))
		s.store.SetDown(true)
		var runs int
		s.do = func(*midhook.Notification) error {
			if runs++; runs == 1 {
				time.Sleep(8 * time.Second)
				return errors.New("database away")
			}
			return nil
		}
		delivered := make(chan midhooktest.Delivery, 1)
		go func() {
			engine := &midhooktest.Engine{Handler: s.handler, Secret: testKey}
			d, _ := engine.Deliver(t.Context(), midhooktest.Sample("gopay"))
			engine.Wait()
			delivered <- d
		}()
		for step := range 60 {
			time.Sleep(time.Minute)
			s.store.SetDown(step < 3) // the second retry finds it back
			families, err := registry.Gather()
			require.NoError(t, err)
			for name, value := range samples(families) {
				for len(all[name]) < step {
					all[name] = append(all[name], 0)
				}
				all[name] = append(all[name], value)
			}
		}
		d := <-delivered
		assert.True(t, d.Delivered, "%v", d)
		t.Logf("what Midtrans saw:\n%v", d)
	})
	t.Logf("the spans:\n%s", trace.String())
	assert.Contains(t, trace.String(), `"process midtrans"`)

	path, _ := rules(t)
	fires := func(name, at string) exprTest {
		return exprTest{Expr: `count(ALERTS{alertname="` + name + `",alertstate="firing"})`, At: at, Samples: []sample{{"{}", 1}}}
	}
	tests := unitTests{RuleFiles: []string{path}, Interval: "1m", Tests: []unitTest{{
		Name: "outage", Interval: "1m", Input: all.input(), Exprs: []exprTest{
			fires("MidhookStoreErrors", "5m"),
			fires("MidhookHandlerLateOrPanicked", "10m"),
			{Expr: `count(ALERTS{alertstate="firing"})`, At: "55m"}, // all is well again
		},
	}}}
	out, err := tests.run(t, tool)
	assert.NoError(t, err, "%s", out)
	t.Logf("promtool: %s", out)
	var text strings.Builder
	for _, i := range all.input() {
		if strings.HasPrefix(i.Series, "midhook_") && !strings.Contains(i.Series, "_bucket{") {
			fmt.Fprintf(&text, "%s\n  %s\n", i.Series, i.Values)
		}
	}
	t.Logf("the series, each minute:\n%s", text.String())
	keepFile(t, "series.txt", text.String())
	keepFile(t, "trace.json", trace.String())
	if *keep {
		keepFile(t, "firing.txt", tests.show(t, tool, "3m", "5m", "10m", "55m"))
	}
}
