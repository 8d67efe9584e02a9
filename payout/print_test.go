package payout_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/payout"
)

// Rule: printed with any verb, logged or marshalled, a notification shows ids,
// status, amount and time, and nothing else.
func TestNotificationPrints(t *testing.T) {
	n := parse(t, strings.Replace(failed, "{", `{"beneficiary_name":"beneficiary-secret",`, 1))
	const text = `reference_no="83hgf882" status="failed" amount="154600.0" updated_at="2026-01-02T02:00:10Z"`
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		assert.Equal(t, text, fmt.Sprintf(verb, n), verb)
		assert.Equal(t, text, fmt.Sprintf(verb, *n), verb)
		assert.Contains(t, fmt.Sprintf(verb, []payout.Notification{*n}), text, verb)
		assert.NotContains(t, fmt.Sprintf(verb, []payout.Notification{*n}), "secret", verb)
	}
	for _, v := range []any{n, *n} {
		b, err := json.Marshal(v)
		require.NoError(t, err)
		assert.JSONEq(t, `{"reference_no":"83hgf882","status":"failed","amount":"154600.0","updated_at":"2026-01-02T02:00:10Z","printed_by":"midhook"}`, string(b))
		for _, handler := range []func(io.Writer) slog.Handler{
			func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) },
			func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) },
		} {
			var log bytes.Buffer
			slog.New(handler(&log)).Info("x", "n", v)
			assert.Contains(t, log.String(), "83hgf882")
			assert.NotContains(t, log.String(), "secret")
			assert.NotContains(t, log.String(), "error_code")
		}
	}
	assert.Equal(t, `transaction_id="9a1f2d4e-0000-4000-8000-0123456789ab" order_id="topup-1" status="topup" gross_amount="5000000.00"`, fmt.Sprint(parse(t, topUp)))
	assert.Equal(t, `reference_no="line\nbreak" status="x"`, fmt.Sprint(parse(t, `{"reference_no":"line\nbreak","status":"x"}`)))
	assert.NotPanics(t, func() {
		var none *payout.Notification
		slog.New(slog.NewTextHandler(io.Discard, nil)).Info("x", "n", none)
		assert.Equal(t, "<nil>", fmt.Sprint(none))
	})
}

// Rule: a gateway prints no key, by itself, as a value or inside of something.
func TestGatewayPrintsNoKey(t *testing.T) {
	g := newGateway(t, payout.WithKey("next", otherKey))
	var log bytes.Buffer
	for _, v := range []any{g, *g, []any{g}, map[string]any{"g": *g}, struct{ G *payout.Gateway }{g}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&log, verb, v)
		}
		b, err := json.Marshal(v)
		require.NoError(t, err)
		log.Write(b)
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "g", v)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "g", v)
	}
	assert.Contains(t, log.String(), "payout.Gateway")
	for _, key := range []string{testKey, otherKey} {
		assert.NotContains(t, log.String(), key)
		assert.NotContains(t, log.String(), fmt.Sprintf("%x", key))
	}
}

// Rule: no key, signature, digest or name comes out anywhere: log, answers,
// observed events, errors. Every path is driven at Debug level, and everything
// that came out is searched.
func TestNothingSensitiveComesOut(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	hook, err := midhook.NewFor(newGateway(t, payout.WithKey("next", otherKey)),
		midhook.WithLogger(log),
		midhook.WithObserver(func(_ context.Context, e midhook.Event) {
			fmt.Fprintf(&out, "%v %+v %#v %s %q %x %+v\n", e, e, e, e, e, e, e.Value)
			b, err := json.Marshal(e)
			require.NoError(t, err)
			out.Write(b)
			log.Info("event", "event", e)
		}))
	require.NoError(t, err)
	fail := false
	h := midhook.HandleValue(hook, func(context.Context, *payout.Notification) error {
		if fail {
			return errors.New("database is away")
		}
		return nil
	})

	named := strings.Replace(failed, "{", `{"beneficiary_name":"name-secret","beneficiary_account":"account-secret",`, 1)
	bodies := []string{
		named, completed, approved, topUp, named[:60], named + named, `{"reference_no":["name-secret"],"status":"failed"}`,
		`{"status":"name-secret"}`, `{"name-secret":1,"name-secret":2}`, `"name-secret"`, "",
	}
	secrets := []string{testKey, otherKey, "name-secret", "account-secret"}
	for _, fail = range []bool{true, false, false} {
		for _, body := range bodies {
			for _, key := range []string{testKey, otherKey, "IRIS-merchant-third-test"} {
				signature := sign(body, key)
				secrets = append(secrets, signature[:16], strings.ToUpper(signature[:16]))
				for _, signatures := range [][]string{{signature}, {strings.ToUpper(signature)}, {signature, signature}, {signature + "0"}, {}} {
					w := deliver(h, body, signatures...)
					fmt.Fprintln(&out, w.Code, w.Header(), w.Body)
				}
			}
		}
	}
	text := out.String()
	assert.Contains(t, text, "83hgf882", "the search must have something to search")
	for _, o := range []midhook.Outcome{
		midhook.OutcomeHandled, midhook.OutcomeHandlerFailed, midhook.OutcomeDuplicate,
		midhook.OutcomeSuperseded, midhook.OutcomeForged, midhook.OutcomeMalformed,
	} {
		assert.Contains(t, text, o.String())
	}
	for _, s := range secrets {
		assert.NotContains(t, text, s)
	}
}

// Rule: what wants a merchant's attention says so, and nothing else does.
func TestAttention(t *testing.T) {
	for body, wants := range map[string]bool{
		failed: true, strings.Replace(failed, `"failed"`, `"FAILED"`, 1): true,
		approved: false, processed: false, completed: false, rejected: false, topUp: false,
	} {
		attention := parse(t, body).Attention()
		assert.Equal(t, wants, attention != "", body)
		assert.NotContains(t, attention, "secret")
	}
}

// Rule: no verb finds a key by reflection, where a gateway was copied or lies in an
// unexported field.
func TestKeysBehindReflection(t *testing.T) {
	g := newGateway(t, payout.WithKey("next", otherKey))
	for _, v := range []any{
		struct{ g *payout.Gateway }{g}, struct{ g payout.Gateway }{*g}, struct{ g midhook.Gateway }{g}, &struct{ g payout.Gateway }{*g},
		map[string]struct{ g payout.Gateway }{"": {*g}},
	} {
		var out strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		for _, key := range []string{testKey, otherKey} {
			assert.NotContains(t, out.String(), key)
			assert.NotContains(t, out.String(), fmt.Sprintf("%x", key))
			assert.NotContains(t, out.String(), strings.Trim(fmt.Sprint([]byte(key)), "[]"))
		}
	}
}
