package midhook_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// parseMembers are the names of a body and the JSON of their values.
type parseMembers map[string]string

// parsePayment has what a payment cannot do without, signed by testKey.
func parsePayment() parseMembers {
	n := &midhook.Notification{OrderID: "A-1", StatusCode: "200", GrossAmount: "10000.00"}
	return parseMembers{
		"order_id": `"A-1"`, "status_code": `"200"`, "gross_amount": `"10000.00"`,
		"signature_key": strconv.Quote(midhooktest.Sign(n, testKey)),
	}
}

// parseAccount is parsePayment for a Pay Account.
func parseAccount() parseMembers {
	n := &midhook.Notification{AccountID: "acc-1", AccountStatus: "ENABLED", StatusCode: "200"}
	return parseMembers{
		"account_id": `"acc-1"`, "account_status": `"ENABLED"`, "status_code": `"200"`,
		"signature_key": strconv.Quote(midhooktest.Sign(n, testKey)),
	}
}

// with returns m with a member set, or without it if value is "".
func (m parseMembers) with(name, value string) parseMembers {
	m = maps.Clone(m)
	m[name] = value
	if value == "" {
		delete(m, name)
	}
	return m
}

// body is the JSON object, with further members as they stand.
func (m parseMembers) body(further ...string) []byte {
	var members []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		members = append(members, strconv.Quote(name)+":"+m[name])
	}
	return []byte("{" + strings.Join(append(members, further...), ",") + "}")
}

func mustParse(t testing.TB, body []byte) *midhook.Notification {
	t.Helper()
	n, err := midhook.Parse(body)
	require.NoError(t, err, "%s", body)
	return n
}

// parseLosesNothing checks the promise of Parse and Extra: each member of the
// body is whole either in its field or in Extra, and no field is invented. It
// reads body and fields by other means than Parse: encoding/json, reflection.
func parseLosesNothing(t testing.TB, body []byte, n *midhook.Notification) {
	t.Helper()
	var members map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(body, &members))
	fields := parseFields(reflect.ValueOf(n).Elem())
	for name, value := range members {
		field, known := fields[name]
		extra, ok := n.Extra(name)
		held := known && parseHeld(field, value)
		require.NotEqual(t, held, ok, "%q must be whole in its field or in Extra, and not in both: %s", name, value)
		if ok {
			require.Equal(t, string(value), string(extra), "Extra(%q)", name)
		} else {
			require.Nil(t, extra, "Extra(%q)", name)
		}
	}
	for name, field := range fields {
		if _, given := members[name]; !given {
			require.True(t, field.IsZero(), "%q is not in the body", name)
			_, ok := n.Extra(name)
			require.False(t, ok, "%q is not in the body", name)
		}
	}
}

// parseFields finds the exported fields of a struct by their JSON names.
func parseFields(v reflect.Value) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	for i := range v.NumField() {
		if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); v.Type().Field(i).IsExported() {
			fields[name] = v.Field(i)
		}
	}
	return fields
}

// parseHeld reports whether a field is what the JSON value says.
func parseHeld(field reflect.Value, value json.RawMessage) bool {
	text := string(value)
	switch {
	case text == "null":
		return field.IsZero()
	case field.Kind() == reflect.Bool:
		return text == strconv.FormatBool(field.Bool())
	case field.Kind() == reflect.String:
		if strings.ContainsAny(text[:1], "{[tf") {
			return false // neither string nor number
		}
		if text[0] == '"' && json.Unmarshal(value, &text) != nil {
			return false
		}
		if field.Type() != reflect.TypeFor[string]() {
			text = strings.ToLower(text) // of a status
		}
		return field.String() == text
	case field.Type() == reflect.TypeFor[json.RawMessage]():
		return string(field.Bytes()) == text
	case field.Kind() == reflect.Slice:
		var items []json.RawMessage
		if json.Unmarshal(value, &items) != nil || len(items) != field.Len() {
			return false
		}
		for i, item := range items {
			if !parseHeld(field.Index(i), item) {
				return false
			}
		}
		return true
	}
	// A struct, the item of a slice.
	var members map[string]json.RawMessage
	if json.Unmarshal(value, &members) != nil {
		return false
	}
	fields := parseFields(field)
	for name, member := range members {
		if f, known := fields[name]; !known || !parseHeld(f, member) {
			return false
		}
		delete(fields, name)
	}
	for _, f := range fields {
		if !f.IsZero() {
			return false
		}
	}
	return true
}

// Rule: every body of every method parses, verifies once it is signed, and keeps
// all that was in it.
func TestParseSamples(t *testing.T) {
	names := midhooktest.Samples()
	require.NotEmpty(t, names)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			sample := midhooktest.Sample(name)
			parseLosesNothing(t, sample.Raw(), sample)

			body := midhooktest.Body(sample, testKey)
			n := mustParse(t, body)
			assert.NoError(t, midhook.Verify(n, testKey))
			assert.ErrorIs(t, midhook.Verify(n, "SB-Mid-server-other"), midhook.ErrSignature)
			parseLosesNothing(t, body, n)
			assert.Equal(t, sample.IdempotencyKey(), n.IdempotencyKey())
			if n.Kind() == midhook.Payment {
				_, err := n.Amount()
				assert.NoError(t, err)
			}
		})
	}
}

// Rule: a Go field holds the JSON field of its name. The other tests go by the
// tags and would not notice two of them exchanged.
func TestFieldsAreNamedAsMidtransNamesThem(t *testing.T) {
	for _, of := range []reflect.Type{
		reflect.TypeFor[midhook.Notification](), reflect.TypeFor[midhook.VANumber](),
		reflect.TypeFor[midhook.PaymentAmount](), reflect.TypeFor[midhook.Refund](),
	} {
		for i := range of.NumField() {
			if f := of.Field(i); f.IsExported() {
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				assert.Equal(t, strings.ToLower(f.Name), strings.ReplaceAll(name, "_", ""), "%s.%s", of.Name(), f.Name)
			}
		}
	}
}

// Rule: the numbers that Midtrans sends are exact, the status is its own type.
func TestParseRefund(t *testing.T) {
	n := mustParse(t, parsePayment().body(`"transaction_status":"partial_refund","refund_amount":"5000.00","refunds":[{
		"refund_chargeback_id": 202502070943231234, "refund_amount": "5000.00", "created_at": "2015-02-27 00:14:20",
		"reason": "some reason", "refund_key": "reference1", "refund_method": "online", "bank_confirmed_at": "2015-02-27 02:30:20"}]`))
	assert.Equal(t, midhook.StatusPartialRefund, n.TransactionStatus)
	assert.Equal(t, "5000.00", n.RefundAmount)
	assert.Equal(t, []midhook.Refund{{
		RefundChargebackID: "202502070943231234", // beyond 2^53: a float64 makes it …240
		RefundAmount:       "5000.00",
		Reason:             "some reason",
		RefundKey:          "reference1",
		RefundMethod:       "online",
		BankConfirmedAt:    "2015-02-27 02:30:20",
		CreatedAt:          "2015-02-27 00:14:20",
	}}, n.Refunds)
}

