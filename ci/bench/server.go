package main

import (
	"bufio"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"runtime"
	"time"

	"golang.org/x/time/rate"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/ci/loadkit"
)

// serverVariable has the setup of a process that is to be the server.
const serverVariable = "MIDHOOK_BENCH_SERVER"

// setup is what a server is made of.
type setup struct {
	Handler    string        // empty, by hand, midhook, or the demo shop
	Store      string        // of midhook and the shop: see openStore
	At         string        // where the store's server is
	Space      string        // what keeps this server's events apart from others in the store
	Size       int           // of the store in memory; 0 for the default store
	Remembered int           // events that are in it from the beginning
	Rate       float64       // of WithHandlerRate; 0 for none
	RateBurst  int           // and its burst
	Budget     time.Duration // 0 for the default
}

// report is what the server's process says, a line each: its address, and then an
// answer to each question.
type report struct {
	Address    string        `json:",omitempty"`
	CPU        time.Duration `json:",omitempty"`
	Goroutines int           `json:",omitempty"`
	Heap       uint64        `json:",omitempty"` // bytes in use after a collection
	Runs       []run         `json:",omitempty"` // of the handler, where there is a rate
}

// The questions, a line each on the server's standard input.
const (
	askState = "state" // CPU and Goroutines
	askHeap  = "heap"
	askRuns  = "runs"
)

// serveIfAsked reports whether this process is the server's. It ends with its standard
// input.
func serveIfAsked() bool {
	text, asked := os.LookupEnv(serverVariable)
	if !asked {
		return false
	}
	var s setup
	fatal(json.Unmarshal([]byte(text), &s))
	var made runs
	mux := http.NewServeMux()
	mux.Handle("POST "+loadkit.Path, s.handler(&made))
	server := &http.Server{Handler: mux, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	fatal(err)
	go func() { fatal(server.Serve(l)) }()
	say := json.NewEncoder(os.Stdout)
	fatal(say.Encode(report{Address: l.Addr().String()}))
	for questions := bufio.NewScanner(os.Stdin); questions.Scan(); {
		switch questions.Text() {
		case askState:
			fatal(say.Encode(report{CPU: cpuTime(), Goroutines: runtime.NumGoroutine()}))
		case askHeap:
			runtime.GC() // leaves what was in pools, which the next one takes
			fatal(say.Encode(report{Heap: heap()}))
		case askRuns:
			fatal(say.Encode(report{Runs: made.all()}))
		}
	}
	return true
}

// handler is the one that is measured.
func (s setup) handler(made *runs) http.Handler {
	wrap, ok := handlers[s.Handler]
	if ok && s.Handler != "midhook" {
		return wrap(merchant)
	}
	var opts []midhook.Option
	next := http.Handler(merchant)
	if s.Budget > 0 {
		opts = append(opts, midhook.WithBudget(s.Budget))
	}
	if s.Rate > 0 {
		opts = append(opts, midhook.WithHandlerRate(rate.Limit(s.Rate), s.RateBurst))
		next = made.record(next)
	}
	if s.Handler == "shop" {
		shop := openShop(s)
		return newHook(append(opts, midhook.WithStore(shop.store))...).HandlerFunc(shop.notified)
	}
	return newHook(append(opts, midhook.WithStore(openStore(s)))...).Handler(next)
}
