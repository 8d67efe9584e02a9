package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/midhook/midhook/ci/loadkit"
)

// patience is how long an answer may take beyond the time of its measurement.
const patience = time.Minute

// trial is what one measurement is made with.
type trial struct {
	setup
	kind        string
	connections int
	http2       bool
	streams     int // at once on each connection of HTTP/2; 0 for one
}

// figures are of one measurement.
type figures struct {
	perSecond      float64
	cpu            time.Duration // of the server, for each request
	server, client float64       // how much of a core each used
	heap           uint64        // of the server at the end, after a collection
	goroutines     int           // of the server, in the middle
	wrong          map[string]int
}

// measure starts a server, delivers some events on all connections, of which the
// duplicates are, and then sends requests for as long as lasts, or as there are new
// events. How long each took goes to latencies.
func (t trial) measure(lasts time.Duration, latencies *loadkit.Latencies) (f figures, err error) {
	prepared() // before any clock runs
	server, err := startServer(t.setup)
	if err != nil {
		return f, err
	}
	defer server.stop()
	client := &client{atOnce: max(1, t.streams), answersAll: t.Handler == "empty", wrong: map[string]int{}}
	defer client.close()
	if err := client.connect(server.address, t.http2, t.connections, time.Now().Add(lasts+patience)); err != nil {
		return f, err
	}
	source := &traffic{kind: t.kind}
	if _, err := client.send(func() (request, bool) { return source.nextNew(known) }, new(loadkit.Latencies)); err != nil {
		return f, err
	}

	before, err := server.ask(askState)
	if err != nil {
		return f, err
	}
	own, began := cpuTime(), time.Now()
	var middle report
	asked := make(chan error, 1)
	go func() {
		time.Sleep(lasts / 2)
		var err error
		middle, err = server.ask(askState)
		asked <- err
	}()
	requests, err := client.send(func() (request, bool) {
		if time.Since(began) >= lasts {
			return request{}, false
		}
		return source.next()
	}, latencies)
	took := time.Since(began)
	own = cpuTime() - own
	if err := errors.Join(err, <-asked); err != nil {
		return f, err
	}
	after, errState := server.ask(askState)
	collected, errHeap := server.ask(askHeap)
	used := after.CPU - before.CPU
	return figures{
		perSecond: float64(requests) / took.Seconds(), cpu: used / time.Duration(max(1, requests)),
		server: used.Seconds() / took.Seconds(), client: own.Seconds() / took.Seconds(),
		heap: collected.Heap, goroutines: middle.Goroutines, wrong: client.wrong,
	}, errors.Join(errState, errHeap)
}

// client is all connections of a measurement.
type client struct {
	connections []connection
	atOnce      int  // requests on each
	answersAll  bool // the handler refuses nothing

	mu    sync.Mutex
	wrong map[string]int // answers that are not what they must be
}

func (c *client) connect(address string, http2 bool, n int, deadline time.Time) error {
	for range n {
		one, err := connect(address, http2, deadline)
		if err != nil {
			return err
		}
		c.connections = append(c.connections, one)
	}
	return nil
}

func (c *client) close() {
	for _, one := range c.connections {
		one.close()
	}
}

// send sends on every connection, each request when the one before it is answered,
// until next has none, and returns how many were answered.
func (c *client) send(next func() (request, bool), latencies *loadkit.Latencies) (requests int64, err error) {
	var answered atomic.Int64
	errs := make([]error, len(c.connections))
	var all sync.WaitGroup
	for i, one := range c.connections {
		all.Go(func() {
			errs[i] = exchange(one, c.atOnce, next, func(r request, status int, took time.Duration) {
				answered.Add(1)
				latencies.Add(took)
				c.judge(r, status)
			})
		})
	}
	all.Wait()
	return answered.Load(), cmp.Or(errs...) // what ends one connection ends many
}

func (c *client) judge(r request, status int) {
	want := http.StatusOK
	if r.forged && !c.answersAll {
		want = http.StatusForbidden
	}
	if status != want {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.wrong[fmt.Sprintf("%d instead of %d", status, want)]++
	}
}
