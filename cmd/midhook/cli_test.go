package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// invocation is one run of the built binary.
type invocation struct {
	stdin string
	key   string // in the environment
	env   []string
}

func (i invocation) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return name == "NO_COLOR" || slices.ContainsFunc(gateways, func(g gateway) bool { return g.variable == name })
	})
	if i.key != "" {
		cmd.Env = append(cmd.Env, keyVariable+"="+i.key)
	}
	cmd.Env = append(cmd.Env, i.env...)
	cmd.Stdin = strings.NewReader(i.stdin)
	return cmd
}

func (i invocation) run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := i.command(ctx, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errOut.String()
}

// discarded is the log of servers that are meant to have trouble.
var (
	discardedLogger = slog.New(slog.DiscardHandler)
	discarded       = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
)

// serveHTTP serves on a loopback port, and does not wait for handlers that hang.
func serveHTTP(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = discarded
	s.Start()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.URL
}

// hooked is an endpoint with midhook in front, whose handler succeeds.
func hooked(t *testing.T, opts ...midhook.Option) http.Handler {
	t.Helper()
	opts = append([]midhook.Option{
		midhook.WithLogger(discardedLogger),
		midhook.WithBudget(demoBudget),
	}, opts...)
	hook, err := midhook.New(serverKey, opts...)
	require.NoError(t, err)
	return hook.HandlerFunc(func(context.Context, *midhook.Notification) error { return nil })
}

func answering(status int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
}

func redirecting(status int, to string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(status)
	})
}

// hanging reads a request and never answers.
var hanging = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // else the server does not see that the client leaves
	<-r.Context().Done()
})

func TestMistakesInTheCommandLine(t *testing.T) {
	for _, c := range []struct{ args, stderr string }{
		{"send", "an argument is missing: URL"},
		{"send http://127.0.0.1/", "a server key is required"},
		{"send --key Mid-client-test http://127.0.0.1/", "client key"},
		{"send --key k 127.0.0.1:8080/midtrans", "one such as https://"},
		{"send --key k ftp://127.0.0.1/", "one such as https://"},
		{"send --key k http://user:pass@127.0.0.1/", "neither a user nor a fragment"},
		{"send --key k --sample nonsense http://127.0.0.1/", `no sample "nonsense"`},
		{"send --key k --amount 10000 http://127.0.0.1/", "two decimals"},
		{"send --key k --status nonsense http://127.0.0.1/", "--code"},
		{"send --key k --code 20 http://127.0.0.1/", "three digits"},
		{"send --key k --sample pay-account-enabled --order A http://127.0.0.1/", "linked account"},
		{"send --key k --sign http://127.0.0.1/", "--sign is for --body"},
		{"send --key k --body - --order A http://127.0.0.1/", "--order is for samples"},
		{"send --key k --body - --sample gopay http://127.0.0.1/", "either --sample or --body"},
		{"send --body - --sign http://127.0.0.1/", "a server key is required"},
		{"send --key k http://127.0.0.1/ http://127.0.0.1/", "unexpected argument"},
		{"attack", "an argument is missing: URL"},
		{"attack --patience 0s http://127.0.0.1/", "--patience must be positive"},
		{"attack --patience soon http://127.0.0.1/", "-patience"},
		{"attack http://192.0.2.1/", "--i-own-this-host"},
		{"status nonsense", `unexpected argument "nonsense"`},
		{"status --listen 0.0.0.0:0", "must be this machine"},
		{"status --listen :0", "must be this machine"},
		{"status --listen nonsense", "a host and a port"},
		{"status --trouble nonsense", "must be one of none, "},
		{"status --sample nonsense", `no sample "nonsense"`},
		{"status --sample gopay:A:1", "two decimals"},
		{"status --sample pay-account-enabled", "of no transaction"},
		{"verify", "a server key is required"},
		{"verify --key k one two", `unexpected argument "two"`},
		{"doctor", "an argument is missing: URL"},
		{"doctor --timeout 0s http://127.0.0.1/", "--timeout must be positive"},
	} {
		t.Run(c.args, func(t *testing.T) {
			code, stdout, stderr := invocation{}.run(t, strings.Fields(c.args)...)
			assert.Equal(t, exitUsage, code)
			assert.Empty(t, stdout)
			assert.Contains(t, stderr, c.stderr)
			assert.Contains(t, stderr, "For help: midhook "+strings.Fields(c.args)[0]+" -h")
		})
	}
}

