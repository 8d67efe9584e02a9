package paymongo_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/paymongo"
)

// Rule: wrong configuration is refused when the server starts, all of it at once.
func TestNewRefuses(t *testing.T) {
	for _, c := range []struct{ secret, err string }{
		{"", "the key is empty"},
		{" \t", "the key is empty"},
		{"whsk_test\n", "begins or ends with white space"},
		{"whsk_te\x00st", "control characters"},
		{"whsk_te st", "contains white space"},
		{"whsk_", "too short"},
		{"hook_test_key_0001", "whsk_… is required"},
		{"WHSK_test", "whsk_… is required"},
		{"b21pc2Utd2ViaG9vay1zZWNyZXQ=", "whsk_… is required"},
		{"sk_live_test", "PayMongo secret key"},
		{"sk_test_test", "PayMongo secret key"},
		{"pk_live_test", "PayMongo public key"},
		{"skey_test", "Opn secret key"},
		{"SB-Mid-server-test", "Midtrans server key"},
	} {
		g, err := paymongo.New(c.secret)
		assert.Nil(t, g, c.secret)
		assert.ErrorContains(t, err, c.err, c.secret)
		if s := strings.TrimSpace(c.secret); s != "" && s != "whsk_" {
			assert.NotContains(t, err.Error(), s)
		}
	}

	g, err := paymongo.New("sk_live_SECRET",
		paymongo.WithSecret("next", " "),
		paymongo.WithSecret("next", otherSecret),
		paymongo.WithSecret("default", otherSecret),
		paymongo.WithSecret("", otherSecret),
		paymongo.WithSecret("whsk_SECRET", "next"),
		paymongo.WithTolerance(0),
		paymongo.WithTolerance(-time.Second),
		paymongo.WithClock(nil),
		nil,
	)
	assert.Nil(t, g)
	assert.EqualError(t, err, `paymongo: webhook secret "default": the key is of another kind (PayMongo secret key): the PayMongo webhook secret is required
webhook secret "next": the key is empty
webhook secret: there are two with the label "next"
webhook secret: there are two with the label "default"
webhook secret: a label is required
webhook secret: the label looks like a key: the label comes first
tolerance 0s: it must be positive
tolerance -1s: it must be positive
clock: it must not be nil
option 9 is nil`)
}

// Rule: exactly one header.
func TestOpenHeader(t *testing.T) {
	g := newGateway(t)
	body := paid("evt_1", true)
	right := headerOf(testSecret, vectorTime, body, true)
	for name, values := range map[string][]string{
		"none":             nil,
		"empty":            {""},
		"right twice":      {right, right},
		"right and empty":  {right, ""},
		"wrong then right": {"t=1,te=,li=" + vectorDigest, right},
	} {
		_, err := g.Open(http.Header{"Paymongo-Signature": values}, body)
		assert.ErrorIs(t, err, midhook.ErrSignature, name)
	}
	msg, err := g.Open(http.Header{"Paymongo-Signature": {right}}, body)
	require.NoError(t, err)
	e, ok := msg.Value.(*paymongo.Event)
	require.True(t, ok)
	assert.Equal(t, midhook.Message{Value: e, Key: e.IdempotencyKey(), KeyLabel: "default"}, msg)
}

// Rule: the label tells which secret signed the part that counts, wherever the
// secret stands.
func TestRotation(t *testing.T) {
	g := newGateway(t, paymongo.WithSecret("next", otherSecret), paymongo.WithSecret("third", "whsk_third"))
	body := paid("evt_1", true)
	for secret, label := range map[string]string{testSecret: "default", otherSecret: "next", "whsk_third": "third"} {
		msg, err := g.Open(request(context.Background(), headerOf(secret, vectorTime, body, true), body).Header, body)
		require.NoError(t, err)
		assert.Equal(t, label, msg.KeyLabel)
	}
	_, err := g.Open(request(context.Background(), headerOf("whsk_fourth", vectorTime, body, true), body).Header, body)
	assert.ErrorIs(t, err, midhook.ErrSignature)

	text := vectorTime + "." + string(body)
	both := "t=" + vectorTime + ",te=" + sign(testSecret, text) + ",li=" + sign(otherSecret, text)
	msg, err := g.Open(request(context.Background(), both, body).Header, body)
	require.NoError(t, err)
	assert.Equal(t, "next", msg.KeyLabel, "the one that signed li, for the event is live")
}

