package main

import (
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
		cmd := goCommand(module, "test", "-json", "-run", "^$", "-fuzz", "^"+target.name+"$",
			"-fuzztime", opts.fuzzTime.String(), "-fuzzminimizetime", "1s", target.pkg)
		report.follow(module, cmd)
	}
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
