package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"time"
)

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
func measure(name string, next http.Handler, all [][]byte, ring []byte) cost {
	h := handlers[name](next)
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

func inProcess(pairs, events int) {
	all := bodies(events)
	cpu := func(c cost) time.Duration { return c.cpu }
	for _, mode := range []struct {
		name  string
		procs int
		of    func(cost) time.Duration
		next  http.Handler
		ring  []byte
	}{
		{"CPU, one P", 1, cpu, merchant, nil},
		{"CPU, one P, cold bodies", 1, cpu, merchant, make([]byte, 64<<20)},
		{"CPU, one P, a handler with a context of its own", 1, cpu, merchantWithContext, nil},
		{"wall, all Ps", runtime.NumCPU(), func(c cost) time.Duration { return c.wall }, merchant, nil},
	} {
		before := runtime.GOMAXPROCS(mode.procs)
		names := []string{"midhook", "by hand", "floor", "empty"}
		figures := map[string][]time.Duration{}
		for range pairs {
			for _, name := range names {
				figures[name] = append(figures[name], mode.of(measure(name, mode.next, all, mode.ring)))
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
		measure(name, merchant, all, nil)
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
