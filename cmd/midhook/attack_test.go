package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// attacked runs attack against h, and returns the report by the attacks' names.
func attacked(t *testing.T, h http.Handler, key string, more ...string) (code int, r report, by map[string]finding) {
	t.Helper()
	args := append([]string{"attack", "--json", "--patience", "5s", serveHTTP(t, h) + "/midtrans"}, more...)
	code, stdout, stderr := invocation{key: key}.run(t, args...)
	assert.Empty(t, stderr)
	require.NoError(t, json.Unmarshal([]byte(stdout), &r), stdout)
	by = map[string]finding{}
	for _, f := range r.Attacks {
		by[f.Group+": "+f.Name] = f
	}
	assert.Len(t, by, len(r.Attacks), "two attacks have one name")
	return code, r, by
}

// midhook's own answers are the measure: nothing gets in, nothing is a finding.
func TestAttackOnMidhook(t *testing.T) {
	t.Parallel()
	var ran atomic.Int64
	hook, err := midhook.New(serverKey, midhook.WithBudget(demoBudget), midhook.WithObserver(func(_ context.Context, e midhook.Event) {
		if e.Outcome == midhook.OutcomeHandled {
			ran.Add(1)
		}
	}), midhook.WithLogger(discardedLogger))
	require.NoError(t, err)
	h := hook.HandlerFunc(func(context.Context, *midhook.Notification) error { return nil })

	code, r, by := attacked(t, h, "")
	assert.Equal(t, exitOK, code)
	assert.Zero(t, r.Findings)
	assert.Zero(t, ran.Load(), "a stranger has no key")
	assert.Positive(t, r.Left)
	assert.False(t, r.Keyed)
	assert.NotContains(t, by, "tampered: gross_amount")
	keyless := len(r.Attacks)

	code, r, by = attacked(t, h, serverKey)
	assert.Equal(t, exitOK, code)
	assert.Zero(t, r.Findings)
	assert.Len(t, r.Attacks, keyless+23)
	notes := 0
	for name, f := range by {
		assert.Empty(t, f.Finding, name)
		if f.Note {
			notes++
		}
	}
	assert.EqualValues(t, notes, ran.Load(), "what ran the handler is marked")
	for name, status := range map[string]int{
		"control: the dashboard's test, correctly signed": 200,
		"signature: none":                                              403,
		"tampered: gross_amount":                                       403,
		"tampered: pending into settlement":                            403,
		"duplicate name: order_id escaped, the signed one last":        400,
		"duplicate name: gross_amount other case, the signed one last": 400,
		"size: 1 MiB, declared":                                        413,
		"size: 1 MiB, chunked":                                         413,
		"slow: a body that never comes":                                408,
		"nesting: arrays":                                              400,
		"encoding: invalid UTF-8":                                      400,
		"smuggled: a second object after the signed one":               400,
		"method: GET":                                                  405,
	} {
		assert.Equal(t, status, by[name].Status, name)
	}
}

// careless verifies signatures, with a reader of JSON that is not made for it.
var careless = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	var n struct {
		OrderID      string `json:"order_id"`
		StatusCode   string `json:"status_code"`
		GrossAmount  string `json:"gross_amount"`
		SignatureKey string `json:"signature_key"`
	}
	if json.NewDecoder(r.Body).Decode(&n) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	want := midhooktest.Sign(&midhook.Notification{OrderID: n.OrderID, StatusCode: n.StatusCode, GrossAmount: n.GrossAmount}, serverKey)
	if n.SignatureKey != want {
		w.WriteHeader(http.StatusForbidden)
	}
})

// Each attack that needs the key gets through where its mistake is made; else it
// would prove nothing where it does not.
func TestAttackOnCarelessEndpoint(t *testing.T) {
	t.Parallel()
	code, r, by := attacked(t, careless, serverKey, "--patience", "10s")
	assert.Equal(t, exitWrong, code)
	var in []string
	for _, f := range r.Attacks {
		if f.Finding == letIn {
			in = append(in, f.Group+": "+f.Name)
		}
	}
	assert.Equal(t, []string{
		"tampered: pending into settlement",
		"tampered: deny into settlement",
		"tampered: challenge into accept",
		"duplicate name: order_id plain, the signed one last",
		"duplicate name: order_id escaped, the signed one last",
		"duplicate name: order_id other case, the signed one last",
		"duplicate name: gross_amount plain, the signed one last",
		"duplicate name: gross_amount escaped, the signed one last",
		"duplicate name: gross_amount other case, the signed one last",
		"size: 1 MiB, declared",
		"size: 1 MiB, chunked",
		"truncated: less than its Content-Length",
		"truncated: chunked without the last chunk",
		"type: order_id null",
		"type: order_id missing",
		"type: status_code null",
		"type: status_code missing",
		"type: gross_amount null",
		"type: gross_amount missing",
		"encoding: invalid UTF-8",
		"encoding: half a surrogate pair",
		"smuggled: a second object after the signed one",
		"smuggled: a second object on a line of its own",
		"smuggled: text after the object",
		"smuggled: a zero byte after the object",
		"method: GET", "method: HEAD", "method: PUT", "method: PATCH", "method: DELETE", "method: TRACE",
	}, in)
	assert.Equal(t, hung, by["slow: a byte now and then"].Finding)
	assert.Equal(t, hung, by["slow: a body that never comes"].Finding)
	assert.Equal(t, len(in)+2, r.Findings)
}

