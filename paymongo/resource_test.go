package paymongo_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook/paymongo"
)

// Rule: amounts are exact integers or unknown, never rounded and never 0 instead.
func TestResourceFacts(t *testing.T) {
	for _, c := range []struct {
		attributes string
		amount     int64
		ok         bool
		currency   string
		status     string
	}{
		{`{"amount":10000,"currency":"PHP","status":"paid"}`, 10000, true, "PHP", "paid"},
		{`{"amount":0}`, 0, true, "", ""},
		{`{"amount":-500}`, -500, true, "", ""},
		{`{"amount":9223372036854775807}`, 9223372036854775807, true, "", ""},
		{`{"amount":9223372036854775808}`, 0, false, "", ""},
		{`{"amount":100.00}`, 0, false, "", ""},
		{`{"amount":1e4}`, 0, false, "", ""},
		{`{"amount":"100.00"}`, 0, false, "", ""},
		{`{"amount":"10000"}`, 0, false, "", ""},
		{`{"amount":null,"currency":null,"status":[]}`, 0, false, "", ""},
		{`{"line_items":[{"amount":10000}]}`, 0, false, "", ""},
		{`[{"amount":10000}]`, 0, false, "", ""},
		{`{"amount":1,"amount":2}`, 0, false, "", ""},
		{`null`, 0, false, "", ""},
		{``, 0, false, "", ""},
	} {
		r := paymongo.Resource{Attributes: json.RawMessage(c.attributes)}
		amount, ok := r.Amount()
		assert.Equal(t, c.ok, ok, c.attributes)
		if c.ok {
			assert.Equal(t, c.amount, amount, c.attributes)
		}
		assert.Equal(t, c.currency, r.Currency(), c.attributes)
		assert.Equal(t, c.status, r.Status(), c.attributes)
	}
}

// Rule: an error names the field and quotes nothing, whoever's error it is.
func TestResourceDecode(t *testing.T) {
	e, err := paymongo.Parse(paid("evt_1", true))
	require.NoError(t, err)
	var payment struct {
		Fee     int64
		Billing struct{ Email string }
	}
	require.NoError(t, e.Resource.Decode(&payment))
	assert.Equal(t, int64(250), payment.Fee)
	assert.Equal(t, "secret@example.com", payment.Billing.Email)

	var number struct {
		Amount int8 `json:"amount"`
	}
	err = e.Resource.Decode(&number)
	assert.ErrorContains(t, err, `field "amount"`)
	assert.ErrorContains(t, err, "int8")
	assert.NotContains(t, err.Error(), "10000")
	var nested struct {
		Billing struct {
			Name int `json:"name"`
		} `json:"billing"`
	}
	err = e.Resource.Decode(&nested)
	assert.ErrorContains(t, err, `field "billing.name"`)
	assert.NotContains(t, err.Error(), "SECRETNAME")
	var date struct{ Billing struct{ Name time.Time } }
	assert.NotContains(t, e.Resource.Decode(&date).Error(), "SECRETNAME", "time.Time's error quotes")
	assert.Error(t, e.Resource.Decode(nil))
	assert.Error(t, paymongo.Resource{}.Decode(&payment))
}
