package docs

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// overlay lays packages into this module for the go command alone, so that no
// file of theirs is ever in the work tree.
type overlay struct {
	module, scratch string
	replace         map[string]string
}

func newOverlay(module, scratch string) *overlay {
	return &overlay{module: module, scratch: scratch, replace: map[string]string{}}
}

// add writes a package, and returns the path by which go knows it.
func (o *overlay) add(dir string, files map[string]string) (string, error) {
	if err := os.MkdirAll(filepath.Join(o.scratch, dir), 0o755); err != nil {
		return "", err
	}
	for name, text := range files {
		real := filepath.Join(o.scratch, dir, name)
		if err := os.WriteFile(real, []byte(text), 0o644); err != nil {
			return "", err
		}
		o.replace[filepath.Join(o.module, "snippets", dir, name)] = real
	}
	return "./snippets/" + dir, nil
}

// run runs go with the packages laid in; what it prints names pages as they are
// called in the repository.
func (o *overlay) run(args ...string) (string, error) {
	spec, err := json.Marshal(map[string]any{"Replace": o.replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(o.scratch, "overlay.json")
	if err := os.WriteFile(file, spec, 0o644); err != nil {
		return "", err
	}
	cmd := exec.Command("go", append([]string{args[0], "-overlay", file}, args[1:]...)...)
	cmd.Dir = o.module
	out, err := cmd.CombinedOutput()
	root := filepath.Join(o.module, "..", "..")
	text := strings.NewReplacer(root+string(filepath.Separator), "", "../../", "").Replace(string(out))
	return text, err
}

var errorLine = regexp.MustCompile(`^([^:\s]+\.md):(\d+):(?:\d+:)? (.*)$`)

// compile builds packages and returns the problems by page.
func (o *overlay) compile(args ...string) (map[string][]string, error) {
	out, err := o.run(args...)
	problems := map[string][]string{}
	for line := range strings.Lines(out) {
		if match := errorLine.FindStringSubmatch(strings.TrimSpace(line)); match != nil {
			problems[match[1]] = append(problems[match[1]], fmt.Sprintf("%s:%s: %s", match[1], match[2], match[3]))
		}
	}
	if err != nil && len(problems) == 0 {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return problems, nil
}
