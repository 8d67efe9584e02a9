package main

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// attempt is one thing a stranger could send.
type attempt struct {
	group, name string
	body        string
	method      string // POST if empty
	query       string // added to the URL's
	header      http.Header
	framing     framing
	needsKey    bool // proves something only if the body is signed with the endpoint's key
	mayClose    bool // closing the connection is a refusal, too
	want        expectation
}

type expectation int

const (
	refused  expectation = iota
	accepted             // an endpoint that refuses this has another key
	either               // nothing that is signed has changed
)

// noKey signs where there is none of the endpoint's.
const noKey = "SB-Mid-server-of-a-stranger"

// plan collects attempts.
type plan struct {
	key   string // the endpoint's if it is known
	run   string // makes the orders of this run its own
	group string
	all   []attempt
}

func (p *plan) try(name, body string, more ...func(*attempt)) {
	a := attempt{group: p.group, name: name, body: body}
	for _, change := range more {
		change(&a)
	}
	p.all = append(p.all, a)
}

func keyed(a *attempt)    { a.needsKey = true }
func closing(a *attempt)  { a.mayClose = true }
func unsigned(a *attempt) { a.needsKey, a.want = true, either }

func framed(f framing) func(*attempt) {
	return func(a *attempt) { a.framing, a.mayClose = f, true }
}

// attacks is everything that is tried on an endpoint, whose key may be "".
func attacks(key string) []attempt {
	p := &plan{key: key, run: strings.ToLower(rand.Text()[:8])}
	if p.key == "" {
		p.key = noKey
	}
	for _, part := range []struct {
		group string
		add   func()
	}{
		{"control", p.control},
		{"signature", p.signatures},
		{"stranger", p.everyKind},
		{"test order", p.testOrders},
		{"other webhook", p.otherSenders},
		{"look-alike name", p.lookAlikes},
		{"form", p.forms},
		{"tampered", p.tampered},
		{"white space", p.padded},
		{"rewritten", p.rewritten},
		{"edited status", p.edited},
		{"unsigned field", p.unsignedFields},
		{"duplicate name", p.duplicates},
		{"size", p.sizes},
		{"slow", p.slow},
		{"truncated", p.truncated},
		{"type", p.types},
		{"not an object", p.otherBodies},
		{"nesting", p.nesting},
		{"encoding", p.encodings},
		{"smuggled", p.smuggled},
		{"method", p.methods},
	} {
		p.group = part.group
		part.add()
	}
	return p.all
}

// order is an order_id that nobody has.
func (p *plan) order() string { return fmt.Sprintf("midhook-attack-%s-%d", p.run, len(p.all)) }

// sample is a sample of an order or account of its own, signed.
func (p *plan) sample(name string) fields { return p.signed(name, p.key) }

func (p *plan) signed(name, key string) fields {
	if n := midhooktest.Sample(name); n.Kind() == midhook.PayAccount {
		return fieldsOf(n.Raw()).with("account_id", quote(p.order())).resigned(key)
	}
	return fieldsOf(midhooktest.Body(midhooktest.Sample(name, midhooktest.Order(p.order())), key))
}

func (p *plan) control() {
	order := "payment_notif_test_" + p.order() // which Midtrans' dashboard sends, and no endpoint fulfils
	p.try("the dashboard's test, correctly signed", string(midhooktest.Body(midhooktest.Sample("dashboard-test", midhooktest.Order(order)), p.key)),
		keyed, func(a *attempt) { a.want = accepted })
}

func (p *plan) signatures() {
	f := p.sample("gopay")
	p.try("none", f.without("signature_key").text())
	p.try("empty", f.with("signature_key", `""`).text())
	p.try("all zeros", f.with("signature_key", quote(strings.Repeat("0", 128))).text())
	p.try("with another key", p.signed("gopay", noKey).text())
	p.try("with an empty key", p.signed("gopay", "").text())
	for _, key := range []string{"null", "undefined", "None"} { // a variable that was not set
		p.try("with the key "+key, p.signed("gopay", key).text())
	}
	f = p.sample("gopay")
	p.try("cut in half", f.with("signature_key", quote(f.value("signature_key")[:64])).text(), keyed)
	last := map[bool]string{true: "1", false: "0"}[strings.HasSuffix(f.value("signature_key"), "0")]
	p.try("last digit changed", f.with("signature_key", quote(f.value("signature_key")[:127]+last)).text(), keyed)
}

// tampered changes what a signature covers, or what it cannot have covered.
func (p *plan) tampered() {
	p.try("order_id", p.sample("gopay").with("order_id", quote(p.order()+"-other")).text(), keyed)
	p.try("gross_amount", p.sample("gopay").with("gross_amount", `"1.00"`).text(), keyed)
	p.try("status_code", p.sample("pending").with("status_code", `"200"`).with("transaction_status", `"settlement"`).text(), keyed)
	p.try("challenge into accept", p.sample("credit-card-challenge").with("fraud_status", `"accept"`).text(), keyed)
	// An account's signature says nothing of the payment beside it.
	account := &midhook.Notification{AccountID: p.order(), AccountStatus: "ENABLED", StatusCode: "200"}
	p.try("a payment beside a signed Pay Account", p.sample("gopay").with("account_id", quote(account.AccountID)).
		with("account_status", quote(account.AccountStatus)).with("signature_key", quote(midhooktest.Sign(account, p.key))).text(), keyed)
}

