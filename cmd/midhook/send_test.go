package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// --status must send the status_code that Midtrans sends with it.
func TestStatusCodeOfEverySample(t *testing.T) {
	for _, name := range midhooktest.Samples() {
		if n := midhooktest.Sample(name); n.Kind() == midhook.Payment {
			assert.Equal(t, n.StatusCode, statusCode(n.TransactionStatus, n.FraudStatus), name)
		}
	}
	assert.Empty(t, statusCode("nonsense", ""))
}

func TestSendSample(t *testing.T) {
	got := make(chan *midhook.Notification, 1)
	hook, err := midhook.New(serverKey, midhook.WithLogger(discardedLogger))
	require.NoError(t, err)
	url := serveHTTP(t, hook.HandlerFunc(func(_ context.Context, n *midhook.Notification) error {
		got <- n
		return nil
	}))
	code, stdout, stderr := invocation{key: serverKey}.run(t, "send", url+"/midtrans", "--sample", "bca-va", "--order", "A/1",
		"--amount", "25000.00", "--status", "expire", "--transaction", "t-1")
	assert.Equal(t, exitOK, code)
	assert.Empty(t, stderr)
	n := <-got
	assert.Equal(t, []string{"A/1", "25000.00", "expire", "202", "t-1", "bank_transfer"},
		[]string{n.OrderID, n.GrossAmount, string(n.TransactionStatus), n.StatusCode, n.TransactionID, n.PaymentType})
	for _, want := range []string{"request: POST " + url + "/midtrans\n{", `"order_id":"A/1"`, `"signature_key":"[signature]"`,
		"\nanswer: 200 OK in ", "\nhandled\n", "\nnext: delivered: Midtrans sends nothing more\n"} {
		assert.Contains(t, stdout, want)
	}
}

func TestSendTheRequestOfMidtrans(t *testing.T) {
	got := make(chan *http.Request, 1)
	url := serveHTTP(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r }))
	code, _, _ := invocation{key: serverKey}.run(t, "send", url)
	assert.Equal(t, exitOK, code)
	r := <-got
	assert.Equal(t, []string{"POST", "/", "application/json", "Veritrans"},
		[]string{r.Method, r.URL.Path, r.Header.Get("Content-Type"), r.UserAgent()})
}

func TestSendBody(t *testing.T) {
	got := make(chan string, 1)
	url := serveHTTP(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- string(body)
	}))
	unsigned := string(midhooktest.Sample("gopay").Raw())
	file := filepath.Join(t.TempDir(), "body.json")
	require.NoError(t, os.WriteFile(file, []byte(unsigned), 0o600))
	signed := string(midhooktest.Body(midhooktest.Sample("gopay"), serverKey))
	for _, c := range []struct {
		name, stdin string
		args        []string
		want        string
	}{
		{"as it is, from a file", "", []string{"--body", file}, unsigned},
		{"as it is, from stdin", "not { JSON", []string{"--body", "-"}, "not { JSON"},
		{"signed, from a file", "", []string{"--body", file, "--sign"}, signed},
		{"signed, from stdin", unsigned, []string{"--body", "-", "--sign"}, signed},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, stderr := invocation{stdin: c.stdin, key: serverKey}.run(t, append([]string{"send", url}, c.args...)...)
			assert.Equal(t, exitOK, code, stderr)
			assert.Equal(t, c.want, <-got)
		})
	}
	for _, c := range []struct {
		stdin, stderr string
		args          []string
	}{
		{"{}", "cannot be signed", []string{"--body", "-", "--sign"}},
		{"", "no such file", []string{"--body", filepath.Join(t.TempDir(), "missing")}},
	} {
		code, stdout, stderr := invocation{stdin: c.stdin, key: serverKey}.run(t, append([]string{"send", url}, c.args...)...)
		assert.Equal(t, exitWrong, code)
		assert.Empty(t, stdout)
		assert.Contains(t, stderr, c.stderr)
	}
}

