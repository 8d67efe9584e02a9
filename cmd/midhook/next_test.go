package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a sender does next must come from its policy, and read as a sentence.
func TestWhatNextOfEveryGateway(t *testing.T) {
	const (
		lostToOpn  = "lost: Opn guarantees no retry; opn.Client.Reconcile finds the event in Opn's list of events"
		twelveMore = "PayMongo tries twelve times more, all within 136.5 minutes; three events in a row that are lost disable the endpoint"
	)
	for _, c := range []struct {
		gateway string
		status  int
		body    string
		want    outlook
	}{
		{"midtrans", 200, "", outlook{true, 0, "delivered: Midtrans sends nothing more"}},
		{"midtrans", 302, "", outlook{false, 0, "lost: Midtrans does not follow a 302 and does not try again"}},
		{"midtrans", 500, "", outlook{false, 1, "Midtrans tries once more, about 2 minutes later"}},
		{"midtrans", 404, "", outlook{false, 2, "Midtrans tries twice more, about 2 and 10 minutes after the attempt before"}},
		{"midtrans", 503, "", outlook{false, 4, "Midtrans tries four times more, about 2, 10, 30 and 90 minutes after the attempt before"}},
		{"midtrans", 0, "", outlook{false, 5, "Midtrans tries five times more, about 2, 10, 30, 90 and 210 minutes after the attempt before"}},
		{"midtrans", 307, "", outlook{false, 5, "Midtrans follows a 307 five times at most, and this was not the end of them; " +
			"Midtrans tries five times more, about 2, 10, 30, 90 and 210 minutes after the attempt before"}},
		{"payout", 204, "", outlook{true, 0, "delivered: Midtrans sends nothing more"}},
		{"recurring", 503, "", outlook{false, 4, "Midtrans tries four times more, about 2, 10, 30 and 90 minutes after the attempt before"}},
		{"opn", 299, "", outlook{true, 0, "delivered: Opn sends nothing more"}},
		{"opn", 500, "", outlook{false, 0, lostToOpn}},
		{"opn", 307, "", outlook{false, 0, lostToOpn}},
		{"opn", 0, "", outlook{false, 0, lostToOpn}},
		{"paymongo", 200, "{}", outlook{true, 0, "delivered: PayMongo sends nothing more"}},
		{"paymongo", 209, `"text"`, outlook{true, 0, "delivered: PayMongo sends nothing more"}},
		{"paymongo", 200, "ok", outlook{false, 12, "a 200 without JSON is no success: " + twelveMore}},
		{"paymongo", 204, "", outlook{false, 12, "a 204 without JSON is no success: " + twelveMore}},
		{"paymongo", 210, "{}", outlook{false, 12, "a 210 is no success: " + twelveMore}},
		{"paymongo", 210, "ok", outlook{false, 12, "a 210 is no success: " + twelveMore}},
		{"paymongo", 503, "{}", outlook{false, 12, twelveMore}},
		{"paymongo", 302, "", outlook{false, 12, twelveMore}},
		{"paymongo", 0, "", outlook{false, 12, twelveMore}},
	} {
		t.Run(fmt.Sprint(c.gateway, " ", c.status, c.body), func(t *testing.T) {
			g, err := gatewayNamed(c.gateway)
			require.NoError(t, err)
			assert.Equal(t, c.want, g.whatNext(c.status, []byte(c.body)))
		})
	}
}

// The rule is Midtrans' "Best Practices to Handle Notification".
func TestWhatNext(t *testing.T) {
	for _, c := range []struct {
		status, retries int
		text            string
	}{
		{200, 0, "delivered"}, {204, 0, "delivered"},
		{301, 0, "lost"}, {302, 0, "lost"}, {303, 0, "lost"},
		{307, 5, "follows"}, {308, 5, "follows"},
		{400, 2, "twice"}, {404, 2, "twice"},
		{401, 5, "five"}, {403, 5, "five"}, {405, 5, "five"}, {429, 5, "five"},
		{500, 1, "once"}, {502, 5, "five"}, {503, 4, "four"}, {504, 5, "five"},
		{304, 5, "five"}, {0, 5, "five"},
	} {
		got := gateways[0].whatNext(c.status, nil)
		assert.Equal(t, c.retries, got.Retries, c.status)
		assert.Contains(t, got.Text, c.text, c.status)
		assert.Equal(t, c.retries == 5, strings.Contains(got.Text, "210 minutes"), c.status)
		assert.Equal(t, c.status/100 == 2, got.Delivered, c.status)
	}
}
