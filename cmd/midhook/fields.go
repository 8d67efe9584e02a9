package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// fields are the members of a JSON object, in order, with the JSON of their
// values: whatever a map or a struct would put right.
type fields []field

type field struct{ name, value string }

func fieldsOf(object []byte) (f fields) {
	dec := json.NewDecoder(bytes.NewReader(object))
	_, _ = dec.Token() // of a body that midhooktest made: its syntax is right
	for dec.More() {
		name, _ := dec.Token()
		var value json.RawMessage
		_ = dec.Decode(&value)
		f = append(f, field{name.(string), string(value)})
	}
	return f
}

// value is the text of a string.
func (f fields) value(name string) (text string) {
	for _, m := range f {
		if m.name == name {
			_ = json.Unmarshal([]byte(m.value), &text)
		}
	}
	return text
}

func (f fields) with(name, value string) fields {
	f = slices.Clone(f)
	if i := slices.IndexFunc(f, func(m field) bool { return m.name == name }); i >= 0 {
		f[i].value = value
		return f
	}
	return append(f, field{name, value})
}

func (f fields) without(name string) fields {
	return slices.DeleteFunc(slices.Clone(f), func(m field) bool { return m.name == name })
}

// resigned is signed as what the fields now say.
func (f fields) resigned(key string) fields {
	n := &midhook.Notification{
		OrderID: f.value("order_id"), StatusCode: f.value("status_code"), GrossAmount: f.value("gross_amount"),
		AccountID: f.value("account_id"), AccountStatus: f.value("account_status"),
	}
	return f.with("signature_key", quote(midhooktest.Sign(n, key)))
}

// text is the object. Names stand as they are, escapes included.
func (f fields) text() string {
	var b strings.Builder
	for i, m := range f {
		b.WriteString(map[bool]string{true: "{", false: ","}[i == 0])
		b.WriteString(`"` + m.name + `":` + m.value)
	}
	return b.String() + "}"
}

// quote is a JSON string of text that needs no escaping.
func quote(text string) string { return `"` + text + `"` }
