package midhooktest

import "bytes"

// Tampering sends what a stranger can make of signed notifications, to have a
// pending order fulfilled: each signed field changed, the signature taken out or
// made up, and pending turned into settlement. In the end the order is paid.
var Tampering = Scenario{
	Name: "tampering",
	Rule: "What Midtrans has not signed fulfils no order; what it has signed does, also after forgeries of it.",
	play: (*performance).tampering,
}

func (p *performance) tampering() {
	const unsigned = ": check the signature, and do not answer 2xx, so that Midtrans comes again when it is your key that is wrong."
	order, key := p.order(), p.Engine.Secret
	pending, paid := p.happened(p.pending(order)), p.paid(order)
	once := p.Engine.policy().once()

	fulfilled := 0
	fulfils := func(body []byte) (Delivery, bool) {
		d := p.ship(shipment{n: pending, body: body, policy: &once})
		if p.Fulfilled == nil {
			return d, false
		}
		p.Engine.Wait()
		before := fulfilled
		fulfilled = p.Fulfilled(order)
		return d, fulfilled > before
	}
	for _, forgery := range []struct {
		how       string
		signature any
	}{
		{"order_id was changed after it was signed", Sign(p.paid(p.order()), key)},
		{"status_code was changed after it was signed", Sign(pending, key)},
		{"gross_amount was changed after it was signed", Sign(p.notification("gopay", order, 1, Amount(p.share(200))), key)},
		{"signature_key is missing", nil},
		{"signature_key is empty", ""},
		{"signature_key was made without a key", Sign(paid, "")},
		{"signature_key was made with another key", Sign(paid, key+"x")},
	} {
		body := decodeObject(Body(paid, ""))
		Field("signature_key", forgery.signature)(&body)
		switch d, did := fulfils(body.encode()); {
		case did:
			p.broken(forgery.how+unsigned, "the order was fulfilled")
		case d.Delivered:
			p.broken(forgery.how+unsigned, "the answer was %d", d.Attempts[0].Status)
		}
	}
	// Its signature fits, for transaction_status is not in it.
	edited := bytes.Replace(Body(pending, key), []byte(`"pending"`), []byte(`"settlement"`), 1)
	if _, did := fulfils(edited); did {
		p.broken("transaction_status is not signed, status_code is: nobody has paid unless that is 200.",
			"a pending notification, of 201, edited to settlement, fulfilled the order")
	}

	p.delivered(p.deliver(p.happened(paid)))
	if fulfilled == 0 {
		p.fulfilled(1, order)
	}
}
