package opn

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/secret"
)

// DefaultTolerance is how far a delivery's timestamp may be from the clock, before
// or after it.
const DefaultTolerance = 5 * time.Minute

const (
	signatureHeader = "Omise-Signature"
	timestampHeader = "Omise-Signature-Timestamp"

	maxSignatures   = 8  // Opn sends two at the most
	maxTimestamp    = 12 // digits
	minSecretLength = 16 // bytes; fewer can be guessed
)

// Verify reports whether a delivery is authentic and recent: nil, or an error that
// is [midhook.ErrSignature]. signature and timestamp are the values of the
// Omise-Signature and Omise-Signature-Timestamp headers, body is what was received
// to the last byte, and secrets are webhook secrets in base64, as the dashboard
// shows them.
//
// Opn signs with hex(HMAC-SHA256(decoded secret, timestamp + "." + body)), and
// after a secret was rolled sends two signatures for 24 h, separated by a comma:
// one of them must match one of secrets. All are compared, in constant time. An
// empty body, an empty signature, and a secret that [New] would refuse never
// verify. The timestamp, in Unix seconds, must be within [DefaultTolerance] of now,
// the limits included.
func Verify(body []byte, signature, timestamp string, now time.Time, secrets ...string) error {
	keys := decoded(secret.Usable(secrets, checkSecret))
	_, err := verify(body, signature, timestamp, now, DefaultTolerance, keys)
	return err
}

// verify returns the label of the key that signed the delivery.
func verify(body []byte, signature, timestamp string, now time.Time, tolerance time.Duration, keys secret.List) (label string, err error) {
	sent, err := readTimestamp(timestamp)
	if err != nil {
		return "", err
	}
	given, err := readSignatures(signature)
	if err != nil {
		return "", err
	}
	label, ok := keys.Match(func(key string) bool { return given.by(key, timestamp, body) })
	switch age := now.Sub(sent); {
	case !ok || len(body) == 0:
		return "", midhook.ErrSignature
	case age > tolerance:
		return "", fmt.Errorf("%w: it is genuine, but %s is more than %v behind this machine's clock", midhook.ErrSignature, timestampHeader, tolerance)
	case age < -tolerance:
		return "", fmt.Errorf("%w: it is genuine, but %s is more than %v ahead of this machine's clock", midhook.ErrSignature, timestampHeader, tolerance)
	}
	return label, nil
}

// readTimestamp reads Unix seconds. Plain digits leave one way only to cut the
// signed text into timestamp and body.
func readTimestamp(s string) (time.Time, error) {
	seconds, err := strconv.ParseUint(s, 10, 63) // takes no sign, space or underscore
	if err != nil || len(s) > maxTimestamp {
		return time.Time{}, fmt.Errorf("%w: %s must be Unix seconds in plain digits", midhook.ErrSignature, timestampHeader)
	}
	return time.Unix(int64(seconds), 0), nil
}

// signatures are those of a delivery that have the shape of one.
type signatures struct {
	digests [maxSignatures][sha256.Size]byte
	count   int
}

// readSignatures reads the values between commas, upper or lower case, and leaves
// out what cannot be a signature: during a rotation the other one may still match.
func readSignatures(s string) (given signatures, err error) {
	parts := 0
	for part := range strings.SplitSeq(s, ",") {
		part = strings.Trim(part, " \t")
		if part == "" {
			continue
		}
		if parts++; parts > maxSignatures {
			return given, fmt.Errorf("%w: %s has more than %d values", midhook.ErrSignature, signatureHeader, maxSignatures)
		}
		if digest, err := hex.DecodeString(part); err == nil && len(digest) == sha256.Size {
			given.digests[given.count] = [sha256.Size]byte(digest)
			given.count++
		}
	}
	if given.count == 0 {
		return given, fmt.Errorf("%w: %s must be %d hexadecimal digits", midhook.ErrSignature, signatureHeader, 2*sha256.Size)
	}
	return given, nil
}

// by compares all signatures with the one that key gives.
func (s *signatures) by(key, timestamp string, body []byte) bool {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(timestamp))
	mac.Write([]byte("."))
	mac.Write(body)
	want := mac.Sum(nil)
	matched := 0
	for i := range s.count {
		matched |= subtle.ConstantTimeCompare(s.digests[i][:], want)
	}
	return matched == 1
}

// checkSecret refuses what cannot be a webhook secret.
func checkSecret(s string) error {
	_, err := decodeSecret(s)
	return err
}

// decoded replaces secrets, which were checked, by what they are the base64 of.
func decoded(secrets secret.List) secret.List {
	for i := range secrets {
		value, _ := decodeSecret(secrets[i].Value.Reveal())
		secrets[i].Value = secret.Hide(value)
	}
	return secrets
}

// decodeSecret returns the key that a webhook secret is the base64 of. To sign
// with the base64 itself is the usual mistake.
func decodeSecret(s string) (key string, err error) {
	if err := secret.Check(secret.OpnWebhook, s); err != nil {
		return "", err
	}
	decoded, err := base64.StdEncoding.Strict().DecodeString(s)
	switch {
	case err != nil:
		return "", errors.New("the key is not whole base64: the dashboard's, to the last =, is required")
	case len(decoded) < minSecretLength:
		return "", fmt.Errorf("the key is too short: the base64 of %d bytes or more is required", minSecretLength)
	}
	return string(decoded), nil
}
