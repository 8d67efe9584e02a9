package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/midhook/midhook/midhooktest"
)

// A stranger has no key. The attempts of this file need none to prove something:
// an endpoint that lets one of them in acts on what anybody says.

// forged is a sample of an order or account of its own that a stranger signed.
func (p *plan) forged(name string) fields { return p.signed(name, noKey) }

// everyKind has all that Midtrans sends: an endpoint that verifies payments may
// still believe an unsigned refund, expiry or linked account.
func (p *plan) everyKind() {
	for _, name := range midhooktest.Samples() {
		p.try(name+", unsigned", p.forged(name).without("signature_key").text())
		p.try(name+", with another key", p.forged(name).text())
	}
	p.try("validation error, unsigned", `{"status_code":"400","status_message":"One or more parameters in the payload is invalid.","validation_messages":["order_id is required"]}`)
	p.try("a linked account beside an unsigned payment", p.forged("gopay").without("signature_key").
		with("account_id", quote(p.order())).with("account_status", `"ENABLED"`).text())
}

// testOrders claim to be the dashboard's test, which some endpoints answer before
// they verify it.
func (p *plan) testOrders() {
	for _, name := range []string{"gopay", "refund", "expire"} {
		f := p.forged(name).with("order_id", quote("payment_notif_test_"+p.order()))
		p.try(name+", unsigned", f.without("signature_key").text())
		p.try(name+", with another key", f.text())
	}
}

// otherSenders are Midtrans' other webhooks, whose URLs are others.
func (p *plan) otherSenders() {
	for _, g := range gateways[1:3] { // payout and recurring
		for _, sample := range g.Samples() {
			_, body := g.event(sample, func(id string) string { return p.order() })
			p.try(g.Name+" "+sample+", unsigned", fieldsOf(body).without("signature_key").text())
		}
	}
	_, body := gateways[1].event(gateways[1].sample, func(string) string { return p.order() })
	p.try("payout "+gateways[1].sample+", with a false Iris-Signature", string(body),
		func(a *attempt) { a.header = http.Header{"Iris-Signature": {strings.Repeat("0", 128)}} })
}

// lookAlikes have names that encoding/json and some frameworks take for the right
// ones.
func (p *plan) lookAlikes() {
	spellings := []struct {
		name  string
		spell func(string) string
	}{
		{"upper case", strings.ToUpper},
		{"title case", titleCase},
		{"long s", func(name string) string { return strings.ReplaceAll(name, "s", "ſ") }},
	}
	for _, s := range spellings {
		var respelled fields
		for _, m := range p.forged("gopay") {
			respelled = append(respelled, field{s.spell(m.name), m.value})
		}
		p.try("all names in "+s.name+", unsigned", respelled.without(s.spell("signature_key")).text())
		p.try("all names in "+s.name+", with another key", respelled.text())
	}
	for _, s := range spellings {
		for _, name := range []string{"order_id", "transaction_status", "status_code", "gross_amount", "fraud_status"} {
			if s.spell(name) == name {
				continue
			}
			f := p.sample("pending").with("fraud_status", `"accept"`)
			value := map[string]string{
				"order_id": quote(p.order() + "-other"), "transaction_status": `"settlement"`, "status_code": `"200"`,
				"gross_amount": `"1.00"`, "fraud_status": `"deny"`,
			}[name]
			p.try(fmt.Sprintf("%s in %s after the signed one", name, s.name), append(f, field{s.spell(name), value}).text(), keyed)
		}
	}
}

func titleCase(name string) string {
	words := strings.Split(name, "_")
	for i, w := range words {
		words[i] = strings.ToUpper(w[:1]) + w[1:]
	}
	return strings.Join(words, "_")
}

// forms have the fields where frameworks look for parameters as well.
func (p *plan) forms() {
	const form = "application/x-www-form-urlencoded"
	typed := func(kind string) func(*attempt) {
		return func(a *attempt) { a.header = http.Header{"Content-Type": {kind}} }
	}
	unsigned, forged := p.forged("gopay").without("signature_key"), p.forged("gopay")
	p.try("form-encoded, unsigned", unsigned.form().Encode(), typed(form))
	p.try("form-encoded, with another key", forged.form().Encode(), typed(form))
	p.try("form-encoded as JSON, unsigned", unsigned.form().Encode())
	p.try("form-encoded refund, unsigned", p.forged("refund").without("signature_key").form().Encode(), typed(form))
	p.try("JSON as a form, unsigned", unsigned.text(), typed(form))
	p.try("JSON as text, unsigned", unsigned.text(), typed("text/plain"))
	p.try("parameters of the URL, unsigned", "", func(a *attempt) { a.query = unsigned.form().Encode() })
	p.try("parameters of the URL, with another key", "{}", func(a *attempt) { a.query = forged.form().Encode() })
	p.try("signed parameters of the URL beside another body", p.sample("gopay").without("signature_key").text(),
		keyed, func(a *attempt) { a.query = p.sample("gopay").form().Encode() })
}

