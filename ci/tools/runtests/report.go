package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

// report prints what happens while it happens, and adds it up.
type report struct {
	mu                      sync.Mutex
	out                     io.Writer
	start, lastLine         time.Time
	current                 *results // of the go test that runs
	passed, failed, skipped int
	failedPackages          []string
	skips                   map[string][]string // tests by reason
}

func newReport(out io.Writer) *report {
	now := time.Now()
	return &report{out: out, start: now, lastLine: now, skips: map[string][]string{}}
}

func (r *report) printf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.print(format, args...)
}

func (r *report) print(format string, args ...any) {
	fmt.Fprintf(r.out, format+"\n", args...)
	r.lastLine = time.Now()
}

// keepTalking says what is still running whenever nothing was printed for so
// long, until stop is called.
func (r *report) keepTalking(silence time.Duration) (stop func()) {
	done := make(chan struct{})
	var once sync.Once
	go func() {
		tick := time.NewTicker(silence / 10)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				r.breakSilence(silence)
			}
		}
	}()
	return func() { once.Do(func() { close(done) }) }
}

func (r *report) breakSilence(silence time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.lastLine) < silence {
		return
	}
	doing := "building"
	if r.current != nil {
		if running := r.current.running(); len(running) > 0 {
			doing = "running " + strings.Join(running, ", ")
		}
	}
	r.print("      %s after %s", doing, time.Since(r.start).Round(time.Second))
}

// running names the packages whose tests run, each with one of its tests.
func (r *results) running() []string {
	var running []string
	for _, p := range r.packages {
		if p.state != "" || len(p.running) == 0 {
			continue
		}
		tests := make([]string, 0, len(p.running))
		for test := range p.running {
			tests = append(tests, test)
		}
		running = append(running, shortPackage(p.name)+" "+slices.Max(tests))
	}
	slices.Sort(running)
	return running
}

// follow runs go test -json and reports each package as it ends.
func (r *report) follow(module string, cmd *exec.Cmd) {
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		r.fail(module, err.Error(), "")
		return
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		r.fail(module, err.Error(), "")
		return
	}
	before := r.failed
	strange := r.readEvents(stdout)
	err = cmd.Wait()
	if err != nil && r.failed == before { // go itself failed: there was nothing to test
		r.fail(module, strings.Join(cmd.Args, " "), strange+stderr.String())
	}
}

// replay reports what go test -json has printed.
func (r *report) replay(module string, args []string, out []byte, err error) {
	before := r.failed
	strange := r.readEvents(bytes.NewReader(out))
	if err != nil && r.failed == before {
		r.fail(module, strings.Join(args, " "), strange)
	}
}

// readEvents folds the stream into results; what is not an event is returned.
func (r *report) readEvents(stream io.Reader) (strange string) {
	results := newResults()
	r.setCurrent(results)
	defer r.setCurrent(nil)
	var rest strings.Builder
	lines := bufio.NewReader(stream)
	for {
		line, err := lines.ReadBytes('\n')
		if e, ok := parseEvent(line); ok {
			r.mu.Lock()
			if ended := results.add(e); ended != nil {
				r.endPackage(ended)
			}
			r.mu.Unlock()
		} else {
			rest.Write(line)
		}
		if err != nil {
			return rest.String()
		}
	}
}

func (r *report) setCurrent(current *results) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current = current
}

func (r *report) endPackage(p *packageResult) {
	name := shortPackage(p.name)
	r.passed += p.passed
	r.failed += p.failed
	r.skipped += p.skipped
	for _, s := range p.skips {
		r.skips[s.reason] = append(r.skips[s.reason], name+" "+s.test)
	}
	switch {
	case p.state == "skip", p.state == "pass" && p.passed+p.skipped == 0:
		r.print("none  %-28s no tests", name)
		return
	case p.state == "pass":
		took := fmt.Sprintf("%.1f s", p.elapsed)
		if p.cached {
			took = "cached"
		}
		r.print("ok    %-28s %8s  %s", name, took, counts(p.passed, p.failed, p.skipped))
		return
	}
	r.failedPackages = append(r.failedPackages, name)
	r.print("FAIL  %-28s %6.1f s  %s", name, p.elapsed, counts(p.passed, p.failed, p.skipped))
	fmt.Fprint(r.out, strings.Join(p.buildOutput, ""))
	for _, test := range p.failures {
		fmt.Fprint(r.out, strings.Join(p.output[test], ""))
	}
	fmt.Fprint(r.out, strings.Join(p.output[""], ""))
}

// fail counts one failure that belongs to no test.
func (r *report) fail(module, what, output string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed++
	r.failedPackages = append(r.failedPackages, module)
	r.print("FAIL  %s: %s\n%s", module, what, output)
}

// close prints the sums and reports whether nothing failed.
func (r *report) close(opts options) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.print("\n%d modules in %s.", len(opts.modules), time.Since(r.start).Round(time.Second))
	for _, reason := range slices.Sorted(maps.Keys(r.skips)) {
		tests := r.skips[reason]
		shown := tests[:min(len(tests), 4)]
		more := ""
		if n := len(tests) - len(shown); n > 0 {
			more = fmt.Sprintf(" and %d more", n)
		}
		r.print("Skipped, %s: %s%s.", strings.TrimSuffix(reason, "."), strings.Join(shown, ", "), more)
	}
	if !opts.whole {
		r.print("Not run here: fuzzing, the race detector, database servers. `.ci/run` runs everything.")
	}
	if r.passed+r.failed == 0 {
		r.print("No test ran: that is a failure.")
		r.failed++
	}
	if len(r.failedPackages) > 0 {
		r.print("Failed: %s.", strings.Join(r.failedPackages, ", "))
	}
	r.print("%s", counts(r.passed, r.failed, r.skipped))
	return r.failed == 0
}

func counts(passed, failed, skipped int) string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", passed, failed, skipped)
}
