package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/midhook/midhook/ci/loadkit"
	"github.com/midhook/midhook/midhooktest"
)

// burst is what comes after an outage: Midtrans delivers what it has held up. Its times
// and its rate are Midtrans' and the merchant's; everything is played speed times as
// fast.
type burst struct {
	orders int
	within time.Duration // in which every order is notified for the first time
	limit  float64       // of WithHandlerRate, a second
	tokens int           // its burst
	budget time.Duration
	speed  float64
}

// afterOutage has as many orders as a busy shop has in hours, for a database that
// can do 50 a second.
var afterOutage = burst{orders: 10_000, within: time.Minute, limit: 50, tokens: 50, budget: 5 * time.Second}

// fast is a time of Midtrans' on this machine's clock.
func (b burst) fast(d time.Duration) time.Duration { return time.Duration(float64(d) / b.speed) }

// slow is the other way round.
func (b burst) slow(d time.Duration) time.Duration { return time.Duration(float64(d) * b.speed) }

// aftermath is what became of a burst.
type aftermath struct {
	burst
	deliveries []midhooktest.Delivery
	runs       []run
	took       time.Duration // by this machine's clock
	client     float64       // how much of a core the client used until all had come once
}

// play delivers every order as Midtrans does, until it is acknowledged or lost.
func (b burst) play(ctx context.Context) (a aftermath, err error) {
	server, err := startServer(setup{Handler: "midhook", Rate: b.limit * b.speed, RateBurst: b.tokens, Budget: b.fast(b.budget)})
	if err != nil {
		return a, err
	}
	defer server.stop()
	transport := &http.Transport{
		MaxIdleConnsPerHost: 1000,
		DialContext:         func(_ context.Context, _, address string) (net.Conn, error) { return loadkit.Dial(address) },
	}
	defer transport.CloseIdleConnections()
	engine := &midhooktest.Engine{
		URL: "http://" + server.address + loadkit.Path, Client: &http.Client{Transport: transport}, Speed: b.speed,
	}
	a = aftermath{burst: b, deliveries: make([]midhooktest.Delivery, b.orders)}
	errs := make([]error, b.orders)
	notifications := signed(orderPrefix, b.orders, key)
	own, began := cpuTime(), time.Now()
	var all sync.WaitGroup
	for i := range b.orders {
		all.Go(func() {
			time.Sleep(time.Until(began.Add(b.fast(b.within) * time.Duration(i) / time.Duration(b.orders))))
			a.deliveries[i], errs[i] = engine.DeliverBody(ctx, notifications[i])
		})
	}
	time.Sleep(time.Until(began.Add(b.fast(b.within))))
	a.client = (cpuTime() - own).Seconds() / time.Since(began).Seconds()
	all.Wait()
	a.took = time.Since(began)
	answer, err := server.ask(askRuns)
	a.runs = answer.Runs
	return a, cmp.Or(cmp.Or(errs...), err)
}

const orderPrefix = "Burst-"

func orderName(i int) string { return fmt.Sprint(orderPrefix, i) }

// judge returns what may not be: an order that was lost, or was not handled exactly
// once.
func (a aftermath) judge() error {
	handled := map[string]int{}
	for _, r := range a.runs {
		handled[r.Order]++
	}
	var lost, never, again int
	for i, d := range a.deliveries {
		if !d.Delivered {
			lost++
		}
		switch n := handled[orderName(i)]; {
		case n == 0:
			never++
		case n > 1:
			again++
		}
		delete(handled, orderName(i))
	}
	if lost+never+again+len(handled) > 0 {
		return fmt.Errorf("burst: of %d orders %d were lost, %d never handled, %d handled more than once, and %d others handled", a.orders, lost, never, again, len(handled))
	}
	return nil
}

// busiest is the largest number of runs that began in any stretch of that length.
func (a aftermath) busiest(stretch time.Duration) int {
	most, first := 0, 0
	for last, r := range a.runs {
		for r.At-a.runs[first].At >= stretch {
			first++
		}
		most = max(most, last-first+1)
	}
	return most
}

func (a aftermath) print(out io.Writer) {
	slices.SortFunc(a.runs, func(x, y run) int { return cmp.Compare(x.At, y.At) })
	answers, attempts := map[int]int{}, map[int]int{}
	durations := map[int]*loadkit.Latencies{http.StatusOK: {}, http.StatusServiceUnavailable: {}}
	for _, d := range a.deliveries {
		for _, one := range d.Attempts {
			answers[one.Status]++
			if l, ok := durations[one.Status]; ok {
				l.Add(one.Duration)
			}
		}
		attempts[len(d.Attempts)]++
	}
	fmt.Fprintf(out, "\nburst: %d orders are notified within %v, after an outage\n", a.orders, a.within)
	fmt.Fprintf(out, "  WithHandlerRate(%g, %d), WithBudget(%v) and Midtrans' retries, all of it %g times as fast, so that the budget is %v by the clock\n", a.limit, a.tokens, a.budget, a.speed, a.fast(a.budget))
	for _, status := range slices.Sorted(maps.Keys(answers)) {
		text := "without an answer"
		if status != 0 {
			text = fmt.Sprintf("answered %d", status)
		}
		fmt.Fprintf(out, "  %6d deliveries %s", answers[status], text)
		if l, ok := durations[status]; ok {
			s := l.Summary()
			fmt.Fprintf(out, ", by the clock after %v (p50), %v (p99)", short(s.P50), short(s.P99))
		}
		fmt.Fprintln(out)
	}
	for _, n := range slices.Sorted(maps.Keys(attempts)) {
		fmt.Fprintf(out, "  %6d orders took %s\n", attempts[n], plural(n, "delivery", "deliveries"))
	}
	if len(a.runs) == 0 {
		return
	}
	for _, stretch := range []time.Duration{time.Second, time.Minute} {
		fmt.Fprintf(out, "  %6d orders handled in the busiest %v, where the rate allows %g\n", a.busiest(a.fast(stretch)), stretch, a.limit*stretch.Seconds()+float64(a.tokens))
	}
	at := func(share float64) time.Duration {
		return a.slow(a.runs[int(share*float64(len(a.runs)-1))].At).Round(time.Second)
	}
	fmt.Fprintf(out, "  half were handled after %v, 99 %% after %v, the last after %v of Midtrans' time; by the clock the burst took %v\n", at(0.5), at(0.99), at(1), a.took.Round(time.Second))
	fmt.Fprintf(out, "  the client used %.0f %% of a core while they came\n", 100*a.client)
	if a.judge() == nil {
		fmt.Fprintln(out, "  every order was handled exactly once")
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
