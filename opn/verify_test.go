package opn_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/opn"
)

// Rule: the formula is Opn's, on the published vector; the secret is the base64 of
// the key, and the whole of timestamp and body is signed.
func TestVerifyPublishedVector(t *testing.T) {
	require.NoError(t, opn.Verify([]byte(testBody), testSignature, testTimestamp, testNow, testSecret))

	const notDecoded = "dff2052b001c5c4961605a80d4447434af1a64173975aed5d12b032953df2ab5"
	require.Equal(t, notDecoded, hexMAC(testSecret, testTimestamp+"."+testBody), "that is what it is the digest of")
	decoded, err := base64.StdEncoding.DecodeString(testSecret)
	require.NoError(t, err)
	key := string(decoded)

	var reserialised bytes.Buffer
	require.NoError(t, json.Indent(&reserialised, []byte(testBody), "", " "))

	for _, c := range []struct {
		rule, body, signature, timestamp string
	}{
		{"signed with the base64 itself", testBody, notDecoded, testTimestamp},
		{"signed without the timestamp", testBody, hexMAC(key, testBody), testTimestamp},
		{"signed without the dot", testBody, hexMAC(key, testTimestamp+testBody), testTimestamp},
		{"signed with an empty key", testBody, hexMAC("", testTimestamp+"."+testBody), testTimestamp},
		{"body written anew", reserialised.String(), testSignature, testTimestamp},
		{"body with a line end", testBody + "\n", testSignature, testTimestamp},
		{"another body", strings.Replace(testBody, "chrg_test_1", "chrg_test_2", 1), testSignature, testTimestamp},
		{"empty body", "", sign(testSecret, testTimestamp, ""), testTimestamp},
		{"another timestamp", testBody, testSignature, "1785578401"},
		{"a digit moved into the body", "0." + testBody, hexMAC(key, "178557840.0."+testBody), testTimestamp},
		{"no timestamp", testBody, sign(testSecret, "", testBody), ""},
		{"timestamp with a sign", testBody, sign(testSecret, "+"+testTimestamp, testBody), "+" + testTimestamp},
		{"negative timestamp", testBody, sign(testSecret, "-"+testTimestamp, testBody), "-" + testTimestamp},
		{"timestamp behind a space", testBody, sign(testSecret, " "+testTimestamp, testBody), " " + testTimestamp},
		{"timestamp with a fraction", testBody, sign(testSecret, testTimestamp+".0", testBody), testTimestamp + ".0"},
		{"timestamp in hexadecimal", testBody, sign(testSecret, "0x6a6dc7a0", testBody), "0x6a6dc7a0"},
		{"timestamp with an exponent", testBody, sign(testSecret, "17855784e2", testBody), "17855784e2"},
		{"timestamp as a date", testBody, sign(testSecret, "2026-08-01T10:00:00Z", testBody), "2026-08-01T10:00:00Z"},
		{"timestamp without end", testBody, sign(testSecret, strings.Repeat("9", 400), testBody), strings.Repeat("9", 400)},
		{"timestamp in milliseconds", testBody, sign(testSecret, testTimestamp+"000", testBody), testTimestamp + "000"},
		{"two timestamps", testBody, sign(testSecret, testTimestamp, testBody), testTimestamp + "," + testTimestamp},
		{"no signature", testBody, "", testTimestamp},
		{"empty signatures", testBody, " ,,\t, ", testTimestamp},
		{"half a signature", testBody, testSignature[:32], testTimestamp},
		{"signature one digit short", testBody, testSignature[:63], testTimestamp},
		{"signature one digit long", testBody, testSignature + "0", testTimestamp},
		{"signature twice without a comma", testBody, testSignature + testSignature, testTimestamp},
		{"signature with a prefix", testBody, "sha256=" + testSignature, testTimestamp},
		{"signature that is no number", testBody, testSignature[:63] + "g", testTimestamp},
		{"signature of zeros", testBody, strings.Repeat("0", 64), testTimestamp},
		{"signature in base64", testBody, base64.StdEncoding.EncodeToString([]byte(testSignature)[:32]), testTimestamp},
	} {
		t.Run(c.rule, func(t *testing.T) {
			err := opn.Verify([]byte(c.body), c.signature, c.timestamp, testNow, testSecret)
			require.ErrorIs(t, err, midhook.ErrSignature)
			assert.NotErrorIs(t, err, midhook.ErrMalformed)
		})
	}
}

// Rule: what is wrong with a header is told by name, before anything is compared
// with the clock, and not quoted.
func TestVerifyTellsTheHeader(t *testing.T) {
	for _, timestamp := range []string{"", testTimestamp + "000", testTimestamp + " ", strings.Repeat("9", 18)} {
		err := opn.Verify([]byte(testBody), testSignature, timestamp, testNow, testSecret)
		assert.EqualError(t, err, "signature does not match: Omise-Signature-Timestamp must be Unix seconds in plain digits")
	}
	for signature, text := range map[string]string{"": "64 hexadecimal digits", "secret": "64 hexadecimal digits", strings.Repeat("secret,", 9): "more than 8 values"} {
		err := opn.Verify([]byte(testBody), signature, testTimestamp, testNow, testSecret)
		assert.ErrorContains(t, err, "Omise-Signature ")
		assert.ErrorContains(t, err, text)
		assert.NotContains(t, err.Error(), "secret")
	}
}