// A loose language makes strings of what is none, and reads the first of two.
func TestAttackOnCoercingEndpoint(t *testing.T) {
	t.Parallel()
	text := func(v any) string {
		switch v := v.(type) {
		case string:
			return v
		case bool:
			return "true"
		case []any:
			return v[0].(string)
		case map[string]any:
			return "[object Object]"
		}
		return ""
	}
	_, _, by := attacked(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var n map[string]any
		if err != nil || json.Unmarshal(body, &n) != nil || n == nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		signed := &midhook.Notification{OrderID: text(n["order_id"]), StatusCode: text(n["status_code"]), GrossAmount: text(n["gross_amount"])}
		if n["account_id"] != nil { // and the payment beside it?
			signed = &midhook.Notification{AccountID: text(n["account_id"]), AccountStatus: text(n["account_status"]), StatusCode: text(n["status_code"])}
		}
		if text(n["signature_key"]) != midhooktest.Sign(signed, serverKey) {
			w.WriteHeader(http.StatusForbidden)
		}
	}), serverKey)
	for _, name := range []string{"order_id", "status_code", "gross_amount"} {
		for _, kind := range []string{"null", "true", "an array", "an object", "missing"} {
			assert.Equal(t, letIn, by["type: "+name+" "+kind].Finding, "%s %s", name, kind)
		}
	}
	assert.Equal(t, letIn, by["type: signature_key an array"].Finding)
	assert.Equal(t, letIn, by["tampered: a payment beside a signed Pay Account"].Finding)
	assert.Empty(t, by["type: signature_key null"].Finding)
}

// What an endpoint does to everything is found of everything.
func TestAttackOnBadEndpoints(t *testing.T) {
	for _, c := range []struct {
		name    string
		handler http.Handler
		key     string
		finding string
		attack  string

		patience string
	}{
		{"naive", answering(200), "", letIn, "signature: none", "5s"},
		{"naive, empty answer", answering(204), "", letIn, "not an object: nothing", "5s"},
		{"login", redirecting(302, "/login"), "", redirected, "signature: none", "5s"},
		{"redirect that Midtrans follows", redirecting(308, "/other"), "", redirected, "signature: none", "5s"},
		{"failing", answering(500), "", crashed, "nesting: objects", "5s"},
		{"unavailable", answering(503), "", crashed, "signature: none", "5s"},
		{"panicking", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), "", crashed, "signature: none", "5s"},
		{"hanging", hanging, "", hung, "signature: none", "100ms"},
		{"another key", hooked(t), noKey + "-2", control, "control: the dashboard's test, correctly signed", "5s"},
		{"telling the digest", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, "expected "+midhooktest.Sign(midhooktest.Sample("qris"), serverKey))
		}), "", leaked, "signature: none", "5s"},
		{"echoing what it was sent is no leak", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.Copy(w, io.LimitReader(r.Body, 4096))
		}), "", "", "signature: with another key", "1s"},
		{"nothing there", http.NotFoundHandler(), "", absent, "endpoint: all of the above", "5s"},
		{"busy", answering(429), "", "", "signature: none", "5s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			code, r, by := attacked(t, c.handler, c.key, "--patience", c.patience)
			require.Contains(t, by, c.attack)
			assert.Equal(t, c.finding, by[c.attack].Finding, "%+v", by[c.attack])
			if c.finding != "" {
				assert.Equal(t, exitWrong, code)
				assert.Positive(t, r.Findings)
			}
			if c.name == "naive" {
				assert.Equal(t, len(r.Attacks), r.Findings, "all of it")
			}
		})
	}
}

func TestAttackOnNobody(t *testing.T) {
	code, stdout, stderr := invocation{}.run(t, "attack", "http://127.0.0.1:1/", "--patience", "1s")
	assert.Equal(t, exitWrong, code)
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "cannot be reached")
}

func TestAttackRows(t *testing.T) {
	code, stdout, stderr := invocation{}.run(t, "attack", serveHTTP(t, answering(200)))
	assert.Equal(t, exitWrong, code)
	assert.Empty(t, stderr)
	for line := range strings.Lines(stdout) {
		cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		require.Len(t, cells, 4, "a program reads cells and nothing else: %q", line)
		assert.Equal(t, "LET IN", cells[0])
		assert.Equal(t, "200", cells[2])
	}
}

// Whoever attacks a host that is not this machine must say that it is theirs.
func TestAllLoopback(t *testing.T) {
	for text, want := range map[string]bool{
		"127.0.0.1":           true,
		"127.0.0.1 ::1":       true,
		"::ffff:127.0.0.1":    true,
		"192.0.2.1":           false,
		"127.0.0.1 192.0.2.1": false, // a name that leads to both
		"0.0.0.0":             false,
		"":                    false,
	} {
		var addrs []netip.Addr
		for _, a := range strings.Fields(text) {
			addrs = append(addrs, netip.MustParseAddr(a))
		}
		assert.Equal(t, want, allLoopback(addrs), text)
	}
}

// A handler that knows no such order may say so with a 5xx; a verification may not.
func TestJudgeServerErrors(t *testing.T) {
	kind, _ := judge(attempt{want: either}, reply{status: 503}, "")
	assert.Empty(t, kind)
	kind, _ = judge(attempt{}, reply{status: 503}, "")
	assert.Equal(t, crashed, kind)
	kind, _ = judge(attempt{}, reply{status: 501}, "")
	assert.Empty(t, kind, "a server that does not know a method refuses it")
	kind, _ = judge(attempt{mayClose: true}, reply{took: time.Second}, "")
	assert.Empty(t, kind, "who closes the connection of a slow client refuses")
}

// In this process, for the race detector.
func TestAttackText(t *testing.T) {
	t.Setenv(keyVariable, "")
	var stdout, stderr bytes.Buffer
	assert.Equal(t, exitOK, run(t.Context(), []string{"attack", serveHTTP(t, hooked(t)), "--patience", "2s"}, &stdout, &stderr))
	assert.Contains(t, stdout.String(), "ok\tsignature: none\t403\trefused\n")
	assert.Empty(t, stderr.String())
}
