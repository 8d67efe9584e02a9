package paymongo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/paymongo"
)

func TestEventShows(t *testing.T) {
	e, err := paymongo.Parse(paid("evt_1", true))
	require.NoError(t, err)
	const line = `id="evt_1" type="payment.paid" livemode="true" resource_id="pay_1" resource_type="payment" status="paid" amount="10000" currency="PHP"`
	assert.Equal(t, line, fmt.Sprint(e))
	assert.Equal(t, line, fmt.Sprintf("%#v", *e))
	assert.Equal(t, "[id=evt_1 type=payment.paid livemode=true resource_id=pay_1 resource_type=payment status=paid amount=10000 currency=PHP]", e.LogValue().String())
	out, err := json.Marshal(e)
	require.NoError(t, err)
	assert.JSONEq(t, `{"id":"evt_1","type":"payment.paid","livemode":true,"resource_id":"pay_1","resource_type":"payment","status":"paid","amount":10000,"currency":"PHP"}`, string(out))

	assert.Equal(t, `id="pay_1" type="payment" status="paid" amount="10000" currency="PHP"`, fmt.Sprintf("%+v", e.Resource))
	assert.Equal(t, "[id=pay_1 type=payment status=paid amount=10000 currency=PHP]", e.Resource.LogValue().String())
	out, err = json.Marshal(e.Resource)
	require.NoError(t, err)
	assert.JSONEq(t, `{"id":"pay_1","type":"payment","status":"paid","amount":10000,"currency":"PHP"}`, string(out))

	var none *paymongo.Event
	assert.Equal(t, slog.Value{}, none.LogValue())
	assert.Equal(t, `livemode="false"`, fmt.Sprint(paymongo.Event{}))
	assert.Equal(t, `id="a\nlevel=ERROR" livemode="false"`, fmt.Sprint(paymongo.Event{ID: "a\nlevel=ERROR"}), "nobody writes lines into a log")
}

// Rule: nobody ever sees a secret, a digest or a customer's data, on whichever
// path and by whichever verb.
func TestNothingSensitiveAnywhere(t *testing.T) {
	const key = "whsk_SECRETWORD"
	var out bytes.Buffer
	printed := func(v any) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		if b, err := json.Marshal(v); err == nil {
			fmt.Fprintf(&out, "%s\n", b)
		}
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(h).Info("printed", "value", v)
		}
	}
	var digests []string
	synctest.Test(t, func(t *testing.T) {
		gateway, err := paymongo.New(key, paymongo.WithSecret("next", "whsk_SECRETNEXT"), paymongo.WithTolerance(3*time.Hour))
		require.NoError(t, err)
		printed(gateway)
		printed(*gateway)
		hook, err := midhook.NewFor(gateway,
			midhook.WithLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))),
			midhook.WithObserver(func(_ context.Context, e midhook.Event) {
				printed(e)
				printed(e.Err)
				if v, ok := e.Value.(*paymongo.Event); ok {
					printed(v)
					printed(*v)
					printed(v.Resource)
					printed(struct{ E paymongo.Event }{*v})
					var wrong struct{ Billing struct{ Name int } }
					printed(v.Resource.Decode(&wrong))
				}
			}))
		require.NoError(t, err)
		printed(hook)

		var mode atomic.Int32
		h := midhook.HandleValue(hook, func(_ context.Context, e *paymongo.Event) error {
			switch mode.Load() {
			case 0:
				return fmt.Errorf("failed on %v", e)
			case 1:
				return midhook.Permanent(fmt.Errorf("never for %+v", *e))
			case 2:
				time.Sleep(20 * time.Second)
			case 3:
				panic(e)
			}
			return nil
		})
		now := fmt.Sprint(time.Now().Unix())
		send := func(header string, body []byte) {
			w := serveSafely(h, request(context.Background(), header, body))
			fmt.Fprintf(&out, "%d %v %s\n", w.code, w.header, w.body)
			for _, secret := range []string{key, "whsk_SECRETNEXT", testSecret} {
				for _, at := range []string{now, "1"} {
					digests = append(digests, sign(secret, at+"."+string(body)))
				}
			}
		}
		for m := range int32(5) {
			mode.Store(m)
			body := paid(fmt.Sprint("evt_", m), true)
			send(headerOf(key, now, body, true), body)
			send(headerOf(key, now, body, true), body)
		}
		body := paid("evt_x", true)
		send("", body)
		send(headerOf(key, "1", body, true), body)
		send(headerOf(key, now, body, false), body)
		send(headerOf(testSecret, now, body, true), body)
		send("t="+now+",li=SECRETGARBAGE", body)
		send("t=SECRETGARBAGE,t=SECRETGARBAGE", body)
		send("t=SECRETGARBAGE", body)
		for _, broken := range []string{
			`{"data":{"id":"SECRETNAME`,
			`{"SECRETNAME":1,"SECRETNAME":2}`,
			`{"data":{"id":["SECRETNAME"]}}`,
			`{"data":{"id":"evt_1","attributes":{"type":"x","livemode":"SECRETNAME"}}}`,
		} {
			send(headerOf(key, now, []byte(broken), true), []byte(broken))
		}
	})
	_, err := paymongo.New("sk_live_SECRETWORD", paymongo.WithSecret("whsk_SECRETWORD", "x"))
	printed(err)

	all := out.String()
	assert.True(t, strings.Contains(all, "evt_1"), "it did print")
	for _, outcome := range []string{"forged", "malformed", "handler_failed", "handled_permanent", "late_handled", "handler_panicked", "duplicate"} {
		assert.True(t, strings.Contains(all, "midhook: "+outcome), "%s did not happen", outcome)
	}
	for _, word := range []string{"SECRET", "secret@"} {
		assert.False(t, strings.Contains(all, word), word)
		assert.False(t, strings.Contains(all, fmt.Sprintf("%x", word)), "%s in hexadecimal", word)
	}
	for _, digest := range digests {
		assert.False(t, strings.Contains(all, digest[:16]), digest)
	}
}

