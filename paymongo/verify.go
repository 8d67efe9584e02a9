package paymongo

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/secret"
)

// SignatureHeader is the header that holds the signature:
//
//	Paymongo-Signature: t=<Unix seconds>,te=<of a test event>,li=<of a live event>
//
// The part of the other mode is empty.
const SignatureHeader = "Paymongo-Signature"

// Verify reports whether one of secrets signed body: nil, or an error that is
// [midhook.ErrSignature], or [midhook.ErrMalformed] for a body that one of them
// signed and [Parse] cannot read. signatureHeader is the value of
// [SignatureHeader], and body the request's body as it was received: one that was
// decoded and encoded again does not verify.
//
// The signature is hex(HMAC-SHA256(secret, t + "." + body)) with the secret as it
// is written, whsk_…, not base64-decoded. That of a live event must be in the part
// li, that of a test event in te. Every secret is tried, in constant time. An
// empty signature and an empty secret never verify, nor does a secret that [New]
// would refuse.
//
// The header's parts may be in any order, with spaces around them. Parts that are
// not known are ignored; a header with t, te or li given twice is refused, and so
// is one whose t is not of digits only.
//
// Nothing here compares t with the clock, see [WithTolerance].
func Verify(body []byte, signatureHeader string, secrets ...string) error {
	s, err := parseSignature(signatureHeader)
	if err != nil {
		return err
	}
	_, _, err = s.open(body, secret.Usable(secrets, checkSecret))
	return err
}

// signature is what the header says.
type signature struct {
	time       string // as it is signed
	test, live digest
}

// digest is a given HMAC.
type digest struct {
	sum   [sha256.Size]byte
	given bool // and well-formed
}

// parseSignature reads the header. What it takes need not match anything.
func parseSignature(header string) (signature, error) {
	var parts struct{ t, te, li string }
	seen := map[string]bool{}
	for part := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.Trim(part, " \t"), "=")
		switch name {
		case "t":
			parts.t = value
		case "te":
			parts.te = value
		case "li":
			parts.li = value
		default:
			continue
		}
		if seen[name] {
			return signature{}, fmt.Errorf("%w: %s: %s is given twice", midhook.ErrSignature, SignatureHeader, name)
		}
		seen[name] = true
	}
	if !isDigits(parts.t) {
		return signature{}, fmt.Errorf("%w: %s: t must be of digits only", midhook.ErrSignature, SignatureHeader)
	}
	return signature{time: parts.t, test: parseDigest(parts.te), live: parseDigest(parts.li)}, nil
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// parseDigest reads hexadecimal digits, in upper or lower case.
func parseDigest(s string) (d digest) {
	if len(s) == hex.EncodedLen(len(d.sum)) {
		_, err := hex.Decode(d.sum[:], []byte(s))
		d.given = err == nil
	}
	return d
}

// open reads an authentic body. Which part of the header counts is said by the
// body, but a stranger's body is not read: it must be signed in one of them first.
func (s signature) open(body []byte, secrets secret.List) (e *Event, label string, err error) {
	testLabel, test := secrets.Match(func(value string) bool { return s.test.is(value, s.time, body) })
	liveLabel, live := secrets.Match(func(value string) bool { return s.live.is(value, s.time, body) })
	if !test && !live {
		return nil, "", midhook.ErrSignature
	}
	e, err = Parse(body)
	switch {
	case err != nil:
		return nil, "", err
	case e.Livemode && live:
		return e, liveLabel, nil
	case !e.Livemode && test:
		return e, testLabel, nil
	}
	return nil, "", fmt.Errorf("%w: %s: the part of the event's mode is another", midhook.ErrSignature, SignatureHeader)
}

// is compares the digest with the one that a secret gives.
func (d digest) is(secret, time string, body []byte) bool {
	if !d.given {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(time))
	mac.Write([]byte("."))
	mac.Write(body)
	return hmac.Equal(mac.Sum(nil), d.sum[:])
}

// checkSecret refuses what cannot be the secret of a webhook.
func checkSecret(value string) error {
	rest, ok := strings.CutPrefix(value, "whsk_")
	kind := secret.KindOf(value)
	isOther := kind != "" && kind != secret.PayMongoWebhook // which Check names
	err := secret.Check(secret.PayMongoWebhook, value)
	switch {
	case !ok && !isOther && value != "" && strings.TrimSpace(value) == value:
		return errors.New("the key is not a webhook's secret_key: whsk_… is required, neither its id nor its URL")
	case err != nil:
		return err
	case strings.ContainsFunc(rest, unicode.IsSpace):
		return errors.New("the key contains white space")
	}
	return nil
}
