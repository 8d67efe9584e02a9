package opn_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/opn"
)

// Rule: what cannot be the webhook secret is refused at the start, whole and with
// all else that is wrong, and no error quotes a secret.
func TestNewRefuses(t *testing.T) {
	for secret, want := range map[string]string{
		"":                                    "empty",
		" \n":                                 "empty",
		testSecret + "\n":                     "white space",
		"b21pc2Utd2Vi\naG9vay1zZWNyZXQ=":      "control",
		"skey_test":                           "Opn secret key",
		"skey_test_5tests":                    "Opn secret key",
		"pkey_test":                           "Opn public key",
		"whsk_test":                           "PayMongo webhook secret",
		"sk_live_test":                        "PayMongo secret key",
		"SB-Mid-server-test":                  "Midtrans server key",
		"whsec_b21pc2Utd2ViaG9vay1zZWNyZXQ=":  "base64",
		"omise-webhook-secret":                "base64",
		strings.TrimRight(testSecret, "="):    "base64",
		testSecret[:len(testSecret)-2] + "R=": "base64", // a bit beyond the last byte
		testSecret[1:]:                        "base64",
		strings.ReplaceAll("+/+/+/+/+/+/+/+/", "+/", "-_-_"): "base64",
		"dGVzdA==":             "too short",
		"changeme":             "too short",
		"ZmlmdGVlbiBieXRlcyAh": "too short",
	} {
		g, err := opn.New(secret)
		require.ErrorContains(t, err, want, "%q", secret)
		assert.Nil(t, g)
		if secret = strings.TrimSpace(secret); secret != "" {
			assert.NotContains(t, err.Error(), secret)
		}
	}

	_, err := opn.New("",
		opn.WithSecret("", testSecret),
		opn.WithSecret("default", testSecret),
		opn.WithSecret("next", "skey_test"),
		opn.WithSecret(testSecret, "next"),
		opn.WithSecret(" "+strings.TrimRight(testSecret, "=")+"\n", "another"),
		opn.WithSecret("skey_test", "further"),
		opn.WithTolerance(0),
		opn.WithTolerance(-time.Second),
		opn.WithClock(nil),
		nil)
	require.Error(t, err)
	assert.Len(t, strings.Split(err.Error(), "\n"), 11, err.Error())
	for _, want := range []string{"empty", "label is required", `two with the label "default"`, `"next"`, "the label comes first", "tolerance 0s", "tolerance -1s", "clock", "option 10"} {
		assert.ErrorContains(t, err, want)
	}
	assert.NotContains(t, err.Error(), testSecret[:12])
	assert.NotContains(t, err.Error(), "skey_test")

	for _, label := range []string{"next", "production", "singapore-2026-08-live", "default "} {
		_, err := opn.New(testSecret, opn.WithSecret(label, otherSecret))
		assert.NoError(t, err, label)
	}
}

// Rule: a delivery verifies with one timestamp and one or two signatures, in one
// header line or two; the label is that of the secret that matched.
func TestOpen(t *testing.T) {
	g, err := opn.New(testSecret, opn.WithSecret("next", otherSecret), opn.WithClock(func() time.Time { return testNow }))
	require.NoError(t, err)
	other := sign(otherSecret, testTimestamp, testBody)
	stranger := strings.Repeat("ab", 32)
	for _, c := range []struct {
		rule       string
		signatures []string
		timestamps []string
		label      string // "" if it must not verify
	}{
		{"as published", []string{testSignature}, []string{testTimestamp}, "default"},
		{"by the next secret", []string{other}, []string{testTimestamp}, "next"},
		{"by both", []string{other + "," + testSignature}, []string{testTimestamp}, "default"},
		{"by both, in two lines", []string{stranger, other}, []string{testTimestamp}, "next"},
		{"by a stranger and one that is known", []string{stranger + ", " + testSignature}, []string{testTimestamp}, "default"},
		{"an empty line beside it", []string{"", testSignature}, []string{testTimestamp}, "default"},
		{"by a stranger", []string{stranger}, []string{testTimestamp}, ""},
		{"no signature", nil, []string{testTimestamp}, ""},
		{"an empty one", []string{""}, []string{testTimestamp}, ""},
		{"one in pieces", []string{testSignature[:32], testSignature[32:]}, []string{testTimestamp}, ""},
		{"no timestamp", []string{testSignature}, nil, ""},
		{"an empty timestamp", []string{testSignature}, []string{""}, ""},
		{"a timestamp twice", []string{testSignature}, []string{testTimestamp, testTimestamp}, ""},
		{"a newer timestamp beside it", []string{testSignature}, []string{testTimestamp, "1785578401"}, ""},
	} {
		t.Run(c.rule, func(t *testing.T) {
			header := http.Header{"Omise-Signature": c.signatures, "Omise-Signature-Timestamp": c.timestamps}
			msg, err := g.Open(header, []byte(testBody))
			if c.label == "" {
				require.ErrorIs(t, err, midhook.ErrSignature)
				assert.Equal(t, midhook.Message{}, msg)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.label, msg.KeyLabel)
			assert.Equal(t, parse(t, testBody), msg.Value)
			assert.Equal(t, parse(t, testBody).IdempotencyKey(), msg.Key)
			assert.Empty(t, msg.Subject)
			assert.Zero(t, msg.Stage)
			assert.False(t, msg.Test)
		})
	}
}

// Rule: signature first, then the clock, then the body: a stranger learns of
// neither the clock nor what parses.
func TestOpenOrder(t *testing.T) {
	now := testNow
	g, err := opn.New(testSecret, opn.WithTolerance(time.Minute), opn.WithClock(func() time.Time { return now }))
	require.NoError(t, err)
	open := func(secret, body string) error {
		_, err := g.Open(signedBy(secret, testTimestamp, body).Header, []byte(body))
		return err
	}
	assert.NoError(t, open(testSecret, testBody))
	assert.Equal(t, midhook.ErrSignature, open(otherSecret, "{"))
	assert.ErrorIs(t, open(testSecret, "{"), midhook.ErrMalformed)
	assert.ErrorIs(t, open(testSecret, ""), midhook.ErrSignature)

	now = testNow.Add(time.Minute)
	assert.NoError(t, open(testSecret, testBody))
	now = testNow.Add(time.Minute + 1)
	assert.ErrorContains(t, open(testSecret, testBody), "more than 1m0s behind")
	assert.ErrorIs(t, open(testSecret, "{"), midhook.ErrSignature)
	assert.Equal(t, midhook.ErrSignature, open(otherSecret, testBody))
	now = testNow.Add(-time.Minute - 1)
	assert.ErrorContains(t, open(testSecret, testBody), "more than 1m0s ahead")
}

func TestGatewayAnswers(t *testing.T) {
	g, err := opn.New(testSecret)
	require.NoError(t, err)
	assert.False(t, g.Retries())
	for _, o := range []midhook.Outcome{midhook.OutcomeHandled, midhook.OutcomeForged, midhook.OutcomeInFlight} {
		status, contentType, body := g.Answer(o)
		wantStatus, wantType, wantBody := midhook.PlainAnswer(o)
		assert.Equal(t, []any{wantStatus, wantType, wantBody}, []any{status, contentType, body})
	}
	_, ok := opn.FromContext(t.Context())
	assert.False(t, ok)
}
