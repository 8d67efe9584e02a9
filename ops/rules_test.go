package ops_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/servers"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/otelhook"
)

const (
	testKey = "SB-Mid-server-test-key-0001"
	oldKey  = "SB-Mid-server-old-key-0002"
)

// shop is a merchant whose metrics are scraped, in a bubble.
type shop struct {
	handler http.Handler
	store   *midhooktest.FaultyStore
	orders  atomic.Int64

	do       func(*midhook.Notification) error // what its handler does; nil: succeed
	redirect bool                              // to a login page
}

func newShop(registry *prometheus.Registry, opts ...otelhook.Option) *shop {
	exported, err := exporter.New(exporter.WithRegisterer(registry), exporter.WithoutScopeInfo(), exporter.WithoutTargetInfo())
	if err != nil {
		panic(err)
	}
	s := &shop{store: midhooktest.NewFaultyStore(midhook.NewLRUStore(100_000))}
	hook, err := midhook.New(testKey,
		midhook.WithServerKey("old", oldKey),
		midhook.WithStore(s.store),
		midhook.WithExpectation(func(_ context.Context, n *midhook.Notification) (midhook.Expectation, error) {
			amount, err := n.Amount()
			return midhook.Expectation{Amount: amount}, err
		}),
		midhook.WithLogger(slog.New(slog.DiscardHandler)),
		otelhook.New(append(opts, otelhook.WithKeyLabel(), otelhook.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(exported))))...))
	if err != nil {
		panic(err)
	}
	next := hook.HandlerWithError(func(w http.ResponseWriter, r *http.Request) error {
		n, _ := midhook.FromContext(r.Context())
		switch {
		case s.redirect:
			http.Redirect(w, r, "/login", http.StatusFound)
		case s.do != nil:
			return s.do(n)
		}
		return nil
	})
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { _ = recover() }() // as the server around it does
		next.ServeHTTP(w, r)
	})
	return s
}

// send delivers a notification of a new order.
func (s *shop) send(key string, tweaks ...midhooktest.Tweak) {
	order := s.orders.Add(1)
	n := midhooktest.Sample("credit-card", append([]midhooktest.Tweak{
		midhooktest.Order(fmt.Sprint("A-", order)), midhooktest.Transaction(fmt.Sprint("T-", order)), midhooktest.Status("200", "settlement"),
	}, tweaks...)...)
	s.handler.ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(n, key))
}

// scenario is what an alert is for: what happens at each step of the time.
type scenario struct {
	step  time.Duration // 1 m by default
	steps int
	gap   [2]int // from and to which step nothing is scraped
	play  func(s *shop, step int)
}

var scenarios = map[string]scenario{
	"all is well": {steps: 120, play: func(s *shop, _ int) { s.send(testKey) }},
	// Duplicates, now and then a stranger, and handlers that are slow and late but succeed.
	"busy": {steps: 60, play: func(s *shop, step int) {
		if step%10 == 0 {
			s.send("SB-Mid-server-somebody-elses-key")
		}
		s.do = func(*midhook.Notification) error { time.Sleep(time.Second); return nil }
		for range 8 {
			s.send(testKey)
			s.send(testKey, midhooktest.Order("A-1"), midhooktest.Transaction("T-1"))
		}
	}},
	// A panic that was mended long ago must not come back with a gap in the scrapes.
	"gap": {steps: 45, gap: [2]int{20, 32}, play: func(s *shop, step int) {
		s.do = nil
		if step == 0 {
			s.do = func(*midhook.Notification) error { panic("nil map") }
		}
		s.send(testKey)
	}},
	"a shop with two payments a day": {step: 10 * time.Minute, steps: 60, play: func(s *shop, step int) {
		if step == 2 || step == 31 {
			s.send(testKey)
		}
	}},
	"MidhookForgedSignatures": {steps: 30, play: func(s *shop, _ int) {
		s.send(testKey)
		for range 10 {
			s.send("SB-Mid-server-somebody-elses-key")
		}
	}},
	"MidhookEditedNotifications": {steps: 15, play: func(s *shop, step int) {
		s.send(testKey)
		if step == 10 {
			s.send(testKey, midhooktest.Status("201", "settlement"))
		}
	}},
	"MidhookHandlerRedirected": {steps: 15, play: func(s *shop, step int) {
		s.redirect = step == 10
		s.send(testKey)
	}},
	"MidhookHandlerLateOrPanicked": {steps: 15, play: func(s *shop, step int) {
		s.do = func(*midhook.Notification) error {
			if step == 10 {
				panic("nil map")
			}
			return nil
		}
		s.send(testKey)
	}},
	"MidhookStoreErrors": {steps: 15, play: func(s *shop, step int) {
		s.store.SetDown(step >= 8)
		s.send(testKey)
	}},
	"MidhookStoreErrors: finish alone": {steps: 15, play: func(s *shop, step int) {
		if step >= 8 {
			s.store.OnFinish(midhooktest.LostRequest, midhooktest.LostRequest, midhooktest.LostRequest)
		}
		s.send(testKey)
	}},
	"MidhookHandlersStuck": {steps: 30, play: func(s *shop, step int) {
		s.send(testKey) // the others go on
		if step == 3 {
			s.do = func(n *midhook.Notification) error {
				if n.OrderID == "A-stuck" {
					time.Sleep(40 * time.Minute)
				}
				return nil
			}
			go s.send(testKey, midhooktest.Order("A-stuck"))
		}
	}},
	"MidhookSlowDeliveries": {steps: 30, play: func(s *shop, _ int) {
		s.do = func(*midhook.Notification) error { time.Sleep(8 * time.Second); return errors.New("too slow") }
		s.send(testKey)
	}},
	"MidhookOldKeyInUse": {steps: 10, play: func(s *shop, step int) {
		s.send(testKey)
		if step == 5 {
			s.send(oldKey)
		}
	}},
	"MidhookSilent": {steps: 8 * 60, play: func(s *shop, step int) {
		if step < 30 {
			s.send(testKey)
		}
	}},
	"MidhookChallenges": {step: 10 * time.Minute, steps: 2 * 24 * 6, play: func(s *shop, step int) {
		s.send(testKey)
		if step%10 == 0 {
			s.send(testKey, midhooktest.Status("201", "capture"), midhooktest.Fraud("challenge"))
		}
	}},
	"MidhookChargebacks": {step: 30 * time.Minute, steps: 4 * 48, play: func(s *shop, step int) {
		s.send(testKey)
		if step%20 == 0 {
			s.send(testKey, midhooktest.Status("200", "chargeback"))
		}
	}},
}