func TestSendToTrouble(t *testing.T) {
	refusing := serveHTTP(t, hooked(t))
	tls13 := httptest.NewUnstartedServer(answering(200))
	tls13.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	tls13.Config.ErrorLog = discarded
	tls13.StartTLS()
	defer tls13.Close()
	self := httptest.NewUnstartedServer(answering(200))
	self.Config.ErrorLog = discarded
	self.StartTLS()
	defer self.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	ring := serveHTTP(t, redirecting(307, "/again"))
	for _, c := range []struct {
		name   string
		args   []string
		code   int
		stdout []string
	}{
		{"another key", []string{refusing, "--key", noKey}, 1, []string{"answer: 403 Forbidden", "signature does not match", "next: Midtrans tries five times more"}},
		{"302", []string{serveHTTP(t, redirecting(302, refusing))}, 1, []string{"answer: 302 Found", "next: lost"}},
		{"307 is followed", []string{serveHTTP(t, redirecting(307, refusing))}, 0, []string{"redirected: POST " + refusing, "answer: 200 OK", "next: delivered"}},
		{"307 for ever", []string{ring}, 1, []string{strings.Repeat("redirected: POST "+ring+"/again\n", 5) + "answer: 307", "five times at most"}},
		{"no answer", []string{serveHTTP(t, hanging), "--timeout", "100ms"}, 1, []string{"answer: no answer within 100ms", "five times"}},
		{"nobody there", []string{gone.URL}, 1, []string{"answer: ", "refused", "five times"}},
		{"TLS 1.3 only", []string{tls13.URL, "--insecure"}, 1, []string{"protocol version"}},
		{"self-signed", []string{self.URL}, 1, []string{"certificate"}},
		{"self-signed, accepted", []string{self.URL, "--insecure"}, 0, []string{"answer: 200"}},
		{"escape sequences", []string{serveHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "\x1b[2Jgone")
		}))}, 0, []string{"\n·[2Jgone\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := invocation{key: serverKey}.run(t, append([]string{"send"}, c.args...)...)
			assert.Equal(t, c.code, code)
			assert.Empty(t, stderr)
			for _, want := range c.stdout {
				assert.Contains(t, stdout, want)
			}
		})
	}
}

func TestSendJSON(t *testing.T) {
	code, stdout, _ := invocation{key: serverKey}.run(t, "send", "--json", "--order", "A-1", serveHTTP(t, answering(503)))
	assert.Equal(t, exitWrong, code)
	var d dispatch
	require.NoError(t, json.Unmarshal([]byte(stdout), &d))
	assert.Equal(t, 503, d.Answer.Status)
	assert.Equal(t, 4, d.Next.Retries)
	assert.Contains(t, d.Request.Body, `"order_id":"A-1"`)
}

func TestSendList(t *testing.T) {
	code, stdout, _ := invocation{}.run(t, "send", "--list")
	assert.Equal(t, exitOK, code)
	assert.Equal(t, midhooktest.Samples(), strings.Fields(stdout))
}

// The printed command sends what send would, with a signature that is valid, and
// never one that is worth something.
func TestSendCurl(t *testing.T) {
	url := serveHTTP(t, hooked(t))
	code, stdout, stderr := invocation{key: serverKey, env: []string{urlVariable + "=" + url + "/midtrans"}}.run(t, "send", "--curl", "--order", "it's-1")
	assert.Equal(t, exitOK, code, stderr)
	assert.Regexp(t, `"signature_key":"[0-9a-f]{128}"`, stdout)
	assert.Contains(t, stdout, "'"+url+"/midtrans'\n")
	if _, err := exec.LookPath("curl"); err == nil {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", stdout).Output()
		require.NoError(t, err)
		assert.Contains(t, string(out), "handled\n")
	}
	code, stdout, stderr = invocation{key: "Mid-server-production-0001"}.run(t, "send", "--curl", url)
	assert.Equal(t, exitUsage, code)
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "it takes a test key only")
}

// Who mistyped the path is told so.
func TestSendHints(t *testing.T) {
	for status, want := range map[int]string{404: "hint: nothing may be registered at this path", 405: "hint: the path takes no POST"} {
		_, stdout, _ := invocation{key: serverKey}.run(t, "send", serveHTTP(t, answering(status)))
		assert.Contains(t, stdout, want)
	}
	_, stdout, _ := invocation{key: serverKey}.run(t, "send", serveHTTP(t, answering(403)))
	assert.NotContains(t, stdout, "hint:")
}