// Rule: nothing unsigned refuses a notification. What a field cannot hold whole
// is in Extra, as it was written.
func TestParseToleratesUnsigned(t *testing.T) {
	is := func(want any, field func(*midhook.Notification) any) func(*testing.T, *midhook.Notification) {
		return func(t *testing.T, n *midhook.Notification) { assert.Equal(t, want, field(n)) }
	}
	eci := func(n *midhook.Notification) any { return n.ECI }
	term := func(n *midhook.Notification) any { return n.InstallmentTerm }
	onUs := func(n *midhook.Notification) any { return n.OnUs }
	vas := func(n *midhook.Notification) any { return n.VANumbers }
	refunds := func(n *midhook.Notification) any { return n.Refunds }
	metadata := func(n *midhook.Notification) any { return string(n.Metadata) }
	first := func(n *midhook.Notification) any { return n.CustomField1 }

	for _, c := range []struct {
		rule    string
		members string
		field   func(*testing.T, *midhook.Notification)
		extra   parseMembers // the whole of it
	}{
		{"an unknown string is in Extra", `"new":"a\u00e9\n"`, nil, parseMembers{"new": `"a\u00e9\n"`}},
		{"an unknown number is in Extra, digit by digit", `"new":12345678901234567890.10`, nil, parseMembers{"new": `12345678901234567890.10`}},
		{"an unknown number of any size is in Extra", `"new":-1E+400`, nil, parseMembers{"new": `-1E+400`}},
		{"an unknown bool is in Extra", `"new":false`, nil, parseMembers{"new": `false`}},
		{"an unknown null is in Extra", `"new":null`, nil, parseMembers{"new": `null`}},
		{"an unknown object is in Extra with its white space", "\"new\" :\t{ \"b\" : [ 1 ,\n2.50 ] } ", nil, parseMembers{"new": "{ \"b\" : [ 1 ,\n2.50 ] }"}},
		{"an unknown array is in Extra", `"new":[[],{},[null]]`, nil, parseMembers{"new": `[[],{},[null]]`}},
		{"several unknown fields are in Extra", `"new":1,"newer":"2","newest":[3]`, nil, parseMembers{"new": `1`, "newer": `"2"`, "newest": `[3]`}},
		{"a name that is empty is a name", `"":1`, nil, parseMembers{"": `1`}},
		{"a name with escapes is the name they stand for", `"n\u0065w\n":1`, nil, parseMembers{"new\n": `1`}},
		{"a known name with escapes is known", `"e\u0063i":"05"`, is("05", eci), nil},
		{"a name of a struct's own is unknown", `"raw":"x","CustomField1":"y"`, is("", first), parseMembers{"raw": `"x"`, "CustomField1": `"y"`}},
		{"two unknown names that differ in case only are two names", `"foo":"B-2","FOO":"1.00"`, is("", eci), parseMembers{"foo": `"B-2"`, "FOO": `"1.00"`}},
		{"metadata has any names", `"metadata":{"Order_ID":"B-2","order_id":"B-3"}`, is(`{"Order_ID":"B-2","order_id":"B-3"}`, metadata), nil},
		{"a name with a space is another name", `"eci ":"05"`, is("", eci), parseMembers{"eci ": `"05"`}},

		{"escapes in a string are what they stand for", `"custom_field1":"\u0041\n\ud83d\ude00\/\u0000\""`, is("A\n\U0001F600/\x00\"", first), nil},
		{"text beyond ASCII is kept", `"custom_field1":"日本語 é"`, is("日本語 é", first), nil},
		{"an empty string is no loss", `"custom_field1":""`, is("", first), nil},

		{"a number for a string is its text", `"installment_term":6`, is("6", term), nil},
		{"a string of a number is the same", `"installment_term":"6"`, is("6", term), nil},
		{"a number for a string keeps every digit", `"eci":-0.10e+5`, is("-0.10e+5", eci), nil},
		{"null for a string is an empty one", `"installment_term":null`, is("", term), nil},
		{"an object for a string is in Extra", `"eci":{"a":1}`, is("", eci), parseMembers{"eci": `{"a":1}`}},
		{"an empty object for a string is in Extra", `"eci":{}`, is("", eci), parseMembers{"eci": `{}`}},
		{"an array for a string is in Extra", `"eci":["05"]`, is("", eci), parseMembers{"eci": `["05"]`}},
		{"a bool for a string is in Extra", `"eci":true`, is("", eci), parseMembers{"eci": `true`}},
		{"an object for a status is in Extra", `"transaction_status":{"a":1}`, is(midhook.TransactionStatus(""), func(n *midhook.Notification) any { return n.TransactionStatus }), parseMembers{"transaction_status": `{"a":1}`}},
		{"a number for a status is its text", `"fraud_status":0`, is(midhook.FraudStatus("0"), func(n *midhook.Notification) any { return n.FraudStatus }), nil},
		{"a status is lower-cased", `"transaction_status":"PENDING","fraud_status":"ACCEPT"`, is("pending/accept", func(n *midhook.Notification) any {
			return string(n.TransactionStatus) + "/" + string(n.FraudStatus)
		}), nil},

		{"true for a bool", `"on_us":true`, is(true, onUs), nil},
		{"false for a bool", `"on_us":false`, is(false, onUs), nil},
		{"null for a bool is false", `"on_us":null`, is(false, onUs), nil},
		{"a string for a bool is in Extra", `"on_us":"true"`, is(false, onUs), parseMembers{"on_us": `"true"`}},
		{"a number for a bool is in Extra", `"on_us":1`, is(false, onUs), parseMembers{"on_us": `1`}},
		{"an array for a bool is in Extra", `"on_us":[true]`, is(false, onUs), parseMembers{"on_us": `[true]`}},

		{"an empty array is none", `"va_numbers":[]`, is([]midhook.VANumber(nil), vas), nil},
		{"null for an array is none", `"va_numbers":null`, is([]midhook.VANumber(nil), vas), nil},
		{"an empty item is an item", `"va_numbers":[{}]`, is([]midhook.VANumber{{}}, vas), nil},
		{"a number in an item is its text", `"va_numbers":[{"va_number":123456789012345678901,"bank":null}]`, is([]midhook.VANumber{{VANumber: "123456789012345678901"}}, vas), nil},
		{"what is no item makes the array Extra, and the items stay", `"va_numbers":["x",{"bank":"bca"},7,null,[{}],{"bank":"bni"}]`,
			is([]midhook.VANumber{{Bank: "bca"}, {Bank: "bni"}}, vas), parseMembers{"va_numbers": `["x",{"bank":"bca"},7,null,[{}],{"bank":"bni"}]`}},
		{"mixed refunds make Extra too", `"refunds":[1,{"refund_key":"k"}]`, is([]midhook.Refund{{RefundKey: "k"}}, refunds), parseMembers{"refunds": `[1,{"refund_key":"k"}]`}},
		{"an array of null is not empty", `"refunds":[null]`, is([]midhook.Refund(nil), refunds), parseMembers{"refunds": `[null]`}},
		{"an object for an array is in Extra", `"va_numbers":{"bank":"bca"}`, is([]midhook.VANumber(nil), vas), parseMembers{"va_numbers": `{"bank":"bca"}`}},
		{"a string for an array is in Extra", `"refunds":"none"`, is([]midhook.Refund(nil), refunds), parseMembers{"refunds": `"none"`}},
		{"an unknown member of an item makes the array Extra", `"refunds":[{"refund_key":"k", "brand_new":1.50},{"refund_key":"l"}]`,
			is([]midhook.Refund{{RefundKey: "k"}, {RefundKey: "l"}}, refunds), parseMembers{"refunds": `[{"refund_key":"k", "brand_new":1.50},{"refund_key":"l"}]`}},
		{"a member of unexpected type makes the array Extra", `"refunds":[{"refund_key":"k","refund_amount":{"value":1}}]`,
			is([]midhook.Refund{{RefundKey: "k"}}, refunds), parseMembers{"refunds": `[{"refund_key":"k","refund_amount":{"value":1}}]`}},
		{"a refund_chargeback_id beyond 2^53 is exact", `"refunds":[{"refund_chargeback_id":202502070943231234}]`, is([]midhook.Refund{{RefundChargebackID: "202502070943231234"}}, refunds), nil},

		{"metadata is kept as received", `"metadata": { "a" : [1.0,"\u00e9"] }`, is(`{ "a" : [1.0,"\u00e9"] }`, metadata), nil},
		{"metadata may be a string", `"metadata":"x"`, is(`"x"`, metadata), nil},
		{"metadata may be an array", `"metadata":[1]`, is(`[1]`, metadata), nil},
		{"metadata may be null", `"metadata":null`, is(``, metadata), nil},

		{"null for a field of the other kind is none", `"account_id":null,"account_status":null`, is(midhook.Payment, func(n *midhook.Notification) any { return n.Kind() }), nil},
	} {
		t.Run(c.rule, func(t *testing.T) {
			body := parsePayment().body(c.members)
			n := mustParse(t, body)
			assert.NoError(t, midhook.Verify(n, testKey))
			assert.Equal(t, "A-1", n.OrderID)
			assert.Equal(t, "10000.00", n.GrossAmount)
			if c.field != nil {
				c.field(t, n)
			}
			parseLosesNothing(t, body, n)
			for name, want := range c.extra {
				got, ok := n.Extra(name)
				assert.True(t, ok, "Extra(%q)", name)
				assert.Equal(t, want, string(got), "Extra(%q)", name)
			}
			var members map[string]json.RawMessage
			require.NoError(t, json.Unmarshal(body, &members))
			for name := range members {
				_, want := c.extra[name]
				_, got := n.Extra(name)
				assert.Equal(t, want, got, "Extra(%q)", name)
			}
		})
	}
}

