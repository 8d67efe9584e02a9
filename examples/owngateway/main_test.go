package main

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

var test = midhooktest.GatewayTest{
	Sender: midhooktest.Sender{
		Name:   "warung",
		Policy: midhooktest.RetryPolicy{Timeout: 10 * time.Second, Waits: []time.Duration{time.Minute, time.Hour}, Otherwise: 2},
		Sign: func(body []byte, secret string, _ time.Time) (http.Header, []byte) {
			return http.Header{"X-Warung-Signature": {sign(body, secret)}}, body
		},
		Event: func(nr int) []byte { return fmt.Appendf(nil, `{"id":"%d","order":"A-%d","amount":25000}`, nr, nr) },
	},
	Secret: testSecret,
	New: func(t testing.TB, opts ...midhook.Option) *midhook.Middleware {
		hook, err := midhook.NewFor(newWarung(testSecret), opts...)
		require.NoError(t, err)
		return hook
	},
}

func TestGateway(t *testing.T) { midhooktest.TestGateway(t, test) }

func FuzzGateway(f *testing.F) { midhooktest.FuzzGateway(f, test) }

func TestReceive(t *testing.T) {
	var shipped []string
	handler, err := receive(testSecret, func(_ context.Context, p *Paid) error {
		shipped = append(shipped, p.Order)
		return nil
	})
	require.NoError(t, err)
	g := &midhooktest.Engine{Handler: handler, Sender: &test.Sender, Secret: testSecret}
	for range 2 {
		d, err := g.DeliverSigned(t.Context(), test.Sender.Event(7))
		require.NoError(t, err)
		assert.True(t, d.Delivered, d.String())
	}
	assert.Equal(t, []string{"A-7"}, shipped)
	_, err = receive("", nil)
	assert.ErrorContains(t, err, "empty")
}

func TestSecretIsNotPrinted(t *testing.T) {
	g := newWarung(testSecret)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		printed := fmt.Sprintf(verb, g) + fmt.Sprintf(verb, struct{ g warung }{g})
		assert.NotContains(t, printed, testSecret)
		assert.NotContains(t, printed, fmt.Sprintf("%x", testSecret))
	}
}
