package opn_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/opn"
)

// suite is what every gateway has to stand, and Opn's classic mistakes.
var suite = midhooktest.GatewayTest{
	Sender:     midhooktest.OpnSender(),
	Secret:     testSecret,
	NextSecret: otherSecret,
	New: func(t testing.TB, opts ...midhook.Option) *midhook.Middleware {
		gateway, err := opn.New(testSecret, opn.WithSecret("next", otherSecret))
		require.NoError(t, err)
		hook, err := midhook.NewFor(gateway, opts...)
		require.NoError(t, err)
		return hook
	},
	Forgeries: map[string]func([]byte, time.Time) (http.Header, []byte){
		"secret not decoded": func(body []byte, at time.Time) (http.Header, []byte) {
			header, body := midhooktest.OpnSender().Sign(body, testSecret, at)
			header.Set("Omise-Signature", hexMAC(testSecret, header.Get("Omise-Signature-Timestamp")+"."+string(body)))
			return header, body
		},
		"time left out": func(body []byte, at time.Time) (http.Header, []byte) {
			header, body := midhooktest.OpnSender().Sign(body, testSecret, at)
			header.Set("Omise-Signature", hexMAC("omise-webhook-secret", string(body)))
			return header, body
		},
		"replayed an hour later": func(body []byte, at time.Time) (http.Header, []byte) {
			return midhooktest.OpnSender().Sign(body, testSecret, at.Add(-time.Hour))
		},
		"dated an hour ahead": func(body []byte, at time.Time) (http.Header, []byte) {
			return midhooktest.OpnSender().Sign(body, testSecret, at.Add(time.Hour))
		},
	},
	Sensitive: []string{"Somchai Prasert", "4242"},
}

func TestGateway(t *testing.T) { midhooktest.TestGateway(t, suite) }

func FuzzGateway(f *testing.F) { midhooktest.FuzzGateway(f, suite) }