// series are the samples of one scenario, by the text of the series.
type series map[string][]float64

// scrape plays a scenario and reads the metrics after each step.
func (sc scenario) scrape(t *testing.T) series {
	all := series{}
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		s := newShop(registry)
		for step := range sc.steps {
			sc.play(s, step)
			families, err := registry.Gather()
			require.NoError(t, err)
			if step >= sc.gap[0] && step < sc.gap[1] {
				families = nil
			}
			for name, value := range samples(families) {
				for len(all[name]) < step {
					all[name] = append(all[name], math.NaN()) // not there yet
				}
				all[name] = append(all[name], value)
			}
			time.Sleep(sc.every())
		}
		time.Sleep(time.Hour) // until all handlers have ended
	})
	return all
}

func (sc scenario) every() time.Duration {
	if sc.step == 0 {
		return time.Minute
	}
	return sc.step
}

// samples are the series of a scrape and their values.
func samples(families []*dto.MetricFamily) map[string]float64 {
	all := map[string]float64{}
	for _, family := range families {
		for _, m := range family.Metric {
			labels := map[string]string{}
			for _, l := range m.Label {
				labels[l.GetName()] = l.GetValue()
			}
			add := func(suffix string, value float64, more ...string) {
				with := maps.Clone(labels)
				for i := 0; i < len(more); i += 2 {
					with[more[i]] = more[i+1]
				}
				var pairs []string
				for _, name := range slices.Sorted(maps.Keys(with)) {
					pairs = append(pairs, fmt.Sprintf("%s=%q", name, with[name]))
				}
				all[family.GetName()+suffix+"{"+strings.Join(pairs, ",")+"}"] = value
			}
			switch {
			case m.Counter != nil:
				add("", m.Counter.GetValue())
			case m.Gauge != nil:
				add("", m.Gauge.GetValue())
			case m.Histogram != nil:
				for _, b := range m.Histogram.Bucket {
					add("_bucket", float64(b.GetCumulativeCount()), "le", strconv.FormatFloat(b.GetUpperBound(), 'g', -1, 64))
				}
				add("_bucket", float64(m.Histogram.GetSampleCount()), "le", "+Inf")
				add("_count", float64(m.Histogram.GetSampleCount()))
				add("_sum", m.Histogram.GetSampleSum())
			}
		}
	}
	return all
}

// promtool's unit tests, which are YAML, so that JSON will do.
type (
	unitTests struct {
		RuleFiles []string   `json:"rule_files"`
		Interval  string     `json:"evaluation_interval"`
		Tests     []unitTest `json:"tests"`
	}
	unitTest struct {
		Name     string        `json:"name"`
		Interval string        `json:"interval"`
		Input    []inputSeries `json:"input_series"`
		Exprs    []exprTest    `json:"promql_expr_test"`
	}
	inputSeries struct {
		Series string `json:"series"`
		Values string `json:"values"`
	}
	exprTest struct {
		Expr    string   `json:"expr"`
		At      string   `json:"eval_time"`
		Samples []sample `json:"exp_samples"`
	}
	sample struct {
		Labels string  `json:"labels"`
		Value  float64 `json:"value"`
	}
)

