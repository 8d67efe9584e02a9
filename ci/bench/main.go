// Command bench compares midhook with a hand-written receiver, with the least that any
// receiver must do, and with an empty handler, in one run, and prints one table.
//
// Each figure comes from pairs: one side, then the other, in turn, so that a machine
// whose speed drifts slows both. A ratio is the median of the pairs' ratios.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/baseline"
	"github.com/midhook/midhook/midhooktest"
)

const key = "SB-Mid-server-test-key-0001"

func main() {
	pairs := flag.Int("pairs", 9, "how many pairs are measured")
	events := flag.Int("events", 20000, "deliveries in each measurement, each of a new event")
	seconds := flag.Duration("loopback", 2*time.Second, "how long each loopback measurement lasts; 0 leaves them out")
	serve := flag.String("serve", "", "internal: serve this handler on a loopback port")
	flag.Parse()
	if *serve != "" {
		serveLoopback(*serve)
		return
	}
	fmt.Printf("%s, %d CPUs, %d pairs of %d deliveries\n", runtime.Version(), runtime.NumCPU(), *pairs, *events)
	inProcess(*pairs, *events)
	store(*pairs)
	if *seconds > 0 {
		loopback(*pairs, *seconds)
	}
}

// handlers are what is compared, by name.
var handlers = map[string]func(next http.Handler) http.Handler{
	"empty": func(next http.Handler) http.Handler { return next },
	"midhook": func(next http.Handler) http.Handler {
		hook, err := midhook.New(key, midhook.WithLogger(slog.New(slog.DiscardHandler)))
		if err != nil {
			panic(err)
		}
		return hook.Handler(next)
	},
	"by hand": func(next http.Handler) http.Handler { return baseline.ByHand(key, next) },
	"floor":   func(next http.Handler) http.Handler { return baseline.Floor(key, next) },
}

// merchant is a handler that does nothing, as fast as it can.
var merchant = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })

func bodies(n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = midhooktest.Body(midhooktest.Sample("gopay", midhooktest.Order("Order-"+strconv.Itoa(i)), midhooktest.Transaction("tx-"+strconv.Itoa(i))), key)
	}
	return all
}

// discardWriter costs nothing, and can what net/http's can.
type discardWriter struct{ header http.Header }

func (w *discardWriter) Header() http.Header              { return w.header }
func (w *discardWriter) Write(p []byte) (int, error)      { return len(p), nil }
func (w *discardWriter) WriteHeader(int)                  {}
func (w *discardWriter) Flush()                           {}
func (w *discardWriter) SetReadDeadline(time.Time) error  { return nil }
func (w *discardWriter) SetWriteDeadline(time.Time) error { return nil }

// cost is of one delivery.
type cost struct{ cpu, wall time.Duration }

// measure delivers all bodies once to a fresh handler. ring copies each body to another
// place of a large memory first, so that it is as cold as one that came from a socket.
func measure(name string, all [][]byte, ring []byte) cost {
	h := handlers[name](merchant)
	w := &discardWriter{http.Header{}}
	runtime.GC()
	began, cpu := time.Now(), cpuTime()
	at := 0
	for _, body := range all {
		if ring != nil {
			if at+len(body) > len(ring) {
				at = 0
			}
			copy(ring[at:], body)
			body = ring[at : at+len(body)]
			at += len(body)
		}
		clear(w.header)
		h.ServeHTTP(w, &http.Request{
			Method: http.MethodPost, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			URL: &url.URL{Path: "/"}, Header: http.Header{"Content-Type": {"application/json"}}, RemoteAddr: "127.0.0.1:1",
			ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
		})
	}
	n := time.Duration(len(all))
	return cost{(cpuTime() - cpu) / n, time.Since(began) / n}
}

// cpuTime is what this process has used of all cores, in its own and the system's code.
func cpuTime() time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		panic(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

func inProcess(pairs, events int) {
	all := bodies(events)
	for _, mode := range []struct {
		name  string
		procs int
		of    func(cost) time.Duration
		ring  []byte
	}{
		{"CPU, one P", 1, func(c cost) time.Duration { return c.cpu }, nil},
		{"CPU, one P, cold bodies", 1, func(c cost) time.Duration { return c.cpu }, make([]byte, 64<<20)},
		{"wall, all Ps", runtime.NumCPU(), func(c cost) time.Duration { return c.wall }, nil},
	} {
		before := runtime.GOMAXPROCS(mode.procs)
		names := []string{"midhook", "by hand", "floor", "empty"}
		figures := map[string][]time.Duration{}
		for range pairs {
			for _, name := range names {
				figures[name] = append(figures[name], mode.of(measure(name, all, mode.ring)))
			}
		}
		runtime.GOMAXPROCS(before)
		fmt.Printf("\na delivery in-process: %s\n  %-10s %10s %10s %16s\n", mode.name, "", "min", "median", "midhook against")
		for _, name := range names {
			ratio := ""
			if name != "midhook" && name != "empty" {
				ratio = fmt.Sprintf("%.2f", median(ratios(figures["midhook"], figures[name])))
			}
			fmt.Printf("  %-10s %10v %10v %16s\n", name, slices.Min(figures[name]), median(figures[name]), ratio)
		}
	}
	allocations(all)
}

// allocations are counted apart from the harness', which the empty handler shows.
func allocations(all [][]byte) {
	count := func(name string) (n, bytes, collections float64) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		measure(name, all, nil)
		runtime.ReadMemStats(&after)
		return float64(after.Mallocs-before.Mallocs) / float64(len(all)), float64(after.TotalAlloc-before.TotalAlloc) / float64(len(all)), float64(after.NumGC - before.NumGC - 1) // one was asked for
	}
	emptyN, emptyB, _ := count("empty")
	fmt.Printf("\nallocations of a delivery, the harness apart\n")
	for _, name := range []string{"midhook", "by hand", "floor"} {
		n, b, collections := count(name)
		fmt.Printf("  %-10s %6.1f, %6.0f bytes; %.0f collections in %d deliveries\n", name, n-emptyN, b-emptyB, collections, len(all))
	}
}

func ratios(a, b []time.Duration) []float64 {
	r := make([]float64, len(a))
	for i := range a {
		r[i] = float64(a[i]) / float64(b[i])
	}
	return r
}

func median[T time.Duration | float64](all []T) T {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
