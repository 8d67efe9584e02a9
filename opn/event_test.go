package opn_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/opn"
)

func parse(t testing.TB, body string) *opn.Event {
	t.Helper()
	e, err := opn.Parse([]byte(body))
	require.NoError(t, err, body)
	return e
}

func TestParse(t *testing.T) {
	body := ` {"object":"event","id":"evnt_test_1","livemode":true,"location":"/events/evnt_test_1","webhook_deliveries":[{"id":"whdl_1"}],` +
		`"key":"charge.create","created_at":"2026-08-01T17:00:00+07:00","data":{"object":"charge","id":"chrg_test_1","amount":12345678901234567890}} `
	e := parse(t, body)
	assert.Equal(t, "evnt_test_1", e.ID)
	assert.Equal(t, opn.KeyChargeCreate, e.Key)
	assert.True(t, e.Livemode)
	assert.True(t, e.CreatedAt.Equal(time.Date(2026, time.August, 1, 10, 0, 0, 0, time.UTC)))
	assert.Equal(t, `{"object":"charge","id":"chrg_test_1","amount":12345678901234567890}`, string(e.Data), "as it stands")
	assert.Equal(t, body, string(e.Raw()))
	for name, want := range map[string]string{"location": `"/events/evnt_test_1"`, "webhook_deliveries": `[{"id":"whdl_1"}]`, "object": `"event"`} {
		got, ok := e.Extra(name)
		assert.True(t, ok, name)
		assert.Equal(t, want, string(got))
	}
	for _, name := range []string{"id", "key", "data", "nothing", ""} {
		_, ok := e.Extra(name)
		assert.False(t, ok, name)
	}

	e.Raw()[0], e.Data[0] = 'x', 'x'
	assert.Equal(t, body, string(e.Raw()), "Raw is a copy")
	assert.Nil(t, new(opn.Event).Raw())
}

// Rule: a body with id, key and data only is an event.
func TestParsePublishedVector(t *testing.T) {
	e := parse(t, testBody)
	assert.Equal(t, opn.KeyChargeComplete, e.Key)
	assert.False(t, e.Livemode)
	assert.True(t, e.CreatedAt.IsZero())
	object, id := e.DataObject()
	assert.Empty(t, object)
	assert.Equal(t, "chrg_test_1", id)
}

// Rule: API versions differ in the name of the time, and none makes an event
// unreadable.
func TestParseCreatedAt(t *testing.T) {
	at := time.Date(2016, time.February, 16, 3, 35, 59, 0, time.UTC)
	for fields, want := range map[string]time.Time{
		`"created_at":"2016-02-16T03:35:59Z"`:                                    at,
		`"created":"2016-02-16T03:35:59Z"`:                                       at,
		`"created":"2001-01-01T00:00:00Z","created_at":"2016-02-16T03:35:59Z"`:   at,
		`"created_at":null,"created":"2016-02-16T03:35:59Z"`:                     at,
		`"created_at":"yesterday"`:                                               {},
		`"created_at":1455593759`:                                                {},
		`"created_at":{"a":[1]}`:                                                 {},
		`"livemode":"false"`:                                                     {},
		`"livemode":1,"created":[]`:                                              {},
		`"object":"charge"`:                                                      {},
		`"object":7,"api_version":"2030-01-01","team_uid":null,"location":false`: {},
	} {
		e := parse(t, `{"id":"evnt_test_1","key":"charge.create",`+fields+`}`)
		assert.True(t, e.CreatedAt.Equal(want), "%s: %v", fields, e.CreatedAt)
		assert.False(t, e.Livemode, "what does not say true is not live")
	}
}