// Rule: the same holds for each field there is: no type of JSON refuses a body,
// and none is lost.
func TestParseToleratesEveryTypeInEveryField(t *testing.T) {
	known := parseFields(reflect.ValueOf(new(midhook.Notification)).Elem())
	for name := range known {
		if slices.Contains([]string{"order_id", "status_code", "gross_amount", "account_id", "account_status"}, name) {
			continue // signed
		}
		for _, value := range []string{
			`null`, `true`, `false`, `0`, `-1.50`, `1e400`, `""`, `"x"`, `"6"`, `[]`, `{}`, `[null]`, `[{}]`, `["x"]`, `[1,[2],{"a":3}]`,
			`{"a":{"b":[null]}}`, `[{"bank":"b","refund_key":"r","paid_at":"p"}]`, `[{"bank":1},{"refund_key":2},{"paid_at":3}]`,
		} {
			body := parsePayment().with(name, value).body()
			parseLosesNothing(t, body, mustParse(t, body))
		}
	}
}

// Rule: a signed field is a string or a number's literal text, and of its shape.
func TestParseSignedFields(t *testing.T) {
	for _, c := range []struct {
		kind   parseMembers
		name   string
		value  string
		ok     bool
		string string // what the field holds
	}{
		{parsePayment(), "order_id", `"A/1#ü \u0000"`, true, "A/1#ü \x00"},
		{parsePayment(), "order_id", `1001`, true, "1001"},
		{parsePayment(), "order_id", `1.0e2`, true, "1.0e2"},
		{parsePayment(), "order_id", `""`, false, ""},
		{parsePayment(), "status_code", `"000"`, true, "000"},
		{parsePayment(), "status_code", `"407"`, true, "407"},
		{parsePayment(), "status_code", `200`, true, "200"},
		{parsePayment(), "status_code", `"2\u00300"`, true, "200"},
		{parsePayment(), "status_code", `""`, false, ""},
		{parsePayment(), "status_code", `"20"`, false, ""},
		{parsePayment(), "status_code", `"2000"`, false, ""},
		{parsePayment(), "status_code", `"20O"`, false, ""},
		{parsePayment(), "status_code", `"+20"`, false, ""},
		{parsePayment(), "status_code", `"-20"`, false, ""},
		{parsePayment(), "status_code", `" 200"`, false, ""},
		{parsePayment(), "status_code", `"200 "`, false, ""},
		{parsePayment(), "status_code", `"200\n"`, false, ""},
		{parsePayment(), "status_code", `"2.0"`, false, ""},
		{parsePayment(), "status_code", `"0x1"`, false, ""},
		{parsePayment(), "status_code", `"２００"`, false, ""},
		{parsePayment(), "status_code", `"²00"`, false, ""},
		{parsePayment(), "status_code", `20`, false, ""},
		{parsePayment(), "status_code", `200.0`, false, ""},
		{parsePayment(), "status_code", `2e2`, false, ""},
		{parsePayment(), "status_code", `-20`, false, ""},
		{parsePayment(), "gross_amount", `"0.00"`, true, "0.00"},
		{parsePayment(), "gross_amount", `"0.01"`, true, "0.01"},
		{parsePayment(), "gross_amount", `"123456789012345678901234567890.99"`, true, "123456789012345678901234567890.99"},
		{parsePayment(), "gross_amount", `10000.00`, true, "10000.00"},
		{parsePayment(), "gross_amount", `""`, false, ""},
		{parsePayment(), "gross_amount", `"10000"`, false, ""},
		{parsePayment(), "gross_amount", `"10000."`, false, ""},
		{parsePayment(), "gross_amount", `"1.0"`, false, ""},
		{parsePayment(), "gross_amount", `"1.000"`, false, ""},
		{parsePayment(), "gross_amount", `".00"`, false, ""},
		{parsePayment(), "gross_amount", `"."`, false, ""},
		{parsePayment(), "gross_amount", `"01.00"`, false, ""},
		{parsePayment(), "gross_amount", `"00.00"`, false, ""},
		{parsePayment(), "gross_amount", `"+1.00"`, false, ""},
		{parsePayment(), "gross_amount", `"-1.00"`, false, ""},
		{parsePayment(), "gross_amount", `"-0.00"`, false, ""},
		{parsePayment(), "gross_amount", `"1,000.00"`, false, ""},
		{parsePayment(), "gross_amount", `"1.000.00"`, false, ""},
		{parsePayment(), "gross_amount", `"1,00"`, false, ""},
		{parsePayment(), "gross_amount", `"1_000.00"`, false, ""},
		{parsePayment(), "gross_amount", `"1e2"`, false, ""},
		{parsePayment(), "gross_amount", `"1e2.00"`, false, ""},
		{parsePayment(), "gross_amount", `"0x1.00"`, false, ""},
		{parsePayment(), "gross_amount", `" 1.00"`, false, ""},
		{parsePayment(), "gross_amount", `"1.00 "`, false, ""},
		{parsePayment(), "gross_amount", `"1.00\u0000"`, false, ""},
		{parsePayment(), "gross_amount", `"１.00"`, false, ""},
		{parsePayment(), "gross_amount", `"1．00"`, false, ""},
		{parsePayment(), "gross_amount", `"1.٠٠"`, false, ""},
		{parsePayment(), "gross_amount", `"Rp1.00"`, false, ""},
		{parsePayment(), "gross_amount", `"NaN"`, false, ""},
		{parsePayment(), "gross_amount", `10000`, false, ""},
		{parsePayment(), "gross_amount", `10000.0`, false, ""},
		{parsePayment(), "gross_amount", `1e2`, false, ""},
		{parsePayment(), "gross_amount", `-1.00`, false, ""},
		{parseAccount(), "account_id", `"acc/2"`, true, "acc/2"},
		{parseAccount(), "account_id", `17`, true, "17"},
		{parseAccount(), "account_id", `""`, false, ""},
		{parseAccount(), "account_status", `"EXPIRED"`, true, "EXPIRED"},
		{parseAccount(), "account_status", `""`, false, ""},
		{parseAccount(), "status_code", `"204"`, true, "204"},
		{parseAccount(), "status_code", `"20"`, false, ""},
	} {
		t.Run(fmt.Sprint(c.name, " ", c.value, " is accepted: ", c.ok), func(t *testing.T) {
			body := c.kind.with(c.name, c.value).body()
			n, err := midhook.Parse(body)
			if !c.ok {
				require.ErrorIs(t, err, midhook.ErrMalformed)
				require.Nil(t, n)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.string, parseFields(reflect.ValueOf(n).Elem())[c.name].String())
			parseLosesNothing(t, body, n)
			n.SignatureKey = midhooktest.Sign(n, testKey)
			assert.NoError(t, midhook.Verify(n, testKey))
		})
	}

	for _, m := range []parseMembers{parsePayment(), parseAccount()} {
		for name := range m {
			for _, value := range []string{"" /* left out */, `null`, `true`, `false`, `{}`, `[]`, `{"a":1}`, `["200"]`, `["1.00"]`} {
				n, err := midhook.Parse(m.with(name, value).body())
				if name == "signature_key" {
					// Without a signature it is a notification that nobody signed.
					require.NoError(t, err)
					require.ErrorIs(t, midhook.Verify(n, testKey), midhook.ErrSignature)
					continue
				}
				require.ErrorIs(t, err, midhook.ErrMalformed, "%s: %s", name, value)
				require.Nil(t, n)
			}
		}
	}
}