// form has the texts of an object's strings.
func (f fields) form() url.Values {
	values := url.Values{}
	for _, m := range f {
		if text := f.value(m.name); text != "" {
			values.Set(m.name, text)
		}
	}
	return values
}

// padded has white space around what was signed without it: an endpoint that trims
// before it verifies takes two orders for one.
func (p *plan) padded() {
	for _, space := range []struct{ name, text string }{
		{"a space", " "}, {"a tab", `\t`}, {"a line end", `\n`}, {"a carriage return", `\r`}, {"a no-break space", `\u00a0`},
	} {
		for _, name := range []string{"order_id", "status_code", "gross_amount"} {
			f := p.sample("gopay")
			p.try(name+" with "+space.name+" after it", f.with(name, quote(f.value(name)+space.text)).text(), keyed)
			f = p.sample("gopay")
			p.try(name+" with "+space.name+" before it", f.with(name, quote(space.text+f.value(name))).text(), keyed)
		}
	}
	p.try("order_id with spaces around it, with another key", p.forged("gopay").with("order_id", quote(" "+p.order()+" ")).text())
}

// rewritten has amounts that mean what was signed and are other texts: an endpoint
// that brings them into shape before it verifies has no longer what was signed.
func (p *plan) rewritten() {
	for _, amount := range []string{
		`"154600"`, `154600`, `"154600.0"`, `154600.0`, `"154600.000"`, `"0154600.00"`, `"+154600.00"`,
		`"154,600.00"`, `"154.600,00"`, `"154600,00"`, `"1.546e5"`, `1.546e5`, `"IDR 154600.00"`,
	} {
		p.try("gross_amount as "+amount, p.sample("gopay").with("gross_amount", amount).text(), keyed)
	}
	for _, code := range []string{`"0200"`, `"200.0"`, `200.0`, `2e2`, `"+200"`} {
		p.try("status_code as "+code, p.sample("gopay").with("status_code", code).text(), keyed)
	}
}

// edited are correctly signed bodies with another status. The signed status_code
// tells of those that make a payment of what is none; what makes something else of
// a payment only the status API can tell.
func (p *plan) edited() {
	for _, name := range []string{"pending", "expire", "cancel", "credit-card-deny", "failure", "credit-card-challenge"} {
		for _, status := range []string{"settlement", "capture"} {
			p.try(name+" into "+status, p.sample(name).with("transaction_status", quote(status)).with("fraud_status", `"accept"`).text(), keyed)
		}
		p.try(name+" into settlement without fraud_status", p.sample(name).with("transaction_status", `"settlement"`).without("fraud_status").text(), keyed)
		p.try(name+" into SETTLEMENT", p.sample(name).with("transaction_status", `"SETTLEMENT"`).with("fraud_status", `"ACCEPT"`).text(), keyed)
	}
	for _, edit := range [][2]string{
		{"gopay", "refund"}, {"gopay", "partial_refund"}, {"gopay", "chargeback"}, {"gopay", "cancel"}, {"gopay", "expire"}, {"gopay", "deny"},
		{"pending", "expire"}, {"pending", "cancel"}, {"pending", "deny"}, {"refund", "settlement"}, {"authorize", "settlement"}, {"chargeback", "settlement"},
	} {
		p.try(edit[0]+" into "+edit[1], p.sample(edit[0]).with("transaction_status", quote(edit[1])).text(), unsigned)
	}
	for _, edit := range [][3]string{
		{"pay-account-enabled", "account_status", "DISABLED"}, {"pay-account-disabled", "account_status", "ENABLED"},
		{"pay-account-enabled", "account_id", "midhook-attack-another-account"}, {"pay-account-enabled", "status_code", "204"},
	} {
		p.try(edit[0]+": "+edit[1], p.sample(edit[0]).with(edit[1], quote(edit[2])).text(), keyed)
	}
}
