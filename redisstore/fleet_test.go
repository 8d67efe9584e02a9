package redisstore_test

import (
	"bufio"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shop counts the handlers' runs and effects, outside of every process that can
// be killed.
type shop struct {
	// decide says how a run ends. It is called with no lock held, may take its
	// time, and may kill the worker. Nil: every run succeeds.
	decide func(run) verdict

	mu       sync.Mutex
	runs     map[string]int   // by event
	effects  map[string][]int // by event: the processes that had the effect, in order
	running  map[string]int
	overlaps int // runs that began while another of the same event ran
}

type run struct {
	event  string
	number int // of the event: 1 for the first
	pid    int
}

type verdict struct {
	fail  bool   // no effect, and an error
	after func() // after the effect, before the handler learns of it
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	pid, _ := strconv.Atoi(r.FormValue("pid"))
	this := run{event: r.FormValue("event"), pid: pid}

	s.mu.Lock()
	s.runs[this.event]++
	this.number = s.runs[this.event]
	if s.running[this.event] > 0 {
		s.overlaps++
	}
	s.running[this.event]++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.running[this.event]--
		s.mu.Unlock()
	}()

	var v verdict
	if s.decide != nil {
		v = s.decide(this)
	}
	if v.fail {
		http.Error(w, "out of order", http.StatusInternalServerError)
		return
	}
	s.mu.Lock()
	s.effects[this.event] = append(s.effects[this.event], pid)
	s.mu.Unlock()
	if v.after != nil {
		v.after()
	}
}

func (s *shop) count(event string) (runs int, effects []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs[event], s.effects[event]
}

// fleet is several processes of a merchant's server, and the load balancer before
// them.
type fleet struct {
	t      testing.TB
	config workerConfig
	shop   *shop
	all    sync.WaitGroup

	mu      sync.Mutex
	workers []*worker // those that live
	ended   bool
	killed  map[int]bool
	reports []report
}

type worker struct {
	cmd   *exec.Cmd
	stdin io.Closer
	url   *url.URL
	done  chan struct{} // closed when the process is gone
}

func (w *worker) pid() int { return w.cmd.Process.Pid }

func (w *worker) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	require.NoError(t, w.cmd.Process.Signal(s))
}

// startFleet starts processes that share a Redis. A lease lasts budget and grace
// and 2 s.
func startFleet(t testing.TB, processes int, budget, grace time.Duration, redis ...string) *fleet {
	t.Helper()
	return startFleetWith(t, processes, workerConfig{Redis: redis, Budget: budget, Grace: grace})
}

func startFleetWith(t testing.TB, processes int, config workerConfig) *fleet {
	t.Helper()
	s := &shop{runs: map[string]int{}, effects: map[string][]int{}, running: map[string]int{}}
	counter := httptest.NewServer(s)
	config.Shop = counter.URL
	f := &fleet{t: t, shop: s, killed: map[int]bool{}, config: config}
	t.Cleanup(func() {
		f.mu.Lock()
		f.ended = true
		living := f.workers
		f.mu.Unlock()
		for _, w := range living {
			_ = w.cmd.Process.Signal(syscall.SIGCONT)
			w.stdin.Close()
		}
		f.all.Wait()
		counter.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	for range processes {
		f.start()
	}
	require.Len(t, f.workers, processes)
	return f
}

func (f *fleet) start() {
	config, err := json.Marshal(f.config)
	if !assert.NoError(f.t, err) {
		return
	}
	w := &worker{cmd: exec.Command(os.Args[0], "-test.run=^$"), done: make(chan struct{})}
	w.cmd.Env = append(os.Environ(), workerVariable+"="+string(config))
	w.cmd.Stderr = os.Stderr
	stdout, err := w.cmd.StdoutPipe()
	if !assert.NoError(f.t, err) {
		return
	}
	if w.stdin, err = w.cmd.StdinPipe(); !assert.NoError(f.t, err) {
		return
	}
	if !assert.NoError(f.t, w.cmd.Start()) {
		return
	}
	lines := bufio.NewScanner(stdout)
	var hello report
	if lines.Scan() {
		_ = json.Unmarshal(lines.Bytes(), &hello)
	}
	w.url = &url.URL{Scheme: "http", Host: hello.Addr}
	f.all.Go(func() {
		defer close(w.done)
		for lines.Scan() {
			var r report
			if json.Unmarshal(lines.Bytes(), &r) == nil { // the last line of one that was killed may be a half
				f.mu.Lock()
				f.reports = append(f.reports, r)
				f.mu.Unlock()
			}
		}
		_ = w.cmd.Wait()
	})
	if !assert.NotEmpty(f.t, hello.Addr, "the worker does not start") {
		return
	}
	f.mu.Lock()
	f.workers = append(f.workers, w)
	ended := f.ended
	f.mu.Unlock()
	if ended {
		w.stdin.Close()
	}
}

// kill ends a process as a power failure would, and has another one started.
func (f *fleet) kill(pid int) {
	f.mu.Lock()
	var victim *worker
	for i, w := range f.workers {
		if w.pid() == pid {
			victim = w
			f.workers = append(f.workers[:i:i], f.workers[i+1:]...)
			break
		}
	}
	f.killed[pid] = true
	f.mu.Unlock()
	if victim == nil {
		return // by another
	}
	_ = victim.cmd.Process.Signal(syscall.SIGKILL)
	<-victim.done
	f.all.Go(f.start)
}

// ServeHTTP is the load balancer: any process that lives.
func (f *fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	if len(f.workers) == 0 {
		f.mu.Unlock()
		http.Error(w, "no server", http.StatusBadGateway)
		return
	}
	to := f.workers[rand.IntN(len(f.workers))]
	f.mu.Unlock()
	to.proxy().ServeHTTP(w, r)
}

// proxy is a load balancer for this process alone.
func (w *worker) proxy() http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(w.url) },
		ErrorHandler: func(rw http.ResponseWriter, _ *http.Request, _ error) {
			rw.WriteHeader(http.StatusBadGateway)
		},
	}
}

// reported are the reports of an event.
func (f *fleet) reported(event string) (of []report) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.reports {
		if r.Event == event {
			of = append(of, r)
		}
	}
	return of
}
