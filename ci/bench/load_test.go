package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/midhook/midhook/midhooktest"
)

// TestMain is the server's process, too, which the program starts as itself.
func TestMain(m *testing.M) {
	if serveIfAsked() {
		return
	}
	most, known = 5000, 50 // a test that sends few requests makes few
	os.Exit(m.Run())
}

// Rule: every row of the table is measured and printed, and no request is answered
// otherwise than it must be. The row that remembers a million events takes too long.
func TestSweepMeasuresEveryRow(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: starts servers")
	}
	var out strings.Builder
	s := sweep{out: &out, lasts: 20 * time.Millisecond, rounds: 1, only: "connections|requests|stores|^1 event$|^10000 events$", burst: burst{speed: 1}}
	if err := s.run(t.Context()); err != nil {
		t.Error(err)
	}
	for _, p := range parts() {
		for _, r := range p.rows {
			if r.name != "1000000 events" && !strings.Contains(out.String(), "\n  "+r.name+" ") {
				t.Errorf("no row %q", r.name)
			}
		}
	}
	if os.Getenv("CI") == "true" && strings.Contains(out.String(), "left out") {
		t.Error("in CI every store's server is installed")
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

// Rule: a burst beyond the handler's rate is answered 503 in part, and ends with every
// order handled exactly once.
func TestBurstEndsWithEveryOrderHandledOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: starts a server")
	}
	b := burst{orders: 60, limit: 0.2, tokens: 1, budget: 50 * time.Second, speed: 100}
	a, err := b.play(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.judge(); err != nil {
		t.Error(err)
	}
	refused := 0
	for _, d := range a.deliveries {
		for _, one := range d.Attempts {
			if one.Status == http.StatusServiceUnavailable {
				refused++
			}
		}
	}
	if refused == 0 {
		t.Error("20 orders a second can be handled, 60 came at once, and none was answered 503 within a budget of 500 ms")
	}
	var out strings.Builder
	a.print(&out)
	for _, line := range []string{fmt.Sprintf("%d deliveries answered 503", refused), "60 deliveries answered 200", "every order was handled exactly once"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("%q is not in\n%s", line, out.String())
		}
	}
}

// Rule: a run fails if an order was lost, was not handled, was handled twice, or was
// nobody's.
func TestAftermathIsJudged(t *testing.T) {
	sound := func() aftermath {
		a := aftermath{burst: burst{orders: 2}, deliveries: make([]midhooktest.Delivery, 2)}
		for i := range a.deliveries {
			a.deliveries[i].Delivered = true
			a.runs = append(a.runs, run{Order: orderName(i)})
		}
		return a
	}
	if err := sound().judge(); err != nil {
		t.Error(err)
	}
	for what, spoil := range map[string]func(*aftermath){
		"lost":       func(a *aftermath) { a.deliveries[1].Delivered = false },
		"not run":    func(a *aftermath) { a.runs = a.runs[1:] },
		"run twice":  func(a *aftermath) { a.runs = append(a.runs, a.runs[0]) },
		"of no sort": func(a *aftermath) { a.runs = append(a.runs, run{Order: "another"}) },
	} {
		a := sound()
		spoil(&a)
		if a.judge() == nil {
			t.Errorf("an order was %s, and the run has not failed", what)
		}
	}
}

// Rule: the busiest stretch is found wherever it begins.
func TestBusiestStretch(t *testing.T) {
	a := aftermath{}
	for _, ms := range []int{0, 900, 1000, 1100, 1899, 1900, 5000} {
		a.runs = append(a.runs, run{At: time.Duration(ms) * time.Millisecond})
	}
	if got := a.busiest(time.Second); got != 4 {
		t.Errorf("from 900 to 1,899 ms there are 4 runs, not %d", got)
	}
}

// Rule: an answer counts as wrong unless it is 200, or 403 for a forgery that a
// handler is to refuse.
func TestAnswersAreJudged(t *testing.T) {
	for _, c := range []struct {
		forged, answersAll bool
		status             int
		wrong              bool
	}{
		{false, false, 200, false}, {false, false, 503, true}, {false, false, 0, true},
		{true, false, 403, false}, {true, false, 200, true}, {true, true, 200, false},
	} {
		client := &client{answersAll: c.answersAll, wrong: map[string]int{}}
		client.judge(request{forged: c.forged}, c.status)
		if wrong := len(client.wrong) > 0; wrong != c.wrong {
			t.Errorf("%+v: wrong is %t", c, wrong)
		}
	}
}

// Rule: what is sent is what Midtrans sends, to the byte.
func TestRequestsAreMidtrans(t *testing.T) {
	for i, got := range signed("Order-", 12, key) {
		order := fmt.Sprintf("Order-%d", i)
		want := midhooktest.Body(midhooktest.Sample("gopay", midhooktest.Order(order), midhooktest.Transaction("tx-"+order)), key)
		if string(got) != string(want) {
			t.Errorf("%s\nis not what the kit makes:\n%s", got, want)
		}
	}
}

// Rule: a mix has new events, duplicates of events that were delivered before, and
// forgeries, and new events end when all were sent.
func TestTrafficOfAMix(t *testing.T) {
	genuine, _ := prepared()
	source := &traffic{kind: mixed}
	for i := range known {
		if r, ok := source.nextNew(known); !ok || &r.body[0] != &genuine[i].body[0] {
			t.Fatalf("event %d is not the one that is delivered next", i)
		}
	}
	kinds := map[string]int{}
	for range 1000 {
		r, ok := source.next()
		at := slices.IndexFunc(genuine, func(g request) bool { return &g.body[0] == &r.body[0] })
		switch {
		case !ok:
			t.Fatal("there are more new events than that")
		case r.forged:
			kinds[forgeries]++
		case at < known:
			kinds[duplicates]++
		default:
			kinds[newEvents]++
		}
	}
	if kinds[newEvents] != 500 || kinds[duplicates] != 300 || kinds[forgeries] != 200 {
		t.Errorf("a mix of %v", kinds)
	}
	source.fresh.Store(int64(most))
	source.kind = newEvents
	if _, ok := source.next(); ok {
		t.Error("a new event is sent twice")
	}
}

// Rule: what is interrupted ends with an error, and measures nothing more.
func TestSweepIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out strings.Builder
	s := sweep{out: &out, lasts: time.Hour, rounds: 1, burst: burst{speed: 1}}
	if err := s.run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("an interrupted run ends with %v", err)
	}
}
