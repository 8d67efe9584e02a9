package midhooktest

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/midhook/midhook"
)

// forged are requests that no gateway whose bodies are signed may take for the
// sender's.
func (tr *gatewayTrial) forged() map[string]func(body []byte, at time.Time) (http.Header, []byte) {
	all := map[string]func([]byte, time.Time) (http.Header, []byte){}
	maps.Copy(all, tr.Forgeries)
	if tr.Unsigned {
		return all
	}
	genuine, _ := tr.Sender.Sign(tr.Sender.Event(0), tr.Secret, time.Now())
	all["signed without a secret"] = func(body []byte, at time.Time) (http.Header, []byte) {
		return tr.Sender.Sign(body, "", at)
	}
	all["signed with another secret"] = func(body []byte, at time.Time) (http.Header, []byte) {
		return tr.Sender.Sign(body, tr.anotherSecret(), at)
	}
	for what, how := range map[string]func(string) string{
		"an empty signature":                func(string) string { return "" },
		"a signature that begins otherwise": func(s string) string { return otherAt(s, 0) },
		"a signature that ends otherwise":   func(s string) string { return otherAt(s, len(s)-2) }, // in base64 not all of the last digit counts
		"half of a signature":               func(s string) string { return s[:len(s)/2] },
		"one digit of a signature":          func(s string) string { return s[:1] },
	} {
		all["with "+what] = func(body []byte, at time.Time) (http.Header, []byte) {
			header, signed := tr.Sender.Sign(body, tr.Secret, at)
			if part := signatureInside(body, signed); part != "" {
				return header, bytes.Replace(signed, []byte(part), []byte(how(part)), 1)
			}
			header = header.Clone()
			for _, values := range header {
				for i, value := range values {
					values[i] = longWord.ReplaceAllStringFunc(value, how)
				}
			}
			return header, signed
		}
	}
	for name := range genuine {
		change := func(how func(string) []string) func([]byte, time.Time) (http.Header, []byte) {
			return func(body []byte, at time.Time) (http.Header, []byte) {
				header, body := tr.Sender.Sign(body, tr.Secret, at)
				header[name] = how(header.Get(name))
				return header, body
			}
		}
		all["without "+name] = change(func(string) []string { return nil })
		all["with an empty "+name] = change(func(string) []string { return []string{""} })
		all["with a comma for "+name] = change(func(string) []string { return []string{",,"} })
		all["with another "+name] = change(func(v string) []string {
			digits := strings.Map(func(r rune) rune {
				if '0' <= r && r <= '9' {
					return '0' + (r-'0'+1)%10
				}
				return r
			}, v)
			return []string{digits}
		})
	}
	if len(genuine) == 0 {
		return all
	}
	edit := func(how func([]byte) []byte) func([]byte, time.Time) (http.Header, []byte) {
		return func(body []byte, at time.Time) (http.Header, []byte) {
			header, body := tr.Sender.Sign(body, tr.Secret, at)
			return header, how(body)
		}
	}
	all["with a body that was changed"] = edit(func(b []byte) []byte {
		return []byte(otherAt(string(b), bytes.LastIndexAny(b, "0123456789abcdefghijklmnopqrstuvwxyz")))
	})
	all["with a body that was written again"] = edit(func(b []byte) []byte {
		var v any
		_ = json.Unmarshal(b, &v)
		return append(marshal(v), '\n')
	})
	all["with a space at the end"] = edit(func(b []byte) []byte { return append(slices.Clone(b), ' ') })
	all["with another event's signature"] = edit(func([]byte) []byte { return tr.Sender.Event(1) })
	return all
}

// otherAt returns s with another digit at i, one of whatever base the digits are.
func otherAt(s string, i int) string {
	digit := "0"
	if s[i] == '0' {
		digit = "1"
	}
	return s[:i] + digit + s[i+1:]
}

