package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/midhook/midhook/ci/loadkit"
)

const (
	slackAtRest   = 250 * time.Millisecond // what an answer may take beyond the budget on a machine that has time
	tooBusy       = 6 * time.Second        // of slack: nothing can be said of a budget then
	sendTimeout   = 3 * time.Second        // midhook's own, for a peer that does not read at the budget
	heapMayGrow   = 1.25
	heapMayVary   = 8 << 20 // bytes
	leastReplied  = 0.99    // of the requests: the rest may meet a connection that the server has torn
	shownProblems = 20
)

// findings are all that was seen.
type findings struct {
	plan
	before, after         serverState
	under                 []serverState // while the load lasted
	handled               map[string]int
	genuine               *midtrans
	attack                attackReport
	serverCPU, attackCPU  time.Duration
	loadBefore, loadAfter string
	slack, attackSlack    time.Duration // what the machine may add to the budget, as each of them saw it
	broken                []string
}

func (f *findings) check(holds bool, format string, args ...any) {
	if !holds {
		f.broken = append(f.broken, fmt.Sprintf(format, args...))
	}
}

// judge says what is broken.
func (f *findings) judge() {
	timer := f.after.Delay.Longest
	f.slack = slackAtRest + timer + f.genuine.empty.Summary().Longest
	f.attackSlack = slackAtRest + timer + f.attack.Empty.Longest
	f.judgeGenuine()
	f.judgeAttack()
	f.judgeServer()
	slices.Sort(f.broken)
	if max(f.slack, f.attackSlack) >= tooBusy { // first, for what follows may come of it
		f.broken = slices.Insert(f.broken, 0, fmt.Sprintf("the machine was too busy to say anything of a budget: an empty handler took %v, and a timer was late by %v",
			round(max(f.genuine.empty.Summary().Longest, f.attack.Empty.Longest)), round(timer)))
	}
}

func (f *findings) judgeGenuine() {
	f.broken = append(f.broken, f.genuine.problems.lines()...)
	longest := f.genuine.all.Summary().Longest
	f.check(longest <= f.budget+f.slack, "a genuine notification was answered after %v", round(longest))
	f.check(len(f.genuine.orders) > 0, "no genuine notification was sent")
	for event := range f.genuine.orders {
		f.check(f.handled[event] == 1, "%s was handled %d times", event, f.handled[event])
	}
	for event := range f.genuine.mayBeVoid {
		f.check(f.handled[event] <= 1, "%s was handled %d times", event, f.handled[event])
	}
	var unread int64
	for event, n := range f.handled {
		kind, _, _ := strings.Cut(event, "-")
		switch {
		case kind == kindUnread, kind == kindLarge:
			unread++
			f.check(n == 1, "%s was handled %d times", event, n)
		case !f.genuine.orders[event] && !f.genuine.mayBeVoid[event]:
			f.check(false, "%s was handled, and nobody has sent it", event)
		}
	}
	f.check(unread == f.attack.Genuine, "of %d genuine notifications of peers that do not read %d were handled", f.attack.Genuine, unread)
}

func (f *findings) judgeAttack() {
	a := f.attack
	f.check(a.Forged1.Requests > 0 && a.Forged2.Requests > 0, "no forgery was answered")
	for name, flow := range map[string]flowReport{
		"forged, HTTP/1.1": a.Forged1, "forged, HTTP/2": a.Forged2,
		"slow, HTTP/1.1": a.Slow1, "slow, HTTP/2": a.Slow2,
		"not read, HTTP/1.1": a.Unread1, "not read, HTTP/2": a.Unread2,
	} {
		f.check(len(flow.Wrong) == 0, "%s: answered %v", name, flow.Wrong)
		f.check(float64(flow.Requests) >= leastReplied*float64(flow.Requests+flow.Errors), "%s: %d of %d failed: %q", name, flow.Errors, flow.Requests+flow.Errors, flow.Shown)
	}
	for _, flow := range []flowReport{a.Slow1, a.Slow2} {
		f.check(flow.Latencies.Longest <= f.budget+f.attackSlack, "a slow body was answered after %v", round(flow.Latencies.Longest))
	}
}