type answered struct {
	code   int
	header http.Header
	body   string
}

// serveSafely is serve for a handler that may panic, as under net/http.
func serveSafely(h http.Handler, r *http.Request) (a answered) {
	defer func() {
		if v := recover(); v != nil {
			a = answered{body: "connection closed"}
		}
	}()
	w := serve(h, r)
	return answered{w.Code, w.Header(), w.Body.String()}
}

// Rule: what wants a merchant's attention says so, and nothing else does.
func TestAttention(t *testing.T) {
	for _, c := range []struct {
		eventType, status string
		wants             bool
	}{
		{"dispute.created", "", true},
		{"dispute.resolved", "", true},
		{"dispute.of_a_new_kind", "", true},
		{"payout.returned", "", true},
		{"payout.failed", "", true},
		{"payout.deposited", "", false},
		{"payment.refund.updated", "failed", true},
		{"payment.refund.updated", "succeeded", false},
		{"refund.failed", "", true},
		{"refund.succeeded", "", false},
		{"payment.refunded", "refunded", false},
		{"subscription.past_due", "", true},
		{"subscription.unpaid", "", true},
		{"subscription.invoice.payment_failed", "", true},
		{"subscription.invoice.paid", "", false},
		{"payment.failed", "failed", false},
		{"payment.paid", "paid", false},
		{"hologram.flicker", "", false},
	} {
		e := paymongo.Event{Type: paymongo.EventType(c.eventType), Resource: paymongo.Resource{Attributes: fmt.Appendf(nil, `{"status":%q}`, c.status)}}
		assert.Equal(t, c.wants, e.Attention() != "", "%s %s", c.eventType, c.status)
	}
}

// Rule: no verb finds a secret by reflection, where a gateway was copied or lies in
// an unexported field.
func TestSecretsBehindReflection(t *testing.T) {
	const secret, next = "whsk_SECRETWORD", "whsk_SECRETNEXT"
	g, err := paymongo.New(secret, paymongo.WithSecret("next", next))
	require.NoError(t, err)
	for _, v := range []any{
		struct{ g *paymongo.Gateway }{g}, struct{ g paymongo.Gateway }{*g}, struct{ g midhook.Gateway }{g}, &struct{ g paymongo.Gateway }{*g},
		map[string]struct{ g paymongo.Gateway }{"": {*g}},
	} {
		var out strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		for _, s := range []string{secret, next} {
			assert.NotContains(t, out.String(), s)
			assert.NotContains(t, out.String(), fmt.Sprintf("%x", s))
			assert.NotContains(t, out.String(), strings.Trim(fmt.Sprint([]byte(s)), "[]"))
		}
	}
}
