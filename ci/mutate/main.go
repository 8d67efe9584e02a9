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
	"slices"
	"strconv"
	"sync"
	"time"
)

const chosen = "MIDHOOK_MUTANT" // the environment variable with the number of the mutant that lives

func main() {
	log.SetFlags(0)
	pkg := flag.String("package", "../..", "directory of the package")
	tests := flag.String("tests", "", "directory of the tests, where another module has them (default the package's)")
	run := flag.String("run", ".", "tests to run, as for go test")
	slow := flag.String("slow", "", "those of them to run last, against what survives the others")
	short := flag.Bool("short", true, "run the tests with -short")
	extra := flag.String("extra", "", "a further flag of the test binary, such as -rapid.checks=20")
	limit := flag.Duration("timeout", 2*time.Minute, "time for the tests of one mutant; a mutant that needs more is dead")
	at := flag.Int("p", 2, "mutants to try at once")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: mutate [flags] file.go ...   files of the package")
		flag.PrintDefaults()
	}
	flag.Parse()
	dir, err := filepath.Abs(*pkg)
	check(err)
	tmp, err := os.MkdirTemp("", "mutate")
	check(err)
	testDir := dir
	if *tests != "" {
		testDir, err = filepath.Abs(*tests)
		check(err)
	}
	mutants := build(dir, testDir, tmp, flag.Args())
	args := []string{"-test.failfast", "-test.run", *run, "-test.timeout", limit.String()}
	if *short {
		args = append(args, "-test.short")
	}
	if *extra != "" {
		args = append(args, *extra)
	}
	pass := func(n int, args ...string) bool {
		ctx, cancel := context.WithTimeout(context.Background(), *limit+10*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, filepath.Join(tmp, "tests"), args...)
		cmd.Dir, cmd.Env = testDir, append(os.Environ(), chosen+"="+strconv.Itoa(n))
		output, err := cmd.CombinedOutput()
		if ctx.Err() != nil || bytes.Contains(output, []byte("panic: test timed out")) {
			slow := "the tests without any mutant"
			if n > 0 {
				slow = mutants[n-1].String()
			}
			log.Print("timed out: ", slow) // an endless loop, or a machine that is busy: look
		}
		return err == nil
	}
	test := func(n int) bool {
		if *slow == "" {
			return pass(n, args...)
		}
		return pass(n, append(slices.Clip(args), "-test.skip", *slow)...) && pass(n, append(slices.Clip(args), "-test.run", *slow)...)
	}
	if !test(0) {
		log.Fatal("the tests fail without any mutant, or need longer than -timeout")
	}
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

// try runs the tests against each mutant, and returns those that live on.
func try(mutants []mutant, at int, test func(int) bool) (survivors []mutant) {
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
			if survived[i] = test(mutants[i].number); survived[i] {
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

// build compiles the tests in testDir with all mutants of files of the package in dir.
func build(dir, testDir, tmp string, files []string) []mutant {
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
	write("zz_mutant.go", fmt.Appendf(nil, helper, name, chosen))
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	check(err)
	check(os.WriteFile(filepath.Join(tmp, "overlay.json"), overlay, 0o600))
	cmd := exec.Command("go", "test", "-c", "-vet=off", "-overlay", filepath.Join(tmp, "overlay.json"), "-o", filepath.Join(tmp, "tests"), ".")
	cmd.Dir, cmd.Stderr = testDir, os.Stderr
	check(cmd.Run())
	return all
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
