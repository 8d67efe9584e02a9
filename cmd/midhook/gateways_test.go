package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/opn"
	"github.com/midhook/midhook/paymongo"
	"github.com/midhook/midhook/payout"
	"github.com/midhook/midhook/recurring"
)

// testSecrets are accepted, by gateway.
var testSecrets = map[string]string{
	"midtrans":  serverKey,
	"payout":    "IRIS-merchant-test",
	"recurring": serverKey,
	"opn":       "b21pc2Utd2ViaG9vay1zZWNyZXQ=",
	"paymongo":  "whsk_test",
}

// as has the secrets of all gateways in the environment.
func as(t *testing.T) invocation {
	t.Helper()
	var i invocation
	for _, g := range gateways {
		i.env = append(i.env, g.variable+"="+testSecrets[g.Name])
	}
	return i
}

// received is an endpoint of the gateway with midhook in front, and the ids of the
// events that its handler was given.
func received(t *testing.T, name string) (url string, ids <-chan string) {
	t.Helper()
	var gateway midhook.Gateway
	var err error
	switch name {
	case "payout":
		gateway, err = payout.New(testSecrets[name])
	case "recurring":
		gateway, err = recurring.New(testSecrets[name], 100, 100, recurring.WithBaseURL(serveHTTP(t, subscriptions)))
	case "opn":
		gateway, err = opn.New(testSecrets[name])
	case "paymongo":
		gateway, err = paymongo.New(testSecrets[name])
	default:
		t.Fatalf("no endpoint for %s", name)
	}
	require.NoError(t, err)
	hook, err := midhook.NewFor(gateway, midhook.WithLogger(discardedLogger))
	require.NoError(t, err)
	got := make(chan string, 100)
	return serveHTTP(t, hook.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got <- eventID(r.Context())
	}))), got
}

func eventID(ctx context.Context) string {
	if n, ok := midhook.Value[*payout.Notification](ctx); ok {
		return cmp.Or(n.ReferenceNo, n.TransactionID)
	}
	if n, ok := midhook.Value[*recurring.Notification](ctx); ok {
		return n.Subscription.ID
	}
	if e, ok := midhook.Value[*opn.Event](ctx); ok {
		return e.ID
	}
	if e, ok := midhook.Value[*paymongo.Event](ctx); ok {
		return e.ID
	}
	return ""
}

// subscriptions is Midtrans' API, which knows every subscription.
var subscriptions = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimPrefix(r.URL.Path, "/v1/subscriptions/")
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(midhooktest.RecurringSender().Body("created", midhooktest.Field("id", id)))
})

// Whoever adds a sender adds it to the command line.
func TestGatewaysAreTheSenders(t *testing.T) {
	var senders, names []string
	for _, s := range midhooktest.Senders() {
		senders = append(senders, s.Name)
	}
	for _, g := range gateways {
		names = append(names, g.Name)
		assert.Contains(t, g.Samples(), g.sample)
		assert.NotEmpty(t, g.company, g.Name)
		assert.NoError(t, g.checkKey(testSecrets[g.Name]), g.Name)
		for _, sample := range g.Samples() {
			once, body := g.event(sample, func(id string) string { return id })
			assert.Equal(t, string(g.Body(sample)), string(body), "%s: renamed to itself", sample)
			again, body := g.event(sample, func(id string) string { return "other-" + id })
			assert.Contains(t, string(body), "other-", sample)
			if sample != "pay-account-enabled" && sample != "pay-account-disabled" { // those are called the same
				assert.NotEqual(t, once, again, sample)
			}
		}
	}
	assert.Equal(t, senders, names)
}