// Rule: only what has an id and a key is an event; the error names the field and
// quotes nothing.
func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ body, err string }{
		{"", "not one JSON object"},
		{"null", "not one JSON object"},
		{"[]", "not one JSON object"},
		{`"secret-name"`, "not one JSON object"},
		{`{`, "not one JSON object"},
		{testBody + testBody, "not one JSON object"},
		{testBody + "secret-name", "not one JSON object"},
		{"{}", "id must be"},
		{`{"id":null,"key":"charge.create"}`, "id must be"},
		{`{"id":"","key":"charge.create"}`, "id must be"},
		{`{"id":" \n","key":"charge.create"}`, "id must be"},
		{`{"id":7,"key":"charge.create"}`, "id must be"},
		{`{"id":{"secret-name":1},"key":"charge.create"}`, "id must be"},
		{`{"ID":"evnt_test_1","key":"charge.create"}`, "a name differs"},
		{`{"id":"evnt_test_1"}`, "key must be"},
		{`{"id":"evnt_test_1","key":null}`, "key must be"},
		{`{"id":"evnt_test_1","key":""}`, "key must be"},
		{`{"id":"evnt_test_1","key":true}`, "key must be"},
		{`{"id":"evnt_test_1","key":["charge.create"]}`, "key must be"},
		{`{"id":"evnt_test_1","id":"secret-name","key":"charge.create"}`, "twice"},
		{`{"id":"evnt_test_1","\u0069d":"secret-name","key":"charge.create"}`, "twice"},
		{`{"id":"evnt_test_1","key":"charge.create","data":{"amount":1,"amount":2}}`, "twice"},
		{`{"id":"evnt_test_1","key":"charge.create","data":{"a":[{"b":1,"b":2}]}}`, "twice"},
		{"{\"id\":\"evnt_\xff\",\"key\":\"charge.create\"}", "id must be"},
		{`{"id":"evnt_\ud83d","key":"charge.create"}`, "id must be"},
	} {
		e, err := opn.Parse([]byte(c.body))
		assert.Nil(t, e)
		require.ErrorIs(t, err, midhook.ErrMalformed, c.body)
		assert.ErrorContains(t, err, c.err, c.body)
		assert.NotContains(t, err.Error(), "secret-name")
		assert.NotContains(t, err.Error(), "evnt_")
	}
}

// Rule: data may be anything, and nothing that reads it panics.
func TestData(t *testing.T) {
	for _, c := range []struct {
		name, data string // data is the member, if any
		has        bool
		object, id string
		deleted    bool
		decodes    bool // into a struct
	}{
		{"charge", `,"data":{"object":"charge","id":"chrg_test_1"}`, true, "charge", "chrg_test_1", false, true},
		{"absent", ``, false, "", "", false, false},
		{"null", `,"data":null`, false, "", "", false, false},
		{"empty object", `,"data":{}`, true, "", "", false, true},
		{"unknown object", `,"data":{"object":"hologram","id":"holo_1","x":[{}]}`, true, "hologram", "holo_1", false, true},
		{"deleted", `,"data":{"object":"customer","id":"cust_test_1","livemode":false,"deleted":true}`, true, "customer", "cust_test_1", true, true},
		{"deleted by a string", `,"data":{"deleted":"true","id":"cust_test_1"}`, true, "", "cust_test_1", false, true},
		{"string", `,"data":"chrg_test_1"`, true, "", "", false, false},
		{"empty string", `,"data":""`, true, "", "", false, false},
		{"number", `,"data":-1.5e3`, true, "", "", false, false},
		{"bool", `,"data":true`, true, "", "", false, false},
		{"array", `,"data":[{"object":"charge"}]`, true, "", "", false, false},
		{"null fields", `,"data":{"object":null,"id":null,"deleted":null,"amount":null}`, true, "", "", false, true},
		{"fields of other types", `,"data":{"object":{"a":1},"id":[2],"deleted":0,"status":false,"amount":"much","currency":{}}`, true, "", "", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := parse(t, `{"id":"evnt_test_1","key":"charge.create"`+c.data+`}`)
			assert.Equal(t, c.has, e.Data != nil)
			object, id := e.DataObject()
			assert.Equal(t, c.object, object)
			assert.Equal(t, c.id, id)
			assert.Equal(t, c.deleted, e.Deleted())
			var v struct{ Object, ID string }
			err := e.Decode(&v)
			assert.Equal(t, c.decodes, err == nil, "%v", err)
			assert.Equal(t, c.has, e.Decode(new(any)) == nil)
			assert.Contains(t, fmt.Sprint(e), `id="evnt_test_1"`)
			assert.Len(t, e.IdempotencyKey(), 64)
		})
	}
	var zero opn.Event
	zero.DataObject()
	assert.False(t, zero.Deleted())
	assert.Error(t, zero.Decode(&struct{}{}))
	zero.Data = json.RawMessage("{")
	zero.DataObject()
	assert.Error(t, zero.Decode(&struct{}{}))
}

