package paymongo_test

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/paymongo"
)

var sender = midhooktest.PayMongoSender()

// suite is what every gateway has to stand, and PayMongo's classic mistakes.
var suite = midhooktest.GatewayTest{
	Sender:     sender,
	Secret:     "whsk_test",
	NextSecret: "whsk_next",
	New: func(t testing.TB, opts ...midhook.Option) *midhook.Middleware {
		gateway, err := paymongo.New("whsk_test", paymongo.WithSecret("next", "whsk_next"))
		require.NoError(t, err)
		hook, err := midhook.NewFor(gateway, opts...)
		require.NoError(t, err)
		return hook
	},
	Forgeries: map[string]func([]byte, time.Time) (http.Header, []byte){
		"te for a live event": func(body []byte, at time.Time) (http.Header, []byte) {
			live := bytes.Replace(body, []byte(`"livemode": false`), []byte(`"livemode": true`), 1)
			live = bytes.Replace(live, []byte(`"livemode":false`), []byte(`"livemode":true`), 1)
			header, body := sender.Sign(live, "whsk_test", at)
			header.Set(paymongo.SignatureHeader, strings.NewReplacer("li=", "te=", "te=", "li=").Replace(header.Get(paymongo.SignatureHeader)))
			return header, body
		},
		"secret decoded": func(body []byte, at time.Time) (http.Header, []byte) {
			key, _ := base64.RawURLEncoding.DecodeString("whsk_test")
			return sender.Sign(body, string(key), at)
		},
		"time left out": func(body []byte, at time.Time) (http.Header, []byte) {
			header, body := sender.Sign(body, "whsk_test", at)
			_, rest, _ := strings.Cut(header.Get(paymongo.SignatureHeader), ",")
			header.Set(paymongo.SignatureHeader, rest)
			return header, body
		},
		"another time": func(body []byte, at time.Time) (http.Header, []byte) {
			header, body := sender.Sign(body, "whsk_test", at)
			header.Set(paymongo.SignatureHeader, "t=1,"+header.Get(paymongo.SignatureHeader))
			return header, body
		},
	},
	Sensitive: []string{"Juan dela Cruz", "juan@customer.example", "+639170000000"},
}

func TestGateway(t *testing.T) { midhooktest.TestGateway(t, suite) }

func FuzzGateway(f *testing.F) { midhooktest.FuzzGateway(f, suite) }