// Rule: a number stands for its literal text, which is what Midtrans signs.
func TestParseNumberVerifiesByItsText(t *testing.T) {
	m := parsePayment().with("gross_amount", `10000.00`).with("status_code", `200`)
	assert.NoError(t, midhook.Verify(mustParse(t, m.body()), testKey))
}

// Rule: anything but one JSON object, without duplicate names, is malformed.
func TestParseRefuses(t *testing.T) {
	valid := string(parsePayment().body())
	with := func(members string) string { return string(parsePayment().body(members)) }
	deep := strings.Repeat("[", 100_000)
	for _, c := range []struct{ rule, body string }{
		{"an empty body", ""},
		{"white space only", " \t\r\n"},
		{"null", "null"},
		{"true", "true"},
		{"a number", "200"},
		{"a string", strconv.Quote(valid)},
		{"an array", "[" + valid + "]"},
		{"an empty array", "[]"},
		{"an empty object", "{}"},
		{"two objects", valid + valid},
		{"two objects on lines of their own", valid + "\n" + valid},
		{"a comma behind", valid + ","},
		{"a brace behind", valid + "}"},
		{"a letter behind", valid + "x"},
		{"null behind", valid + " null"},
		{"a string behind", valid + `""`},
		{"a NUL behind", valid + "\x00"},
		{"a NUL before", "\x00" + valid},
		{"a letter before", "x" + valid},
		{"a byte order mark", "\uFEFF" + valid},
		{"UTF-16", "\xff\xfe{\x00}\x00"},
		{"a form", "order_id=A-1&status_code=200"},
		{"XML", "<order_id>A-1</order_id>"},
		{"a comment", "/* */" + valid},
		{"a comma too many", with(`"new":1,`)},
		{"a comma too few", with(`"new":1 "newer":2`)},
		{"a colon too few", with(`"new" 1`)},
		{"a name without quotes", with(`new:1`)},
		{"a number as a name", with(`1:1`)},
		{"single quotes", with(`'new':1`)},
		{"a value that is none", with(`"new":undefined`)},
		{"True", with(`"new":True`)},
		{"NaN", with(`"new":NaN`)},
		{"a number with a leading zero", with(`"new":01`)},
		{"a number with a plus", with(`"new":+1`)},
		{"a number that ends in a point", with(`"new":1.`)},
		{"a hexadecimal number", with(`"new":0x1`)},
		{"a raw line end in a string", with("\"new\":\"a\nb\"")},
		{"a raw NUL in a string", with("\"new\":\"a\x00b\"")},
		{"a raw NUL between members", with("\x00\"new\":1")},
		{"an escape that is none", with(`"new":"\x41"`)},
		{"half an escape", with(`"new":"\u00"`)},

		{"order_id twice", with(`"order_id":"A-1"`)},
		{"order_id twice, once with an escape", with(`"order\u005fid":"B-2"`)},
		{"order_id twice, once null", with(`"order_id":null`)},
		{"gross_amount twice", with(`"gross_amount":"1.00"`)},
		{"status_code twice", with(`"status_code":"200"`)},
		{"signature_key twice", with(`"signature_key":"x"`)},
		{"an unsigned name twice", with(`"eci":"1","eci":"2"`)},
		{"an unknown name twice", with(`"new":1,"new":1`)},
		{"an unknown name twice, once with an escape", with(`"new":1,"n\u0065w":2`)},
		{"an empty name twice", with(`"":1,"":1`)},
		{"a name twice in metadata", with(`"metadata":{"a":1,"a":1}`)},
		{"a name twice in an unknown object", with(`"new":{"a":{"b":1,"b":2}}`)},
		{"a name twice in an unknown array", with(`"new":[[{"b":1,"b":2}]]`)},
		{"a name twice in a refund", with(`"refunds":[{"refund_key":"1","refund_key":"2"}]`)},
		{"an unknown name twice in a refund", with(`"refunds":[{"new":"1","new":"2"}]`)},
		{"a name twice in what is no item", with(`"va_numbers":[[{"bank":"1","bank":"2"}]]`)},
		{"a name twice in a string's place", with(`"eci":{"a":"1","a":"2"}`)},

		{"100,000 brackets", deep},
		{"100,000 brackets in an unknown field", with(`"new":` + deep)},
		{"100,000 brackets in metadata", with(`"metadata":` + deep + strings.Repeat("]", 100_000))},
		{"100,000 brackets in refunds", with(`"refunds":` + deep + strings.Repeat("]", 100_000))},
		{"100,000 braces", strings.Repeat(`{"a":`, 100_000)},
		{"100,000 braces in a string's place", with(`"eci":` + strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000))},
	} {
		t.Run(c.rule, func(t *testing.T) {
			n, err := midhook.Parse([]byte(c.body))
			assert.ErrorIs(t, err, midhook.ErrMalformed)
			assert.Nil(t, n)
		})
	}
	t.Run("nil", func(t *testing.T) {
		_, err := midhook.Parse(nil)
		assert.ErrorIs(t, err, midhook.ErrMalformed)
	})
	t.Run("a body that stops early, wherever it does", func(t *testing.T) {
		body := bytes.TrimSpace(midhooktest.Body(midhooktest.Sample("partial-refund-bank-confirmed"), testKey))
		mustParse(t, body)
		for i := range body {
			_, err := midhook.Parse(body[:i])
			require.ErrorIs(t, err, midhook.ErrMalformed, "the first %d bytes", i)
		}
	})
	t.Run("but white space around the object is none of these", func(t *testing.T) {
		body := []byte(" \t\r\n" + strings.ReplaceAll(valid, ",", " ,\r\n\t") + "\n\n ")
		n := mustParse(t, body)
		assert.NoError(t, midhook.Verify(n, testKey))
		parseLosesNothing(t, body, n)
	})
}

