package main

import (
	"bytes"
	"cmp"
	"context"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

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
