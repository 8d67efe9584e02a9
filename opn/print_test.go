package opn_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/opn"
)

// Rule: printed, logged or marshalled, an event shows ids, key, status and amount,
// and nothing of a customer.
func TestEventShowsNothingSensitive(t *testing.T) {
	const body = `{"object":"event","id":"evnt_test_1","livemode":true,"key":"charge.complete","x":"sensitive","data":{"object":"charge","id":"chrg_test_1",` +
		`"amount":100000,"currency":"THB","status":"successful","description":"sensitive","ip":"sensitive","authorize_uri":"sensitive",` +
		`"card":{"name":"sensitive","last_digits":"sensitive","fingerprint":"sensitive"},"source":{"phone_number":"sensitive","email":"sensitive"},"metadata":{"a":"sensitive"}}}`
	e := parse(t, body)
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n"+verb+"\n"+verb+"\n", e, *e, []opn.Event{*e})
	}
	marshalled, err := json.Marshal(map[string]any{"pointer": e, "value": *e})
	require.NoError(t, err)
	out.Write(marshalled)
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("event", "pointer", e, "value", *e, "nested", struct{ E *opn.Event }{e}, "none", (*opn.Event)(nil))
	}
	assert.NotContains(t, out.String(), "sensitive")
	assert.JSONEq(t, `{"id":"evnt_test_1","key":"charge.complete","livemode":true,"data_object":"charge","data_id":"chrg_test_1","status":"successful","amount":"100000","currency":"THB","printed_by":"midhook"}`,
		string(mustMarshal(t, e)))
	assert.Equal(t, `id="evnt_test_1" key="charge.complete" livemode="true" data_object="charge" data_id="chrg_test_1" status="successful" amount="100000" currency="THB"`, fmt.Sprint(e))

	for _, data := range []string{`{"object":"token","id":"sensitive"}`, `{"id":"tokn_test_sensitive"}`, `{"amount":"sensitive"}`, `"sensitive"`, `{"status":{"a":"sensitive"}}`} {
		e := parse(t, `{"id":"evnt_test_1","key":"x","data":`+data+`}`)
		assert.NotContains(t, fmt.Sprint(e)+string(mustMarshal(t, e))+e.LogValue().String(), "sensitive")
	}
	assert.Equal(t, `id="evnt\n1" key="x" livemode="false"`, fmt.Sprint(parse(t, `{"id":"evnt\n1","key":"x"}`)), "no id can forge a log line")
}

// Rule: no secret and no signature is in what a gateway prints, an error, an
// answer or a log line, whatever fails.
func TestSecretsNowhere(t *testing.T) {
	g, err := opn.New(testSecret, opn.WithSecret("next", otherSecret))
	require.NoError(t, err)
	c, err := opn.NewClient(testKey, opn.WithHTTPClient(&http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		return nil, errors.New("no network")
	})}))
	require.NoError(t, err)

	rec := &recorder{}
	both := slog.NewMultiHandler(slog.NewTextHandler(rec, &slog.HandlerOptions{Level: slog.LevelDebug}), slog.NewJSONHandler(rec, nil))
	observe := midhook.WithObserver(func(_ context.Context, e midhook.Event) {
		fmt.Fprintf(rec, "%v %+v %#v %s %s\n", e, e, e, mustMarshal(t, e), e.Value)
	})
	down := midhooktest.NewFaultyStore(midhook.NewLRUStore(10))
	down.SetDown(true)
	for _, opts := range [][]midhook.Option{nil, {midhook.WithStore(down), midhook.WithBudget(50 * time.Millisecond)}} {
		hook, err := midhook.NewFor(g, append(opts, observe, midhook.WithLogger(slog.New(both)))...)
		require.NoError(t, err)
		for _, do := range []func(http.ResponseWriter, *http.Request, *opn.Event){
			func(http.ResponseWriter, *http.Request, *opn.Event) {},
			func(w http.ResponseWriter, _ *http.Request, _ *opn.Event) { w.WriteHeader(500) },
			func(http.ResponseWriter, *http.Request, *opn.Event) { panic("handler") },
		} {
			h := hook.Handler(&shop{do: do})
			for i, body := range []string{testBody, chargeEvent("evnt_test_2"), "{", `{"id":"evnt_test_3"}`, ""} {
				for _, r := range []*http.Request{delivery(body), signedBy(otherSecret, testTimestamp, body), httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))} {
					func() {
						defer func() { recover() }() //nolint:errcheck // the handler's own
						w := serve(h, r)
						fmt.Fprintln(rec, i, w.Code, w.Header(), w.Body)
					}()
				}
			}
		}
		fmt.Fprintln(rec, hook, c.Reconcile(t.Context(), hook, time.Now().Add(-time.Hour), &shop{}))
	}
	for _, v := range []any{g, *g, c, []*opn.Gateway{g}, struct{ G opn.Gateway }{*g}, map[string]any{"c": c}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			fmt.Fprintf(rec, verb+"\n", v)
		}
		slog.New(both).Info("printed", "value", v)
		rec.Write(mustMarshal(t, v)) //nolint:errcheck // a buffer
	}
	out := rec.logged()
	assert.Contains(t, out, "opn.Gateway")
	assert.Contains(t, out, "opn.Client(https://api.omise.co)")
	for _, forbidden := range []string{
		testSecret, otherSecret, "omise-webhook-secret", "another webhook secret", testKey, fmt.Sprintf("%x", testKey), fmt.Sprintf("%x", "omise-webhook-secret"),
		testSignature[:16], sign(otherSecret, testTimestamp, testBody)[:16], "Basic ",
	} {
		assert.NotContains(t, out, forbidden)
	}
}

