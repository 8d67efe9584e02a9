package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/midhook/midhook/ci/loadkit"
)

const (
	floods1    = 32 // connections of HTTP/1.1 with forgeries
	floods2    = 8  // and of HTTP/2
	mostErrors = 5  // are shown of one kind
)

// attack is the process of all who mean ill.
type attack struct {
	address   string
	budget    time.Duration
	forgeries []forgery
	orders    atomic.Int64

	forged1, forged2, slow1, slow2, unread1, unread2 flow
	delays                                           loadkit.Latencies
	empty                                            loadkit.Latencies // requests whose handler does nothing
}

// flow is what became of the requests of one kind.
type flow struct {
	latencies loadkit.Latencies
	mu        sync.Mutex
	n         int64
	wrong     map[string]int64 // answers that are not what they must be
	errors    int64
	shown     []string
}

// flowReport is a flow in JSON between the processes.
type flowReport struct {
	Requests  int64
	Latencies loadkit.Summary
	Wrong     map[string]int64
	Errors    int64
	Shown     []string
}

func (f *flow) report() flowReport {
	f.mu.Lock()
	defer f.mu.Unlock()
	return flowReport{f.n, f.latencies.Summary(), f.wrong, f.errors, f.shown}
}

func (f *flow) sent() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
}

func (f *flow) answered(want, status int, took time.Duration) {
	f.latencies.Add(took)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	if status != want {
		if f.wrong == nil {
			f.wrong = map[string]int64{}
		}
		f.wrong[fmt.Sprintf("%d instead of %d", status, want)]++
	}
}

func (f *flow) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errors++
	if len(f.shown) < mostErrors {
		f.shown = append(f.shown, err.Error())
	}
}

// attackReport is what the attack's process says at its end.
type attackReport struct {
	Took                                             time.Duration
	Forged1, Forged2, Slow1, Slow2, Unread1, Unread2 flowReport
	Genuine                                          int64 // signed notifications of peers that do not read
	Delay, Empty                                     loadkit.Summary
}

// runAttack ends by itself after the given time, but for what is under way: no request
// of it lasts longer than connectionLasts.
func runAttack(address string, p plan) {
	a := &attack{address: address, budget: p.budget, forgeries: forgeries()}
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), p.lasts)
	defer cancel()
	go measureDelay(ctx, &a.delays)
	client := newClient(false)
	go measureEmpty(ctx, address, client, &a.empty)

	var all sync.WaitGroup
	start := func(n int, fn func(i int)) {
		for i := range n {
			all.Go(func() {
				time.Sleep(time.Duration(i) * p.budget / time.Duration(n)) // not all at once
				fn(i)
			})
		}
	}
	start(floods1, func(int) { a.flood(ctx, &a.forged1, float64(p.forged)/2/floods1, a.floodHTTP1) })
	start(floods2, func(int) { a.flood(ctx, &a.forged2, float64(p.forged)/2/floods2, a.floodHTTP2) })
	start(p.slow/2, func(i int) { repeat(ctx, &a.slow1, func() error { return a.slowBodyHTTP1(i%2 == 0) }) })
	start(p.slow/2/slowStreams, func(int) { repeat(ctx, &a.slow2, a.slowBodiesHTTP2) })
	start(p.unread*9/10, func(int) { repeat(ctx, &a.unread1, a.unreadHTTP1) })
	start(p.unread/10, func(int) { repeat(ctx, &a.unread1, a.unreadLargeHTTP1) })
	start(p.unread/10, func(int) { repeat(ctx, &a.unread2, a.unreadHTTP2) })
	<-ctx.Done()
	took := time.Since(began)
	all.Wait()
	client.CloseIdleConnections()
	fatal(json.NewEncoder(os.Stdout).Encode(attackReport{
		Took:    took,
		Forged1: a.forged1.report(), Forged2: a.forged2.report(),
		Slow1: a.slow1.report(), Slow2: a.slow2.report(),
		Unread1: a.unread1.report(), Unread2: a.unread2.report(),
		Genuine: a.orders.Load(), Delay: a.delays.Summary(), Empty: a.empty.Summary(),
	}))
}

// repeat does the same with one connection after another until ctx ends.
func repeat(ctx context.Context, f *flow, once func() error) {
	for ctx.Err() == nil {
		if err := once(); err != nil {
			f.fail(err)
			time.Sleep(100 * time.Millisecond)
		}
	}
}
