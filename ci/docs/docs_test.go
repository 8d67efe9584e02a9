package docs

import (
	_ "embed"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

//go:embed stubs/stubs.go
var stubs string

// pending are pages whose Go does not compile yet. A page leaves this list when
// it is rewritten, and none joins it.
var pending []string

func repository(t *testing.T) (root string, pages []page) {
	t.Helper()
	module, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	root = filepath.Join(module, "..", "..")
	pages, err = readPages(root)
	if err != nil {
		t.Fatal(err)
	}
	return root, pages
}

func needsCompiler(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: compiles what pages show, .ci/run docs does")
	}
}

// checkSnippets compiles every Go block of pages, and returns the problems by
// page and how many blocks there are.
func checkSnippets(t *testing.T, root string, pages []page) (problems map[string][]string, compiled []snippet) {
	t.Helper()
	needsCompiler(t)
	problems = map[string][]string{}
	o := newOverlay(filepath.Join(root, "ci", "docs"), t.TempDir())
	var builds, tests []string
	for _, p := range pages {
		all, broken := snippets(root, p, stubs)
		problems[p.path] = append(problems[p.path], broken...)
		for _, s := range all {
			path, err := o.add(s.dir, s.files)
			if err != nil {
				t.Fatal(err)
			}
			if slices.ContainsFunc(slices.Collect(maps.Keys(s.files)), func(name string) bool { return strings.HasSuffix(name, "_test.go") }) {
				tests = append(tests, path)
			} else {
				builds = append(builds, path)
			}
			compiled = append(compiled, s)
		}
	}
	for _, step := range []struct{ args, packages []string }{
		{[]string{"build", "-gcflags=-e"}, builds},
		{[]string{"test", "-gcflags=-e", "-vet=off", "-c", "-o", t.TempDir() + "/"}, tests},
	} {
		if len(step.packages) == 0 {
			continue
		}
		found, err := o.compile(append(step.args, step.packages...)...)
		if err != nil {
			t.Fatal(err)
		}
		for page, list := range found {
			problems[page] = append(problems[page], list...)
		}
	}
	return problems, compiled
}

// What a page shows compiles as it is printed.
func TestSnippetsCompile(t *testing.T) {
	root, pages := repository(t)
	problems, compiled := checkSnippets(t, root, pages)
	t.Logf("%d Go blocks", len(compiled))
	for page, list := range problems {
		if slices.Contains(pending, page) {
			if len(list) == 0 {
				t.Errorf("%s compiles: take it off the list of pending pages", page)
			}
			t.Logf("pending: %s has %d problems", page, len(list))
			continue
		}
		for _, problem := range list {
			t.Error(problem)
		}
	}
}

// A complete program that a page shows keeps a merchant's money: it passes the
// scenarios of the test kit.
func TestProgramsPassScenarios(t *testing.T) {
	root, pages := repository(t)
	for _, p := range pages {
		all, _ := snippets(root, p, stubs)
		for _, s := range all {
			files, serves, err := s.testedProgram()
			if err != nil {
				t.Error(err)
			}
			if !serves {
				continue
			}
			t.Run(s.String(), func(t *testing.T) {
				if out, err := playProgram(t, root, s.dir, files); err != nil {
					t.Errorf("the program at %s: %v\n%s", s.block, err, out)
				}
			})
		}
	}
}

func playProgram(t *testing.T, root, dir string, files map[string]string) (string, error) {
	t.Helper()
	needsCompiler(t)
	o := newOverlay(filepath.Join(root, "ci", "docs"), t.TempDir())
	path, err := o.add(dir, files)
	if err != nil {
		t.Fatal(err)
	}
	// go test would run the program in its package's directory, which is not there.
	binary := filepath.Join(t.TempDir(), "program.test")
	if out, err := o.run("test", "-vet=off", "-c", "-o", binary, path); err != nil {
		return out, err
	}
	cmd := exec.Command(binary, "-test.timeout=5m")
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Every relative link and anchor of every page leads somewhere.
func TestLinks(t *testing.T) {
	root, pages := repository(t)
	for _, broken := range brokenLinks(root, pages) {
		t.Error(broken)
	}
}
