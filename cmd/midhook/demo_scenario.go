package main

import (
	"fmt"
	"net/http"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// scene is a part of the demo under one heading, with a merchant of its own.
type scene struct {
	title string
	about string // in plain words; empty, or whole lines

	// What the merchant has midhook check beyond the signature.
	truth []*midhook.Notification        // if set: WithStatusCheck, and what Midtrans' status API says
	costs map[string]midhook.Expectation // if set: WithExpectation, and the merchant's records by order

	steps []step
}

// step is one request, and what must come of it.
type step struct {
	sent string // in plain words

	// The request: a sample that is tweaked, signed, and then edited without
	// being signed again; or a body as it stands.
	sample string
	tweaks tweaks
	key    string    // serverKey if empty
	edit   [2]string // what to replace, and by what
	body   string
	method string          // POST if empty
	path   string          // /midtrans if empty
	after  midhook.Outcome // if set: wait for this to happen first

	status  int
	ran     string // what the handler did; empty if it must not run
	outcome midhook.Outcome
	why     string // in plain words
}

type tweaks = []midhooktest.Tweak

func order(id string, more ...midhooktest.Tweak) tweaks {
	return append(tweaks{midhooktest.Order(id)}, more...)
}

// paid is the first delivery of a sample that says that money came in.
func paid(sent, sample string) step {
	n := midhooktest.Sample(sample)
	return step{sent: sent, sample: sample,
		status: 200, ran: fmt.Sprintf("paid (%s)", n.TransactionStatus), outcome: midhook.OutcomeHandled,
		why: fmt.Sprintf("correctly signed, new: %s %s", n.Currency, n.GrossAmount)}
}

// with is s with what must come of it.
func (s step) with(end step) step {
	s.status, s.ran, s.outcome, s.why = end.status, end.ran, end.outcome, end.why
	return s
}

// scenario is what the demo sends, in this order.
func scenario() []scene {
	const fresh = "correctly signed, new"
	refunds := []midhook.Refund{
		{RefundKey: "refund-1", RefundAmount: "5000.00"},
		{RefundKey: "refund-2", RefundAmount: "7000.00"},
	}
	refunded := func(total string, refunds []midhook.Refund) tweaks {
		return order("refunds", midhooktest.Field("refunds", refunds), midhooktest.Field("refund_amount", total))
	}
	cancelled := order("order-9", midhooktest.Transaction("first-try"))
	leaked := append(cancelled, midhooktest.Status("200", midhook.StatusCancel)) // as the status API has it
	forged := step{sent: "- the leaked answer, edited", sample: "cancel", tweaks: leaked, edit: [2]string{`"cancel"`, `"settlement"`}}
	again := order("order-9", midhooktest.Transaction("second-try"))
	settled := order("order-10", midhooktest.Status("200", midhook.StatusSettlement))
	cheap := order("order-11", midhooktest.Transaction("for-little"), midhooktest.Amount("1.00"))

	return []scene{
		{title: "EVERY PAYMENT METHOD, ONCE", steps: []step{
			paid("BCA virtual account", "bca-va"),
			paid("BNI virtual account", "bni-va"),
			paid("BRI virtual account", "bri-va"),
			paid("CIMB virtual account", "cimb-va"),
			paid("Danamon virtual account", "danamon-va"),
			paid("BSI virtual account", "bsi-va"),
			paid("Permata virtual account", "permata-va"),
			paid("Seabank virtual account", "seabank-va"),
			paid("Saqu virtual account", "saqu-va"),
			paid("Mandiri bill", "mandiri-bill"),
			paid("Indomaret", "indomaret"),
			paid("Alfamart", "alfamart"),
			paid("GoPay", "gopay"),
			paid("QRIS", "qris"),
			paid("ShopeePay", "shopeepay"),
			paid("DANA", "dana"),
			paid("OVO", "ovo"),
			paid("Akulaku", "akulaku"),
			paid("Kredivo", "kredivo"),
			paid("credit card", "credit-card"),
		}},
		{title: "WHAT ELSE MIDTRANS SENDS", steps: []step{
			{sent: "a GoPay payment", sample: "gopay", tweaks: order("order-1"),
				status: 200, ran: "paid (settlement)", outcome: midhook.OutcomeHandled, why: fresh},
			{sent: "- the same again", sample: "gopay", tweaks: order("order-1"),
				status: 200, outcome: midhook.OutcomeDuplicate, why: "a duplicate: already handled"},
			{sent: "- its pending, too late", sample: "gopay", tweaks: order("order-1", midhooktest.Status("201", midhook.StatusPending)),
				status: 200, outcome: midhook.OutcomeSuperseded, why: "out of date: the order has been paid since"},

			{sent: "a card payment, challenged", sample: "credit-card-challenge",
				status: 200, ran: "on hold", outcome: midhook.OutcomeHandled, why: "not paid until someone accepts it"},
			{sent: "- accepted", sample: "credit-card-challenge-accepted",
				status: 200, ran: "paid (capture)", outcome: midhook.OutcomeHandled, why: "still a capture, but another event: no duplicate"},

			{sent: "IDR 5000 are refunded", sample: "partial-refund", tweaks: refunded("5000.00", refunds[:1]),
				status: 200, ran: "refunded 5000.00", outcome: midhook.OutcomeHandled, why: fresh},
			{sent: "- IDR 7000 more", sample: "partial-refund", tweaks: refunded("12000.00", refunds),
				status: 200, ran: "refunded 12000.00", outcome: midhook.OutcomeHandled, why: "still a partial_refund, but another: no duplicate"},

			{sent: "a Permata payment", sample: "permata-va", tweaks: order("order-2"),
				status: 200, ran: "paid (settlement)", outcome: midhook.OutcomeHandled, why: fresh},
			{sent: "- the bank takes it back", sample: "reversal", tweaks: order("order-2"),
				status: 200, ran: "payment undone", outcome: midhook.OutcomeHandled, why: "a deny after the settlement: the handler must know"},

			{sent: "a field unknown to midhook", sample: "dana", tweaks: order("order-3", midhooktest.Field("new_field", []int{1, 2, 3})),
				status: 200, ran: "paid (settlement)", outcome: midhook.OutcomeHandled, why: "Midtrans adds fields at any time"},
			{sent: "signed with the previous key", sample: "ovo", tweaks: order("order-4"), key: oldKey,
				status: 200, ran: "paid (settlement)", outcome: midhook.OutcomeHandled, why: "the merchant accepts both while it changes keys"},
			{sent: "a GoPay account is linked", sample: "pay-account-enabled",
				status: 200, ran: "account linked", outcome: midhook.OutcomeHandled, why: "correctly signed, by another formula"},
			{sent: "the dashboard's test button", sample: "dashboard-test",
				status: 200, outcome: midhook.OutcomeTest, why: "correctly signed, but about no real order"},
		}},
		{title: "WHAT OTHERS SEND", steps: []step{
			{sent: "the amount changed", sample: "gopay", tweaks: order("order-5"), edit: [2]string{`"154600.00"`, `"1.00"`},
				status: 403, outcome: midhook.OutcomeForged, why: "the signature does not fit the amount"},
			{sent: "pending turned into settlement", sample: "pending", edit: [2]string{`"pending"`, `"settlement"`},
				status: 403, outcome: midhook.OutcomeUnconfirmed, why: "the signed status_code says that nobody has paid"},
			{sent: "signed with another key", sample: "gopay", tweaks: order("order-5"), key: "SB-Mid-server-of-someone-else",
				status: 403, outcome: midhook.OutcomeForged, why: "no key of the merchant's gives this signature"},
			{sent: "a body cut short", body: `{"order_id":"order-5","status_code":`,
				status: 400, outcome: midhook.OutcomeMalformed, why: "not a notification"},
			{sent: "a GET", method: http.MethodGet,
				status: 405, outcome: midhook.OutcomeMethodNotAllowed, why: "Midtrans sends POSTs only"},
		}},
		{title: "A FORGERY WITH A VALID SIGNATURE", about: `Midtrans signs order_id, status_code and gross_amount, but not transaction_status. About a cancelled order its
status API answers with status_code 200 and a signature, as about a paid one. Whoever gets hold of that answer (some
shops show it to the browser) can change one word, cancel to settlement, and post it: the signature still fits.
This merchant checks the signature alone.
`, steps: []step{
			{sent: "an order is cancelled", sample: "cancel", tweaks: cancelled,
				status: 200, ran: "not paid", outcome: midhook.OutcomeHandled, why: fresh},
			forged.with(step{status: 200, ran: "paid (settlement)", outcome: midhook.OutcomeHandled,
				why: "DECEIVED: a valid signature, but nobody has paid"}),
		}},
		{title: "AGAINST THAT FORGERY: midhook.WithStatusCheck", about: `Before this merchant's handler runs, midhook asks Midtrans' status API (here a stand-in) what is true.
`, truth: []*midhook.Notification{
			midhooktest.Sample("cancel", cancelled...),
			midhooktest.Sample("gopay", again...),
			midhooktest.Sample("credit-card", settled...),
		}, steps: []step{
			{sent: "an order is cancelled", sample: "cancel", tweaks: cancelled,
				status: 200, ran: "not paid", outcome: midhook.OutcomeHandled, why: "the status API says so, too"},
			forged.with(step{status: 403, outcome: midhook.OutcomeContradicted,
				why: "the status API says: cancelled"}),
			{sent: "- now it is really paid", sample: "gopay", tweaks: again,
				status: 200, ran: "paid (settlement)", outcome: midhook.OutcomeHandled, why: "another transaction; the status API says so, too"},

			{sent: "a card's capture, a bit late", sample: "credit-card", tweaks: order("order-10"),
				status: 200, ran: "paid (settlement)", outcome: midhook.OutcomeHandled, why: "it is settled by now, says the status API"},
			{sent: "- its settlement", sample: "credit-card", tweaks: settled,
				status: 200, outcome: midhook.OutcomeDuplicate, why: "a duplicate: the handler has run for the settlement"},
		}},
		{title: "A PAYMENT OF ANOTHER AMOUNT: midhook.WithExpectation", about: `A shop that lets the customer's browser say what an order costs is paid what the customer likes. That payment is
true: Midtrans has signed it, and its status API confirms it. Only the merchant's own record knows the price, and
this merchant has midhook look it up.
`, truth: []*midhook.Notification{
			midhooktest.Sample("gopay", cheap...),
			midhooktest.Sample("gopay", order("order-11")...),
			midhooktest.Sample("qris", order("order-12")...),
		}, costs: map[string]midhook.Expectation{
			"order-11": {Amount: 154_600_00, Currency: "IDR"},
		}, steps: []step{
			{sent: "a 154600.00 order, paid 1.00", sample: "gopay", tweaks: cheap,
				status: 409, outcome: midhook.OutcomeUnexpectedAmount, why: "signed and really paid, but not what the order costs"},
			{sent: "- paid 154600.00", sample: "gopay", tweaks: order("order-11"),
				status: 200, ran: "paid (settlement)", outcome: midhook.OutcomeHandled, why: "as much as the order costs"},
			{sent: "an order not on record", sample: "qris", tweaks: order("order-12"),
				status: 404, outcome: midhook.OutcomeUnknownOrder, why: "Midtrans retries a 404 twice: the record may be late"},
		}},
		{title: "WHEN THE MERCHANT'S HANDLER HAS TROUBLE", steps: []step{
			{sent: "payment; the handler fails", sample: "gopay", tweaks: order("order-6"), path: "/midtrans/failing",
				status: 503, ran: "database down", outcome: midhook.OutcomeHandlerFailed, why: "Midtrans retries a 503 four times, a 500 once"},
			{sent: "- the retry", sample: "gopay", tweaks: order("order-6"), path: "/midtrans/failing",
				status: 200, ran: "paid (settlement)", outcome: midhook.OutcomeHandled, why: "no duplicate: it was never handled"},

			{sent: "payment; the handler is slow", sample: "gopay", tweaks: order("order-7"), path: "/midtrans/slow",
				status: 503, ran: "not done yet", outcome: midhook.OutcomeBudgetExceeded, why: "answered in time; the handler goes on and succeeds"},
			{sent: "- the retry", sample: "gopay", tweaks: order("order-7"), path: "/midtrans/slow", after: midhook.OutcomeLateHandled,
				status: 200, outcome: midhook.OutcomeDuplicate, why: "handled in the meantime: not run again"},

			{sent: "payment; handler wants a login", sample: "gopay", tweaks: order("order-8"), path: "/midtrans/login",
				status: 503, ran: "302 to /login", outcome: midhook.OutcomeHandlerRedirected, why: "Midtrans would take a 302 as the end: made a 503"},
		}},
	}
}
