package payout_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/payout"
)

// Rule: the formula is the published one, on an example that others computed.
func TestVerifyVector(t *testing.T) {
	const (
		key       = "IRIS-merchant-xxx"
		body      = `{"reference_no":"abc123","amount":"10000.00","status":"completed","updated_at":"2026-01-01T00:00:00Z"}`
		signature = "3c5fbf2d2522d9881b40e4e7b7cea4e8db5f38217d99d01941bc7693b2ced7269be4e6b47138a90cba38a1ffec4c0b256250fdceb07f47a1a23db71ebc725681"
	)
	assert.NoError(t, payout.Verify([]byte(body), signature, key))
	assert.NoError(t, payout.Verify([]byte(body), strings.ToUpper(signature), key))
	assert.NoError(t, payout.Verify([]byte(body), strings.ToUpper(signature[:63])+signature[63:], key))
	assert.ErrorIs(t, payout.Verify([]byte(body+"\n"), signature, key), midhook.ErrSignature)
	assert.ErrorIs(t, payout.Verify([]byte(body), signature, testKey), midhook.ErrSignature)
}

// Rule: only SHA-512 of the raw body with the key behind it, in hexadecimal
// digits, is a signature: none of what is mistaken for it, and nothing at all.
func TestVerifySignatures(t *testing.T) {
	hexOf := func(b []byte) string { return hex.EncodeToString(b) }
	right := sign(completed, testKey)
	digest, err := hex.DecodeString(right)
	require.NoError(t, err)
	keyFirst := sha512.Sum512([]byte(testKey + completed))
	bodyOnly := sha512.Sum512([]byte(completed))
	separated := sha512.Sum512([]byte(completed + "." + testKey))
	sha384 := sha512.Sum384([]byte(completed + testKey))
	sha2 := sha256.Sum256([]byte(completed + testKey))
	mac := hmac.New(sha512.New, []byte(testKey))
	mac.Write([]byte(completed))

	var fields map[string]any
	require.NoError(t, json.Unmarshal([]byte(completed), &fields))
	again, err := json.Marshal(fields)
	require.NoError(t, err)
	require.NotEqual(t, completed, string(again))

	for _, c := range []struct {
		name      string
		signature string
		ok        bool
	}{
		{"right", right, true},
		{"upper case", strings.ToUpper(right), true},
		{"key first", hexOf(keyFirst[:]), false},
		{"HMAC", hexOf(mac.Sum(nil)), false},
		{"without the key", hexOf(bodyOnly[:]), false},
		{"with a separator", hexOf(separated[:]), false},
		{"of the body encoded again", sign(string(again), testKey), false},
		{"of the amount spelled otherwise", sign(strings.Replace(completed, "154600.00", "154600.0", 1), testKey), false},
		{"with another key", sign(completed, otherKey), false},
		{"with no key", sign(completed, ""), false},
		{"SHA-384", hexOf(sha384[:]), false},
		{"SHA-256", hexOf(sha2[:]), false},
		{"the server key's", sign(completed, "SB-Mid-server-test"), false},
		{"empty", "", false},
		{"blank", " ", false},
		{"zeros", strings.Repeat("0", 128), false},
		{"no digits", strings.Repeat("z", 128), false},
		{"last digit wrong", right[:127] + "g", false},
		{"base64", base64.StdEncoding.EncodeToString(digest), false},
		{"raw bytes", string(digest), false},
		{"a byte short", right[:126], false},
		{"a digit short", right[:127], false},
		{"a digit more", right + "0", false},
		{"twice", right + right, false},
		{"twice, with a comma", right + "," + right, false},
		{"0x before it", "0x" + right, false},
		{"space before it", " " + right, false},
		{"line end behind it", right + "\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := payout.Verify([]byte(completed), c.signature, testKey)
			if c.ok {
				assert.NoError(t, err)
				return
			}
			assert.ErrorIs(t, err, midhook.ErrSignature)
		})
	}
}

