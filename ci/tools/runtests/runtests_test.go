package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// played is what a report prints of a recorded go test -json.
func played(t *testing.T, opts options, stream string) (text string, ok bool) {
	t.Helper()
	var out bytes.Buffer
	r := newReport(&out)
	if strange := r.readEvents(strings.NewReader(stream)); strange != "" {
		t.Fatalf("not events: %s", strange)
	}
	ok = r.close(opts)
	return out.String(), ok
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// The closing line stands alone and has this very form, because CI looks for it.
func TestClosingLine(t *testing.T) {
	for _, test := range []struct {
		name, stream, want string
		ok                 bool
	}{
		{"all pass", `
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:7: no redis-server\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"pass","Package":"p","Elapsed":1}`, "1 passed, 0 failed, 1 skipped", true},
		{"one fails", `
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}`, "0 passed, 1 failed, 0 skipped", false},
		{"a package does not build", `
{"ImportPath":"p","Action":"build-output","Output":"p.go:1: undefined: x\n"}
{"Action":"fail","Package":"p","FailedBuild":"p"}`, "0 passed, 1 failed, 0 skipped", false},
		{"goroutines leak after the tests", `
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}`, "1 passed, 1 failed, 0 skipped", false},
		{"a process dies in two tests", `
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"fail","Package":"p"}`, "0 passed, 2 failed, 0 skipped", false},
		{"nothing ran", `
{"Action":"skip","Package":"p"}`, "0 passed, 1 failed, 0 skipped", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			text, ok := played(t, options{}, strings.TrimSpace(test.stream))
			if got := lastLine(text); got != test.want {
				t.Errorf("closing line %q, want %q in\n%s", got, test.want, text)
			}
			if ok != test.ok {
				t.Errorf("passed: %v, want %v", ok, test.ok)
			}
		})
	}
}

// A reader learns why a test was skipped, what a failed one printed, and how to
// run everything.
func TestWhatIsSaid(t *testing.T) {
	text, _ := played(t, options{}, strings.TrimSpace(`
{"Action":"run","Package":"github.com/midhook/midhook/opn","Test":"TestSkipped"}
{"Action":"output","Package":"github.com/midhook/midhook/opn","Test":"TestSkipped","Output":"=== RUN   TestSkipped\n"}
{"Action":"output","Package":"github.com/midhook/midhook/opn","Test":"TestSkipped","Output":"    b_test.go:7: -short: it starts a server\n"}
{"Action":"output","Package":"github.com/midhook/midhook/opn","Test":"TestSkipped","Output":"--- SKIP: TestSkipped (0.00s)\n"}
{"Action":"skip","Package":"github.com/midhook/midhook/opn","Test":"TestSkipped"}
{"Action":"run","Package":"github.com/midhook/midhook/opn","Test":"TestFails"}
{"Action":"output","Package":"github.com/midhook/midhook/opn","Test":"TestFails","Output":"    a_test.go:3: the amount differs\n"}
{"Action":"fail","Package":"github.com/midhook/midhook/opn","Test":"TestFails"}
{"ImportPath":"github.com/midhook/midhook/paymongo","Action":"build-output","Output":"p.go:1: undefined: x\n"}
{"Action":"fail","Package":"github.com/midhook/midhook/paymongo","FailedBuild":"github.com/midhook/midhook/paymongo"}
{"Action":"fail","Package":"github.com/midhook/midhook/opn"}`))
	for _, want := range []string{
		"Skipped, -short: it starts a server: opn TestSkipped.",
		"a_test.go:3: the amount differs",
		"p.go:1: undefined: x",
		"Failed: paymongo, opn.",
		".ci/run",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if strings.Contains(text, "b_test.go") {
		t.Errorf("what a skipped test printed is noise:\n%s", text)
	}
}

// Nobody waits before a silent terminal: what runs is named.
func TestSilenceIsBroken(t *testing.T) {
	var out bytes.Buffer
	r := newReport(&out)
	r.current = newResults()
	r.current.add(event{Action: "run", Package: "github.com/midhook/midhook/opn", Test: "TestSlow"})
	r.breakSilence(time.Hour)
	if out.Len() > 0 {
		t.Errorf("said too early: %s", out.String())
	}
	r.breakSilence(0)
	if !strings.Contains(out.String(), "running opn TestSlow") {
		t.Errorf("said %q", out.String())
	}
}

// A go command that fails without an event is a failure, with what it printed.
func TestGoItselfFails(t *testing.T) {
	var out bytes.Buffer
	r := newReport(&out)
	cmd := goCommand(".", "no-such-command")
	r.follow("module", cmd)
	if r.failed != 1 || !strings.Contains(out.String(), "no-such-command") {
		t.Errorf("%d failed:\n%s", r.failed, out.String())
	}
}

func TestFuzzTargets(t *testing.T) {
	got := fuzzTargets([]byte(`{"Action":"output","Package":"p","Output":"FuzzA\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.01s\n"}
{"Action":"output","Package":"q","Output":"FuzzB\n"}
`))
	if len(got) != 2 || got[0] != (fuzzTarget{"p", "FuzzA"}) || got[1] != (fuzzTarget{"q", "FuzzB"}) {
		t.Errorf("%v", got)
	}
}
