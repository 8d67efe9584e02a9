package main

import (
	"bytes"
	"os"
	"strings"
)

// fuzzModule fuzzes each target of a module for a while, one after the other,
// because go test fuzzes one target at a time.
func fuzzModule(report *report, module string, opts options) {
	list := goCommand(module, "test", "-json", "-list", "^Fuzz", "./...")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		report.fail(module, "go test -list ^Fuzz", string(out))
		return
	}
	for _, target := range fuzzTargets(out) {
		report.printf("fuzzing %s of %s for %s", target.name, shortPackage(target.pkg), opts.fuzzTime)
		for try := 1; ; try++ {
			cmd := goCommand(module, "test", "-json", "-run", "^$", "-fuzz", "^"+target.name+"$",
				"-fuzztime", opts.fuzzTime.String(), "-fuzzminimizetime", "1s", target.pkg)
			out, err := cmd.CombinedOutput()
			if err == nil || try == 3 || !foundNothing(out) {
				report.replay(module, cmd.Args, out, err)
				break
			}
		}
	}
}

// foundNothing reports whether go test failed only because the time was up while it
// tried an input, which it does at times.
func foundNothing(out []byte) bool {
	return bytes.Contains(out, []byte("context deadline exceeded")) && !bytes.Contains(out, []byte("Failing input written to"))
}

type fuzzTarget struct{ pkg, name string }

func fuzzTargets(stream []byte) []fuzzTarget {
	var targets []fuzzTarget
	for line := range strings.Lines(string(stream)) {
		e, ok := parseEvent([]byte(line))
		if !ok || e.Action != "output" {
			continue
		}
		if name := strings.TrimSpace(e.Output); strings.HasPrefix(name, "Fuzz") {
			targets = append(targets, fuzzTarget{e.Package, name})
		}
	}
	return targets
}
