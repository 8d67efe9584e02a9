package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// TestBoth delivers over a real socket: each sender's payment ships its order once,
// and neither is let in by the other's route.
func TestBoth(t *testing.T) {
	var shipped []string
	handler, err := routes(testKey, testSecret, newShop(func(order string) { shipped = append(shipped, order) }))
	require.NoError(t, err)
	server := httptest.NewServer(handler)
	defer server.Close()

	deliver := func(path string, r *http.Request) int {
		r.URL.Scheme, r.URL.Host, r.URL.Path = "http", server.Listener.Addr().String(), path
		res, err := server.Client().Do(r)
		require.NoError(t, err)
		defer res.Body.Close()
		return res.StatusCode
	}
	midtrans := func(status midhook.TransactionStatus) *http.Request {
		return midhooktest.NewRequest(midhooktest.Sample("credit-card", midhooktest.Order("M-1"), midhooktest.Status("200", status), midhooktest.Fraud(midhook.FraudAccept)), testKey)
	}
	paymongo := func() *http.Request {
		sender := midhooktest.PayMongoSender()
		return sender.NewRequest(sender.Body("payment.paid"), testSecret)
	}
	for range 2 {
		assert.Equal(t, http.StatusOK, deliver("/midtrans", midtrans(midhook.StatusCapture)))
		assert.Equal(t, http.StatusOK, deliver("/midtrans", midtrans(midhook.StatusSettlement)))
		assert.Equal(t, http.StatusOK, deliver("/paymongo", paymongo()))
	}
	assert.Equal(t, []string{"M-1", "A-1"}, shipped, "capture and settlement are two events of one order")
	assert.Equal(t, http.StatusForbidden, deliver("/paymongo", midtrans(midhook.StatusCapture)))
	assert.Equal(t, http.StatusBadRequest, deliver("/midtrans", paymongo()))
}

func TestCommandsAreComplete(t *testing.T) {
	for _, want := range []string{"/midtrans", "/paymongo", "Paymongo-Signature: t=", `"signature_key"`} {
		assert.True(t, bytes.Contains([]byte(commands("127.0.0.1:8080")), []byte(want)), want)
	}
	_, err := routes("", "sk_live_test", nil)
	assert.Error(t, err)
}