// Rule: what has an order_id is a payment, whatever it says of an account: the two
// formulas cannot be confused, for their last characters differ. What has none and
// has fields of both kinds is neither.
func TestParseMixedKinds(t *testing.T) {
	account := parseMembers{"account_id": `"acc-1"`, "account_status": `"ENABLED"`}
	for name, value := range account {
		for _, v := range []string{value, `""`, `0`, `{}`} {
			n := mustParse(t, parsePayment().with(name, v).body())
			assert.Equal(t, midhook.Payment, n.Kind(), "a payment with %s %s", name, v)
			assert.NoError(t, midhook.Verify(n, testKey))
		}
	}
	payment := parseMembers{"order_id": `"A-1"`, "gross_amount": `"1.00"`, "transaction_id": `"T"`, "transaction_status": `"settlement"`}
	for name, value := range payment {
		for _, v := range []string{value, `""`, `0`, `{}`} {
			_, err := midhook.Parse(parseAccount().with(name, v).body())
			assert.ErrorIs(t, err, midhook.ErrMalformed, "a Pay Account with %s %s", name, v)
		}
		_, err := midhook.Parse(parseAccount().with(name, `null`).body())
		assert.NoError(t, err, "a Pay Account with %s null", name)
	}
	n := mustParse(t, parseAccount().with("order_id", `"A-1"`).with("gross_amount", `"1.00"`).body())
	assert.ErrorIs(t, midhook.Verify(n, testKey), midhook.ErrSignature, "an account's signature does not vouch for a payment")
}

// Rule: a body means one thing to every reader. A name that encoding/json takes for
// a known field's, at the top or in a known object, is malformed.
func TestParseRefusesLookAlikes(t *testing.T) {
	for _, members := range []string{
		`"Order_ID":"B-2"`, `"ORDER_ID":null`, `"\u017ftatus_code":"200"`, `"gro\u017fs_amount":"1.00"`, `"tran\u017faction_status":"settlement"`, `"ſignature_key":"x"`,
		`"signature_\u212aey":"x"`, `"Eci":"05"`, `"VA_numbers":[]`, `"va_numbers":[{"Va_number":"1"}]`, `"refunds":[{"refund_key":"a"},{"REFUND_KEY":"b"}]`,
		`"payment_amounts":[{"paid_At":"x"}]`, `"Metadata":{}`, `"fraud_\u0053tatus":"accept"`, `"refunds":[{"ban\u212a_confirmed_at":"x"}]`,
	} {
		_, err := midhook.Parse(parsePayment().body(members))
		assert.ErrorIs(t, err, midhook.ErrMalformed, members)
	}
}

