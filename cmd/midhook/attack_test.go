package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
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

// muchTime is longer than any machine takes under load: a test that must not hang
// has it as its patience, and no test waits for it.
const muchTime = 10 * time.Minute

// attackedBy makes the attempts that are kept, in this process.
func attackedBy(t *testing.T, h http.Handler, key string, keep func(attempt) bool) (r *report, by map[string]finding) {
	t.Helper()
	target, err := parseTarget(serveHTTP(t, h) + "/midtrans")
	require.NoError(t, err)
	w, err := newWire(t.Context(), target, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, muchTime, false)
	require.NoError(t, err)
	all, _ := withKey(attacks(key), key != "")
	all = slices.DeleteFunc(all, func(a attempt) bool { return !keep(a) })
	require.NotEmpty(t, all)
	r, by = &report{Keyed: key != ""}, map[string]finding{}
	r.run(t.Context(), w, all, key, newScreen(io.Discard))
	for _, f := range r.Attacks {
		by[f.Group+": "+f.Name] = f
	}
	return r, by
}

func prompt(a attempt) bool { return a.group != "slow" }
func slow(a attempt) bool   { return a.group == "slow" }

// midhook's own answers are the measure: nothing gets in, nothing is a finding.
func TestAttackOnMidhook(t *testing.T) {
	t.Parallel()
	var ran atomic.Int64
	hook, err := midhook.New(serverKey, midhook.WithBudget(14*time.Second), midhook.WithObserver(func(_ context.Context, e midhook.Event) {
		if e.Outcome == midhook.OutcomeHandled {
			ran.Add(1)
		}
	}), midhook.WithLogger(discardedLogger))
	require.NoError(t, err)
	h := hook.HandlerFunc(func(context.Context, *midhook.Notification) error { return nil })

	r, by := attackedBy(t, h, "", prompt)
	assert.Zero(t, r.Findings)
	assert.Zero(t, r.Notes)
	assert.Zero(t, ran.Load(), "a stranger has no key")
	assert.NotContains(t, by, "tampered: gross_amount")
	for _, name := range midhooktest.Samples() {
		assert.Equal(t, 403, by["stranger: "+name+", unsigned"].Status, name)
		assert.Equal(t, 403, by["stranger: "+name+", with another key"].Status, name)
	}
	keyless := len(r.Attacks)

	r, by = attackedBy(t, h, serverKey, prompt)
	assert.Zero(t, r.Findings)
	assert.Greater(t, len(r.Attacks), keyless)
	for name, f := range by {
		assert.Empty(t, f.Finding, name)
	}
	assert.EqualValues(t, r.Notes, ran.Load(), "what ran the handler is marked")
	for name, status := range map[string]int{
		"control: the dashboard's test, correctly signed": 200,
		"signature: none":                                                        403,
		"tampered: gross_amount":                                                 403,
		"edited status: pending into settlement":                                 403,
		"edited status: gopay into refund":                                       200,
		"duplicate name: order_id escaped, the signed one last":                  400,
		"look-alike name: transaction_status in title case after the signed one": 400,
		"form: form-encoded, unsigned":                                           400,
		"size: 1 MiB, declared":                                                  413,
		"size: 1 MiB, chunked":                                                   413,
		"nesting: arrays":                                                        400,
		"encoding: invalid UTF-8":                                                400,
		"smuggled: a second object after the signed one":                         400,
		"method: GET":                                                            405,
	} {
		assert.Equal(t, status, by[name].Status, name)
	}
}

