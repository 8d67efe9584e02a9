package bindtest

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// Delivery is a signed body, and what nobody has signed around it.
type Delivery struct {
	Name        string
	Body        []byte // with the placeholder for its signature
	ContentType string // several values are separated by a line end
	Encoding    string // Content-Encoding, as ContentType
	Query       string
	Refused     bool // by the hook, whoever signs it
	Unbound     bool // a binder fails, or reads the same
	Elsewhere   bool // a server may refuse it before the hook
}

// Headers are the delivery's, without those whose value no server lets through.
func (d Delivery) Headers() http.Header {
	h := http.Header{}
	for name, values := range map[string]string{"Content-Type": d.ContentType, "Content-Encoding": d.Encoding} {
		for value := range strings.SplitSeq(values, "\n") {
			if value = strings.TrimSpace(value); value != "" && !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
				h.Add(name, value)
			}
		}
	}
	return h
}

const payment = `"order_id":"A-1","status_code":"200","gross_amount":"10000.00","transaction_id":"T-1","transaction_status":"settlement","signature_key":"` + placeholder + `"`

// Deliveries are the ways that are known to have two readers of one delivery read two
// things, and one of every sample.
func Deliveries() []Delivery {
	const form = "application/x-www-form-urlencoded"
	other := "order_id=B-2&status_code=202&gross_amount=1.00&transaction_status=deny&fraud_status=accept"
	plain := []byte(`{` + payment + `}`)
	deliveries := []Delivery{
		{Name: "as Midtrans sends it", Body: plain, ContentType: "application/json"},
		{Name: "charset", Body: plain, ContentType: "application/json; charset=utf-8"},
		{Name: "another charset", Body: plain, ContentType: "application/json; charset=utf-16"},
		{Name: "the type in capitals", Body: plain, ContentType: "Application/JSON"},
		{Name: "a suffix", Body: plain, ContentType: form + "+json"},
		{Name: "a suffix of another type", Body: plain, ContentType: "application/json+xml"},
		{Name: "a suffix among the parameters", Body: plain, ContentType: "application/json; a=b+x-www-form-urlencoded"},
		{Name: "a form", Body: []byte(`{` + payment + `,"custom_field1":"&` + other + `&"}`), ContentType: form, Query: other},
		{Name: "a multipart form", Body: plain, ContentType: "multipart/form-data; boundary=x", Query: other, Elsewhere: true},
		{Name: "XML", Body: []byte(`{` + payment + `,"custom_field1":"<Body><order_id>B-2</order_id></Body>"}`), ContentType: "application/xml"},
		{Name: "YAML", Body: plain, ContentType: "application/x-yaml"},
		{Name: "TOML", Body: plain, ContentType: "application/toml"},
		{Name: "MessagePack", Body: plain, ContentType: "application/vnd.msgpack"},
		{Name: "CBOR", Body: plain, ContentType: "application/cbor"},
		{Name: "plain text", Body: plain, ContentType: "text/plain"},
		{Name: "no type", Body: plain, Query: other},
		{Name: "two types", Body: plain, ContentType: "application/json\n" + form, Query: other},
		{Name: "two types, the other way round", Body: plain, ContentType: form + "\napplication/json", Query: other},
		{Name: "two types in one", Body: plain, ContentType: "application/json, " + form, Query: other},
		{Name: "a query beside JSON", Body: plain, ContentType: "application/json", Query: other},
		{Name: "white space around", Body: []byte(" \r\n\t{" + payment + "}\n "), ContentType: form},
		{Name: "escapes", Body: []byte(`{` + payment + `,"fraud\u005fstatus":"\u0061ccept","currenc\u0079":"ID\u0052"}`), ContentType: "application/json"},
		{Name: "null", Body: []byte(`{` + payment + `,"fraud_status":null,"refunds":[null,{"refund_key":"r"},{}]}`), ContentType: "application/json"},
		{Name: "capitals in the values", Body: []byte(`{` + strings.Replace(payment, "settlement", "SETTLEMENT", 1) + `,"fraud_status":"ACCEPT"}`), ContentType: "application/json"},
		{Name: "names within others", Body: []byte(`{` + payment + `,"metadata":{"order_id":"B-2","Order_ID":"B-3"}}`), ContentType: "application/json"},
		{Name: "not Unicode", Body: []byte(`{` + payment + ",\"merchant_id\":\"M\xff\",\"fraud_status\":\"accept\\ud83d\"}"), ContentType: "application/json"},
		{Name: "names that are not Unicode", Body: []byte(`{` + payment + ",\"order_id\xff\":\"B-2\"}"), ContentType: "application/json"},
		{Name: "names of which replacement characters make one", Body: []byte(`{` + payment + ",\"x\xff\":\"B-2\",\"x\xfe\":\"B-3\"}"), ContentType: "application/json", Refused: true},
		{Name: "numbers", Body: []byte(`{` + strings.Replace(payment, `"10000.00"`, `10000.00`, 1) + `}`), ContentType: "application/json", Unbound: true},
		{Name: "other types", Body: []byte(`{` + payment + `,"fraud_status":["accept"],"currency":{},"refunds":{}}`), ContentType: "application/json", Unbound: true},
		{Name: "a name twice", Body: []byte(`{` + payment + `,"order_id":"B-2"}`), ContentType: "application/json", Refused: true},
		{Name: "a name twice, escaped", Body: []byte(`{` + payment + `,"order\u005fid":"B-2"}`), ContentType: "application/json", Refused: true},
		{Name: "a name in capitals", Body: []byte(`{` + payment + `,"Order_ID":"B-2"}`), ContentType: "application/json", Refused: true},
		{Name: "a name with a long s", Body: []byte(`{` + payment + `,"fraud_ſtatus":"accept"}`), ContentType: "application/json", Refused: true},
		{Name: "a name with a Kelvin sign", Body: []byte(`{` + payment + `,"refund_\u212aey":"r"}`), ContentType: "application/json", Refused: true},
		{Name: "a name in capitals, within", Body: []byte(`{` + payment + `,"refunds":[{"Refund_Amount":"1.00"}]}`), ContentType: "application/json", Refused: true},
		{Name: "a byte order mark", Body: []byte("\ufeff{" + payment + `}`), ContentType: "application/json", Refused: true},
		{Name: "another object behind", Body: []byte(`{` + payment + `}{"order_id":"B-2"}`), ContentType: "application/json", Refused: true},
		{Name: "a form behind", Body: []byte(`{` + payment + `}&` + other), ContentType: form, Refused: true},
		{Name: "an array", Body: []byte(`[{` + payment + `}]`), ContentType: "application/json", Refused: true},
		{Name: "a comment", Body: []byte(`{` + payment + `/* */}`), ContentType: "application/json", Refused: true},
		{Name: "a comma behind", Body: []byte(`{` + payment + `,}`), ContentType: "application/json", Refused: true},
	}
	for _, encoding := range []string{"gzip", "x-gzip", "deflate", "br", "zstd", "identity", "compress", "none", "gzip\nbr", "br, gzip", "GZIP"} {
		deliveries = append(deliveries, Delivery{Name: "Content-Encoding " + encoding, Body: plain, ContentType: "application/json", Encoding: encoding})
	}
	for _, name := range midhooktest.Samples() {
		n := midhooktest.Sample(name)
		signature := []byte(midhooktest.Sign(n, Key))
		body := bytes.ReplaceAll(midhooktest.Body(n, Key), signature, []byte(placeholder))
		deliveries = append(deliveries, Delivery{Name: name, Body: body, ContentType: "application/json"})
	}
	return deliveries
}

// Forgetful is a store that lets every delivery through: a fuzzer delivers a body more
// than once.
type Forgetful struct{}

// Acquire implements [midhook.Store].
func (Forgetful) Acquire(context.Context, midhook.Claim) (midhook.ClaimState, error) {
	return midhook.Acquired, nil
}

// Finish implements [midhook.Store].
func (Forgetful) Finish(context.Context, midhook.Claim, time.Duration) error { return nil }

// Release implements [midhook.Store].
func (Forgetful) Release(context.Context, midhook.Claim) error { return nil }

// Interface guards
var _ midhook.Store = Forgetful{}
