package recurring_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/recurring"
)

// Rule: the handler gets what the API says, whatever the body does.
func TestHandlerGetsTheFacts(t *testing.T) {
	lie := strings.NewReplacer(`"amount":"14000"`, `"amount":"1"`, `"active"`, `"inactive"`, name, "another")
	for _, test := range []struct {
		name, body string
		kind       recurring.Kind
		paid       bool
	}{
		{"creation", lie.Replace(subscription()), recurring.Created, false},
		{"charge", lie.Replace(charge(subID, txID, "capture")), recurring.Charged, true},
		{"charge that claims nothing", `{"transaction":{"transaction_id":"` + txID + `"},"subscription":{"id":"` + subID + `"}}`, recurring.Charged, true},
		{"failed charge", lie.Replace(failed("411")), recurring.ChargeFailed, false},
		{"signed payment", payment("capture", testKey), recurring.Charged, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newShop(t, newAPI(), shopOptions{})
			w := s.post(test.body)
			require.Equal(t, http.StatusOK, w.Code, s.printed())
			require.Len(t, s.got, 1)
			n := s.got[0]
			assert.Equal(t, test.kind, n.Kind())
			assert.True(t, n.Confirmed())
			assert.Equal(t, test.paid, n.Paid())
			assert.Equal(t, subID, n.Subscription.ID)
			assert.Equal(t, name, n.Subscription.Name)
			assert.Equal(t, "14000", n.Subscription.Amount)
			assert.Equal(t, "active", n.Subscription.Status)
			assert.Equal(t, token, n.Subscription.Token)
			assert.Equal(t, int64(12), n.Subscription.Schedule.MaxInterval)
			assert.Equal(t, []string{otherTx, txID}, n.Subscription.TransactionIDs)
			if test.kind == recurring.Charged {
				assert.Equal(t, "14000.00", n.Transaction.GrossAmount)
				assert.True(t, n.Transaction.Confirmed())
			} else {
				assert.Nil(t, n.Transaction)
			}
			assert.Equal(t, test.body, string(n.Raw()))
			assert.Equal(t, test.body, string(n.Notified().Raw()))
			assert.False(t, n.Notified().Confirmed())
			extra, ok := n.Extra("customer_details")
			assert.True(t, ok)
			assert.Contains(t, string(extra), customer, "of the API's answer")
			assert.Regexp(t, `^[0-9a-f]{64}$`, n.IdempotencyKey())
			assert.Same(t, n, s.last().Value)
			assert.Equal(t, "default", s.last().KeyLabel)
			assertNothingSensitive(t, w.Body.String()+s.printed())
		})
	}
}

