package midhook

import (
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/midhook/midhook/internal/secret"
)

// ErrSignature marks a notification that no key signed. It says nothing of
// which part differs: the digest that would have matched is as good as a key.
var ErrSignature = errors.New("signature does not match")

// Verify reports whether one of serverKeys signed n: nil, or an error that is
// [ErrSignature]. Every key is tried, in constant time. An empty key, a client
// key, and a field of a wrong shape never verify.
//
// The signature is SHA-512(order_id + status_code + gross_amount + server key)
// for a payment and SHA-512(account_id + account_status + status_code + server
// key) for a Pay Account. All other fields are unsigned, and nothing limits a
// signature in time: a body that verified once verifies for as long as the key
// lives, see [Notification.Paid].
func Verify(n *Notification, serverKeys ...string) error {
	if n == nil || n.checkSigned() != nil {
		return ErrSignature
	}
	matched := false
	for _, key := range serverKeys {
		matched = !isAnyones(key) && n.signedBy(key) || matched
	}
	if !matched {
		return ErrSignature
	}
	return nil
}

// isAnyones reports whether everybody can sign with a key: it is empty, or public.
// One with white space around it is nobody's.
func isAnyones(key string) bool {
	return key == "" || strings.TrimSpace(key) != key || secret.KindOf(key) == secret.MidtransClient
}

// signedBy compares the signature with the one that key gives.
func (n *Notification) signedBy(key string) bool {
	var given [sha512.Size]byte
	wellFormed := decodeHex(given[:], n.SignatureKey)

	buf := make([]byte, 0, 128) // stays on the stack for every id Midtrans allows
	if n.Kind() == PayAccount {
		buf = append(append(append(buf, n.AccountID...), n.AccountStatus...), n.StatusCode...)
	} else {
		buf = append(append(append(buf, n.OrderID...), n.StatusCode...), n.GrossAmount...)
	}
	want := sha512.Sum512(append(buf, key...))
	return subtle.ConstantTimeCompare(given[:], want[:]) == 1 && wellFormed
}

// decodeHex decodes exactly len(dst) bytes from s, upper or lower case. Inlined, it
// would make the stack deeper under SHA-512, which then has to grow for each delivery
// over HTTP/2, where each has a goroutine of its own.
//
//go:noinline
func decodeHex(dst []byte, s string) bool {
	var src [2 * sha512.Size]byte
	if len(s) != 2*len(dst) || copy(src[:], s) != len(s) {
		return false
	}
	_, err := hex.Decode(dst, src[:])
	return err == nil
}

// checkServerKey refuses what cannot be a server key.
func checkServerKey(key string) error { return secret.Check(secret.MidtransServer, key) }