// Rule: a fraud_status that is there and cannot be read is neither accepted nor
// absent, and makes another event than one that is either; null is absent.
func TestUnreadableFraudStatus(t *testing.T) {
	parse := func(fraud string) *midhook.Notification {
		m := parsePayment().with("transaction_status", `"capture"`).with("transaction_id", `"t"`)
		if fraud != "" {
			m = m.with("fraud_status", fraud)
		}
		return mustParse(t, m.body())
	}
	absent, accepted := parse(""), parse(`"accept"`)
	require.True(t, absent.Paid())
	require.True(t, accepted.Paid())
	for _, fraud := range []string{`["accept"]`, `["challenge"]`, `{"status":"deny"}`, `{}`, `[]`, `false`, `true`, `0`, "\"accept\xff\"", `"accept\ud83d"`, `" accept"`} {
		n := parse(fraud)
		assert.False(t, n.Paid(), fraud)
		assert.NotEmpty(t, n.FraudStatus, fraud)
		assert.NotEqual(t, midhook.FraudAccept, n.FraudStatus, fraud)
		assert.NotEqual(t, absent.IdempotencyKey(), n.IdempotencyKey(), fraud)
		assert.NotEqual(t, accepted.IdempotencyKey(), n.IdempotencyKey(), fraud)
	}
	for _, fraud := range []string{`null`, `"ACCEPT"`} {
		assert.True(t, parse(fraud).Paid(), fraud)
	}
	assert.Equal(t, absent.IdempotencyKey(), parse(`null`).IdempotencyKey())
}

// Rule: the kind is what the body's ids say.
func TestKind(t *testing.T) {
	assert.Equal(t, midhook.Payment, mustParse(t, parsePayment().body()).Kind())
	assert.Equal(t, midhook.PayAccount, mustParse(t, parseAccount().body()).Kind())
	assert.Equal(t, midhook.Payment, (&midhook.Notification{}).Kind())
}

// Rule: an error may go to a log, so it holds nothing of the body, wherever the
// body breaks.
func TestParseErrorsTellNothingOfTheBody(t *testing.T) {
	const marker = "SECRET"
	secret := strconv.Quote(marker)
	refused := func(body []byte) {
		t.Helper()
		_, err := midhook.Parse(body)
		require.ErrorIs(t, err, midhook.ErrMalformed, "%s", body)
		for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
			require.NotContains(t, strings.ToUpper(text), marker, "%s", body)
		}
	}
	names := []string{marker}
	for name := range parseFields(reflect.ValueOf(new(midhook.Notification)).Elem()) {
		names = append(names, name)
	}
	for _, name := range names {
		for _, value := range []string{secret, `{` + secret + `:` + secret + `}`, `[{` + secret + `:` + secret + `}]`} {
			whole := string(parsePayment().with(name, value).body())
			for _, broken := range []string{
				whole + whole,
				whole + secret,
				whole + marker,
				strings.TrimSuffix(whole, "}"),
				strings.Replace(whole, secret, `"SECRET\x"`, 1),
				strings.Replace(whole, secret, `"SECRET`, 1),
				strings.Replace(whole, secret, marker, 1),
				string(parsePayment().with(name, value).body(strconv.Quote(name) + ":" + value)),
				string(parsePayment().with(name, value).with("status_code", secret).body()),
				string(parsePayment().with(name, value).with("gross_amount", secret).body()),
				string(parsePayment().with(name, value).with("order_id", "").body()),
				string(parsePayment().with(name, value).with(strings.ToUpper(name), secret).with("order_ID", secret).body()),
				string(parseAccount().with(name, value).with("transaction_id", secret).with("order_id", "").body()),
				string(parseAccount().with(name, value).with("account_status", "").with("status_code", secret).body()),
			} {
				refused([]byte(broken))
			}
		}
	}
}

// Rule: Raw is the body to the byte, and nobody's to change: neither what Raw and
// Extra return nor the buffer that was parsed is shared with the notification.
func TestParseSharesNothing(t *testing.T) {
	scribble := func(b []byte) {
		for i := range b {
			b[i] = 'x'
		}
	}
	for _, name := range midhooktest.Samples() {
		body := midhooktest.Body(midhooktest.Sample(name, midhooktest.Field("new", []int{1, 2})), testKey)
		body = append([]byte(" \n"), append(body, '\n')...)
		untouched := mustParse(t, bytes.Clone(body))

		given := bytes.Clone(body)
		n := mustParse(t, given)
		assert.Equal(t, string(body), string(given), "Parse must not write to the body")
		assert.Equal(t, string(body), string(n.Raw()))

		scribble(given)
		scribble(n.Raw())
		extra, _ := n.Extra("new")
		assert.Equal(t, "[1,2]", string(extra))
		scribble(extra)

		assert.Equal(t, string(body), string(n.Raw()))
		again, _ := n.Extra("new")
		assert.Equal(t, "[1,2]", string(again))
		assert.True(t, reflect.DeepEqual(untouched, n), "%s changed after Parse", name)
		assert.NoError(t, midhook.Verify(n, testKey))
	}
	assert.Nil(t, new(midhook.Notification).Raw(), "there was no body")
	_, ok := new(midhook.Notification).Extra("order_id")
	assert.False(t, ok, "there was no body")
}

// Rule: notifications that are parsed at once do not mix, though their parsers
// are used again.
func TestParseAtOnce(t *testing.T) {
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				id := fmt.Sprintf("A-%d-%d", g, i)
				body := parsePayment().with("order_id", strconv.Quote(id)).body(`"new":` + strconv.Quote(id))
				if i%3 == 0 {
					_, err := midhook.Parse(append(body, '}'))
					assert.ErrorIs(t, err, midhook.ErrMalformed)
				}
				n, err := midhook.Parse(body)
				if !assert.NoError(t, err) {
					return
				}
				extra, _ := n.Extra("new")
				assert.Equal(t, id, n.OrderID)
				assert.Equal(t, strconv.Quote(id), string(extra))
			}
		})
	}
	wg.Wait()
}