// Rule: what the API does not confirm reaches neither the handler nor the store,
// and is answered so that Midtrans comes again if it was true.
func TestUnconfirmed(t *testing.T) {
	respondWith := func(status int, body string) func(*fakeAPI) {
		return func(a *fakeAPI) {
			a.answer = func(*http.Request) (*http.Response, error) { return respond(status, body), nil }
		}
	}
	statusAnswers := func(status int, body string) func(*fakeAPI) {
		return func(a *fakeAPI) {
			own := a.subscriptions[subID]
			a.answer = func(r *http.Request) (*http.Response, error) {
				if strings.HasPrefix(r.URL.Path, "/v1/") {
					return respond(http.StatusOK, own), nil
				}
				return respond(status, body), nil
			}
		}
	}
	for _, test := range []struct {
		name    string
		api     func(*fakeAPI)
		body    string
		status  int
		outcome midhook.Outcome
		err     error
		calls   int
	}{
		{"made-up subscription", nil, charge("made-up", txID, "capture"), 403, midhook.OutcomeContradicted, midhook.ErrUnconfirmed, 1},
		{"made-up creation", nil, `{"id":"made-up","status":"active"}`, 403, midhook.OutcomeContradicted, midhook.ErrUnconfirmed, 1},
		{"made-up transaction", nil, charge(subID, "made-up", "capture"), 403, midhook.OutcomeContradicted, midhook.ErrUnconfirmed, 1},
		{"another subscription's transaction", func(a *fakeAPI) { a.subscriptions[subID] = subscription(listing(otherTx)) },
			charge(subID, txID, "capture"), 403, midhook.OutcomeContradicted, midhook.ErrUnconfirmed, 1},
		{"another subscription's transaction, signed", func(a *fakeAPI) { a.subscriptions[subID] = subscription(listing(otherTx)) },
			payment("capture", testKey), 403, midhook.OutcomeContradicted, midhook.ErrUnconfirmed, 1},
		{"no transactions yet", func(a *fakeAPI) { a.subscriptions[subID] = subscription(`"transaction_ids":[]`) },
			charge(subID, txID, "capture"), 403, midhook.OutcomeContradicted, midhook.ErrUnconfirmed, 1},
		{"no list of transactions", func(a *fakeAPI) { a.subscriptions[subID] = subscription() },
			charge(subID, txID, "capture"), 403, midhook.OutcomeContradicted, midhook.ErrUnconfirmed, 1},
		{"a list that is none", func(a *fakeAPI) { a.subscriptions[subID] = subscription(`"transaction_ids":{"` + txID + `":1}`) },
			charge(subID, txID, "capture"), 403, midhook.OutcomeContradicted, midhook.ErrUnconfirmed, 1},
		{"API behind", nil, charge(subID, txID, "settlement"), 403, midhook.OutcomeContradicted, midhook.ErrUnconfirmed, 2},
		{"API behind, refund", nil, charge(subID, txID, "refund"), 403, midhook.OutcomeContradicted, midhook.ErrUnconfirmed, 2},
		{"API behind, refund without a code", nil, `{"transaction":{"transaction_status":"refund","transaction_id":"` + txID + `"},"subscription":{"id":"` + subID + `"}}`,
			403, midhook.OutcomeContradicted, midhook.ErrUnconfirmed, 2},
		{"API behind, challenge", func(a *fakeAPI) {
			a.transactions[txID] = strings.Replace(transaction("capture"), `"accept"`, `"challenge"`, 1)
		}, charge(subID, txID, "capture", `"fraud_status":"accept"`), 403, midhook.OutcomeContradicted, midhook.ErrUnconfirmed, 2},
		{"API cancelled, settlement claimed", func(a *fakeAPI) { a.transactions[txID] = transaction("cancel") },
			charge(subID, txID, "settlement"), 403, midhook.OutcomeContradicted, midhook.ErrUnconfirmed, 2},
		{"API behind, second refund", func(a *fakeAPI) { a.transactions[txID] = transaction("partial_refund", `"refund_amount":"1000.00"`) },
			payment("partial_refund", testKey, `"refund_amount":"2000.00"`), 403, midhook.OutcomeContradicted, midhook.ErrUnconfirmed, 2},
		{"API behind, bank has not confirmed", func(a *fakeAPI) { a.transactions[txID] = transaction("refund", `"refunds":[{"refund_key":"a"}]`) },
			payment("refund", testKey, `"refunds":[{"refund_key":"a","bank_confirmed_at":"2022-10-26 10:00:00"}]`), 403, midhook.OutcomeContradicted, midhook.ErrUnconfirmed, 2},
		{"another order", func(a *fakeAPI) { a.transactions[txID] = strings.Replace(transaction("capture"), orderID, "other", 1) },
			payment("capture", testKey), 403, midhook.OutcomeContradicted, midhook.ErrUnconfirmed, 2},
		{"another amount", func(a *fakeAPI) {
			a.transactions[txID] = strings.Replace(transaction("capture"), "14000.00", "1.00", 1)
		},
			payment("capture", testKey), 403, midhook.OutcomeContradicted, midhook.ErrUnconfirmed, 2},
		{"status API names another subscription", func(a *fakeAPI) { a.transactions[txID] = transaction("capture", `"subscription_id":"other"`) },
			charge(subID, txID, "capture"), 403, midhook.OutcomeContradicted, midhook.ErrUnconfirmed, 2},
		{"status API gives the transaction of an order of that name", func(a *fakeAPI) {
			a.transactions[txID] = strings.NewReplacer(txID, "other", orderID, txID).Replace(transaction("capture"))
		}, charge(subID, txID, "capture"), 403, midhook.OutcomeContradicted, midhook.ErrUnconfirmed, 2},

		{"signed by a stranger", nil, payment("capture", "SB-Mid-server-other"), 403, midhook.OutcomeForged, midhook.ErrSignature, 0},
		{"signature missing", nil, transaction("capture", `"subscription_id":"`+subID+`"`), 403, midhook.OutcomeForged, midhook.ErrSignature, 0},

		{"not found in an answer that succeeded", respondWith(200, `{"status_code":"404"}`), documented, 403, midhook.OutcomeContradicted, midhook.ErrUnconfirmed, 1},
		{"not found, in HTML", respondWith(404, `<html>`), documented, 403, midhook.OutcomeContradicted, midhook.ErrUnconfirmed, 1},
		{"wrong key", func(a *fakeAPI) { a.keys = nil }, documented, 503, midhook.OutcomeStatusUnavailable, midhook.ErrUnauthorized, 1},
		{"forbidden", respondWith(403, "{}"), documented, 503, midhook.OutcomeStatusUnavailable, midhook.ErrUnauthorized, 1},
		{"too many requests", respondWith(429, "{}"), documented, 503, midhook.OutcomeRateLimited, midhook.ErrRateLimited, 1},
		{"failing", respondWith(500, "{}"), documented, 503, midhook.OutcomeStatusUnavailable, midhook.ErrStatusUnavailable, 1},
		{"failing in an answer that succeeded", respondWith(200, `{"status_code":"500"}`), documented, 503, midhook.OutcomeStatusUnavailable, midhook.ErrStatusUnavailable, 1},
		{"redirecting", respondWith(302, ""), documented, 503, midhook.OutcomeStatusUnavailable, midhook.ErrStatusUnavailable, 1},
		{"garbage", respondWith(200, "<html>the network's login page</html>"), documented, 503, midhook.OutcomeStatusUnavailable, midhook.ErrStatusUnavailable, 1},
		{"empty answer", respondWith(200, ""), documented, 503, midhook.OutcomeStatusUnavailable, midhook.ErrStatusUnavailable, 1},
		{"null", respondWith(200, "null"), documented, 503, midhook.OutcomeStatusUnavailable, midhook.ErrStatusUnavailable, 1},
		{"too much", respondWith(200, subscription()+strings.Repeat(" ", 2<<20)), documented, 503, midhook.OutcomeStatusUnavailable, midhook.ErrStatusUnavailable, 1},
		{"answer of another subscription", respondWith(200, strings.Replace(subscription(), subID, "other", 1)), documented, 503, midhook.OutcomeStatusUnavailable, midhook.ErrStatusUnavailable, 1},
		{"answer without a status", respondWith(200, `{"id":"`+subID+`"}`), documented, 503, midhook.OutcomeStatusUnavailable, midhook.ErrStatusUnavailable, 1},
		{"breaking", func(a *fakeAPI) {
			a.answer = func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }
		}, documented, 503, midhook.OutcomeStatusUnavailable, midhook.ErrStatusUnavailable, 1},

		{"status not found", func(a *fakeAPI) { delete(a.transactions, txID) }, documented, 503, midhook.OutcomeStatusUnavailable, midhook.ErrTransactionNotFound, 3},
		{"status: wrong key", statusAnswers(401, "{}"), documented, 503, midhook.OutcomeStatusUnavailable, midhook.ErrUnauthorized, 2},
		{"status: too many requests", statusAnswers(429, "{}"), documented, 503, midhook.OutcomeRateLimited, midhook.ErrRateLimited, 2},
		{"status: failing", statusAnswers(500, "{}"), documented, 503, midhook.OutcomeStatusUnavailable, midhook.ErrStatusUnavailable, 2},
		{"status: garbage", statusAnswers(200, "<html>"), documented, 503, midhook.OutcomeStatusUnavailable, midhook.ErrStatusUnavailable, 2},
		{"status: half an answer", statusAnswers(200, `{"status_code":"200","order_id":"A","gross_amount":"1.00"}`), documented, 503, midhook.OutcomeStatusUnavailable, midhook.ErrStatusUnavailable, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := newAPI()
			if test.api != nil {
				test.api(api)
			}
			s := newShop(t, api, shopOptions{hook: []midhook.Option{midhook.WithStore(untouched{t})}})
			w := s.post(test.body)
			assert.Equal(t, test.status, w.Code)
			assert.Equal(t, test.outcome, s.last().Outcome)
			assert.ErrorIs(t, s.last().Err, test.err)
			assert.Nil(t, s.last().Value, "what nobody confirmed is not shown as if it were true")
			assert.Equal(t, test.calls, api.count(), api.calls)
			assert.Zero(t, s.runs.Load())
			assertNothingSensitive(t, w.Body.String()+s.printed())
		})
	}
}

