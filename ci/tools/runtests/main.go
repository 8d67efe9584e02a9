// Command runtests runs the tests of every module of the repository, with one
// line for each package and a closing line that adds them up. ci/test.sh calls
// it, from the repository's root.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// options say what is run; the zero value is the short command of the README.
type options struct {
	whole    bool
	race     bool
	fuzzTime time.Duration
	modules  []string
	goFlags  []string
}

func main() {
	opts, err := parseFlags(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "runtests:", err)
		os.Exit(2)
	}
	if !run(opts) {
		os.Exit(1)
	}
}

func parseFlags(args []string) (options, error) {
	var opts options
	var modules string
	flags := flag.NewFlagSet("ci/test.sh", flag.ExitOnError)
	flags.BoolVar(&opts.whole, "whole", false, "run the tests that -short leaves out, too: database servers, processes")
	flags.BoolVar(&opts.race, "race", false, "run with the race detector")
	flags.DurationVar(&opts.fuzzTime, "fuzz", 0, "then fuzz each target for this `time`: 5s")
	flags.StringVar(&modules, "modules", "", "only these `directories`, separated by commas: .,redisstore")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: ci/test.sh [flags] [flags of go test]\n\nRuns the tests of every module, the quick ones by default.")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return opts, err
	}
	all, err := findModules(".")
	if err != nil {
		return opts, err
	}
	opts.modules = all
	if modules != "" {
		opts.modules = nil
		for module := range strings.SplitSeq(modules, ",") {
			module = filepath.Clean(module)
			if !slices.Contains(all, module) {
				return opts, fmt.Errorf("no module in %q; there are %s", module, strings.Join(all, ", "))
			}
			opts.modules = append(opts.modules, module)
		}
	}
	opts.goFlags = flags.Args()
	return opts, nil
}

// findModules lists the directories with a go.mod below root, as ci/modules.sh
// prints them.
func findModules(root string) ([]string, error) {
	cmd := exec.Command(filepath.Join(root, "ci", "modules.sh"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("ci/modules.sh: %w", err)
	}
	var modules []string
	for line := range strings.Lines(string(out)) {
		modules = append(modules, filepath.Clean(strings.TrimSpace(line)))
	}
	return modules, nil
}

// run tests module after module and reports whether all of them passed.
func run(opts options) bool {
	// An interrupt reaches go test as well; what it has reported is still added up.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	report := newReport(os.Stdout)
	stop := report.keepTalking(10 * time.Second)
	defer stop()
	for i, module := range opts.modules {
		report.printf("module %d of %d: %s", i+1, len(opts.modules), moduleName(module))
		testModule(report, module, opts)
	}
	if opts.fuzzTime > 0 {
		for _, module := range opts.modules {
			fuzzModule(report, module, opts)
		}
	}
	stop()
	return report.close(opts)
}

func moduleName(dir string) string {
	if dir == "." {
		return "midhook (the root)"
	}
	return dir
}

func testModule(report *report, module string, opts options) {
	args := []string{"test", "-json"}
	if opts.whole {
		// A result from an earlier run proves nothing about this one.
		args = append(args, "-count=1")
	} else {
		args = append(args, "-short")
	}
	if opts.race {
		args = append(args, "-race")
	}
	args = append(args, opts.goFlags...)
	report.follow(module, goCommand(module, append(args, "./...")...))
}

func goCommand(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	return cmd
}