// Rule: one right key is enough, wherever it stands. What cannot be a merchant
// key never verifies, even what it signed: anyone can sign with an empty key.
func TestVerifyKeys(t *testing.T) {
	for _, c := range []struct {
		name   string
		signer string
		keys   []string
		ok     bool
	}{
		{"first", testKey, []string{testKey, otherKey}, true},
		{"last", testKey, []string{otherKey, testKey}, true},
		{"between", testKey, []string{otherKey, testKey, "IRIS-merchant-third"}, true},
		{"behind an empty one", testKey, []string{"", testKey}, true},
		{"of no known shape", "anything-of-some-length", []string{"anything-of-some-length"}, true},
		{"wrong", testKey, []string{otherKey}, false},
		{"a part of it", testKey, []string{testKey[:len(testKey)-1]}, false},
		{"in another case", testKey, []string{strings.ToLower(testKey)}, false},
		{"none", testKey, nil, false},
		{"empty", "", []string{""}, false},
		{"blank", " \t", []string{" \t"}, false},
		{"line end", testKey + "\n", []string{testKey + "\n"}, false},
		{"server key", "SB-Mid-server-test", []string{"SB-Mid-server-test"}, false},
		{"client key", "SB-Mid-client-test", []string{"SB-Mid-client-test"}, false},
		{"another gateway's", "whsk_test", []string{"whsk_test"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := payout.Verify([]byte(completed), sign(completed, c.signer), c.keys...)
			if c.ok {
				assert.NoError(t, err)
				return
			}
			assert.ErrorIs(t, err, midhook.ErrSignature)
		})
	}
}

// Rule: there is nothing to verify in nothing, even where it is signed.
func TestVerifyNothing(t *testing.T) {
	assert.ErrorIs(t, payout.Verify(nil, sign("", testKey), testKey), midhook.ErrSignature)
	assert.ErrorIs(t, payout.Verify([]byte{}, sign("", testKey), testKey), midhook.ErrSignature)
	assert.ErrorIs(t, payout.Verify(nil, "", ""), midhook.ErrSignature)
}

// Rule: what of a signature cannot be read is not taken for zeros.
func TestVerifyUnreadableEnd(t *testing.T) {
	body := completed
	for !strings.HasSuffix(sign(body, testKey), "00") {
		body += " "
	}
	right := sign(body, testKey)
	require.NoError(t, payout.Verify([]byte(body), right, testKey))
	for _, end := range []string{"zz", "0z", "  ", ""} {
		assert.ErrorIs(t, payout.Verify([]byte(body), right[:126]+end, testKey), midhook.ErrSignature, "%q", end)
	}
}

// Rule: an error is shown to strangers: it holds no key, no digest, no field.
func TestVerifyErrorTellsNothing(t *testing.T) {
	signature := sign(completed, otherKey)
	for _, keys := range [][]string{{testKey}, {" " + testKey}, {"SB-Mid-server-test"}, {}} {
		err := payout.Verify([]byte(completed), signature, keys...)
		require.ErrorIs(t, err, midhook.ErrSignature)
		for _, secret := range []string{"test", signature[:8], sign(completed, testKey)[:8], "83hgf882", "154600"} {
			assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), secret)
		}
	}
}

// Rule: a signature verifies with the key that made it and no other, for exactly
// the bytes it was made for.
func FuzzVerify(f *testing.F) {
	f.Add([]byte(completed), testKey, otherKey, uint(0), sign(completed, testKey))
	f.Add([]byte(""), testKey, "", uint(1), "")
	f.Add([]byte(" "), "k", "SB-Mid-server-test", uint(9), strings.Repeat("0", 128))
	f.Add([]byte("{}\x00\xff"), strings.Repeat("k", 500), " k", uint(4000), "0x")
	f.Fuzz(func(t *testing.T, body []byte, key, other string, bit uint, garbage string) {
		right := sign(string(body), key)
		if len(garbage) != 128 {
			require.ErrorIs(t, payout.Verify(body, garbage, key, other), midhook.ErrSignature)
		}
		if _, err := payout.New(key); err != nil || len(body) == 0 {
			require.ErrorIs(t, payout.Verify(body, right, key), midhook.ErrSignature, "there is no body, or no key")
			return
		}
		require.NoError(t, payout.Verify(body, right, key))
		require.NoError(t, payout.Verify(body, strings.ToUpper(right), other, key))
		if other != key {
			require.ErrorIs(t, payout.Verify(body, right, other), midhook.ErrSignature)
		}

		edited := bytes.Clone(body)
		edited[bit/8%uint(len(edited))] ^= 1 << (bit % 8)
		require.ErrorIs(t, payout.Verify(edited, right, key), midhook.ErrSignature, "a bit of the body differs")

		digest, err := hex.DecodeString(right)
		require.NoError(t, err)
		digest[bit/8%uint(len(digest))] ^= 1 << (bit % 8)
		require.ErrorIs(t, payout.Verify(body, hex.EncodeToString(digest), key), midhook.ErrSignature, "a bit of the digest differs")
	})
}