// Rule: a body that names no id of a plausible shape never causes a call.
func TestMalformedCausesNoCall(t *testing.T) {
	api := newAPI()
	s := newShop(t, api, shopOptions{hook: []midhook.Option{midhook.WithStore(untouched{t})}})
	for name, body := range malformed {
		assert.Equal(t, http.StatusBadRequest, s.post(body).Code, name)
	}
	assert.Zero(t, api.count())
	assert.Zero(t, s.runs.Load())
}

// Rule: an API that is ahead is the truth, and its own notification is then a
// duplicate.
func TestAPIAhead(t *testing.T) {
	api := newAPI()
	api.transactions[txID] = transaction("settlement")
	s := newShop(t, api, shopOptions{})
	for _, body := range []string{charge(subID, txID, "pending"), charge(subID, txID, "capture"), charge(subID, txID, "settlement"), payment("settlement", testKey)} {
		assert.Equal(t, http.StatusOK, s.post(body).Code)
	}
	require.Len(t, s.got, 1, "the four are one event")
	assert.Equal(t, midhook.StatusSettlement, s.got[0].Transaction.TransactionStatus)

	api.change(func(a *fakeAPI) { a.transactions[txID] = transaction("deny") })
	assert.Equal(t, http.StatusOK, s.post(charge(subID, txID, "settlement")).Code)
	require.Len(t, s.got, 2, "the bank took the settlement back")
	assert.False(t, s.got[1].Paid())
}

