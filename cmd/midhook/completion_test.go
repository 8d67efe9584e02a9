package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Every command and flag that help knows is completed, and the scripts are ones
// that their shells can read.
func TestCompletion(t *testing.T) {
	for shell, flag := range map[string]string{"bash": "--sample", "zsh": "--sample", "fish": "-l sample"} {
		code, stdout, stderr := invocation{}.run(t, "completion", shell)
		assert.Equal(t, exitOK, code)
		assert.Empty(t, stderr)
		assert.Contains(t, stdout, flag)
		for _, c := range commands {
			assert.Contains(t, stdout, c.name)
		}
		if path, err := exec.LookPath(shell); err == nil {
			cmd := exec.CommandContext(t.Context(), path, "-n")
			cmd.Stdin = strings.NewReader(stdout)
			out, err := cmd.CombinedOutput()
			assert.NoError(t, err, "%s: %s", shell, out)
		}
	}
	if bash, err := exec.LookPath("bash"); err == nil {
		_, script, _ := invocation{}.run(t, "completion", "bash")
		cmd := exec.CommandContext(t.Context(), bash, "-c", script+"\nCOMP_WORDS=(midhook send --sam) COMP_CWORD=2\n_midhook_complete\necho \"${COMPREPLY[@]}\"")
		out, err := cmd.CombinedOutput()
		assert.NoError(t, err)
		assert.Equal(t, "--sample\n", string(out))
	}
	code, _, stderr := invocation{}.run(t, "completion", "tcsh")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, stderr, "bash, zsh or fish")
}
