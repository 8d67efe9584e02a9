package midhook_test

import (
	"encoding/json"
	"errors"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/bindtest"
)

// readers are the ways in which Go programs read JSON. From Go 1.27 on encoding/json is
// encoding/json/v2 with the options of v1.
var readers = map[string]func(body []byte, v any) error{
	"encoding/json":    json.Unmarshal,
	"encoding/json/v2": func(body []byte, v any) error { return jsonv2.Unmarshal(body, v) },
	"encoding/json/v2, lenient": func(body []byte, v any) error {
		return jsonv2.Unmarshal(body, v, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	},
	"encoding/json/v2, as v1": func(body []byte, v any) error {
		return jsonv2.Unmarshal(body, v, jsonv1.DefaultOptionsV1())
	},
}

// readsAlike is an error where a reader reads another thing from a body than Parse
// does. What Parse refuses, nobody is handed.
func readsAlike(body []byte) error {
	n, err := midhook.Parse(body)
	if err != nil {
		return nil
	}
	var errs []error
	for name, read := range readers {
		text, number := new(bindtest.Body[string]), new(bindtest.Body[json.Number])
		if read(body, text) == nil { // else there is a field of another type
			errs = append(errs, named(name, bindtest.Difference(n, text)))
		}
		if read(body, number) == nil {
			errs = append(errs, named(name, bindtest.Difference(n, number)))
		}
	}
	return errors.Join(append(errs, signedReadAlike(n, body))...)
}

func named(reader string, err error) error {
	if err == nil {
		return nil
	}
	return errors.Join(errors.New(reader), err)
}

// signedReadAlike is about the readers of encoding/json/v2 that were told to match
// names in any case. They leave out hyphens and underscores as well: to them "orderid"
// is order_id. Such a name is no field's to midhook, so that these readers find an
// unsigned field under it that the notification does not have; but a signed one is
// there under its own name, and they refuse it the second time.
func signedReadAlike(n *midhook.Notification, body []byte) error {
	var read bindtest.Body[string]
	if jsonv2.Unmarshal(body, &read, jsonv2.MatchCaseInsensitiveNames(true)) != nil {
		return nil
	}
	said, found := []string{n.OrderID, n.StatusCode, n.GrossAmount}, []string{read.OrderID, read.StatusCode, read.GrossAmount}
	if n.Kind() == midhook.PayAccount {
		said, found = []string{n.AccountID, n.AccountStatus, n.StatusCode}, []string{read.AccountID, read.AccountStatus, read.StatusCode}
	}
	for i := range said {
		if said[i] != found[i] {
			return errors.New("encoding/json/v2 in any case: a signed field is read otherwise")
		}
	}
	return nil
}

// Rule: whatever Parse accepts, every reader of JSON reads the same from, or fails.
func TestReadsAlike(t *testing.T) {
	accepted := 0
	for _, d := range bindtest.Deliveries() {
		_, err := midhook.Parse(d.Body)
		assert.Equal(t, d.Refused, err != nil, d.Name)
		assert.NoError(t, readsAlike(d.Body), d.Name)
		for name, read := range readers {
			if err := read(d.Body, new(bindtest.Body[string])); err == nil && !d.Refused {
				accepted++
			} else if name == "encoding/json" && !d.Unbound && !d.Refused {
				t.Errorf("%s: %v", d.Name, err)
			}
		}
	}
	assert.Greater(t, accepted, 100)
	assert.Error(t, bindtest.Difference(&midhook.Notification{OrderID: "A-1"}, &bindtest.Body[string]{}), "a difference is found")
}

func FuzzReadsAlike(f *testing.F) {
	for _, d := range bindtest.Deliveries() {
		f.Add(d.Body)
	}
	for _, members := range []string{
		`"Order_ID":"B-2"`, `"\u017ftatus_code":"200"`, `"tran\u017faction_status":"settlement","transaction_status":"pending"`, `"signature_\u212aey":"x"`,
		`"va_numbers":[{"bank":"a"},{"BANK":"b"}]`, `"refunds":[{"refund_key":"a","Refund_Key":"b"}]`, `"foo":1,"FOO":2`, `"metadata":{"Order_ID":"B"}`,
		`"fraud_status":null`, `"fraud_status":"deny"`, `"fraud_status":"den\ud83d"`, `"FRAUD_STATUS":"accept","fraud_status":"deny"`, `"order\u005fid":"B"`, `"\u006frder_id ":"B"`,
		`"orderid":"B"`, `"fraud-status":"accept"`, `"StatusCode":"200"`,
	} {
		f.Add(parsePayment().body(members))
		f.Add(parseAccount().body(members))
	}
	f.Fuzz(func(t *testing.T, body []byte) { require.NoError(t, readsAlike(body), "%s", body) })
}