func (all series) input() (input []inputSeries) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		values := make([]string, len(all[name]))
		for i, v := range all[name] {
			if values[i] = strconv.FormatFloat(v, 'f', -1, 64); math.IsNaN(v) {
				values[i] = "_"
			}
		}
		input = append(input, inputSeries{name, strings.Join(values, " ")})
	}
	return input
}

// keep has the tests write what they have seen, for who reads the documentation.
var keep = flag.Bool("keep", false, "write docs/outage")

func keepFile(t *testing.T, name, text string) {
	t.Helper()
	if *keep {
		dir := filepath.Join("..", "docs", "outage")
		require.NoError(t, os.MkdirAll(dir, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
}

func (u unitTests) run(t *testing.T, tool string) ([]byte, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "test.yml")
	encoded, err := json.Marshal(u)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, encoded, 0o600))
	return exec.Command(tool, "test", "rules", file).CombinedOutput()
}

// show is promtool's own account of the alerts that fire at these times. It prints what
// fires only where it was told to expect nothing.
func (u unitTests) show(t *testing.T, tool string, at ...string) string {
	t.Helper()
	u.Tests = slices.Clone(u.Tests)
	u.Tests[0].Exprs = nil
	for _, time := range at {
		u.Tests[0].Exprs = append(u.Tests[0].Exprs, exprTest{Expr: `ALERTS{alertstate="firing"}`, At: time})
	}
	out, err := u.run(t, tool)
	if err == nil {
		return "no alert fires\n"
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "expr:") || strings.HasPrefix(line, "got:") || strings.HasPrefix(line, "{") {
			lines = append(lines, line+"\n")
		}
	}
	return strings.Join(lines, "")
}

var alertNames = regexp.MustCompile(`(?m)^ +- alert: (\w+)$`)

func rules(t *testing.T) (path, text string) {
	t.Helper()
	path, err := filepath.Abs("midhook.rules.yml")
	require.NoError(t, err)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return path, string(b)
}

// Rule: each alert fires in the situation that it is for, and none while all is well.
func TestAlerts(t *testing.T) {
	if testing.Short() {
		t.Skip("hours are played and promtool is started: not with -short")
	}
	tool := servers.Promtool.For(t)
	path, text := rules(t)
	var names []string
	for _, m := range alertNames.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	for _, name := range names {
		require.Contains(t, scenarios, name, "a scenario for each alert")
	}

	var shown strings.Builder
	for _, name := range slices.Sorted(maps.Keys(scenarios)) {
		sc := scenarios[name]
		alert, _, _ := strings.Cut(name, ":")
		t.Run(name, func(t *testing.T) {
			at := (time.Duration(sc.steps-1) * sc.every()).String()
			firing := exprTest{Expr: `count(ALERTS{alertstate="firing"})`, At: at}
			if slices.Contains(names, alert) {
				firing = exprTest{Expr: `count(ALERTS{alertname="` + alert + `",alertstate="firing"})`, At: at, Samples: []sample{{"{}", 1}}}
			}
			tests := unitTests{RuleFiles: []string{path}, Interval: "1m", Tests: []unitTest{{
				Name: name, Interval: sc.every().String(), Input: sc.scrape(t).input(), Exprs: []exprTest{firing},
			}}}
			out, err := tests.run(t, tool)
			assert.NoError(t, err, "%s", out)
			if *keep {
				fmt.Fprintf(&shown, "== %s\n%s\n", name, tests.show(t, tool, at))
			}
		})
	}
	keepFile(t, "alerts.txt", shown.String())
}

// Rule: rules and dashboard name metrics and labels that exist.
func TestNamesExist(t *testing.T) {
	exists := map[string]bool{}
	labels := regexp.MustCompile(`(\w+)="`)
	for _, sc := range scenarios {
		sc.steps = min(sc.steps, 12)
		for name := range sc.scrape(t) {
			metric, rest, _ := strings.Cut(name, "{")
			exists[metric] = true
			for _, l := range labels.FindAllStringSubmatch(rest, -1) {
				exists[l[1]] = true
			}
		}
	}
	_, text := rules(t)
	dashboard, err := os.ReadFile("dashboard.json")
	require.NoError(t, err)
	assert.True(t, json.Valid(dashboard))
	used := regexp.MustCompile(`\bmidhook_\w+`).FindAllString(text+string(dashboard), -1)
	require.NotEmpty(t, used)
	for _, name := range used {
		assert.True(t, exists[name], "%s: no such metric or label", name)
	}
}
