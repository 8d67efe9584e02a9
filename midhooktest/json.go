package midhooktest

import (
	"bytes"
	"encoding/json"
	"slices"
)

// object is a JSON object whose members keep their order and the text of their
// values: through a float64 a refund_chargeback_id would change.
type object []member

type member struct {
	name  string
	value json.RawMessage
}

// decodeObject reads an object, and anything else as an empty one.
func decodeObject(text []byte) object {
	var o object
	dec := json.NewDecoder(bytes.NewReader(text))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return nil
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil
		}
		m := member{name: name.(string)}
		if err := dec.Decode(&m.value); err != nil {
			return nil
		}
		o = append(o, m)
	}
	return o
}

// encode writes o without white space.
func (o object) encode() json.RawMessage {
	b := bytes.NewBufferString("{")
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(marshal(m.name))
		b.WriteByte(':')
		b.Write(marshal(m.value))
	}
	b.WriteByte('}')
	return b.Bytes()
}

func (o object) index(name string) int {
	return slices.IndexFunc(o, func(m member) bool { return m.name == name })
}

// get returns the text of a value, nil if there is none.
func (o object) get(name string) json.RawMessage {
	if i := o.index(name); i >= 0 {
		return o[i].value
	}
	return nil
}

func (o *object) set(name string, value json.RawMessage) {
	if i := o.index(name); i >= 0 {
		(*o)[i].value = value
		return
	}
	*o = append(*o, member{name, value})
}

func (o *object) remove(name string) {
	*o = slices.DeleteFunc(*o, func(m member) bool { return m.name == name })
}

// overlay returns raw with what differs between was and is changed to what is
// says; was is what a Notification holds of raw, and raw may be nil. All other
// text of raw stays.
func overlay(raw, was, is json.RawMessage) json.RawMessage {
	if raw != nil && bytes.Equal(was, is) {
		return raw
	}
	switch is[0] {
	case '{':
		return overlayObject(decodeObject(raw), decodeObject(was), decodeObject(is)).encode()
	case '[':
		return overlayArray(decodeArray(raw), decodeArray(was), decodeArray(is))
	}
	// Where the body has a number, a Notification has its text.
	var text string
	if raw != nil && isNumber(raw) && json.Unmarshal(is, &text) == nil && json.Valid([]byte(text)) && isNumber([]byte(text)) {
		return json.RawMessage(text)
	}
	return is
}

func overlayObject(raw, was, is object) object {
	for _, m := range was {
		if is.index(m.name) < 0 {
			raw.remove(m.name)
		}
	}
	for _, m := range is {
		old := raw.get(m.name)
		if old == nil && m.name == "refund_chargeback_id" {
			old = json.RawMessage("0") // Midtrans sends this one as a number
		}
		raw.set(m.name, overlay(old, was.get(m.name), m.value))
	}
	return raw
}

func overlayArray(raw, was, is []json.RawMessage) json.RawMessage {
	items := slices.Clone(is)
	for i := range items {
		if len(raw) == len(was) && i < len(raw) {
			items[i] = overlay(raw[i], was[i], is[i])
		} else { // a new item, or one whose place in raw is not known
			items[i] = overlay(nil, nil, is[i])
		}
	}
	return marshal(items)
}

func decodeArray(text []byte) (items []json.RawMessage) {
	if json.Unmarshal(text, &items) != nil {
		return nil
	}
	return items
}

func isNumber(text []byte) bool {
	return text[0] == '-' || '0' <= text[0] && text[0] <= '9'
}

// marshal is json.Marshal, but leaves <, > and & as they are.
func marshal(v any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("midhooktest: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