// A slow body ends with the budget, as an answer or as the end of the connection.
func TestSlowAttackOnMidhook(t *testing.T) {
	t.Parallel()
	r, _ := attackedBy(t, hooked(t), "", slow)
	assert.Zero(t, r.Findings, "%+v", r.Attacks)
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
	r, by := attackedBy(t, careless, serverKey, prompt)
	var in []string
	for _, f := range r.Attacks {
		switch {
		case f.Group == "edited status" && !f.Note:
			// It knows no accounts, and refuses them.
			assert.Equal(t, !strings.HasPrefix(f.Name, "pay-account"), f.Finding == letIn, f.Name)
		case f.Finding == letIn && f.Group != "look-alike name":
			in = append(in, f.Group+": "+f.Name)
		}
	}
	assert.Equal(t, []string{
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
	assert.Equal(t, letIn, by["look-alike name: transaction_status in upper case after the signed one"].Finding)
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
	_, by := attackedBy(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	}), serverKey, func(a attempt) bool { return a.group == "type" || a.group == "tampered" })
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
		if len(cells) == 1 {
			assert.Regexp(t, `^\d+ attacks, \d+ findings: \d+ let in; 0 notes; \d+ more need`, line)
			assert.True(t, strings.HasSuffix(stdout, line), "the totals are the last line")
			continue
		}
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
	assert.Equal(t, exitOK, run(t.Context(), []string{"attack", serveHTTP(t, hooked(t)), "--patience", "10m"}, &stdout, &stderr))
	assert.Contains(t, stdout.String(), "ok\tsignature: none\t")
	assert.Regexp(t, ` attacks, 0 findings; 0 notes; \d+ more need the endpoint's server key: set \$MIDTRANS_SERVER_KEY\.\n$`, stdout.String())
	assert.Empty(t, stderr.String())
}

// holes are mistakes of endpoints, each with the attack that must find it. Whoever
// has no such mistake refuses.
var holes = []struct {
	name    string
	lets    func(r *http.Request, body []byte) bool
	groups  []string // that may find it, and no other
	finding string   // that must
}{
	{"believes an unsigned refund", saysUnsigned("transaction_status", "refund"), []string{"stranger", "test order", "form"}, "stranger: refund, unsigned"},
	{"believes an unsigned cancel", saysUnsigned("transaction_status", "cancel"), []string{"stranger"}, "stranger: cancel, unsigned"},
	{"believes an unsigned expire", saysUnsigned("transaction_status", "expire"), []string{"stranger", "test order"}, "stranger: expire, unsigned"},
	{"believes an unsigned deny", saysUnsigned("transaction_status", "deny"), []string{"stranger"}, "stranger: credit-card-deny, unsigned"},
	{"believes an unsigned chargeback", saysUnsigned("transaction_status", "chargeback"), []string{"stranger"}, "stranger: chargeback, unsigned"},
	{"believes an unsigned pending", saysUnsigned("transaction_status", "pending"), []string{"stranger"}, "stranger: pending, unsigned"},
	{"believes an unsigned linked account", saysUnsigned("account_status", "ENABLED"), []string{"stranger"}, "stranger: pay-account-enabled, unsigned"},
	{"believes an unsigned unlinked account", saysUnsigned("account_status", "DISABLED"), []string{"stranger"}, "stranger: pay-account-disabled, unsigned"},
	{"does not check the key of refunds", says("transaction_status", "refund"), nil, "stranger: refund, with another key"},
	{"does not check the key of accounts", says("account_status", "DISABLED"), nil, "stranger: pay-account-disabled, with another key"},
	{"answers test orders first", func(_ *http.Request, body []byte) bool {
		return strings.HasPrefix(fieldsOf(object(body)).value("order_id"), "payment_notif_test_")
	}, []string{"control", "stranger", "test order"}, "test order: gopay, unsigned"},
	{"believes subscriptions", func(_ *http.Request, body []byte) bool { return bytes.Contains(body, []byte(`"schedule"`)) },
		[]string{"other webhook"}, "other webhook: recurring created, unsigned"},
	{"believes payouts", says("status", "completed"), []string{"other webhook"}, "other webhook: payout completed, unsigned"},
	{"takes forms", func(r *http.Request, _ []byte) bool {
		return r.Header.Get("Content-Type") == "application/x-www-form-urlencoded"
	},
		[]string{"form"}, "form: form-encoded, unsigned"},
	{"takes parameters of the URL", func(r *http.Request, _ []byte) bool { return r.URL.Query().Get("order_id") != "" },
		[]string{"form"}, "form: parameters of the URL, unsigned"},
	{"binds names of any case", func(_ *http.Request, body []byte) bool {
		var n struct {
			OrderID string `json:"order_id"`
		}
		return json.Unmarshal(body, &n) == nil && n.OrderID != "" && fieldsOf(object(body)).value("order_id") == ""
	}, []string{"look-alike name", "type"}, "look-alike name: all names in title case, unsigned"},
	{"takes the last of two names of any case", signedIf(func(f fields) fields {
		signed := fields{}
		for _, m := range f {
			if m.name == strings.ToLower(m.name) {
				signed = append(signed, m)
			}
		}
		return signed
	}), nil, "look-alike name: transaction_status in title case after the signed one"},
	{"trims before it verifies", signedIf(func(f fields) fields {
		for _, name := range []string{"order_id", "status_code", "gross_amount"} {
			f = f.with(name, quote(strings.TrimSpace(f.value(name))))
		}
		return f
	}), nil, "white space: order_id with a space after it"},
	{"formats the amount before it verifies", signedIf(func(f fields) fields {
		text := strings.Trim(amountOf(f), `"`)
		if v, err := strconv.ParseFloat(text, 64); err == nil {
			f = f.with("gross_amount", quote(strconv.FormatFloat(v, 'f', 2, 64)))
		}
		return f
	}), nil, `rewritten: gross_amount as 154600`},
	{"trusts the status of a signed body", signedIf(func(f fields) fields { return f }), nil, "edited status: expire into settlement"},
}