// Rule: paid is a settlement or capture with status_code 200 that fraud screening
// accepted or did not look at, and nothing else.
func TestPaid(t *testing.T) {
	paid := map[string]bool{
		"settlement 200": true, "settlement accept 200": true, "settlement ACCEPT 200": true,
		"capture 200": true, "capture accept 200": true, "capture ACCEPT 200": true,
		"SETTLEMENT 200": true, "SETTLEMENT accept 200": true, "SETTLEMENT ACCEPT 200": true,
		"Capture 200": true, "Capture accept 200": true, "Capture ACCEPT 200": true,
	}
	seen := 0
	for _, status := range []midhook.TransactionStatus{
		midhook.StatusPending, midhook.StatusAuthorize, midhook.StatusCapture, midhook.StatusSettlement,
		midhook.StatusDeny, midhook.StatusCancel, midhook.StatusExpire, midhook.StatusFailure, midhook.StatusRefund,
		midhook.StatusPartialRefund, midhook.StatusChargeback, midhook.StatusPartialChargeback,
		"SETTLEMENT", "Capture", "PENDING", "", "settled", "settlement ", "paid", "success",
	} {
		for _, fraud := range []midhook.FraudStatus{midhook.FraudAccept, "ACCEPT", midhook.FraudChallenge, midhook.FraudDeny, "", "accepted", "CHALLENGE", "unknown"} {
			for _, code := range []string{"200", "201", "202", "204", "300", "400", "404", "407", "500", "000"} {
				facts := strings.Join(strings.FieldsFunc(string(status)+"|"+string(fraud)+"|"+code, func(r rune) bool { return r == '|' }), " ")
				want := paid[facts]
				if want {
					seen++
				}
				m := parsePayment().with("transaction_status", strconv.Quote(string(status))).with("fraud_status", strconv.Quote(string(fraud)))
				if fraud == "" {
					m = m.with("fraud_status", "")
				}
				n := mustParse(t, m.with("status_code", strconv.Quote(code)).body())
				assert.Equal(t, want, n.Paid(), "parsed: %s", facts)
				byHand := midhook.Notification{OrderID: "A-1", GrossAmount: "1.00", StatusCode: code, TransactionStatus: status, FraudStatus: fraud}
				assert.Equal(t, want, byHand.Paid(), "by hand: %s", facts)
			}
		}
	}
	assert.Equal(t, len(paid), seen)

	account := midhook.Notification{AccountID: "acc-1", AccountStatus: "ENABLED", StatusCode: "200", TransactionStatus: midhook.StatusSettlement}
	assert.False(t, account.Paid(), "a Pay Account is no payment")
}

