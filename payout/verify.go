package payout

import (
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"io"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/secret"
)

// Verify reports whether one of merchantKeys signed the body: nil, or an error
// that is [midhook.ErrSignature]. signature is the value of the Iris-Signature
// header, of which there must be exactly one; its digits may be of either case.
// Every key is tried, in constant time. An empty body, an empty signature, and
// what cannot be a merchant key never verify.
//
// The signature is SHA-512(body + merchant key), in hexadecimal digits, over the
// bytes as they came: a body that was decoded and encoded again does not verify.
// (Midtrans, "Validating Payout Notification") It is no HMAC, and nothing limits
// it in time: a request that verified once verifies for as long as the key lives.
func Verify(body []byte, signature string, merchantKeys ...string) error {
	keys := secret.Usable(merchantKeys, checkMerchantKey)
	if _, ok := keys.Match(signedBy(body, signature)); !ok {
		return midhook.ErrSignature
	}
	return nil
}

// signedBy returns a function that compares the signature with the one that a key
// gives.
func signedBy(body []byte, signature string) func(key string) bool {
	var given [sha512.Size]byte
	wellFormed := len(signature) == hex.EncodedLen(len(given)) && len(body) > 0
	if wellFormed {
		_, err := hex.Decode(given[:], []byte(signature))
		wellFormed = err == nil
	}
	return func(key string) bool {
		h := sha512.New()
		h.Write(body)
		io.WriteString(h, key)
		return subtle.ConstantTimeCompare(given[:], h.Sum(nil)) == 1 && wellFormed
	}
}

// checkMerchantKey refuses what cannot be a merchant key.
func checkMerchantKey(key string) error { return secret.Check(secret.MidtransIris, key) }