// Rule: what wants a merchant's attention says so, and nothing else does.
func TestAttention(t *testing.T) {
	for body, wants := range map[string]bool{
		`{"id":"evnt_1","key":"dispute.create"}`:                             true,
		`{"id":"evnt_1","key":"dispute.update"}`:                             true,
		`{"id":"evnt_1","key":"dispute.accept"}`:                             true,
		`{"id":"evnt_1","key":"dispute.close","data":{"status":"won"}}`:      true,
		`{"id":"evnt_1","key":"transfer.fail"}`:                              true,
		`{"id":"evnt_1","key":"recipient.deactivate"}`:                       true,
		`{"id":"evnt_1","key":"schedule.suspend"}`:                           true,
		`{"id":"evnt_1","key":"schedule.expiring"}`:                          true,
		`{"id":"evnt_1","key":"refund.create","data":{"status":"failed"}}`:   true,
		`{"id":"evnt_1","key":"refund.create","data":{"status":"closed"}}`:   false,
		`{"id":"evnt_1","key":"charge.complete","data":{"status":"failed"}}`: false,
		`{"id":"evnt_1","key":"transfer.pay"}`:                               false,
		`{"id":"evnt_1","key":"hologram.flicker"}`:                           false,
	} {
		assert.Equal(t, wants, parse(t, body).Attention() != "", body)
	}
}

// Rule: no verb finds a secret by reflection, where a gateway or a client was copied
// or lies in an unexported field.
func TestSecretsBehindReflection(t *testing.T) {
	g, err := opn.New(testSecret, opn.WithSecret("next", otherSecret))
	require.NoError(t, err)
	c, err := opn.NewClient("skey_test_key_0001")
	require.NoError(t, err)
	for _, v := range []any{
		struct{ g *opn.Gateway }{g}, struct{ g opn.Gateway }{*g}, struct{ g midhook.Gateway }{g}, &struct{ g opn.Gateway }{*g},
		struct{ c *opn.Client }{c}, struct{ c opn.Client }{*c}, &struct{ c opn.Client }{*c}, []struct{ c opn.Client }{{*c}},
		map[string]struct{ g opn.Gateway }{"": {*g}},
	} {
		var out strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		for _, secret := range []string{testSecret, otherSecret, "omise-webhook-secret", "another webhook secret", "skey_test_key_0001"} {
			assert.NotContains(t, out.String(), secret)
			assert.NotContains(t, out.String(), fmt.Sprintf("%x", secret))
			assert.NotContains(t, out.String(), strings.Trim(fmt.Sprint([]byte(secret)), "[]"))
		}
	}
}