// Rule: while a secret is rolled either of two signatures may be the known one, in
// either order and however they are spaced, and all secrets are tried.
func TestVerifyRotation(t *testing.T) {
	old, next := sign(testSecret, testTimestamp, testBody), sign(otherSecret, testTimestamp, testBody)
	for _, signature := range []string{
		old + "," + next, next + "," + old, old + ", " + next, next + " ,\t" + old, "," + old + ",,", strings.ToUpper(old), "ab," + old, "zz, " + old,
	} {
		assert.NoError(t, opn.Verify([]byte(testBody), signature, testTimestamp, testNow, testSecret), signature)
	}
	for _, secrets := range [][]string{{testSecret, otherSecret}, {otherSecret, testSecret}, {"", otherSecret}, {"not base64!", otherSecret}} {
		assert.NoError(t, opn.Verify([]byte(testBody), next, testTimestamp, testNow, secrets...))
	}
	wrong := strings.Repeat("0", 64)
	assert.ErrorIs(t, opn.Verify([]byte(testBody), wrong+","+next, testTimestamp, testNow, testSecret), midhook.ErrSignature)

	eight := strings.Repeat(wrong+",", 7) + old
	assert.NoError(t, opn.Verify([]byte(testBody), eight, testTimestamp, testNow, testSecret))
	assert.ErrorIs(t, opn.Verify([]byte(testBody), wrong+","+eight, testTimestamp, testNow, testSecret), midhook.ErrSignature,
		"a header full of guesses is refused as a whole")
}

// Rule: what cannot be a webhook secret verifies nothing, even signed with it.
func TestVerifySecrets(t *testing.T) {
	short := base64.StdEncoding.EncodeToString([]byte("fifteen bytes !"))
	for _, secret := range []string{"", " ", "=", short, strings.TrimRight(testSecret, "="), testSecret + "\n", "skey_test", "whsk_test"} {
		for _, key := range []string{secret, "", "fifteen bytes !", "omise-webhook-secret"} {
			err := opn.Verify([]byte(testBody), hexMAC(key, testTimestamp+"."+testBody), testTimestamp, testNow, secret)
			assert.ErrorIs(t, err, midhook.ErrSignature, "secret %q, key %q", secret, key)
		}
	}
	assert.ErrorIs(t, opn.Verify([]byte(testBody), testSignature, testTimestamp, testNow), midhook.ErrSignature, "no secret")
}

// Rule: the shortest secret and the longest timestamp that are allowed verify.
func TestVerifyAtTheLimits(t *testing.T) {
	secret := base64.StdEncoding.EncodeToString([]byte("sixteen bytes !!"))
	const longest = 999_999_999_999 // in the year 33658
	timestamp := strconv.Itoa(longest)
	assert.NoError(t, opn.Verify([]byte(testBody), sign(secret, timestamp, testBody), timestamp, time.Unix(longest, 0), secret))
}

// Rule: a delivery is accepted within five minutes of its timestamp, before or
// after, and not a nanosecond beyond; what is old is told from what is forged.
func TestVerifyTolerance(t *testing.T) {
	for _, c := range []struct {
		off time.Duration
		err string
	}{
		{0, ""},
		{5 * time.Minute, ""},
		{-5 * time.Minute, ""},
		{5*time.Minute + 1, "more than 5m0s behind"},
		{-5*time.Minute - 1, "more than 5m0s ahead"},
		{24 * time.Hour, "behind"},
		{-24 * time.Hour, "ahead"},
		{1 << 62, "behind"},
	} {
		err := opn.Verify([]byte(testBody), testSignature, testTimestamp, testNow.Add(c.off), testSecret)
		if c.err == "" {
			assert.NoError(t, err, c.off)
			continue
		}
		require.ErrorIs(t, err, midhook.ErrSignature, c.off)
		assert.ErrorContains(t, err, c.err)
		assert.NotContains(t, err.Error(), testTimestamp)
	}
	assert.ErrorIs(t, opn.Verify([]byte(testBody), testSignature, testTimestamp, time.Time{}, testSecret), midhook.ErrSignature)

	forged := opn.Verify([]byte(testBody), sign(otherSecret, testTimestamp, testBody), testTimestamp, testNow.Add(time.Hour), testSecret)
	assert.Equal(t, midhook.ErrSignature, forged, "a stranger learns nothing of the clock")
}

// Rule: nothing but a signature by a given secret verifies, and no error quotes
// what it was given.
func FuzzVerify(f *testing.F) {
	f.Add([]byte(testBody), testSignature, testTimestamp, testSecret, int64(0))
	f.Add([]byte(testBody), testSignature+","+strings.Repeat("a", 64), testTimestamp, testSecret, int64(300))
	f.Add([]byte(""), "", "", "", int64(0))
	f.Add([]byte("null"), ",,,", "-1", "skey_test", int64(-301))
	f.Fuzz(func(t *testing.T, body []byte, signature, timestamp, secret string, off int64) {
		now := testNow.Add(time.Duration(off) * time.Second)
		err := opn.Verify(body, signature, timestamp, now, secret)
		if err != nil {
			require.ErrorIs(t, err, midhook.ErrSignature)
			if len(secret) > 20 {
				require.NotContains(t, err.Error(), secret)
			}
			return
		}
		want := sign(secret, timestamp, string(body))
		require.Contains(t, strings.ToLower(signature), want)
		require.NotEmpty(t, body)
		require.Regexp(t, `^[0-9]+$`, timestamp)
		require.NoError(t, opn.Verify(body, fmt.Sprintf("%064d,%s", 0, want), timestamp, now, otherSecret, secret))
	})
}