func amountOf(f fields) string {
	for _, m := range f {
		if m.name == "gross_amount" {
			return m.value
		}
	}
	return ""
}

// object is a body, or an empty object where it is none.
func object(body []byte) []byte {
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil || members == nil {
		return []byte("{}")
	}
	return body
}

func says(name, value string) func(*http.Request, []byte) bool {
	return func(_ *http.Request, body []byte) bool { return fieldsOf(object(body)).value(name) == value }
}

func saysUnsigned(name, value string) func(*http.Request, []byte) bool {
	return func(_ *http.Request, body []byte) bool {
		f := fieldsOf(object(body))
		return f.value(name) == value && f.value("signature_key") == ""
	}
}

// signedIf lets in what is signed once it was changed.
func signedIf(change func(fields) fields) func(*http.Request, []byte) bool {
	return func(r *http.Request, body []byte) bool {
		f := change(fieldsOf(object(body)))
		return r.Method == http.MethodPost && f.value("order_id") != "" && f.value("signature_key") == f.resigned(serverKey).value("signature_key")
	}
}

// Each hole is found and named; an attack that finds no hole anywhere would prove
// nothing where it finds none.
func TestAttackFindsEachHole(t *testing.T) {
	t.Parallel()
	whole, err := midhook.New(serverKey, midhook.WithBudget(14*time.Second), midhook.WithLogger(discardedLogger))
	require.NoError(t, err)
	guarded := whole.HandlerFunc(func(context.Context, *midhook.Notification) error { return nil })
	for _, hole := range holes {
		t.Run(hole.name, func(t *testing.T) {
			t.Parallel()
			_, by := attackedBy(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
				if err == nil && hole.lets(r, body) {
					return
				}
				r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), r.Body))
				guarded.ServeHTTP(w, r)
			}), serverKey, prompt)
			assert.Equal(t, letIn, by[hole.finding].Finding, "%+v", by[hole.finding])
			for name, f := range by {
				if hole.groups != nil && f.Finding != "" {
					assert.Contains(t, hole.groups, f.Group, name)
				}
			}
		})
	}
}