// Rule: what Decode says when it fails quotes no data.
func TestDecode(t *testing.T) {
	e := parse(t, `{"id":"evnt_test_1","key":"charge.create","data":{"amount":100000,"card":{"name":"JOHN DOE","expiration_year":4242.5}}}`)
	var charge struct {
		Amount int64
		Card   struct{ Name string }
	}
	require.NoError(t, e.Decode(&charge))
	assert.Equal(t, int64(100000), charge.Amount)
	assert.Equal(t, "JOHN DOE", charge.Card.Name)

	var year struct {
		Card struct {
			Year int `json:"expiration_year"`
		}
	}
	var when struct{ Card struct{ Name time.Time } }
	var notPointer struct{}
	for _, v := range []any{&year, &when, notPointer, nil, (*struct{})(nil), new(string), new([]int)} {
		err := e.Decode(v)
		require.Error(t, err)
		for _, secret := range []string{"JOHN", "4242", "100000"} {
			assert.NotContains(t, err.Error(), secret)
		}
	}
	assert.ErrorContains(t, e.Decode(&year), "expiration_year")
}

// Rule: a key that this version does not know is an event like any other.
func TestUnknownKey(t *testing.T) {
	e := parse(t, `{"id":"evnt_test_1","key":"hologram.flicker","data":{"object":"hologram"}}`)
	assert.Equal(t, opn.Key("hologram.flicker"), e.Key)
	assert.Equal(t, e, e.Message("").Value)
}

func mustMarshal(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return b
}

// Rule: whatever comes, Parse refuses it as malformed or what it returns can be
// used and shown.
func FuzzParse(f *testing.F) {
	for _, body := range []string{testBody, chargeEvent("evnt_test_1"), "{}", "null", "", `{"id":"a","key":"b","data":null}`,
		`{"id":"a","key":"b","data":"c"}`, `{"id":"a","key":"b","data":[[{}]]}`, `{"id":"a","key":"b","data":{"deleted":true,"amount":1e99}}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := opn.Parse(body)
		if err != nil {
			require.ErrorIs(t, err, midhook.ErrMalformed)
			require.Nil(t, e)
			return
		}
		require.NotEmpty(t, strings.TrimSpace(e.ID))
		require.NotEmpty(t, strings.TrimSpace(string(e.Key)))
		require.Equal(t, body, e.Raw())
		require.Len(t, e.IdempotencyKey(), 64)
		e.DataObject()
		e.Deleted()
		e.Extra("object")
		require.Equal(t, e.Data != nil, e.Decode(new(any)) == nil)
		require.NotEmpty(t, fmt.Sprint(e))
		require.True(t, json.Valid(mustMarshal(t, e)))
		again, err := opn.Parse(e.Raw())
		require.NoError(t, err)
		require.Equal(t, e, again)
	})
}

// Rule: unmarshalling is parsing. What was marshalled is a summary, so that it is
// refused instead of giving a husk, whatever it is a part of; the body comes through.
func TestUnmarshal(t *testing.T) {
	for _, body := range []string{testBody, chargeEvent("evnt_test_1"), `{"id":"evnt_test_2","key":"x"}`} {
		e := parse(t, body)
		var again opn.Event
		require.NoError(t, json.Unmarshal([]byte(body), &again))
		assert.Equal(t, *e, again)
		assert.Equal(t, body, string(again.Raw()))

		for _, v := range []any{e, *e} {
			assert.ErrorIs(t, json.Unmarshal(mustMarshal(t, v), &again), midhook.ErrMalformed)
			_, err := opn.Parse(mustMarshal(t, v))
			assert.ErrorIs(t, err, midhook.ErrMalformed)
		}
		job := mustMarshal(t, struct{ E *opn.Event }{e})
		assert.ErrorIs(t, json.Unmarshal(job, &struct{ E *opn.Event }{}), midhook.ErrMalformed)
		assert.Equal(t, *e, again, "what is refused changes nothing")
	}
	assert.ErrorIs(t, json.Unmarshal([]byte(`{"id":"evnt_test_1"}`), new(opn.Event)), midhook.ErrMalformed)
}

// Rule: a name that other readers take for a field's (encoding/json and what binds
// with it fold the case of letters, and the last one wins) makes a body malformed.
func TestNamesThatFold(t *testing.T) {
	for _, name := range []string{"ID", "Id", "Key", "\u212aey", "LiveMode", "Data", "Created_At"} {
		for _, body := range []string{`{"` + name + `":"x",` + testBody[1:], strings.TrimSuffix(testBody, "}") + `,"` + name + `":"x"}`} {
			_, err := opn.Parse([]byte(body))
			assert.ErrorIs(t, err, midhook.ErrMalformed, name)
		}
	}
	parse(t, `{"id":"evnt_test_1","key":"x","data":{"metadata":{"Order_ID":1,"order_id":2}}}`) // a merchant's own names
}
