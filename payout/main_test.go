package payout_test

import (
	"crypto/sha512"
	"encoding/hex"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook/internal/leakcheck"
	"github.com/midhook/midhook/payout"
)

// TestMain fails when a goroutine outlives the tests.
func TestMain(m *testing.M) { os.Exit(leakcheck.ExitCode(m.Run())) }

const (
	testKey  = "IRIS-merchant-test"
	otherKey = "IRIS-merchant-other-test"

	approved  = `{"reference_no":"83hgf882","amount":"154600.00","status":"approved","updated_at":"2026-01-01T09:00:00Z"}`
	processed = `{"reference_no":"83hgf882","amount":"154600","status":"processed","updated_at":"2026-01-01T09:10:02Z"}`
	completed = `{"reference_no":"83hgf882","amount":"154600.00","status":"completed","updated_at":"2026-01-01T09:12:44Z"}`
	failed    = `{"reference_no":"83hgf882","amount":"154600.0","status":"failed","updated_at":"2026-01-02T02:00:10Z","error_code":"017","error_message":"closed: name-secret"}`
	rejected  = `{"reference_no":"83hgf882","amount":"154600.0","status":"rejected","updated_at":"2026-01-01T09:00:00Z"}`
	topUp     = `{"transaction_id":"9a1f2d4e-0000-4000-8000-0123456789ab","order_id":"topup-1","gross_amount":"5000000.00","status":"topup","transaction_time":"2026-01-01T16:12:44Z"}`
)

// sign is Midtrans' formula, written once more.
func sign(body, key string) string {
	digest := sha512.Sum512([]byte(body + key))
	return hex.EncodeToString(digest[:])
}

func parse(t testing.TB, body string) *payout.Notification {
	t.Helper()
	n, err := payout.Parse([]byte(body))
	require.NoError(t, err)
	return n
}
