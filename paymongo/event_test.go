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
		{"names in another case", `{"Data":{"ID":"evt_1","Attributes":{"Type":"x","Livemode":true}}}`, "a name differs"},
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

// Rule: unmarshalling is parsing. What was marshalled is a summary, so that it is
// refused instead of giving a husk, whatever it is a part of; the body comes through.
func TestUnmarshal(t *testing.T) {
	for _, body := range []string{vectorBody, string(paid("evt_1", true))} {
		e, err := paymongo.Parse([]byte(body))
		require.NoError(t, err)
		var again paymongo.Event
		require.NoError(t, json.Unmarshal([]byte(body), &again))
		assert.Equal(t, *e, again)
		assert.Equal(t, body, string(again.Raw()))

		for _, v := range []any{e, *e} {
			marshalled, err := json.Marshal(v)
			require.NoError(t, err)
			assert.ErrorIs(t, json.Unmarshal(marshalled, &again), midhook.ErrMalformed)
		}
		job, err := json.Marshal(struct{ E *paymongo.Event }{e})
		require.NoError(t, err)
		assert.ErrorIs(t, json.Unmarshal(job, &struct{ E *paymongo.Event }{}), midhook.ErrMalformed)
		assert.Equal(t, *e, again, "what is refused changes nothing")
	}
}

// Rule: a resource is read as PayMongo writes it, and not from what was marshalled.
func TestUnmarshalResource(t *testing.T) {
	var r paymongo.Resource
	require.NoError(t, json.Unmarshal([]byte(`{"id":"pay_1","type":"payment","attributes":{"amount":100}}`), &r))
	assert.Equal(t, paymongo.Resource{ID: "pay_1", Type: "payment", Attributes: json.RawMessage(`{"amount":100}`)}, r)
	marshalled, err := json.Marshal(r)
	require.NoError(t, err)
	for _, body := range []string{string(marshalled), `{}`, `[]`, `{"id":"a","id":"b","attributes":{}}`} {
		before := r
		assert.ErrorIs(t, json.Unmarshal([]byte(body), &r), midhook.ErrMalformed, body)
		assert.Equal(t, before, r)
	}
}

// Rule: a name that other readers take for a field's (encoding/json and what binds
// with it fold the case of letters, and the last one wins) makes a body malformed.
func TestNamesThatFold(t *testing.T) {
	for _, twin := range [][2]string{
		{`{"data":`, `{"Data":{},"data":`}, {`"id":"evt_1"`, `"id":"evt_1","ID":"evt_2"`}, {`"attributes":{"type":"payment.paid"`, `"attributes":{"Type":"x","type":"payment.paid"`},
		{`"livemode":true`, `"livemode":true,"Livemode":false`}, {`"type":"event"`, `"type":"event","Attributes":{}`}, {`"id":"pay_1"`, `"id":"pay_1","Id":"pay_2"`},
	} {
		body := strings.Replace(string(paid("evt_1", true)), twin[0], twin[1], 1)
		require.NotEqual(t, string(paid("evt_1", true)), body)
		_, err := paymongo.Parse([]byte(body))
		assert.ErrorIs(t, err, midhook.ErrMalformed, twin[1])
	}
	_, err := paymongo.Parse([]byte(strings.Replace(string(paid("evt_1", true)), `"fee":250`, `"fee":250,"metadata":{"Order_ID":"1","order_id":"2"}`, 1)))
	assert.NoError(t, err, "a merchant's own names")
}
