package suite

import (
	"bufio"
	"context"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook/examples/internal/demo"
)

// Example runs an example program's server as go run does, and what it prints.
func Example(t *testing.T, serve demo.Serve) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed: apt-get install curl")
	}
	ctx, stop := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- demo.Run(ctx, demo.TestKey, "127.0.0.1:0", in, serve) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})

	lines := bufio.NewScanner(out)
	command := ""
	for !strings.HasPrefix(command, "curl ") && lines.Scan() {
		command = lines.Text()
	}
	go io.Copy(io.Discard, out) //nolint:errcheck // a framework's greetings

	curl := func(command string) string {
		answer, err := exec.Command("sh", "-c", command+" -sS --retry 5 --retry-connrefused").CombinedOutput()
		require.NoError(t, err, "%s", answer)
		return string(answer)
	}
	first := curl(command)
	require.Contains(t, first, "200 OK")
	require.Contains(t, first, `"order":"example-`)
	require.Contains(t, first, `"paid":true`)
	require.Contains(t, curl(command), "already handled")
	require.Contains(t, curl(strings.Replace(command, `"signature_key":"`, `"signature_key":"0`, 1)), "403 Forbidden")
}
