package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/ci/loadkit"
)

const (
	// remembered is small, so that the store is full early and memory can be flat.
	remembered = 4096
	largeBody  = 1 << 20
	sendBuffer = 8 << 10
)

// report is what the server's process says on its standard output, a line each.
type report struct {
	Address string       `json:",omitempty"` // where it listens
	Handled string       `json:",omitempty"` // an event whose handler has succeeded
	Overlap string       `json:",omitempty"` // an event that was handled twice at once
	State   *serverState `json:",omitempty"` // whenever a line comes from standard input
}

type serverState struct {
	Heap       uint64 // bytes in use after a collection
	Goroutines int
	InFlight   int
	LogLines   int64
	Outcomes   map[string]loadkit.Summary // of events, by their durations
	Delay      loadkit.Summary
}

// shop is the server with its merchant's handler.
type shop struct {
	budget   time.Duration
	hook     *midhook.Middleware
	delays   loadkit.Latencies
	outcomes sync.Map // of midhook.Outcome to *loadkit.Latencies
	logLines atomic.Int64

	mu      sync.Mutex
	out     *json.Encoder
	running map[string]bool
	failed  map[string]bool // those that are to fail once, and have
}

// serve is the server's process. It ends with its standard input.
func serve(budget time.Duration) {
	s := &shop{budget: budget, out: json.NewEncoder(os.Stdout), running: map[string]bool{}, failed: map[string]bool{}}
	var err error
	s.hook, err = midhook.New(serverKey,
		midhook.WithBudget(budget),
		midhook.WithStore(midhook.NewLRUStore(remembered)),
		midhook.WithObserver(s.observe),
		midhook.WithLogger(slog.New(slog.NewJSONHandler((*lineCounter)(&s.logLines), nil))))
	fatal(err)
	mux := http.NewServeMux()
	mux.Handle("POST "+loadkit.Path, s.hook.Handler(http.HandlerFunc(s.notified)))
	mux.HandleFunc("GET "+emptyPath, func(http.ResponseWriter, *http.Request) {})
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler:           mux,
		Protocols:         protocols,
		ReadHeaderTimeout: budget,
		ReadTimeout:       2 * budget,
		WriteTimeout:      3 * budget,
		IdleTimeout:       time.Minute,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	l, err := listener.Listen(context.Background(), "tcp", "127.0.0.1:0")
	fatal(err)
	go func() { fatal(server.Serve(l)) }()
	go measureDelay(context.Background(), &s.delays)
	s.say(report{Address: l.Addr().String()})
	for asked := bufio.NewScanner(os.Stdin); asked.Scan(); {
		s.say(report{State: s.state()})
	}
}

// listener gives every connection a small buffer for what is sent. The system's own
// holds 12,000 answers that nobody reads, and a connection blocks after them; this one
// holds less than mostUnread.
var listener = net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
	controlled := c.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, sendBuffer)
	})
	return errors.Join(controlled, err)
}}

func (s *shop) say(r report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fatal(s.out.Encode(r))
}

func (s *shop) observe(_ context.Context, e midhook.Event) {
	l, ok := s.outcomes.Load(e.Outcome)
	if !ok {
		l, _ = s.outcomes.LoadOrStore(e.Outcome, new(loadkit.Latencies))
	}
	l.(*loadkit.Latencies).Add(e.Duration)
}

func (s *shop) state() *serverState {
	runtime.GC()
	runtime.GC() // the first leaves what was in pools
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	st := &serverState{
		Heap:       memory.HeapAlloc,
		Goroutines: runtime.NumGoroutine(),
		InFlight:   s.hook.InFlight(),
		LogLines:   s.logLines.Load(),
		Outcomes:   map[string]loadkit.Summary{},
		Delay:      s.delays.Summary(),
	}
	s.outcomes.Range(func(outcome, l any) bool {
		st.Outcomes[fmt.Sprint(outcome)] = l.(*loadkit.Latencies).Summary()
		return true
	})
	return st
}

// notified is the merchant's handler. What it does depends on the order's name.
func (s *shop) notified(w http.ResponseWriter, r *http.Request) {
	n, _ := midhook.FromContext(r.Context())
	event := n.OrderID + " " + string(n.TransactionStatus)
	s.begin(event)
	err := s.fulfil(r.Context(), w, n.OrderID)
	s.end(event, err)
	if err != nil {
		http.Error(w, "failed", http.StatusInternalServerError)
	}
}

func (s *shop) begin(event string) {
	s.mu.Lock()
	overlap := s.running[event]
	s.running[event] = true
	s.mu.Unlock()
	if overlap {
		s.say(report{Overlap: event})
	}
}

func (s *shop) end(event string, err error) {
	s.mu.Lock()
	delete(s.running, event)
	s.mu.Unlock()
	if err == nil {
		s.say(report{Handled: event})
	}
}

func (s *shop) fulfil(ctx context.Context, w http.ResponseWriter, order string) error {
	kind, _, _ := strings.Cut(order, "-")
	h := fnv.New32a()
	_, _ = h.Write([]byte(order))
	varied := time.Duration(h.Sum32()%1000) * time.Millisecond
	switch kind {
	case kindBrief, kindPair:
		return pause(ctx, varied/5)
	case kindHangUp:
		return pause(ctx, 3*hangUpAfter)
	case kindSlow, kindUnread:
		return pause(ctx, s.budget+time.Second+2*varied)
	case kindFail:
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.failed[order] {
			s.failed[order] = true
			return errors.New("the first attempt fails")
		}
		delete(s.failed, order)
	case kindLarge:
		_, err := w.Write(make([]byte, largeBody))
		return err
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// lineCounter is a log that is only counted. A line is one Write.
type lineCounter atomic.Int64

func (c *lineCounter) Write(p []byte) (int, error) {
	(*atomic.Int64)(c).Add(1)
	return len(p), nil
}
