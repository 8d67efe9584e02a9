package recurring_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/recurring"
)

func TestVerify(t *testing.T) {
	signed := payment("settlement", testKey)
	unsigned := func(signature string) string {
		return transaction("settlement", `"subscription_id":"`+subID+`"`, `"signature_key":"`+signature+`"`)
	}
	for _, test := range []struct {
		name string
		body string
		keys []string
		is   error
	}{
		{"right key", signed, []string{testKey}, nil},
		{"right key last", signed, []string{"", "Mid-client-test", nextKey, testKey}, nil},
		{"right key first", signed, []string{testKey, nextKey}, nil},
		{"wrong key", signed, []string{nextKey}, midhook.ErrSignature},
		{"no key", signed, nil, midhook.ErrSignature},
		{"empty key", payment("settlement", ""), []string{""}, midhook.ErrSignature},
		{"empty signature", unsigned(""), []string{testKey}, midhook.ErrSignature},
		{"no signature", transaction("settlement", `"subscription_id":"`+subID+`"`), []string{testKey}, midhook.ErrSignature},
		{"other amount", strings.Replace(signed, "14000.00", "24000.00", 1), []string{testKey}, midhook.ErrSignature},
		{"unsigned shapes", documented, []string{testKey}, midhook.ErrSignature},
		{"creation", subscription(), []string{testKey}, midhook.ErrSignature},
		{"empty body", "", []string{testKey}, midhook.ErrMalformed},
		{"no subscription", transaction("settlement"), []string{testKey}, midhook.ErrMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := recurring.Verify([]byte(test.body), test.keys...)
			assert.ErrorIs(t, err, test.is)
			if test.is == nil {
				assert.NoError(t, err)
			}
		})
	}
}

func FuzzVerify(f *testing.F) {
	f.Add([]byte(payment("settlement", testKey)))
	f.Add([]byte(documented))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, body []byte) {
		require.Error(t, recurring.Verify(body, "", "SB-Mid-client-test"))
		err := recurring.Verify(body, testKey)
		if err != nil {
			require.True(t, errors.Is(err, midhook.ErrMalformed) || errors.Is(err, midhook.ErrSignature), "%v", err)
			return
		}
		n, err := recurring.Parse(body)
		require.NoError(t, err)
		require.NotEmpty(t, n.Transaction.SignatureKey)
		require.ErrorIs(t, recurring.Verify(body, nextKey), midhook.ErrSignature)
	})
}
