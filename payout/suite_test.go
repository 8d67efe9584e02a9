package payout_test

import (
	"crypto/hmac"
	"crypto/sha512"
	"encoding/hex"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/payout"
)

// suite is what every gateway has to stand, and the mistakes that are common with
// this signature.
var suite = midhooktest.GatewayTest{
	Sender:     midhooktest.PayoutSender(),
	Secret:     "IRIS-merchant-xxx",
	NextSecret: "IRIS-merchant-next",
	New: func(t testing.TB, opts ...midhook.Option) *midhook.Middleware {
		gateway, err := payout.New("IRIS-merchant-xxx", payout.WithKey("next", "IRIS-merchant-next"))
		require.NoError(t, err)
		hook, err := midhook.NewFor(gateway, opts...)
		require.NoError(t, err)
		return hook
	},
	Forgeries: map[string]func([]byte, time.Time) (http.Header, []byte){
		"key first": func(body []byte, _ time.Time) (http.Header, []byte) {
			digest := sha512.Sum512(slices.Concat([]byte("IRIS-merchant-xxx"), body))
			return http.Header{"Iris-Signature": {hex.EncodeToString(digest[:])}}, body
		},
		"HMAC": func(body []byte, _ time.Time) (http.Header, []byte) {
			mac := hmac.New(sha512.New, []byte("IRIS-merchant-xxx"))
			mac.Write(body)
			return http.Header{"Iris-Signature": {hex.EncodeToString(mac.Sum(nil))}}, body
		},
		"hash without a key": func(body []byte, _ time.Time) (http.Header, []byte) {
			digest := sha512.Sum512(body)
			return http.Header{"Iris-Signature": {hex.EncodeToString(digest[:])}}, body
		},
	},
	Sensitive: []string{"Your destination account"},
}

func TestGateway(t *testing.T) { midhooktest.TestGateway(t, suite) }

func FuzzGateway(f *testing.F) { midhooktest.FuzzGateway(f, suite) }