// unsignedFields changes what no signature covers: an endpoint can only ask the
// status API, or know better.
func (p *plan) unsignedFields() {
	for _, field := range p.sample("pending") {
		switch field.name {
		case "order_id", "status_code", "gross_amount", "signature_key":
			continue
		case "transaction_status":
			p.try(field.name, p.sample("pending").with(field.name, `"authorize"`).text(), unsigned)
		default:
			p.try(field.name, p.sample("pending").with(field.name, `"tampered"`).text(), unsigned)
		}
	}
	signed := &midhook.Notification{OrderID: p.order(), StatusCode: "201", GrossAmount: "20050000.00"}
	p.try("digits moved from gross_amount to order_id", p.sample("gopay").with("order_id", quote(signed.OrderID+"201")).
		with("gross_amount", `"50000.00"`).with("signature_key", quote(midhooktest.Sign(signed, p.key))).text(), unsigned)
}

// duplicates has one value for the verification and one for the handler, if
// these read different ones of two members.
func (p *plan) duplicates() {
	for _, name := range []string{"order_id", "gross_amount"} {
		for _, spelling := range []struct{ name, text string }{
			{"plain", name},
			{"escaped", strings.Replace(name, "_", `\u005f`, 1)},
			// Here the right spelling has the forged value: only a reader to whom
			// case is nothing finds the signed one.
			{"other case", strings.ToUpper(name)},
		} {
			for _, signedLast := range []bool{true, false} {
				f := p.sample("gopay")
				forged := field{name, `"999999.00"`}
				signed := field{spelling.text, quote(f.value(name))}
				f = f.without(name)
				if signedLast {
					f = append(append(fields{forged}, f...), signed)
				} else {
					f = append(append(fields{signed}, f...), forged)
				}
				place := map[bool]string{true: "last", false: "first"}[signedLast]
				p.try(fmt.Sprintf("%s %s, the signed one %s", name, spelling.name, place), f.text())
			}
		}
	}
}

// oversize is five hundred times what Midtrans sends.
const oversize = 1 << 20

func (p *plan) sizes() {
	padding := quote(strings.Repeat("x", oversize))
	p.try("1 MiB, declared", p.sample("gopay").with("padding", padding).text(), closing)
	p.try("1 MiB, chunked", p.sample("gopay").with("padding", padding).text(), framed(chunked))
}

func (p *plan) slow() {
	p.try("a byte now and then", p.sample("gopay").text(), framed(dribbling))
	p.try("a body that never comes", p.sample("gopay").text(), framed(silent))
}

func (p *plan) truncated() {
	body := p.sample("gopay").text()
	p.try("JSON cut in half", body[:len(body)/2])
	p.try("JSON without its last brace", body[:len(body)-1])
	p.try("less than its Content-Length", p.sample("gopay").text(), framed(short))
	p.try("chunked without the last chunk", p.sample("gopay").text(), framed(endless))
}

// types gives signed fields other types, signed as if coerced into the string
// that a loose language makes of them.
func (p *plan) types() {
	for _, name := range []string{"order_id", "status_code", "gross_amount"} {
		right := p.sample("gopay").value(name)
		for _, t := range []struct{ name, value, coerced string }{
			{"null", "null", ""},
			{"true", "true", "true"},
			{"an array", "[" + quote(right) + "]", right},
			{"an object", "{}", "[object Object]"},
		} {
			f := p.sample("gopay").with(name, quote(t.coerced))
			p.try(name+" "+t.name, f.resigned(p.key).with(name, t.value).text())
		}
		p.try(name+" missing", p.sample("gopay").with(name, `""`).resigned(p.key).without(name).text())
	}
	for _, t := range []struct{ name, value string }{
		{"null", "null"}, {"true", "true"}, {"0", "0"}, {"an array", "[%s]"}, {"a query", `{"$ne":""}`},
	} {
		f := p.sample("gopay")
		value := strings.Replace(t.value, "%s", quote(f.value("signature_key")), 1)
		p.try("signature_key "+t.name, f.with("signature_key", value).text())
	}
}

func (p *plan) otherBodies() {
	p.try("nothing", "")
	for _, body := range []string{"null", "42", `"text"`, "[]", "{}", "order_id=1&status_code=200"} {
		p.try(body, body)
	}
	p.try("in an array", "["+p.sample("gopay").text()+"]")
}

// nesting is signed with no key that counts: it is about crashes, for what is
// deep in a field that nobody knows harms only who descends.
func (p *plan) nesting() {
	const levels = 10_500 // within 64 KiB
	p.try("arrays", p.signed("gopay", noKey).with("deep", strings.Repeat("[", levels)+strings.Repeat("]", levels)).text())
	p.try("objects", p.signed("gopay", noKey).with("deep", strings.Repeat(`{"":`, levels)+"0"+strings.Repeat("}", levels)).text())
}

// encodings has order ids that a lenient reader repairs into the one that was
// signed: two bodies, one meaning.
func (p *plan) encodings() {
	for _, e := range [][2]string{{"invalid UTF-8", "\xff"}, {"half a surrogate pair", `\ud800`}} {
		order := p.order()
		f := p.sample("gopay").with("order_id", quote(order+"\uFFFD")).resigned(p.key)
		p.try(e[0], f.with("order_id", `"`+order+e[1]+`"`).text())
	}
}

func (p *plan) smuggled() {
	forged := func() string { return p.sample("gopay").with("order_id", quote(p.order()+"-other")).text() }
	p.try("a second object after the signed one", p.sample("gopay").text()+forged())
	p.try("a second object on a line of its own", p.sample("gopay").text()+"\n"+forged())
	p.try("the signed object after another", forged()+p.sample("gopay").text())
	p.try("text after the object", p.sample("gopay").text()+"text")
	p.try("a zero byte after the object", p.sample("gopay").text()+"\x00")
}

func (p *plan) methods() {
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodTrace} {
		p.try(method, p.sample("gopay").text(), func(a *attempt) { a.method = method })
	}
}
