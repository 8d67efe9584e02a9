// Mutate changes one operator or statement of some files after the other, and runs
// their package's tests: they must fail for each. It prints the mutants that survive.
//
// All mutants of a package are compiled at once, into one test binary, and an
// environment variable chooses which of them lives: thousands of compilations less than
// one for each mutant. The operators are those of operators.go.
//
// Tests that take long are named by -slow: they meet only what survives the others.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"
)

const living = "MIDHOOK_MUTANT" // the environment variable with the number of the mutant that lives

func main() {
	log.SetFlags(0)
	pkg := flag.String("package", "../..", "directory of the package")
	var suites []suite
	flag.Func("tests", "directory of the tests, where another module has some: given several times, those of the first run first (default the package's)", func(dir string) error {
		dir, err := filepath.Abs(dir)
		suites = append(suites, suite{dir: dir})
		return err
	})
	run := flag.String("run", ".", "tests to run, as for go test")
	slow := flag.String("slow", "", "those of them to run last, against what survives the others")
	short := flag.Bool("short", true, "run the tests with -short")
	extra := flag.String("extra", "", "a further flag of the test binary, such as -rapid.checks=20")
	limit := flag.Duration("timeout", 2*time.Minute, "time for the tests of one mutant; a mutant that needs more is dead")
	at := flag.Int("p", 2, "mutants to try at once")
	only := flag.String("only", "", "try only mutants that match this `regexp`, such as claims.go:12[0-9]: for a look at what has survived")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: mutate [flags] file.go ...   files of the package")
		flag.PrintDefaults()
	}
	flag.Parse()
	chosen, err := regexp.Compile(*only)
	check(err)
	dir, err := filepath.Abs(*pkg)
	check(err)
	tmp, err := os.MkdirTemp("", "mutate")
	check(err)
	if suites == nil {
		suites = []suite{{dir: dir}}
	}
	for i := range suites {
		suites[i].binary = filepath.Join(tmp, "tests"+strconv.Itoa(i))
	}
	mutants := build(dir, tmp, suites, flag.Args())
	args := []string{"-test.failfast", "-test.run", *run, "-test.timeout", limit.String()}
	if *short {
		args = append(args, "-test.short")
	}
	if *extra != "" {
		args = append(args, *extra)
	}
	pass := func(m mutant, args ...string) bool {
		return !slices.ContainsFunc(suites, func(s suite) bool { return !s.pass(m, *limit, args) })
	}
	test := func(m mutant) bool {
		if *slow == "" {
			return pass(m, args...)
		}
		return pass(m, append(slices.Clip(args), "-test.skip", *slow)...) && pass(m, append(slices.Clip(args), "-test.run", *slow)...)
	}
	if !test(mutant{}) {
		log.Fatal("the tests fail without any mutant, or need longer than -timeout")
	}
	mutants = slices.DeleteFunc(mutants, func(m mutant) bool { return !chosen.MatchString(m.String()) })
	survivors := try(mutants, *at, test)
	_ = os.RemoveAll(tmp)
	for _, m := range survivors {
		fmt.Println("survived:", m)
	}
	fmt.Printf("%d of %d mutants survived\n", len(survivors), len(mutants))
	if len(survivors) > 0 {
		os.Exit(1)
	}
}

// suite is the tests of a directory, compiled with all mutants.
type suite struct{ dir, binary string }

// pass reports whether the tests pass with a mutant, or with none if its number is 0.
func (s suite) pass(m mutant, limit time.Duration, args []string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), limit+10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.binary, args...)
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), living+"="+strconv.Itoa(m.number))
	output, err := cmd.CombinedOutput()
	if ctx.Err() != nil || bytes.Contains(output, []byte("panic: test timed out")) {
		log.Print("timed out: ", m) // an endless loop, or a machine that is busy: look
	}
	return err == nil
}

// try runs the tests against each mutant, and returns those that live on.
func try(mutants []mutant, at int, test func(mutant) bool) (survivors []mutant) {
	var all sync.WaitGroup
	survived := make([]bool, len(mutants))
	slots := make(chan struct{}, at)
	for i := range mutants {
		slots <- struct{}{}
		if i%20 == 0 {
			log.Printf("%d of %d begun", i, len(mutants))
		}
		all.Go(func() {
			defer func() { <-slots }()
			if survived[i] = test(mutants[i]); survived[i] {
				log.Print("lives: ", mutants[i])
			}
		})
	}
	all.Wait()
	for i, m := range mutants {
		if survived[i] {
			survivors = append(survivors, m)
		}
	}
	return survivors
}

// build compiles the tests of the suites with all mutants of files of the package in dir.
func build(dir, tmp string, suites []suite, files []string) []mutant {
	replace := map[string]string{}
	write := func(name string, content []byte) {
		path := filepath.Join(tmp, name)
		check(os.WriteFile(path, content, 0o600))
		replace[filepath.Join(dir, name)] = path
	}
	var all []mutant
	var name string
	for _, file := range files {
		source, err := os.ReadFile(filepath.Join(dir, file))
		check(err)
		content, pkg, mutants, err := mutate(file, source, len(all)+1)
		check(err)
		write(file, content)
		all, name = append(all, mutants...), pkg
	}
	write("zz_mutant.go", fmt.Appendf(nil, helper, name, living))
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	check(err)
	check(os.WriteFile(filepath.Join(tmp, "overlay.json"), overlay, 0o600))
	for _, s := range suites {
		cmd := exec.Command("go", "test", "-c", "-vet=off", "-overlay", filepath.Join(tmp, "overlay.json"), "-o", s.binary, ".")
		cmd.Dir, cmd.Stderr = s.dir, os.Stderr
		check(cmd.Run())
	}
	return all
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
