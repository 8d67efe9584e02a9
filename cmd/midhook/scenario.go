package main

import (
	"fmt"
	"net/http"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// scene is a part of the demo under one heading.
type scene struct {
	title string
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
	return step{sent: sent, sample: sample, status: 200, ran: "order paid", outcome: midhook.OutcomeHandled,
		why: fmt.Sprintf("correctly signed, new: %s of %s %s", n.TransactionStatus, n.Currency, n.GrossAmount)}
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
	return []scene{
		{"EVERY PAYMENT METHOD, ONCE", []step{
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
		{"WHAT ELSE MIDTRANS SENDS", []step{
			{sent: "a GoPay payment", sample: "gopay", tweaks: order("order-1"),
				status: 200, ran: "order paid", outcome: midhook.OutcomeHandled, why: fresh},
			{sent: "- the same again", sample: "gopay", tweaks: order("order-1"),
				status: 200, outcome: midhook.OutcomeDuplicate, why: "a duplicate: already handled"},
			{sent: "- its pending, too late", sample: "gopay", tweaks: order("order-1", midhooktest.Status("201", midhook.StatusPending)),
				status: 200, outcome: midhook.OutcomeSuperseded, why: "out of date: the order has been paid since"},

			{sent: "a card payment, challenged", sample: "credit-card-challenge",
				status: 200, ran: "order on hold", outcome: midhook.OutcomeHandled, why: "not paid until someone accepts it"},
			{sent: "- accepted", sample: "credit-card-challenge-accepted",
				status: 200, ran: "order paid", outcome: midhook.OutcomeHandled, why: "still a capture, but another event: no duplicate"},

			{sent: "IDR 5000 are refunded", sample: "partial-refund", tweaks: refunded("5000.00", refunds[:1]),
				status: 200, ran: "refunded 5000.00", outcome: midhook.OutcomeHandled, why: fresh},
			{sent: "- IDR 7000 more", sample: "partial-refund", tweaks: refunded("12000.00", refunds),
				status: 200, ran: "refunded 12000.00", outcome: midhook.OutcomeHandled, why: "still a partial_refund, but another: no duplicate"},

			{sent: "a Permata payment", sample: "permata-va", tweaks: order("order-2"),
				status: 200, ran: "order paid", outcome: midhook.OutcomeHandled, why: fresh},
			{sent: "- the bank takes it back", sample: "reversal", tweaks: order("order-2"),
				status: 200, ran: "payment undone", outcome: midhook.OutcomeHandled, why: "a deny after the settlement: the handler must know"},

			{sent: "a field unknown to midhook", sample: "dana", tweaks: order("order-3", midhooktest.Field("new_field", []int{1, 2, 3})),
				status: 200, ran: "order paid", outcome: midhook.OutcomeHandled, why: "Midtrans adds fields at any time"},
			{sent: "signed with the previous key", sample: "ovo", tweaks: order("order-4"), key: oldKey,
				status: 200, ran: "order paid", outcome: midhook.OutcomeHandled, why: "the merchant accepts both while it changes keys"},
			{sent: "a GoPay account is linked", sample: "pay-account-enabled",
				status: 200, ran: "account linked", outcome: midhook.OutcomeHandled, why: "correctly signed, by another formula"},
			{sent: "the dashboard's test button", sample: "dashboard-test",
				status: 200, outcome: midhook.OutcomeTest, why: "correctly signed, but about no real order"},
		}},
		{"WHAT OTHERS SEND", []step{
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
		{"WHEN THE MERCHANT'S HANDLER HAS TROUBLE", []step{
			{sent: "payment; the handler fails", sample: "gopay", tweaks: order("order-6"), path: "/midtrans/failing",
				status: 503, ran: "database down", outcome: midhook.OutcomeHandlerFailed, why: "Midtrans retries a 503 four times, a 500 once"},
			{sent: "- the retry", sample: "gopay", tweaks: order("order-6"), path: "/midtrans/failing",
				status: 200, ran: "order paid", outcome: midhook.OutcomeHandled, why: "no duplicate: it was never handled"},

			{sent: "payment; the handler is slow", sample: "gopay", tweaks: order("order-7"), path: "/midtrans/slow",
				status: 503, ran: "not done yet", outcome: midhook.OutcomeBudgetExceeded, why: "answered in time; the handler goes on and succeeds"},
			{sent: "- the retry", sample: "gopay", tweaks: order("order-7"), path: "/midtrans/slow", after: midhook.OutcomeLateHandled,
				status: 200, outcome: midhook.OutcomeDuplicate, why: "handled in the meantime: not run again"},

			{sent: "payment; handler wants a login", sample: "gopay", tweaks: order("order-8"), path: "/midtrans/login",
				status: 503, ran: "302 to /login", outcome: midhook.OutcomeHandlerRedirected, why: "Midtrans would take a 302 as the end: made a 503"},
		}},
	}
}