// A secret in another's place, or cut short, is refused before anything is sent,
// and not quoted.
func TestSecretsOfGateways(t *testing.T) {
	var calls atomic.Int32
	url := serveHTTP(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	for _, c := range []struct{ gateway, secret, stderr string }{
		{"payout", "", "an Iris merchant key is required: set $MIDTRANS_IRIS_KEY, or --key"},
		{"payout", "SB-Mid-server-test", "of another kind (Midtrans server key)"},
		{"recurring", "", "a server key is required: set $MIDTRANS_SERVER_KEY, or --key"},
		{"recurring", "SB-Mid-client-test", "client key"},
		{"opn", "", "an Opn webhook secret is required: set $OPN_WEBHOOK_SECRET, or --key"},
		{"opn", "skey_test_1234567890", "of another kind (Opn secret key)"},
		{"opn", "whsk_test_1234567890", "of another kind (PayMongo webhook secret)"},
		{"opn", "b21pc2Utd2ViaG9vay1zZWNyZXQ", "base64"},
		{"paymongo", "", "a PayMongo webhook secret is required: set $PAYMONGO_WEBHOOK_SECRET, or --key"},
		{"paymongo", "sk_test_1234567890", "of another kind (PayMongo secret key)"},
		{"midtrans", "IRIS-merchant-test", "of another kind (Midtrans Iris key)"},
	} {
		for _, command := range []string{"send", "play"} {
			for _, where := range []string{"environment", "flag"} {
				t.Run(command+" "+c.gateway+" "+c.stderr+" "+where, func(t *testing.T) {
					var i invocation
					args := []string{command, "--gateway", c.gateway, url}
					if where == "flag" {
						args = append(args, "--key", c.secret)
					} else if g, err := gatewayNamed(c.gateway); assert.NoError(t, err) {
						i.env = []string{g.variable + "=" + c.secret}
					}
					code, stdout, stderr := i.run(t, args...)
					assert.Equal(t, exitUsage, code)
					assert.Empty(t, stdout)
					want := c.stderr
					if where == "flag" && c.secret == "" {
						want = "--key is empty" // and another secret is not taken instead
					}
					assert.Contains(t, stderr, want)
					if c.secret != "" {
						assert.NotContains(t, stderr, c.secret)
					}
				})
			}
		}
	}
	assert.Zero(t, calls.Load())
}

func TestGatewayMistakes(t *testing.T) {
	for _, c := range []struct{ args, stderr string }{
		{"send --gateway nonsense http://127.0.0.1/", "must be one of midtrans, payout, recurring, opn, paymongo"},
		{"play --gateway nonsense http://127.0.0.1/", "must be one of midtrans, payout, recurring, opn, paymongo"},
		{"send --gateway opn --order A http://127.0.0.1/", "--order is for midtrans; for opn there is --id"},
		{"send --gateway opn --amount 1.00 --id A http://127.0.0.1/", "--amount is for midtrans"},
		{"send --gateway paymongo --status paid http://127.0.0.1/", "--status is for midtrans"},
		{"send --gateway payout --code 200 http://127.0.0.1/", "--code is for midtrans"},
		{"send --gateway recurring --transaction A http://127.0.0.1/", "--transaction is for midtrans"},
		{"send --id A http://127.0.0.1/", "--id is for the other gateways"},
		{"send --gateway opn --body - --id A http://127.0.0.1/", "--id is for samples"},
		{"send --gateway opn --sample gopay http://127.0.0.1/", `no sample "gopay"; midhook send --gateway opn --list`},
		{"send --sample payment.paid http://127.0.0.1/", `no sample "payment.paid"; midhook send --list`},
		{"send --timeout -1s http://127.0.0.1/", "--timeout must be positive"},
		{"play --gateway opn --scenario outage http://127.0.0.1/", "--scenario is for midtrans"},
		{"play --gateway opn --list", "--list is of scenarios, which are for midtrans; midhook send --gateway opn --list"},
		{"play --count 0 http://127.0.0.1/", "--count must be 1 to 100"},
		{"play --count 101 http://127.0.0.1/", "--count must be 1 to 100"},
		{"play --count 2 --scenario outage http://127.0.0.1/", "--count is for samples"},
	} {
		t.Run(c.args, func(t *testing.T) {
			code, stdout, stderr := as(t).run(t, strings.Fields(c.args)...)
			assert.Equal(t, exitUsage, code)
			assert.Empty(t, stdout)
			assert.Contains(t, stderr, c.stderr)
		})
	}
}

// Each gateway's own package must accept what is sent, and take --id for another
// event.
func TestSendAsEveryGateway(t *testing.T) {
	for _, c := range []struct {
		gateway, sample, id string
		header              []string
	}{
		{"payout", "", "83hgf882", []string{"Iris-Signature: [signature]"}},
		{"payout", "failed", "83hgf882", []string{"Iris-Signature: [signature]"}},
		{"payout", "topup", "9a1f2d4e-0000-4000-8000-0123456789ab", []string{"Iris-Signature: [signature]"}},
		{"recurring", "created", "db516f5c-4acf-4f67-ac75-bb8428b58633", nil},
		{"recurring", "charge-failed", "db516f5c-4acf-4f67-ac75-bb8428b58633", nil},
		{"opn", "", "evnt_test_5xuy4w91xqz7d1w9u0t", []string{"Omise-Signature: [signature]", "Omise-Signature-Timestamp: 1"}},
		{"opn", "customer.destroy", "evnt_test_5xuy4w91xqz7d1w9u0v", []string{"Omise-Signature: [signature]"}},
		{"paymongo", "", "evt_HyQ8cTeYsQNJ5PB11VUjCY5F", []string{"Paymongo-Signature: t=", ",te=[signature],li=\n"}},
		{"paymongo", "source.chargeable", "evt_HyQ8cTeYsQNJ5PB11VUjCY5J", []string{"Paymongo-Signature: t="}},
	} {
		t.Run(c.gateway+" "+c.sample, func(t *testing.T) {
			url, ids := received(t, c.gateway)
			args := []string{"send", "--gateway", c.gateway, url + "/hook"}
			if c.sample != "" {
				args = append(args, "--sample", c.sample)
			}
			for _, id := range []string{c.id, "another-1"} {
				if id != c.id {
					args = append(args, "--id", id)
				}
				code, stdout, stderr := as(t).run(t, args...)
				require.Equal(t, exitOK, code, stdout+stderr)
				assert.Empty(t, stderr)
				assert.Equal(t, id, <-ids)
				for _, want := range append(c.header, "request: POST "+url+"/hook\n", id, "\nanswer: 200 OK in ", "\nnext: delivered: ") {
					assert.Contains(t, stdout, want)
				}
				assert.NotContains(t, stdout, "tokenized")
				assert.NotRegexp(t, `[0-9a-f]{64}`, stdout)
			}
		})
	}
}

// The signed shape of a charge has its signature inside.
func TestSendSignedRecurring(t *testing.T) {
	got := make(chan []byte, 1)
	url := serveHTTP(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- body
	}))
	code, stdout, _ := as(t).run(t, "send", "--gateway", "recurring", "--sample", "signed", "--id", "sub-2", url)
	assert.Equal(t, exitOK, code)
	assert.Contains(t, stdout, `"signature_key":"[signature]"`)
	n, err := midhook.Parse(<-got)
	require.NoError(t, err)
	assert.NoError(t, midhook.Verify(n, serverKey))
	assert.Equal(t, "sub-2", n.SubscriptionID)
}

