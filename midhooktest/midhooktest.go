// Package midhooktest helps to test a handler of Midtrans' notifications: sample
// bodies of every payment method and status, signed with a key of the test's own;
// [Engine], which delivers and retries as Midtrans does, and the [Scenarios] a
// handler should stand, in [TestHandler]; a [StatusServer]; [TestStore], the
// contract of a [midhook.Store], and [FaultyStore], one that fails; and for other
// senders' webhooks the [Senders], and [TestGateway], what every [midhook.Gateway]
// has to stand.
//
//	hook, err := midhook.New("SB-Mid-server-test")
//	handler := hook.HandlerFunc(shop.Notified)
//
//	n := midhooktest.Sample("bca-va", midhooktest.Order("A-1001"), midhooktest.Amount("25000.00"))
//	rec := httptest.NewRecorder()
//	handler.ServeHTTP(rec, midhooktest.NewRequest(n, "SB-Mid-server-test"))
//
// It is for tests and local servers. Whoever can sign with a live server key can
// tell the merchant that anything was paid: keep live keys out of tests.
package midhooktest

import (
	"crypto/sha512"
	"encoding/hex"
	"net/http"

	"github.com/midhook/midhook"
)

// Sign returns the signature_key, in lower-case hexadecimal, that Midtrans would
// give n under serverKey: over the fields of a payment or of a Pay Account, as
// [midhook.Notification.Kind] has it. It does not check their shapes, so that a
// test can sign what [midhook.Verify] refuses.
func Sign(n *midhook.Notification, serverKey string) string {
	signed := n.OrderID + n.StatusCode + n.GrossAmount
	if n.Kind() == midhook.PayAccount {
		signed = n.AccountID + n.AccountStatus + n.StatusCode
	}
	digest := sha512.Sum512([]byte(signed + serverKey))
	return hex.EncodeToString(digest[:])
}

// plain has the fields and JSON names of a Notification without its MarshalJSON,
// which leaves out most of them.
type plain midhook.Notification

// Body returns n as the JSON body that Midtrans would send, signed with
// serverKey whatever n.SignatureKey is; n is not changed. The same n and key
// give the same bytes.
//
// A notification that was parsed keeps the text of its [midhook.Notification.Raw],
// unknown fields and large numbers included, but for white space and for the
// fields that were changed since. A field set to its zero value is left out.
//
// Body panics if n.Metadata is not JSON.
func Body(n *midhook.Notification, serverKey string) []byte {
	raw, parsed := n.Raw(), &midhook.Notification{}
	if p, err := midhook.Parse(raw); err == nil {
		parsed = p
	}
	signed := plain(*n)
	signed.SignatureKey = Sign(n, serverKey)
	return overlayObject(decodeObject(raw), decodeObject(marshal(plain(*parsed))), decodeObject(marshal(signed))).encode()
}

// NewRequest returns a request that delivers [Body] as Midtrans does: a POST of
// JSON from the user agent Veritrans. Its path is "/". It is for a handler's
// ServeHTTP; to send it with an [http.Client], set its URL.
func NewRequest(n *midhook.Notification, serverKey string) *http.Request {
	return MidtransSender().NewRequest(Body(n, serverKey), serverKey)
}
