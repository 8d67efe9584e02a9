package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// standIn starts midhook status, and returns its URL and what else it prints
// until it is ended.
func standIn(t *testing.T, i invocation, args ...string) (url string, end func() string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("no interrupts")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // t.Context ends before the cleanup
	cmd := i.command(ctx, append([]string{"status"}, args...)...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewReader(stdout)
	url, err = lines.ReadString('\n')
	require.NoError(t, err)
	end = func() string {
		_ = cmd.Process.Signal(os.Interrupt)
		rest, _ := io.ReadAll(lines)
		assert.NoError(t, cmd.Wait(), "an interrupt is how it ends")
		cancel()
		end = func() string { return "" }
		return string(rest)
	}
	t.Cleanup(func() { end() })
	return strings.TrimSpace(url), end
}

func ask(t *testing.T, url, key, id string) (*midhook.Notification, error) {
	t.Helper()
	c, err := midhook.NewStatusClient(key, midhook.WithBaseURL(url))
	require.NoError(t, err)
	return c.Get(t.Context(), id)
}

func TestStatusOfAllSamples(t *testing.T) {
	url, end := standIn(t, invocation{})
	for _, name := range midhooktest.Samples() {
		if want := midhooktest.Sample(name); want.Kind() == midhook.Payment {
			n, err := ask(t, url, serverKey, want.OrderID)
			require.NoError(t, err, name)
			assert.Equal(t, want.TransactionID, n.TransactionID)
		}
	}
	_, err := ask(t, url, serverKey, "unknown")
	assert.ErrorIs(t, err, midhook.ErrTransactionNotFound)
	_, err = ask(t, url, noKey, "gopay-01")
	assert.ErrorIs(t, err, midhook.ErrUnauthorized)
	rest := end()
	for _, want := range []string{`midhook.WithBaseURL("` + url + `")`, "WithStatusCheck(client)", "curl -u \"" + serverKey + ":\" '" + url + "/v2/"} {
		assert.Contains(t, rest, want)
	}
}

func TestStatusOfChosenTransactions(t *testing.T) {
	const key = "SB-Mid-server-test-mine"
	two := string(midhooktest.Sample("qris", midhooktest.Order("A/3"), midhooktest.Transaction("t-3")).Raw())
	file := filepath.Join(t.TempDir(), "notifications.json")
	require.NoError(t, os.WriteFile(file, []byte("["+two+"]\n"+string(midhooktest.Sample("dana").Raw())), 0o600))
	url, end := standIn(t, invocation{key: key}, "--listen", "127.0.0.1:0",
		"--sample", "gopay:A-1:25000.00", "--sample", "expire:A-2", "--sample", "pending", "--file", file)
	for order, want := range map[string]string{
		"A-1": "settlement 25000.00", "A-2": "expire " + midhooktest.Sample("expire").GrossAmount,
		"pending-01": "pending 120000.00", "A/3": "settlement 5539.00", "t-3": "settlement 5539.00", "dana-01": "settlement " + midhooktest.Sample("dana").GrossAmount,
	} {
		n, err := ask(t, url, key, order)
		if assert.NoError(t, err, order) {
			assert.Equal(t, want, string(n.TransactionStatus)+" "+n.GrossAmount)
		}
	}
	_, err := ask(t, url, key, "gopay-01")
	assert.ErrorIs(t, err, midhook.ErrTransactionNotFound, "only what was named")
	rest := end()
	assert.NotContains(t, rest, key)
	assert.Contains(t, rest, `curl -u "$`+keyVariable+`:"`)
}

func TestStatusListensWhereItIsTold(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	code, stdout, stderr := invocation{}.run(t, "status", "--listen", addr)
	assert.Equal(t, exitWrong, code)
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "in use")
	require.NoError(t, l.Close())
	url, _ := standIn(t, invocation{}, "--listen", addr)
	assert.Equal(t, "http://"+addr, url)
}

func TestStatusInTrouble(t *testing.T) {
	for _, c := range []struct {
		trouble string
		want    error
	}{
		{"none", nil},
		{"nothing-found", midhook.ErrTransactionNotFound},
		{"wrong-key", midhook.ErrUnauthorized},
		{"too-many-requests", midhook.ErrRateLimited},
		{"failing", midhook.ErrStatusUnavailable},
		{"stalling", context.DeadlineExceeded},
		{"garbage", midhook.ErrStatusUnavailable},
		{"too-much", midhook.ErrStatusUnavailable},
		{"redirecting", midhook.ErrStatusUnavailable},
		{"breaking", midhook.ErrStatusUnavailable},
	} {
		t.Run(c.trouble, func(t *testing.T) {
			url, _ := standIn(t, invocation{}, "--trouble", c.trouble)
			client, err := midhook.NewStatusClient(serverKey, midhook.WithBaseURL(url))
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			if errors.Is(c.want, context.DeadlineExceeded) {
				ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
			}
			defer cancel()
			_, err = client.Get(ctx, "gopay-01")
			if c.want == nil {
				assert.NoError(t, err)
				return
			}
			assert.ErrorIs(t, err, c.want)
		})
	}
	assert.Len(t, troubles, int(midhooktest.Breaking)+1, "a trouble has no name")
}

func TestStatusRefusesFiles(t *testing.T) {
	for text, want := range map[string]string{
		"":     "no notification",
		"[]":   "no notification",
		"text": "not JSON",
		"{}":   "notification 1: malformed",
		string(midhooktest.Sample("pay-account-enabled").Raw()): "notification 1: it has no transaction_id",
	} {
		code, stdout, stderr := invocation{stdin: text}.run(t, "status", "--file", "-")
		assert.Equal(t, exitWrong, code)
		assert.Empty(t, stdout)
		assert.Contains(t, stderr, want)
	}
}

func TestStatusJSON(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no interrupts")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := invocation{}.command(ctx, "status", "--json", "--sample", "gopay:A-1")
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var out struct {
		URL          string
		Transactions []struct {
			OrderID string `json:"order_id"`
		}
	}
	assert.NoError(t, json.NewDecoder(stdout).Decode(&out))
	assert.Regexp(t, `^http://127\.0\.0\.1:\d+$`, out.URL)
	if assert.Len(t, out.Transactions, 1) {
		assert.Equal(t, "A-1", out.Transactions[0].OrderID)
	}
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	assert.NoError(t, cmd.Wait())
}