func (f *findings) judgeServer() {
	for _, outcome := range []string{"body_incomplete", "budget_exceeded"} {
		longest := f.after.Outcomes[outcome].Longest
		f.check(longest <= f.budget+sendTimeout+f.slack, "a delivery ended as %s after %v", outcome, round(longest))
	}
	f.check(f.after.InFlight == 0, "%d handlers still run", f.after.InFlight)
	f.check(f.after.Goroutines <= f.before.Goroutines, "%d goroutines are left of the load", f.after.Goroutines-f.before.Goroutines)
	f.check(f.after.Heap <= f.before.Heap+heapMayVary, "%s are left on the heap, of %s before the load", mebibytes(f.after.Heap), mebibytes(f.before.Heap))
	first, last := f.under[0], f.under[len(f.under)-1]
	f.check(float64(last.Heap) <= heapMayGrow*float64(first.Heap)+heapMayVary, "the heap grew from %s to %s under load", mebibytes(first.Heap), mebibytes(last.Heap))
}

// print prints the table and the verdict.
func (f *findings) print() {
	fmt.Printf("%v of load, budget %v; load of the machine %s before, %s at the end (1, 5 and 15 minutes)\n\n", f.lasts, f.budget, f.loadBefore, f.loadAfter)
	fmt.Printf("%-34s %9s %9s %9s %9s %9s %9s\n", "requests", "number", "a second", "p50", "p99", "p99.9", "longest")
	row := func(name string, n int64, s loadkit.Summary) {
		fmt.Printf("%-34s %9d %9.0f %9v %9v %9v %9v\n", name, n, float64(n)/f.attack.Took.Seconds(), round(s.P50), round(s.P99), round(s.P999), round(s.Longest))
	}
	a := f.attack
	row("genuine, all deliveries", f.genuine.deliveries, f.genuine.all.Summary())
	quick := f.genuine.quick.Summary()
	row("genuine, first of quick handlers", quick.Count, quick)
	empty := f.genuine.empty.Summary()
	row("empty handler beside them", empty.Count, empty)
	row("forged, HTTP/1.1", a.Forged1.Requests, a.Forged1.Latencies)
	row("forged, HTTP/2", a.Forged2.Requests, a.Forged2.Latencies)
	row("slow bodies, HTTP/1.1", a.Slow1.Requests, a.Slow1.Latencies)
	row("slow bodies, HTTP/2", a.Slow2.Requests, a.Slow2.Latencies)
	row("not read, HTTP/1.1", a.Unread1.Requests, loadkit.Summary{})
	row("not read, HTTP/2", a.Unread2.Requests, loadkit.Summary{})

	fmt.Printf("\n%-34s %9s %9s %9s %9s\n", "events on the server", "number", "p50", "p99.9", "longest")
	for _, outcome := range slices.Sorted(maps.Keys(f.after.Outcomes)) {
		s := f.after.Outcomes[outcome]
		fmt.Printf("%-34s %9d %9v %9v %9v\n", outcome, s.Count, round(s.P50), round(s.P999), round(s.Longest))
	}

	fmt.Printf("\n%-34s %9s %11s %9s\n", "the server", "heap", "goroutines", "handlers")
	state := func(name string, s serverState) {
		fmt.Printf("%-34s %9s %11d %9d\n", name, mebibytes(s.Heap), s.Goroutines, s.InFlight)
	}
	state("before the load", f.before)
	for i, s := range f.under {
		state(fmt.Sprintf("under load, sample %d of %d", i+1, len(f.under)), s)
	}
	state("after the load", f.after)

	fmt.Printf("\n%d genuine events, answered 200 %d times and 503 %d times; the log had %d lines\n",
		len(f.genuine.orders)+len(f.genuine.mayBeVoid), f.genuine.statuses[http.StatusOK], f.genuine.statuses[http.StatusServiceUnavailable], f.after.LogLines)
	fmt.Printf("CPU: server %.0f %%, attack %.0f %% of a core\n", percent(f.serverCPU, f.attack.Took), percent(f.attackCPU, f.attack.Took))
	fmt.Printf("a timer was late by at most (p99.9): server %v (%v), attack %v (%v), genuine %v\n",
		round(f.after.Delay.Longest), round(f.after.Delay.P999), round(a.Delay.Longest), round(a.Delay.P999), round(f.genuine.delays.Summary().Longest))
	fmt.Printf("so that the machine may add %v to a budget of genuine ones, and %v to one of the attack\n", round(f.slack), round(f.attackSlack))
	if len(f.broken) == 0 {
		fmt.Println("\neverything held")
		return
	}
	fmt.Printf("\nBROKEN, %d:\n", len(f.broken))
	for _, line := range f.broken[:min(shownProblems, len(f.broken))] {
		fmt.Println(" ", line)
	}
}

func mebibytes(n uint64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

func percent(part, whole time.Duration) float64 { return 100 * part.Seconds() / whole.Seconds() }

func round(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}
