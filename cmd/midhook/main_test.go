package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "midhook")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "midhook")
		if runtime.GOOS == "windows" {
			binary += ".exe"
		}
		if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", binary, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// midhookCommand runs the built binary.
func midhookCommand(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errOut.String()
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args           string
		code           int
		stdout, stderr string // what they must contain; nothing if empty
	}{
		{"", 2, "", "Usage: midhook COMMAND"},
		{"help", 0, "demo", ""},
		{"-h", 0, "demo", ""},
		{"--help", 0, "demo", ""},
		{"help demo", 0, "-serve ADDR", ""},
		{"demo -h", 0, "-serve ADDR", ""},
		{"help nonsense", 2, "", `no command "nonsense"`},
		{"nonsense", 2, "", `no command "nonsense"`},
		{"demo --nonsense", 2, "", "-nonsense"},
		{"demo nonsense", 2, "", `unexpected argument "nonsense"`},
		{"demo --serve nonsense", 1, "", "midhook demo: listen"},
		{"version", 0, "midhook ", ""},
		{"version nonsense", 2, "", `unexpected argument "nonsense"`},
	} {
		t.Run(c.args, func(t *testing.T) {
			code, stdout, stderr := midhookCommand(t, strings.Fields(c.args)...)
			if code != c.code {
				t.Errorf("exit code is %d, want %d", code, c.code)
			}
			for _, stream := range []struct{ name, got, want string }{{"stdout", stdout, c.stdout}, {"stderr", stderr, c.stderr}} {
				if !strings.Contains(stream.got, stream.want) || stream.want == "" && stream.got != "" {
					t.Errorf("%s is %q, want %q in it", stream.name, stream.got, stream.want)
				}
			}
		})
	}
}

func TestHelpOfEveryCommand(t *testing.T) {
	for _, c := range commands {
		for _, args := range [][]string{{c.name, "-h"}, {c.name, "--help"}, {"help", c.name}} {
			t.Run(strings.Join(args, " "), func(t *testing.T) {
				code, stdout, stderr := invocation{key: "SB-Mid-server-in-the-environment"}.run(t, args...)
				assert.Equal(t, exitOK, code)
				assert.Empty(t, stderr)
				for _, want := range []string{"Usage: midhook " + c.name, "\nExamples:\n", "midhook " + c.name, "\nExit code:\n  0  "} {
					assert.Contains(t, stdout, want)
				}
				assert.NotContains(t, stdout, "in-the-environment")
				for line := range strings.Lines(stdout) {
					assert.LessOrEqual(t, len(line), 121, "too wide for a terminal")
				}
			})
		}
	}
}

// An example that does not parse teaches nothing.
func TestExamplesNameFlagsThatExist(t *testing.T) {
	long := regexp.MustCompile(`--[a-z-]+`)
	for name, m := range manuals {
		var out bytes.Buffer
		require.Equal(t, exitOK, run(t.Context(), []string{name, "-h"}, &out, io.Discard))
		defined, _, _ := strings.Cut(out.String(), "\nExamples:")
		assert.NotEmpty(t, m.examples, name)
		for _, example := range m.examples {
			for _, f := range long.FindAllString(example, -1) {
				assert.Contains(t, defined, "  "+f, example)
			}
		}
	}
}
