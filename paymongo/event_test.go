package paymongo_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/paymongo"
)

func TestParse(t *testing.T) {
	body := paid("evt_1", true)
	e, err := paymongo.Parse(body)
	require.NoError(t, err)
	assert.Equal(t, "evt_1", e.ID)
	assert.Equal(t, paymongo.EventTypePaymentPaid, e.Type)
	assert.True(t, e.Livemode)
	assert.Equal(t, time.Date(2023, 11, 14, 22, 13, 20, 0, time.UTC), e.CreatedAt)
	assert.Equal(t, "pay_1", e.Resource.ID)
	assert.Equal(t, "payment", e.Resource.Type)
	amount, ok := e.Resource.Amount()
	assert.True(t, ok)
	assert.Equal(t, int64(10000), amount)
	assert.Equal(t, "PHP", e.Resource.Currency())
	assert.Equal(t, "paid", e.Resource.Status())

	assert.Equal(t, body, e.Raw())
	e.Raw()[0] = 'x'
	assert.Equal(t, body, e.Raw(), "Raw gives copies")
	assert.Nil(t, (&paymongo.Event{}).Raw())
}

// Rule: what the signature or the identity depends on is strict, everything else
// is tolerant.
func TestParseStrictness(t *testing.T) {
	attributes := func(s string) string { return `{"data":{"id":"evt_1","attributes":{` + s + `}}}` }
	for _, c := range []struct {
		name, body string
		err        string // "": parses
	}{
		{"the example", vectorBody, ""},
		{"unknown type", attributes(`"type":"cat.purred","livemode":true`), ""},
		{"no resource", attributes(`"type":"payment.paid","livemode":true`), ""},
		{"resource null", attributes(`"type":"payment.paid","livemode":true,"data":null`), ""},
		{"resource a list", attributes(`"type":"payment.paid","livemode":true,"data":[1]`), ""},
		{"resource with other types", attributes(`"type":"payment.paid","livemode":true,"data":{"id":7,"type":{},"attributes":"x"}`), ""},
		{"created_at of another type", attributes(`"type":"payment.paid","livemode":true,"created_at":"yesterday"`), ""},
		{"unknown fields everywhere", `{"meta":{},"data":{"id":"evt_1","new":[],"attributes":{"type":"x","livemode":true,"new":{}}}}`, ""},

		{"nothing", "", "not one JSON object"},
		{"null", "null", "not one JSON object"},
		{"list", "[" + vectorBody + "]", "not one JSON object"},
		{"something behind", vectorBody + "{}", "not one JSON object"},
		{"cut off", vectorBody[:len(vectorBody)-1], "not one JSON object"},
		{"an id that is not Unicode", strings.Replace(vectorBody, "evt", "\xff", 1), "data.id must"},
		{"an id with half a character", strings.Replace(vectorBody, "evt", `\ud83d`, 1), "data.id must"},
		{"a name with half a character", attributes(`"type":"x","livemode":true,"data":{"attributes":{"name":"Juan \ud83d"}}`), ""},
		{"empty object", "{}", "data.id must"},
		{"data null", `{"data":null}`, "data.id must"},
		{"data a list", `{"data":[{"id":"evt_1"}]}`, "data.id must"},
		{"id null", `{"data":{"id":null,"attributes":{"type":"x","livemode":true}}}`, "data.id must"},
		{"id empty", `{"data":{"id":"","attributes":{"type":"x","livemode":true}}}`, "data.id must"},
		{"id a number", `{"data":{"id":1,"attributes":{"type":"x","livemode":true}}}`, "data.id must"},
		{"names in another case", `{"Data":{"ID":"evt_1","Attributes":{"Type":"x","Livemode":true}}}`, "a name differs from a field's in letter case only"},
		{"no attributes", `{"data":{"id":"evt_1"}}`, "data.attributes.type must"},
		{"type missing", attributes(`"livemode":true`), "data.attributes.type must"},
		{"type empty", attributes(`"type":"","livemode":true`), "data.attributes.type must"},
		{"type an object", attributes(`"type":{},"livemode":true`), "data.attributes.type must"},
		{"livemode missing", attributes(`"type":"x"`), "data.attributes.livemode must"},
		{"livemode null", attributes(`"type":"x","livemode":null`), "data.attributes.livemode must"},
		{"livemode a string", attributes(`"type":"x","livemode":"true"`), "data.attributes.livemode must"},
		{"livemode a number", attributes(`"type":"x","livemode":1`), "data.attributes.livemode must"},
		{"livemode twice", attributes(`"type":"x","livemode":false,"livemode":true`), "a name is given twice"},
		{"livemode twice, once escaped", attributes(`"type":"x","livemode":false,"livem\u006fde":true`), "a name is given twice"},
		{"id twice", `{"data":{"id":"evt_1","id":"evt_2","attributes":{"type":"x","livemode":true}}}`, "a name is given twice"},
		{"data twice", `{"data":{},` + vectorBody[1:], "a name is given twice"},
		{"amount twice", attributes(`"type":"x","livemode":true,"data":{"attributes":{"amount":1,"amount":2}}`), "a name is given twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := paymongo.Parse([]byte(c.body))
			if c.err == "" {
				require.NoError(t, err)
				assert.NotEmpty(t, e.ID)
				return
			}
			assert.Nil(t, e)
			assert.ErrorIs(t, err, midhook.ErrMalformed)
			assert.ErrorContains(t, err, c.err)
			assert.NotContains(t, err.Error(), "evt_1")
		})
	}
}