func TestTolerance(t *testing.T) {
	const signed = 1496734173
	body := paid("evt_1", true)
	for _, c := range []struct {
		name string
		now  time.Time
		t    string
		ok   bool
	}{
		{"now", time.Unix(signed, 0), vectorTime, true},
		{"old", time.Unix(signed+300, 0), vectorTime, true},
		{"too old", time.Unix(signed+300, 1), vectorTime, false},
		{"early", time.Unix(signed-300, 0), vectorTime, true},
		{"too early", time.Unix(signed-300, -1), vectorTime, false},
		{"the largest time", time.Unix(signed, 0), "9223372036854775807", false},
		{"beyond the largest time", time.Unix(signed, 0), "18446744075206285789", false}, // vectorTime if it wrapped
		{"milliseconds", time.Unix(signed, 0), vectorTime + "000", false},
	} {
		header := request(context.Background(), headerOf(testSecret, c.t, body, true), body).Header
		clock := paymongo.WithClock(func() time.Time { return c.now })
		_, err := newGateway(t, paymongo.WithTolerance(5*time.Minute), clock).Open(header, body)
		if c.ok {
			assert.NoError(t, err, c.name)
		} else {
			assert.ErrorIs(t, err, midhook.ErrSignature, c.name)
			assert.ErrorContains(t, err, "tolerance", c.name)
		}
		_, err = newGateway(t, clock).Open(header, body)
		assert.NoError(t, err, "%s: it is off by default", c.name)
	}

	forged := request(context.Background(), headerOf(otherSecret, "1", body, true), body).Header
	_, err := newGateway(t, paymongo.WithTolerance(time.Minute)).Open(forged, body)
	assert.Equal(t, midhook.ErrSignature, err, "a stranger is told nothing of the clock")
	recent := request(context.Background(), headerOf(testSecret, fmt.Sprint(time.Now().Unix()), body, true), body).Header
	_, err = newGateway(t, paymongo.WithTolerance(time.Minute)).Open(recent, body)
	assert.NoError(t, err, "the clock is time.Now by default")
}

// Rule: from the request to the handler and back, every way there is.
func TestPipeline(t *testing.T) {
	gateway := newGateway(t, paymongo.WithSecret("next", otherSecret))
	hook, seen := newHook(t, gateway, midhook.WithMaxBodyBytes(2048))
	var got []*paymongo.Event
	var result error
	h := midhook.HandleValue(hook, func(ctx context.Context, e *paymongo.Event) error {
		fromContext, ok := paymongo.FromContext(ctx)
		assert.True(t, ok)
		assert.Same(t, e, fromContext)
		_, ok = midhook.FromContext(ctx)
		assert.False(t, ok, "it is no notification of Midtrans")
		got = append(got, e)
		return result
	})
	send := func(r *http.Request, status int, outcome midhook.Outcome) {
		t.Helper()
		w := serve(h, r)
		assert.Equal(t, status, w.Code)
		assert.Equal(t, "application/json", w.Header().Get("Content-Type"))
		assert.JSONEq(t, `{"outcome":"`+outcome.String()+`"}`, w.Body.String())
		assert.Equal(t, outcome, seen.last().Outcome)
	}

	result = errors.New("the database is away")
	send(live("evt_1"), 503, midhook.OutcomeHandlerFailed)
	result = nil
	send(live("evt_1"), 200, midhook.OutcomeHandled)
	send(live("evt_1"), 200, midhook.OutcomeDuplicate)
	assert.Equal(t, "default", seen.last().KeyLabel)
	assert.Equal(t, got[0], seen.last().Value)
	assert.Len(t, got, 2)

	body := paid("evt_1", true)
	send(request(context.Background(), headerOf(otherSecret, "1700000000", body, true), body), 200, midhook.OutcomeDuplicate)
	assert.Equal(t, "next", seen.last().KeyLabel, "signed anew, with the next secret, it is the same event")

	unknown := []byte(`{"data":{"id":"evt_2","attributes":{"type":"cat.purred","livemode":false}}}`)
	send(request(context.Background(), headerOf(testSecret, vectorTime, unknown, false), unknown), 200, midhook.OutcomeHandled)
	assert.Equal(t, paymongo.EventType("cat.purred"), got[2].Type)
	assert.False(t, got[2].Livemode)

	result = midhook.Permanent(errors.New("not an order of ours"))
	send(live("evt_3"), 200, midhook.OutcomeHandledPermanent)
	result = nil

	send(request(context.Background(), "", body), 403, midhook.OutcomeForged)
	send(request(context.Background(), headerOf("whsk_third", vectorTime, body, true), body), 403, midhook.OutcomeForged)
	send(request(context.Background(), headerOf(testSecret, vectorTime, body, false), body), 403, midhook.OutcomeForged)
	send(request(context.Background(), headerOf(testSecret, vectorTime, []byte("{}"), true), []byte("{}")), 400, midhook.OutcomeMalformed)
	large := []byte(strings.Repeat(" ", 2049))
	send(request(context.Background(), headerOf(testSecret, vectorTime, large, true), large), 413, midhook.OutcomeBodyTooLarge)
	get := live("evt_4")
	get.Method = http.MethodGet
	send(get, 405, midhook.OutcomeMethodNotAllowed)
	assert.Len(t, got, 4, "none of these reached the handler")

	assert.Panics(t, func() {
		serve(hook.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("x") })), live("evt_5"))
	})
	send(live("evt_5"), 200, midhook.OutcomeHandled)
}

// Rule: the body is there for a handler to read, as it was received.
func TestHandlerReadsBody(t *testing.T) {
	hook, _ := newHook(t, newGateway(t))
	serve(hook.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.True(t, json.Valid(body))
		assert.Equal(t, paid("evt_1", true), body)
	})), live("evt_1"))
}