func TestOperandsAndFlagsInAnyOrder(t *testing.T) {
	for _, c := range []struct {
		args     string
		operands []string
		flag     string
	}{
		{"--f x one two", []string{"one", "two"}, "x"},
		{"one --f x two", []string{"one", "two"}, "x"},
		{"one two --f=x", []string{"one", "two"}, "x"},
		{"one -- --f", []string{"one", "--f"}, ""},
		{"- --f -", []string{"-"}, "-"},
		{"", nil, ""},
	} {
		t.Run(c.args, func(t *testing.T) {
			flags := flag.NewFlagSet("test", flag.ContinueOnError)
			f := flags.String("f", "", "")
			operands, code, done := parseOperands(flags, 0, 2, strings.Fields(c.args), io.Discard, io.Discard)
			assert.False(t, done)
			assert.Zero(t, code)
			assert.Equal(t, c.operands, operands)
			assert.Equal(t, c.flag, *f)
		})
	}
}

// No key and no signature is ever printed, whatever the server says and whatever
// goes wrong.
func TestNothingSecretIsPrinted(t *testing.T) {
	const key = "SB-Mid-server-test-not-to-be-seen"
	body := string(midhooktest.Body(midhooktest.Sample("gopay"), key))
	wrong := strings.Replace(body, `"154600.00"`, `"154600"`, 1)
	telltale := serveHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body)
		n, err := midhook.Parse(got)
		if err != nil {
			n = &midhook.Notification{}
		}
		w.Header().Set("Location", "/"+key)
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "key "+key+" wants "+midhooktest.Sign(n, key)+", got "+string(got))
	}))
	for _, args := range [][]string{
		{"send", telltale},
		{"send", telltale, "--json"},
		{"send", telltale + "/" + key},
		{"send", telltale, "--body", "-"},
		{"send", telltale, "--body", key},
		{"send", "http://" + key + ".invalid/"},
		{"send", key},
		{"send", telltale, key},
		{"attack", telltale, "--patience", "200ms"},
		{"attack", telltale, "--patience", "200ms", "--json"},
		{"verify"},
		{"verify", "--json"},
		{"verify", key},
		{"doctor", "--local", telltale},
		{"status", "--listen", strings.TrimPrefix(telltale, "http://")}, // taken
	} {
		for _, stdin := range []string{body, wrong} {
			for _, where := range []string{"environment", "flag"} {
				i, args := invocation{stdin: stdin, key: key}, slices.Clone(args)
				if where == "flag" && args[0] != "doctor" {
					i.key, args = "", append(args, "--key", key)
				}
				t.Run(where+" "+args[0], func(t *testing.T) {
					_, stdout, stderr := i.run(t, args...)
					assert.NotEmpty(t, stdout+stderr)
					assert.NotContains(t, stdout+stderr, "not-to-be-seen")
					assert.NotRegexp(t, `[0-9a-f]{64}`, stdout+stderr)
				})
			}
		}
	}
}

// A server's answer must not command the terminal.
func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain\n\ttext, Jalan Merdeka №1": "plain\n\ttext, Jalan Merdeka №1",
		"\x1b[2J\a\r":                     "·[2J··",
		"\xff":                            "·",
		"a\u202eb":                        "a·b",
	} {
		assert.Equal(t, want, printable(in))
	}
}

func TestRedact(t *testing.T) {
	digest := strings.Repeat("0123456789abcdef", 8)
	for in, want := range map[string]string{
		"the key is secret1":                        "the key is [key]",
		"SB-Mid-server-other":                       "[key]",
		"Mid-server-other, Mid-client":              "[key], Mid-client",
		digest:                                      "[signature]",
		strings.ToUpper(digest):                     "[signature]",
		"order 0123456789":                          "order 0123456789",
		"IRIS-merchant-test, whsk_abc":              "[key], [key]",
		"skey_test_1 sk_live_1":                     "[key] [key]",
		"IRIS-SIGNATURE, task_id":                   "IRIS-SIGNATURE, task_id",
		`"token" : "481111-1114", "token_type":"x"`: `"token" : "[token]", "token_type":"x"`,
	} {
		assert.Equal(t, want, redact(in, "secret1"))
	}
	assert.Equal(t, "make", redact("make", "k"), "a key of one letter would take all words apart")
}