// Rule: an amount is exact, in hundredths, or an error; never rounded, never
// wrapped around.
func TestParseAmount(t *testing.T) {
	for text, want := range map[string]int64{
		"0.00": 0, "0.01": 1, "0.10": 10, "1.00": 100, "10000.00": 1000000, "154600.50": 15460050,
		"90071992547409.93":    9007199254740993, // 2^53 + 1
		"92233720368547758.07": math.MaxInt64,
	} {
		got, err := midhook.ParseAmount(text)
		assert.NoError(t, err, text)
		assert.Equal(t, want, got, text)
		got, err = (&midhook.Notification{GrossAmount: text}).Amount()
		assert.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{
		"", "0", "1", "1.", "1.0", "1.000", ".00", "00.00", "01.00", "+1.00", "-1.00", "-0.00", " 1.00", "1.00 ", "1.00\n", "1,000.00", "1,00",
		"1_0.00", "1e2", "1e2.00", "0x1.00", "１.00", "1.٠٠", "1.00.00", "1..00", "NaN", "Inf", "abc", "Rp1.00",
		"92233720368547758.08", "92233720368547759.00", "184467440737095516.16", "18446744073709551617.00", strings.Repeat("9", 1000) + ".00",
	} {
		got, err := midhook.ParseAmount(text)
		assert.Error(t, err, "%q", text)
		assert.Zero(t, got, "%q", text)
		_, err = (&midhook.Notification{GrossAmount: text}).Amount()
		assert.Error(t, err, "%q", text)
	}
}

// Rule: Midtrans' times are Jakarta's, seven hours before Greenwich, wherever the
// program runs and in summer too.
func TestParseTime(t *testing.T) {
	for text, want := range map[string]time.Time{
		"2021-06-15 18:45:13": time.Date(2021, 6, 15, 11, 45, 13, 0, time.UTC),
		"2021-01-01 00:00:00": time.Date(2020, 12, 31, 17, 0, 0, 0, time.UTC),
	} {
		got, err := midhook.ParseTime(text)
		require.NoError(t, err)
		assert.True(t, want.Equal(got), "%s is %s", text, got)
		_, offset := got.Zone()
		assert.Equal(t, 7*60*60, offset)
		assert.Equal(t, text, got.Format(time.DateTime), "printed as it came")
	}
	for _, text := range []string{"", "2021-06-15", "2021-06-15T18:45:13Z", "2021-13-15 18:45:13", "2021-06-15 18:45:13 +0700", "2021-06-15 24:00:00"} {
		_, err := midhook.ParseTime(text)
		assert.Error(t, err, "%q", text)
	}
}

// Rule: whatever comes, Parse keeps its promises: no panic, ErrMalformed or a
// notification of the shapes that signatures rely on, and nothing lost.
func FuzzParse(f *testing.F) {
	for _, name := range midhooktest.Samples() {
		f.Add(midhooktest.Body(midhooktest.Sample(name), testKey), "order_id")
	}
	for _, members := range []string{
		`"new":{ "a" : [1.0,null] }`, `"order\u005fid":"B"`, `"Order_ID":"B"`, `"":[]`, `"eci":{"a":1}`, `"on_us":"true"`, `"on_us":null`,
		`"va_numbers":["x",{"bank":"bca"},7,null]`, `"refunds":[{"refund_chargeback_id":202502070943231234,"new":1}]`,
		`"refunds":{"a":1}`, `"metadata":{"a":1,"a":2}`, `"new":1,"new":1`, `"account_id":"x"`, `"installment_term":6`, `"new":-1E+400`,
		`"custom_field1":"\ud83d\ude00\u0000"`, `"custom_field1":"\ud83d"`, "\"new\":\"\xff\"", "\"new\":\"a\x00b\"", `"transaction_status":"SETTLEMENT"`,
		`"metadata":` + strings.Repeat("[", 200) + strings.Repeat("]", 200),
	} {
		f.Add(parsePayment().body(members), "new")
	}
	for _, body := range []string{"", " ", "null", "[]", "{}", "{", "\uFEFF{}", "{}{}", `{"order_id":"A","status_code":200,"gross_amount":10000.00}`, `{"order_id":1,"status_code":"2","gross_amount":"1e2"}`, "\x00"} {
		f.Add([]byte(body), "")
	}
	code, amount := regexp.MustCompile(`^[0-9]{3}$`), regexp.MustCompile(`^(0|[1-9][0-9]*)\.[0-9]{2}$`)
	f.Fuzz(func(t *testing.T, body []byte, name string) {
		before := bytes.Clone(body)
		n, err := midhook.Parse(body)
		require.Equal(t, before, body, "Parse must not write to the body")
		if err != nil {
			require.ErrorIs(t, err, midhook.ErrMalformed)
			require.Nil(t, n)
			return
		}
		require.True(t, json.Valid(body))
		require.Equal(t, string(body), string(n.Raw()))
		require.Regexp(t, code, n.StatusCode)
		switch n.Kind() {
		case midhook.Payment:
			require.NotEmpty(t, n.OrderID)
			require.Regexp(t, amount, n.GrossAmount)
		case midhook.PayAccount:
			require.NotEmpty(t, n.AccountID)
			require.NotEmpty(t, n.AccountStatus)
			require.Empty(t, n.OrderID+n.GrossAmount+n.TransactionID+string(n.TransactionStatus))
			require.False(t, n.Paid())
		}
		n.Extra(name)
		parseLosesNothing(t, body, n)
		require.Regexp(t, parseKeyShape, n.IdempotencyKey())
		require.Equal(t, n.IdempotencyKey(), mustParse(t, n.Raw()).IdempotencyKey())

		n.SignatureKey = midhooktest.Sign(n, testKey)
		require.NoError(t, midhook.Verify(n, testKey))
	})
}

// Rule: a customer's name that was cut in the middle of a character does not cost
// the payment; what is signed, and what tells two events apart, must be Unicode.
func TestParseTextThatIsNotUnicode(t *testing.T) {
	for name, broken := range map[string]string{
		"half a surrogate pair": `"Budi \ud83d"`,
		"invalid UTF-8":         "\"Budi \xff\"",
		"overlong UTF-8":        "\"\xc0\xaf\"",
		"a surrogate in UTF-8":  "\"\xed\xa0\x80\"",
	} {
		t.Run(name, func(t *testing.T) {
			body := string(midhooktest.Body(midhooktest.Sample("gopay"), testKey))
			n, err := midhook.Parse([]byte(strings.Replace(body, "{", `{"custom_field1":`+broken+`,"new":`+broken+`,`, 1)))
			require.NoError(t, err)
			require.NoError(t, midhook.Verify(n, testKey))
			assert.Empty(t, n.CustomField1)
			for _, field := range []string{"custom_field1", "new"} {
				extra, ok := n.Extra(field)
				assert.True(t, ok)
				assert.Equal(t, broken, string(extra))
			}
			signed := strings.Replace(body, `"order_id":"`, `"order_id":`+broken+`,"was":"`, 1)
			require.NotEqual(t, body, signed)
			_, err = midhook.Parse([]byte(signed))
			assert.ErrorIs(t, err, midhook.ErrMalformed)
		})
	}
}

// Rule: bodies that merchants have met are read for what they are.
func TestBodiesOfTheField(t *testing.T) {
	for name, tt := range map[string]struct {
		body  string
		ok    bool
		paid  bool
		stage int
	}{
		"expiry under another name":       {`{"transaction_status":"expire","transaction_id":"t","status_code":"202","payment_type":"qris","order_id":"63c5ff5c2bf8e","gross_amount":"10000.00","fraud_status":"accept","expire_time":"2023-01-17 09:07:33"}`, true, false, 40},
		"a wallet without balance":        {`{"transaction_status":"deny","transaction_id":"t","status_code":"202","payment_type":"gopay","order_id":"o","gross_amount":"1002500.00","fraud_status":"accept","channel_response_code":"201"}`, true, false, 40},
		"a cancellation":                  {`{"transaction_status":"cancel","transaction_id":"t","status_code":"202","payment_type":"gopay","payment_option_type":"PAY_LATER","order_id":"o","gross_amount":"2000000.00","fraud_status":"accept"}`, true, false, 40},
		"an empty list of amounts":        {`{"va_numbers":[{"va_number":"3","bank":"bca"}],"transaction_status":"settlement","transaction_id":"t","status_code":"200","payment_amounts":[],"order_id":"o","gross_amount":"100000.00","fraud_status":"accept","metadata":{"midtrans_invoice_id":"6"}}`, true, true, 40},
		"an amount as a whole number":     {`{"transaction_status":"settlement","transaction_id":"t","status_code":"200","order_id":"o","gross_amount":23000,"fraud_status":"accept"}`, false, false, 0},
		"a payment with an account_id":    {`{"transaction_status":"settlement","transaction_id":"t","status_code":"200","account_id":"00000269","order_id":"o","gross_amount":"14000.00","fraud_status":"accept"}`, true, true, 40},
		"an imposed fee":                  {`{"transaction_status":"settlement","transaction_id":"t","status_code":"200","order_id":"o","gross_amount":"14440.00","metadata":{"extra_info":{"gross_amount_info":{"original_amount":"10000"}}}}`, true, true, 40},
		"a partial chargeback":            {`{"transaction_status":"partial_chargeback","transaction_id":"t","status_code":"200","order_id":"o","gross_amount":"30000.00","fraud_status":"accept","refund_chargeback_amount":"5000.00"}`, true, false, 40},
		"no transaction_id, no verdict":   {`{"transaction_id":"","transaction_status":"settlement","status_code":"200","order_id":"o","gross_amount":"113500.00","fraud_status":null}`, true, true, 40},
		"a line end behind it":            {`{"transaction_status":"settlement","status_code":"200","order_id":"o","gross_amount":"1.00"}` + "\r\n", true, true, 40},
		"a byte order mark before it":     {"\ufeff" + `{"status_code":"200","order_id":"o","gross_amount":"1.00"}`, false, false, 0},
		"a NUL behind it":                 {`{"status_code":"200","order_id":"o","gross_amount":"1.00"}` + "\x00", false, false, 0},
		"a form field":                    {`json={"status_code":"200","order_id":"o","gross_amount":"1.00"}`, false, false, 0},
		"a list of it":                    {`[{"status_code":"200","order_id":"o","gross_amount":"1.00"}]`, false, false, 0},
		"a string of it":                  {`"{\"status_code\":\"200\",\"order_id\":\"o\",\"gross_amount\":\"1.00\"}"`, false, false, 0},
		"an order_id that is hard to ask": {`{"transaction_status":"settlement","status_code":"200","order_id":"a/../b?c=50%25#é +","gross_amount":"1.00"}`, true, true, 40},
	} {
		n, err := midhook.Parse([]byte(tt.body))
		if !tt.ok {
			assert.ErrorIs(t, err, midhook.ErrMalformed, name)
			continue
		}
		require.NoError(t, err, name)
		assert.Equal(t, tt.paid, n.Paid(), name)
		assert.Equal(t, tt.stage, n.Message("").Stage, name)
		n.SignatureKey = midhooktest.Sign(n, testKey)
		assert.NoError(t, midhook.Verify(n, testKey), name)
	}
}
