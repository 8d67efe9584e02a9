package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/ci/loadkit"
	"github.com/midhook/midhook/midhooktest"
)

// The kinds of genuine notifications are the beginnings of their order_ids, by which
// the handler knows what to do.
const (
	kindNew    = "new"    // is handled at once
	kindBrief  = "brief"  // takes up to 200 ms
	kindTwin   = "twin"   // is sent twice at once, as Midtrans does
	kindPair   = "pair"   // has its pending notification at the same time
	kindFail   = "fail"   // fails at first
	kindHangUp = "hangup" // has a client that hangs up at first
	kindSlow   = "slow"   // takes longer than the budget
	kindUnread = "unread" // as kindSlow, from a peer that does not read
	kindLarge  = "large"  // has a large answer, which its peer does not read

	hangUpAfter  = 100 * time.Millisecond
	retryAfter   = 500 * time.Millisecond
	acknowledged = time.Minute // in which every event must be
	duplicates   = 2           // of each, after it was handled
)

// mix is of what kinds how many of twenty genuine events are.
var mix = []string{
	kindNew, kindNew, kindNew, kindNew, kindNew, kindNew, kindNew, kindNew, kindNew, kindBrief,
	kindBrief, kindBrief, kindTwin, kindTwin, kindPair, kindPair, kindFail, kindHangUp, kindSlow, kindNew,
}

// midtrans sends genuine notifications, and again until they are acknowledged.
type midtrans struct {
	url     string
	clients [2]*http.Client // HTTP/1.1 and HTTP/2
	delays  loadkit.Latencies
	empty   loadkit.Latencies // requests whose handler does nothing

	quick loadkit.Latencies // of first deliveries that the handler does not keep
	all   loadkit.Latencies // of all whose client does not hang up

	mu         sync.Mutex
	orders     map[string]bool // events that must be handled exactly once
	mayBeVoid  map[string]bool // and those that a later one may have made void
	deliveries int64
	statuses   map[int]int64
	problems   problems
	lives      sync.WaitGroup
	next       atomic.Int64
}

func newMidtrans(address string) *midtrans {
	m := &midtrans{
		url: "http://" + address + loadkit.Path, clients: [2]*http.Client{newClient(false), newClient(true)},
		orders: map[string]bool{}, mayBeVoid: map[string]bool{}, statuses: map[int]int64{},
	}
	return m
}

// send sends perSecond new events a second until ctx ends. Each then lives until it is
// acknowledged.
func (m *midtrans) send(ctx context.Context, perSecond int) {
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.lives.Go(func() { m.live(mix[i%len(mix)], m.clients[i/len(mix)%2]) })
		}
	}
}

// wait waits for all events to be acknowledged, and leaves no connection.
func (m *midtrans) wait() {
	m.lives.Wait()
	for _, c := range m.clients {
		c.CloseIdleConnections()
	}
}

// live is the life of one event.
func (m *midtrans) live(kind string, client *http.Client) {
	order := fmt.Sprintf("%s-%d", kind, m.next.Add(1))
	sample := func(name string) *midhook.Notification {
		return midhooktest.Sample(name, midhooktest.Order(order), midhooktest.Transaction("tx-"+order))
	}
	paid := sample("gopay")
	body := midhooktest.Body(paid, serverKey)
	m.mu.Lock()
	m.orders[order+" "+string(paid.TransactionStatus)] = true
	m.mu.Unlock()

	var beside sync.WaitGroup
	defer beside.Wait()
	switch kind {
	case kindTwin:
		beside.Go(func() { m.deliver(kind, body, client) })
	case kindPair:
		pending := sample("pending")
		m.mu.Lock()
		m.mayBeVoid[order+" "+string(pending.TransactionStatus)] = true
		m.mu.Unlock()
		beside.Go(func() { m.deliver(kind, midhooktest.Body(pending, serverKey), client) })
	case kindHangUp:
		ctx, cancel := context.WithTimeout(context.Background(), hangUpAfter)
		defer cancel()
		_, _ = m.post(ctx, body, client)
	}
	if !m.deliver(kind, body, client) {
		return
	}
	for range duplicates {
		status, took := m.post(context.Background(), body, client)
		m.note(status, took)
		if status != http.StatusOK {
			m.problems.add("a duplicate of %s was answered %d", order, status)
		}
	}
}

// deliver sends one event until it is acknowledged.
func (m *midtrans) deliver(kind string, body []byte, client *http.Client) bool {
	deadline := time.Now().Add(acknowledged)
	for first := true; time.Now().Before(deadline); first = false {
		status, took := m.post(context.Background(), body, client)
		m.note(status, took)
		if kind == kindNew && first {
			m.quick.Add(took)
		}
		switch status {
		case http.StatusOK:
			return true
		case http.StatusServiceUnavailable:
			if kind == kindNew {
				m.problems.add("an event that takes no time was answered 503")
			}
		default:
			m.problems.add("a genuine %s event was answered %d", kind, status)
		}
		time.Sleep(retryAfter)
	}
	m.problems.add("a genuine %s event was never acknowledged", kind)
	return false
}

// note counts a delivery.
func (m *midtrans) note(status int, took time.Duration) {
	m.all.Add(took)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.deliveries++
	m.statuses[status]++
}

// post returns 0 for no answer.
func (m *midtrans) post(ctx context.Context, body []byte, client *http.Client) (status int, took time.Duration) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url, bytes.NewReader(body))
	fatal(err)
	req.Header.Set("Content-Type", "application/json")
	began := time.Now()
	res, err := client.Do(req)
	if err == nil {
		status, took = res.StatusCode, time.Since(began) // the end of the body may follow later over HTTP/2
		_, err = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
	if err != nil && ctx.Err() == nil {
		m.problems.add("a genuine notification: %v", err)
		return 0, time.Since(began)
	}
	return status, took
}

// problems are what is wrong, each once with how often.
type problems struct {
	mu    sync.Mutex
	count map[string]int
}

func (p *problems) add(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count == nil {
		p.count = map[string]int{}
	}
	p.count[fmt.Sprintf(format, args...)]++
}

func (p *problems) lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for text, n := range p.count {
		all = append(all, fmt.Sprintf("%s (%d times)", text, n))
	}
	return all
}