func TestSendBodyAsEveryGateway(t *testing.T) {
	type request struct {
		header http.Header
		body   string
	}
	got := make(chan request, 1)
	url := serveHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- request{r.Header, string(body)}
		_, _ = io.WriteString(w, "{}")
	}))
	for _, c := range []struct {
		gateway string
		header  []string
		verify  func(request) error
	}{
		{"payout", []string{"Iris-Signature"}, func(r request) error {
			return payout.Verify([]byte(r.body), r.header.Get("Iris-Signature"), testSecrets["payout"])
		}},
		{"opn", []string{"Omise-Signature", "Omise-Signature-Timestamp"}, func(r request) error {
			return opn.Verify([]byte(r.body), r.header.Get("Omise-Signature"), r.header.Get("Omise-Signature-Timestamp"), time.Now(), testSecrets["opn"])
		}},
		{"paymongo", []string{paymongo.SignatureHeader}, func(r request) error {
			return paymongo.Verify([]byte(r.body), r.header.Get(paymongo.SignatureHeader), testSecrets["paymongo"])
		}},
	} {
		t.Run(c.gateway, func(t *testing.T) {
			g, err := gatewayNamed(c.gateway)
			require.NoError(t, err)
			file := filepath.Join(t.TempDir(), "body.json")
			body := string(g.Body(g.sample))
			require.NoError(t, os.WriteFile(file, []byte(body), 0o600))

			code, stdout, stderr := as(t).run(t, "send", "--gateway", c.gateway, "--body", file, "--sign", url)
			assert.Equal(t, exitOK, code, stderr)
			signed := <-got
			assert.Equal(t, body, signed.body, "to the last byte")
			assert.NoError(t, c.verify(signed))

			code, unsigned, stderr := invocation{}.run(t, "send", "--gateway", c.gateway, "--body", file, url)
			assert.Equal(t, exitOK, code, "no secret is needed: %s", stderr)
			bare := <-got
			assert.Equal(t, body, bare.body)
			for _, name := range c.header {
				assert.Contains(t, stdout, name+": ")
				assert.NotContains(t, unsigned, name)
				assert.Empty(t, bare.header.Values(name))
			}
		})
	}
	code, stdout, stderr := invocation{stdin: string(midhooktest.RecurringSender().Body("charged")), key: serverKey}.
		run(t, "send", "--gateway", "recurring", "--body", "-", "--sign", url)
	assert.Equal(t, exitWrong, code)
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "the body cannot be signed: ")
}

