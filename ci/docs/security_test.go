package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testName     = regexp.MustCompile("`(Test[A-Z][A-Za-z0-9]*)`(?: \\(`([a-z0-9/]+)`\\))?")
	scenarioName = regexp.MustCompile("`midhooktest\\.([A-Z][A-Za-z]*)`")
)

// A test or scenario that SECURITY.md names is there, in the package that it names.
func TestSecurityNamesTests(t *testing.T) {
	root, _ := repository(t)
	page, err := os.ReadFile(filepath.Join(root, "SECURITY.md"))
	if err != nil {
		t.Fatal(err)
	}
	declares := func(dir, suffix, text string) (found bool) {
		t.Helper()
		err := fs.WalkDir(os.DirFS(filepath.Join(root, dir)), ".", func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && path != ".":
				return fs.SkipDir
			case !strings.HasSuffix(path, suffix) || found:
				return nil
			}
			source, err := os.ReadFile(filepath.Join(root, dir, path))
			found = strings.Contains(string(source), text)
			return err
		})
		if err != nil {
			t.Error(err)
		}
		return found
	}
	names := 0
	for _, match := range testName.FindAllStringSubmatch(string(page), -1) {
		names++
		if !declares(match[2], "_test.go", "func "+match[1]+"(") {
			t.Errorf("SECURITY.md names %s in %q, where no such test is", match[1], match[2])
		}
	}
	for _, match := range scenarioName.FindAllStringSubmatch(string(page), -1) {
		names++
		if !declares("midhooktest", ".go", "var "+match[1]+" = Scenario{") {
			t.Errorf("SECURITY.md names midhooktest.%s, which is no scenario", match[1])
		}
	}
	if names < 20 {
		t.Errorf("SECURITY.md names %d tests and scenarios: has its form changed?", names)
	}
}
