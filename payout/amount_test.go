package payout_test

import (
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook/payout"
)

// Rule: every spelling of an amount that Midtrans uses is the same amount,
// exactly, as a string or a number; anything else is an error that quotes nothing.
func TestHundredths(t *testing.T) {
	const shape = "must be a decimal number without sign or exponent"
	for _, c := range []struct {
		amount string // JSON
		want   int64
		err    string
	}{
		{`"10000"`, 1000000, ""},
		{`"10000.0"`, 1000000, ""},
		{`"10000.00"`, 1000000, ""},
		{`10000`, 1000000, ""},
		{`10000.0`, 1000000, ""},
		{`10000.00`, 1000000, ""},
		{`"10000.000"`, 1000000, ""},
		{`"10000.5"`, 1000050, ""},
		{`"10000.05"`, 1000005, ""},
		{`"10000.050"`, 1000005, ""},
		{`"0"`, 0, ""},
		{`"0.00"`, 0, ""},
		{`"0.01"`, 1, ""},
		{`0.29`, 29, ""}, // 28.999… in floating point
		{`"90071992547409.93"`, 9007199254740993, ""},
		{`"92233720368547758.07"`, math.MaxInt64, ""},

		{`"92233720368547758.08"`, 0, "is out of range"},
		{`"92233720368547759"`, 0, "is out of range"},
		{`"` + strings.Repeat("9", 400) + `"`, 0, "is out of range"},
		{`"10000.001"`, 0, "must have no more than two decimals"},
		{`10000.123`, 0, "must have no more than two decimals"},
		{`"-1"`, 0, shape},
		{`-1`, 0, shape},
		{`"-0"`, 0, shape},
		{`"+1"`, 0, shape},
		{`"1e4"`, 0, shape},
		{`1e4`, 0, shape},
		{`1.0E4`, 0, shape},
		{`"0x10"`, 0, shape},
		{`"1_000"`, 0, shape},
		{`"1,000"`, 0, shape},
		{`"1.000.000"`, 0, shape},
		{`"1.-1"`, 0, shape},
		{`"1."`, 0, shape},
		{`".5"`, 0, shape},
		{`"."`, 0, shape},
		{`"007"`, 0, shape},
		{`"00.5"`, 0, shape},
		{`" 1"`, 0, shape},
		{`"1 "`, 0, shape},
		{`"1.0 "`, 0, shape},
		{`"１"`, 0, shape},
		{`"Rp secret"`, 0, shape},
		{`"NaN"`, 0, shape},
		{`""`, 0, "is missing, or neither string nor number"},
		{`null`, 0, "is missing, or neither string nor number"},
		{`{"secret":1}`, 0, "is missing, or neither string nor number"},
	} {
		t.Run(c.amount, func(t *testing.T) {
			for field, body := range map[string]string{
				"amount":       `{"reference_no":"r","status":"completed","gross_amount":"7","amount":` + c.amount + `}`,
				"gross_amount": `{"order_id":"o","status":"topup","amount":"7","gross_amount":` + c.amount + `}`,
			} {
				got, err := parse(t, body).Hundredths()
				assert.Equal(t, c.want, got)
				if c.err == "" {
					assert.NoError(t, err)
					continue
				}
				assert.EqualError(t, err, "payout: "+field+" "+c.err)
			}
		})
	}
}

// Rule: what is accepted is exact: the number that the text says, times 100.
func FuzzHundredths(f *testing.F) {
	for _, s := range []string{"10000", "10000.0", "10000.00", "0.29", "92233720368547758.07", "1e4", "-1", "1.005", "", "."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := (&payout.Notification{Status: payout.StatusCompleted, Amount: s}).Hundredths()
		if err != nil {
			require.Zero(t, got)
			return
		}
		want, ok := new(big.Rat).SetString(s)
		require.True(t, ok)
		want.Mul(want, big.NewRat(100, 1))
		require.Zero(t, want.Cmp(new(big.Rat).SetInt64(got)), "%q is not %d hundredths", s, got)
		require.GreaterOrEqual(t, got, int64(0))
	})
}
