package main

import (
	"encoding/json"
	"strings"
)

// event is a line of go test -json, as go doc test2json describes it.
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build output
	Test        string
	Output      string
	Elapsed     float64
	FailedBuild string
}

func parseEvent(line []byte) (event, bool) {
	var e event
	err := json.Unmarshal(line, &e)
	return e, err == nil && e.Action != ""
}

// packageResult is what one package's tests came to.
type packageResult struct {
	name                    string
	passed, failed, skipped int
	state                   string // pass, fail, skip
	elapsed                 float64
	cached                  bool
	running                 map[string]bool
	output                  map[string][]string // by test; the package's own under ""
	failures                []string            // in the order in which they ended
	skips                   []skip
	buildOutput             []string
}

// skip is a test that did not run, and why.
type skip struct{ test, reason string }

// results folds the events of one go test into a result for each package.
type results struct {
	packages map[string]*packageResult
	builds   map[string][]string
}

func newResults() *results {
	return &results{packages: map[string]*packageResult{}, builds: map[string][]string{}}
}

// add takes the next event; ended is the package that it ends, if it ends one.
func (r *results) add(e event) (ended *packageResult) {
	if e.Action == "build-output" {
		r.builds[e.ImportPath] = append(r.builds[e.ImportPath], e.Output)
		return nil
	}
	if e.Package == "" {
		return nil
	}
	p := r.packages[e.Package]
	if p == nil {
		p = &packageResult{name: e.Package, running: map[string]bool{}, output: map[string][]string{}}
		r.packages[e.Package] = p
	}
	switch e.Action {
	case "run":
		p.running[e.Test] = true
	case "output":
		p.output[e.Test] = append(p.output[e.Test], e.Output)
		if e.Test == "" && strings.HasPrefix(e.Output, "ok ") && strings.Contains(e.Output, "(cached)") {
			p.cached = true
		}
	case "pass", "fail", "skip":
		if e.Test != "" {
			p.endTest(e)
			return nil
		}
		return r.endPackage(p, e)
	}
	return nil
}

func (p *packageResult) endTest(e event) {
	delete(p.running, e.Test)
	switch e.Action {
	case "pass":
		p.passed++
		delete(p.output, e.Test)
	case "fail":
		p.failed++
		p.failures = append(p.failures, e.Test)
	case "skip":
		p.skipped++
		p.skips = append(p.skips, skip{e.Test, skipReason(p.output[e.Test])})
	}
}

func (r *results) endPackage(p *packageResult, e event) *packageResult {
	p.state, p.elapsed = e.Action, e.Elapsed
	if e.Action != "fail" {
		return p
	}
	p.buildOutput = r.builds[e.FailedBuild]
	// A test that was running when its process died has no end of its own.
	for test := range p.running {
		p.failed++
		p.failures = append(p.failures, test)
	}
	if p.failed == 0 {
		p.failed = 1 // the package: its build, a panic or a leak after its tests
	}
	return p
}

// skipReason is what t.Skip said: the last line that is not the runner's own,
// without the file and line in front.
func skipReason(output []string) string {
	reason := "no reason given"
	for _, line := range output {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "=== ") || strings.HasPrefix(line, "--- ") {
			continue
		}
		reason = line
		if file, text, ok := strings.Cut(line, ": "); ok && strings.Contains(file, ".go:") {
			reason = text
		}
	}
	return reason
}

// shortPackage is an import path without what all of them begin with.
func shortPackage(path string) string {
	const root = "github.com/midhook/midhook"
	if path == root {
		return "midhook"
	}
	return strings.TrimPrefix(path, root+"/")
}
