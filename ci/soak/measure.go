package main

import (
	"context"
	"encoding/json"
	"math"
	"net"
	"net/http"
	"sync"
	"time"
)

// perDoubling is how many classes of latencies lie between a duration and its double.
const perDoubling = 16

// latencies counts durations in classes, so that it stays small however many there are.
type latencies struct {
	mu     sync.Mutex
	counts [64 * perDoubling]int64
	total  int64
	worst  time.Duration
}

func (l *latencies) add(d time.Duration) {
	d = max(d, time.Microsecond)
	class := int(math.Log2(float64(d)) * perDoubling)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[class]++
	l.total++
	l.worst = max(l.worst, d)
}

// summary is what is said of durations, in JSON between the processes.
type summary struct {
	Count                   int64
	P50, P99, P999, Longest time.Duration
}

func (l *latencies) summary() summary {
	l.mu.Lock()
	defer l.mu.Unlock()
	return summary{l.total, l.quantile(0.5), l.quantile(0.99), l.quantile(0.999), l.worst}
}

func (l *latencies) quantile(q float64) time.Duration {
	before := int64(q * float64(l.total))
	for class, n := range l.counts {
		if before -= n; before < 0 {
			return min(l.worst, time.Duration(math.Exp2(float64(class+1)/perDoubling)))
		}
	}
	return l.worst
}

func (l *latencies) MarshalJSON() ([]byte, error) { return json.Marshal(l.summary()) }

// measureDelay measures until ctx ends how late a timer is: what a machine that has too
// much to do adds to every budget.
func measureDelay(ctx context.Context, delays *latencies) {
	const pause = 10 * time.Millisecond
	for ctx.Err() == nil {
		due := time.Now().Add(pause)
		time.Sleep(pause)
		delays.add(time.Since(due))
	}
}

// measureEmpty measures until ctx ends how long the server takes for a request whose
// handler does nothing and knows nothing of midhook: what nobody's handler can better
// on this machine.
func measureEmpty(ctx context.Context, address string, client *http.Client, took *latencies) {
	for ctx.Err() == nil {
		began := time.Now()
		res, err := client.Get("http://" + address + emptyPath)
		if err == nil {
			_ = res.Body.Close()
		}
		took.add(time.Since(began))
		time.Sleep(20 * time.Millisecond)
	}
}

// newClient speaks HTTP/1.1, or HTTP/2 without TLS, to this machine.
func newClient(http2 bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	return &http.Client{Transport: &http.Transport{
		Protocols:           protocols,
		IdleConnTimeout:     10 * time.Second, // before the server's
		MaxIdleConnsPerHost: 100,
		DialContext:         func(_ context.Context, _, address string) (net.Conn, error) { return dial(address) },
	}, Timeout: connectionLasts}
}