func (tr *gatewayTrial) forgery() {
	var runs atomic.Int64
	store := &strictStore{Store: midhook.NewLRUStore(64)}
	succeed := false // or the next forgery would be a duplicate of one that got through
	g := tr.endpoint(counted(&runs, func(w http.ResponseWriter, _ *http.Request) {
		if !succeed {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}), midhook.WithStore(store), midhook.WithTestNotifications())
	forged := tr.forged()
	for _, name := range slices.Sorted(maps.Keys(forged)) {
		forge := forged[name]
		genuineHeader, genuine := tr.sign(tr.Sender.Event(0), tr.Secret)
		header, body := forge(tr.Sender.Event(0), time.Now())
		if !tr.Unsigned && bytes.Equal(body, genuine) && maps.EqualFunc(header, genuineHeader, slices.Equal) {
			if tr.Forgeries[name] != nil {
				tr.t.Errorf("%s: this forgery is what the sender itself would send", name)
			}
			continue // there is no such part in this sender's signatures
		}
		tr.sign(body, tr.Secret) // what the signature should have been is not to be seen either
		a := tr.sendRequest(g, header, body)
		if tr.ends(a) || a.Status < 400 {
			tr.t.Errorf("%s: answered %d (%v)", name, a.Status, a.Err)
		}
		if runs.Swap(0) > 0 {
			tr.t.Errorf("%s: handed on", name)
		}
		if store.calls.Swap(0) > 0 {
			tr.t.Errorf("%s: came as far as the store", name)
		}
		switch e := tr.last(); {
		case e.Value != nil && e.Outcome != midhook.OutcomeUnconfirmed:
			tr.t.Errorf("%s: told as authentic: %v", name, e)
		case e.Outcome == midhook.OutcomeMalformed && !tr.Unsigned:
			tr.t.Errorf("%s: told as malformed, for which nobody is alerted: return midhook.ErrSignature (%v)", name, e.Err)
		}
	}
	succeed = true
	tr.wantEnd(tr.send(g, 0), "after forgeries")
	tr.wantRuns(&runs, 1, "after forgeries")
}

func (tr *gatewayTrial) garbage() {
	var runs atomic.Int64
	g := tr.endpoint(counted(&runs, nil))
	event := string(tr.Sender.Event(0))
	for _, body := range []string{
		"", " ", "null", "true", "0", `""`, "[]", "{}", "[" + event + "]", event + event, event[:len(event)/2], "\xff\xfe", "\x00",
		`{"id":null,"data":null}`, `{"id":{},"data":[{}]}`, `{"data":{"attributes":[]}}`, `{"transaction":{},"subscription":{}}`,
		strings.Repeat("[", 10_000), strings.Repeat(`{"data":`, 5_000),
	} {
		a := tr.sendBody(g, []byte(body))
		if a.Err != nil || a.Status < 400 || a.Status > 499 {
			tr.t.Errorf("%.60q: answered %d (%v), want a 4xx", body, a.Status, a.Err)
		}
	}
	header, body := tr.sign([]byte(event+strings.Repeat(" ", 1<<16)), tr.Secret)
	body = append(body, bytes.Repeat([]byte(" "), 1<<16)...)
	if a := tr.sendRequest(g, header, body); a.Status != http.StatusRequestEntityTooLarge {
		tr.t.Errorf("a body over the limit: answered %d (%v), want 413", a.Status, a.Err)
	}
	tr.wantRuns(&runs, 0, "garbage")

	mangled(tr.Sender.Event(0), []string{"null", "true", "-1e999", `""`, "[]", "[null]", "{}"}, func(body json.RawMessage) {
		if a := tr.sendBody(g, body); a.Err != nil { // it may be handed on: not every value counts
			tr.t.Errorf("%s: %v", body, a.Err)
		}
	})
}

// mangled tries text with one value after another replaced by each of wrong.
func mangled(text json.RawMessage, wrong []string, try func(json.RawMessage)) {
	o := decodeObject(text)
	for i, m := range o {
		with := func(value json.RawMessage) {
			changed := slices.Clone(o)
			changed[i].value = value
			try(changed.encode())
		}
		for _, value := range wrong {
			with(json.RawMessage(value))
		}
		mangled(m.value, wrong, with)
	}
}