// Rule: a body that leaves out fraud_status does not claim that the charge was
// accepted, and is handed on for what the API says: a challenge is not paid.
func TestChallenge(t *testing.T) {
	api := newAPI()
	api.transactions[txID] = strings.Replace(transaction("capture"), `"accept"`, `"challenge"`, 1)
	s := newShop(t, api, shopOptions{})
	require.Equal(t, http.StatusOK, s.post(documented).Code)
	assert.Equal(t, midhook.FraudChallenge, s.got[0].Transaction.FraudStatus)
	assert.False(t, s.got[0].Paid())
}

// Rule: both lists of transactions that Midtrans writes of are read.
func TestListOfTransactions(t *testing.T) {
	for name, list := range map[string]string{
		"documentation":      `"transaction_ids":["` + txID + `"]`,
		"Go library":         `"transaction_id":["` + txID + `"]`,
		"null and a list":    `"transaction_ids":null,"transaction_id":["` + txID + `"]`,
		"of anything at all": `"transaction_ids":[null,{"a":1},17,"` + txID + `"]`,
	} {
		t.Run(name, func(t *testing.T) {
			api := newAPI()
			api.subscriptions[subID] = subscription(list)
			s := newShop(t, api, shopOptions{})
			require.Equal(t, http.StatusOK, s.post(documented).Code)
			assert.Equal(t, []string{txID}, s.got[0].Subscription.TransactionIDs)
		})
	}
}

func TestUnlistedCharges(t *testing.T) {
	edit := func(from, to string) func(*fakeAPI) {
		return func(a *fakeAPI) { a.transactions[txID] = strings.Replace(a.transactions[txID], from, to, 1) }
	}
	for _, test := range []struct {
		name   string
		api    func(*fakeAPI)
		status int
	}{
		{"of the price", nil, 200},
		{"without a currency", edit(`"currency":"IDR",`, ""), 200},
		{"of another price", edit("14000.00", "14001.00"), 403},
		{"in another currency", edit("IDR", "USD"), 403},
		{"of another payment type", edit("credit_card", "gopay"), 403},
		{"of another subscription", func(a *fakeAPI) { a.transactions[txID] = transaction("capture", `"subscription_id":"other"`) }, 403},
		{"unknown", func(a *fakeAPI) { delete(a.transactions, txID) }, 403},
		{"of a subscription that has a list", func(a *fakeAPI) { a.subscriptions[subID] = subscription(listing(otherTx)) }, 403},
		{"of a subscription whose list is empty", func(a *fakeAPI) { a.subscriptions[subID] = subscription(`"transaction_id":[]`) }, 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := newAPI()
			api.subscriptions[subID] = subscription()
			if test.api != nil {
				test.api(api)
			}
			s := newShop(t, api, shopOptions{gateway: []recurring.Option{recurring.WithUnlistedCharges()}})
			assert.Equal(t, test.status, s.post(documented).Code)
			assert.Equal(t, test.status == 200, s.runs.Load() == 1)
		})
	}
}