func TestExtra(t *testing.T) {
	e, err := paymongo.Parse([]byte(`{"data":{"id":"evt_1","attributes":{"type":"x","livemode":true,"created_at":"soon",` +
		`"previous_data":{"status":"pending"},"pending_webhooks": 2,"data":{"id":"pay_1","relations":[]}}}}`))
	require.NoError(t, err)
	for name, want := range map[string]string{
		"previous_data":    `{"status":"pending"}`,
		"pending_webhooks": `2`,
		"created_at":       `"soon"`,
		"data":             `{"id":"pay_1","relations":[]}`,
		"type":             "",
		"livemode":         "",
		"id":               "",
		"nothing":          "",
	} {
		json, ok := e.Extra(name)
		assert.Equal(t, want != "", ok, name)
		assert.Equal(t, want, string(json), name)
	}
	_, ok := (&paymongo.Event{}).Extra("previous_data")
	assert.False(t, ok)
}

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
	assert.EqualError(t, e.Resource.Decode(&number), `paymongo: the resource's attributes: field "amount": a JSON number does not fit int8`)
	var nested struct{ Billing struct{ Name int } }
	assert.EqualError(t, e.Resource.Decode(&nested), `paymongo: the resource's attributes: field "Billing.Name": a JSON string does not fit int`)
	var date struct{ Billing struct{ Name time.Time } }
	assert.NotContains(t, e.Resource.Decode(&date).Error(), "SECRETNAME", "time.Time's error quotes")
	assert.Error(t, e.Resource.Decode(nil))
	assert.Error(t, paymongo.Resource{}.Decode(&payment))
}

// Rule: an event that is sent again keeps its key, in all versions; whatever
// else the body says does not matter, for PayMongo counts pending_webhooks down.
func TestIdempotencyKey(t *testing.T) {
	key := func(body string) string {
		e, err := paymongo.Parse([]byte(body))
		require.NoError(t, err)
		return e.IdempotencyKey()
	}
	const pinned = "d447f8938e03b26273a9f43d1e534b7c859f10b95e68a21135d33b208b3940da"
	assert.Equal(t, pinned, key(vectorBody))
	assert.Equal(t, pinned, (&paymongo.Event{ID: "evt_test_1"}).IdempotencyKey())
	assert.Equal(t, key(string(paid("evt_1", true))), key(strings.Replace(string(paid("evt_1", true)), `"pending_webhooks":1`, `"pending_webhooks":0`, 1)))
	assert.NotEqual(t, key(string(paid("evt_1", true))), key(string(paid("evt_2", true))))
}

// Rule: no body panics; what parses has an identity, prints without its body and
// parses the same again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(vectorBody))
	f.Add(paid("evt_1", true))
	f.Add([]byte(`{"data":{"id":"a","attributes":{"type":"b","livemode":true,"created_at":9223372036854775807,"data":{"attributes":{"amount":-0}}}}}`))
	f.Add([]byte(`{"data":null}`))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := paymongo.Parse(body)
		if err != nil {
			require.ErrorIs(t, err, midhook.ErrMalformed)
			require.Nil(t, e)
			return
		}
		require.NotEmpty(t, e.ID)
		require.NotEmpty(t, e.Type)
		require.Len(t, e.IdempotencyKey(), 64)
		again, err := paymongo.Parse(e.Raw())
		require.NoError(t, err)
		require.Equal(t, e, again)
		_, err = json.Marshal(e)
		require.NoError(t, err)
		require.NotEmpty(t, fmt.Sprintf("%+v %v", e, e.LogValue()))
		var v struct{ Amount any }
		_ = e.Resource.Decode(&v)
		_, _ = e.Extra("previous_data")
	})
}
