package main

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/opn"
	"github.com/midhook/midhook/paymongo"
	"github.com/midhook/midhook/payout"
)

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