// Exit code and "next" are the sender's view of an answer, not that of HTTP.
func TestSendJudgesAsTheSenderDoes(t *testing.T) {
	answers := func(status int, body string) string {
		return serveHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}))
	}
	long := `"` + strings.Repeat("x", 2*maxShown) + `"`
	for _, c := range []struct {
		gateway string
		status  int
		body    string
		code    int
		retries int
	}{
		{"paymongo", 200, "{}", exitOK, 0},
		{"paymongo", 200, long, exitOK, 0},
		{"paymongo", 200, long + "x", exitWrong, 12},
		{"paymongo", 200, "ok\n", exitWrong, 12},
		{"paymongo", 204, "", exitWrong, 12},
		{"paymongo", 503, "{}", exitWrong, 12},
		{"opn", 204, "", exitOK, 0},
		{"opn", 500, "", exitWrong, 0},
		{"payout", 200, "ok\n", exitOK, 0},
		{"payout", 500, "", exitWrong, 1},
		{"recurring", 404, "", exitWrong, 2},
	} {
		code, stdout, stderr := as(t).run(t, "send", "--json", "--gateway", c.gateway, answers(c.status, c.body))
		assert.Equal(t, c.code, code, "%s %d %s", c.gateway, c.status, stderr)
		var d dispatch
		require.NoError(t, json.Unmarshal([]byte(stdout), &d))
		assert.Equal(t, c.status, d.Answer.Status)
		assert.Equal(t, c.code == exitOK, d.Next.Delivered)
		assert.Equal(t, c.retries, d.Next.Retries)
		assert.LessOrEqual(t, len(d.Answer.Body), maxShown)
	}
	// Opn does not follow redirects, and speaks TLS 1.3, which Midtrans does not.
	code, stdout, _ := as(t).run(t, "send", "--gateway", "opn", serveHTTP(t, redirecting(307, answers(200, ""))))
	assert.Equal(t, exitWrong, code)
	assert.NotContains(t, stdout, "redirected: ")
	tls13 := httptest.NewUnstartedServer(answering(200))
	tls13.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	tls13.Config.ErrorLog = discarded
	tls13.StartTLS()
	defer tls13.Close()
	for _, command := range []string{"send", "play"} {
		for gateway, want := range map[string]int{"opn": exitOK, "payout": exitWrong} {
			code, stdout, _ = as(t).run(t, command, "--gateway", gateway, "--insecure", tls13.URL, map[string]string{"send": "--json", "play": "--speed=1000000"}[command])
			assert.Equal(t, want, code, "%s as %s: %s", command, gateway, stdout)
		}
	}
}

func TestSendListOfEveryGateway(t *testing.T) {
	for _, s := range midhooktest.Senders() {
		code, stdout, _ := invocation{}.run(t, "send", "--gateway", s.Name, "--list")
		assert.Equal(t, exitOK, code)
		assert.Equal(t, s.Samples(), strings.Fields(stdout), s.Name)
	}
}

// No secret, signature or token of any gateway is printed, whatever the server
// says and whatever was mistyped.
func TestNothingSecretOfAnyGatewayIsPrinted(t *testing.T) {
	telltale := serveHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body)
		secrets := strings.Join([]string{testSecrets["payout"], testSecrets["opn"], testSecrets["paymongo"]}, " ")
		w.Header().Set("Location", "/"+secrets)
		w.WriteHeader(http.StatusFound)
		_ = r.Header.Write(w)
		_, _ = io.WriteString(w, secrets+" "+string(got))
	}))
	page := filepath.Join(t.TempDir(), "page.html")
	for gateway, key := range testSecrets {
		for _, args := range [][]string{
			{"send", telltale},
			{"send", telltale, "--json"},
			{"send", telltale + "/" + key},
			{"send", telltale, "--body", key},
			{"send", key},
			{"send", telltale, key},
			{"send", telltale, "--sample", key},
			{"play", telltale + "/" + key, "--speed", rapid, "--html", page},
			{"play", telltale, "--speed", rapid, "--json"},
			{"play", telltale, "--prefix", key, "--speed", rapid},
			{"play", telltale, "--count", key},
		} {
			for _, where := range []string{"environment", "flag"} {
				t.Run(where+" "+gateway+" "+args[0], func(t *testing.T) {
					args := append([]string{args[0], "--gateway", gateway}, args[1:]...)
					for _, g := range gateways {
						t.Setenv(g.variable, map[string]string{"environment": testSecrets[g.Name]}[where])
					}
					if where == "flag" {
						args = slices.Insert(args, 1, "--key", key)
					}
					require.NoError(t, os.WriteFile(page, nil, 0o600))
					var out bytes.Buffer // in this process: there are many
					run(t.Context(), args, &out, &out)
					written, err := os.ReadFile(page)
					require.NoError(t, err)
					all := out.String() + string(written)
					assert.NotEmpty(t, all)
					for _, text := range []string{all, unescaped(all)} {
						assert.NotContains(t, text, key)
						assert.NotContains(t, text, "481111")
						assert.NotRegexp(t, `[0-9a-f]{64}`, text)
					}
				})
			}
		}
	}
}

// unescaped has the plus sign and the equals sign of a base64 text as they were.
func unescaped(text string) string {
	if plain, err := url.PathUnescape(text); err == nil {
		text = plain
	}
	return html.UnescapeString(text)
}