func TestScreenOfATerminal(t *testing.T) {
	var out bytes.Buffer
	s := screen{&out, true, true}
	s.row([]int{4, 6}, red, "FAIL", "name", "text")
	s.remark("%d in all\n", 1)
	assert.Equal(t, "\x1b[31mFAIL  \x1b[0mname    text\n1 in all\n", out.String())

	out.Reset()
	s = newScreen(&out)
	s.row([]int{4, 6}, red, "FAIL", "name", "text")
	s.remark("%d in all\n", 1)
	assert.Equal(t, "FAIL\tname\ttext\n", out.String(), "a program gets cells only")
}

// Colours are for a terminal that nobody asked to be without.
func TestColoursOnATerminalOnly(t *testing.T) {
	script, err := exec.LookPath("script")
	if err != nil || runtime.GOOS != "linux" {
		t.Skip("no script(1) to make a terminal")
	}
	url := serveHTTP(t, hooked(t))
	for _, c := range []struct {
		env    []string
		colour bool
	}{
		{[]string{"TERM=xterm"}, true},
		{[]string{"TERM=xterm", "NO_COLOR=1"}, false},
		{[]string{"TERM=dumb"}, false},
	} {
		t.Run(strings.Join(c.env, " "), func(t *testing.T) {
			cmd := invocation{env: c.env}.command(t.Context())
			cmd.Path, cmd.Args = script, []string{script, "-qec", binary + " doctor --local " + url, "/dev/null"}
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			assert.Contains(t, string(out), "unsigned body   refused with 403")
			assert.Equal(t, c.colour, bytes.Contains(out, []byte("\x1b[")), "%q", out)
		})
	}
}

func TestCtrlC(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no interrupts")
	}
	for _, c := range []struct {
		args   []string
		code   int
		stderr string
	}{
		{[]string{"send", "--timeout", "1h"}, exitWrong, "midhook send: interrupted\n"},
		{[]string{"attack", "--patience", "1h"}, exitWrong, "midhook attack: interrupted\n"},
		{[]string{"doctor", "--local", "--timeout", "1h"}, exitWrong, "midhook doctor: interrupted\n"},
		{[]string{"status"}, exitOK, ""},
		{[]string{"status", "--listen", "127.0.0.1:0", "--trouble", "stalling"}, exitOK, ""},
	} {
		t.Run(strings.Join(c.args[:1], " "), func(t *testing.T) {
			arrived := make(chan struct{}, 100)
			if c.args[0] != "status" {
				c.args = append(c.args, serveHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					arrived <- struct{}{}
					hanging(w, r)
				})))
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := invocation{key: serverKey}.command(ctx, c.args...)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			stdout, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			if c.args[0] == "status" {
				_, err = io.ReadFull(stdout, make([]byte, 7)) // it is up
				require.NoError(t, err)
			} else {
				<-arrived
			}
			require.NoError(t, cmd.Process.Signal(os.Interrupt))
			_, _ = io.Copy(io.Discard, stdout)
			_ = cmd.Wait()
			require.NoError(t, ctx.Err(), "it had to be killed")
			assert.Equal(t, c.code, cmd.ProcessState.ExitCode())
			assert.Equal(t, c.stderr, stderr.String())
		})
	}
	t.Run("verify, waiting for stdin", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		r, w, err := os.Pipe()
		require.NoError(t, err)
		stdin := os.Stdin
		os.Stdin = r
		defer func() { os.Stdin = stdin }()
		var stderr bytes.Buffer
		assert.Equal(t, exitWrong, run(ctx, []string{"verify", "--key", serverKey}, io.Discard, &stderr))
		assert.Equal(t, "midhook verify: interrupted\n", stderr.String())
		require.NoError(t, w.Close())
	})
}
