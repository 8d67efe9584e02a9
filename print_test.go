package midhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// Settings hold keys, and printing them does not.
func TestPrintingShowsNoKey(t *testing.T) {
	hook, _ := newHook(t)
	client, err := midhook.NewStatusClient(testKey)
	require.NoError(t, err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		assert.NotContains(t, fmt.Sprintf(verb+verb, hook, client), testKey)
	}
	_, err = midhook.New(testKey, midhook.WithServerKey("SB-Mid-server-swapped", "sandbox"))
	assert.ErrorContains(t, err, "looks like a key")
	assert.NotContains(t, err.Error(), "swapped")
	_, err = midhook.New(testKey, midhook.WithGrace(25*time.Hour))
	assert.Error(t, err)
}

// parseShown are the fields that may be seen: ids, statuses and amounts.
var parseShown = []string{
	"order_id", "transaction_id", "account_id", "account_status", "transaction_status", "fraud_status",
	"status_code", "payment_type", "gross_amount", "currency", "refund_amount",
}

// Rule: a notification that is printed, logged or marshalled, in whatever way and
// in whatever it is wrapped, shows ids, statuses and amounts, nothing else.
func TestNotificationShowsNothingSensitive(t *testing.T) {
	m := parsePayment().with("new", `"SECRET"`)
	for name, field := range parseFields(reflect.ValueOf(new(midhook.Notification)).Elem()) {
		switch {
		case m[name] != "" && name != "signature_key", slices.Contains(parseShown, name):
		case field.Kind() == reflect.String:
			m[name] = `"SECRET"`
		case name == "metadata":
			m[name] = `{"SECRET":"SECRET"}`
		case name == "va_numbers":
			m[name] = `[{"va_number":"SECRET","bank":"SECRET"}]`
		case name == "payment_amounts":
			m[name] = `[{"paid_at":"SECRET","amount":"SECRET"}]`
		case name == "refunds":
			m[name] = `[{"refund_key":"SECRET","reason":"SECRET","refund_amount":"SECRET","new":"SECRET"}]`
		case field.Kind() != reflect.Bool:
			t.Fatalf("what should %s be?", name)
		}
	}
	n := mustParse(t, m.body())
	require.Greater(t, strings.Count(string(n.Raw()), "SECRET"), 40)
	forms := map[string]any{
		"pointer":                        n,
		"value":                          *n,
		"pointer to pointer":             &n,
		"pointer in a struct":            struct{ N *midhook.Notification }{n},
		"value in a struct":              struct{ N midhook.Notification }{*n},
		"pointer to a struct with it":    &struct{ N *midhook.Notification }{n},
		"embedded in a struct":           struct{ *midhook.Notification }{n},
		"in an interface in a struct":    struct{ N any }{n},
		"slice of pointers":              []*midhook.Notification{n},
		"slice of values":                []midhook.Notification{*n},
		"map of pointers":                map[string]*midhook.Notification{"n": n},
		"map of values":                  map[string]midhook.Notification{"n": *n},
		"several, deep":                  map[string]any{"a": []any{struct{ N any }{*n}}},
		"observer's event":               midhook.Event{Notification: n},
		"pointer to an observer's event": &midhook.Event{Notification: n},
	}
	sinks := map[string]func(v any) string{
		"Sprint":   func(v any) string { return fmt.Sprint(v) },
		"Sprintln": func(v any) string { return fmt.Sprintln(v) },
		"MarshalIndent": func(v any) string {
			b, err := json.MarshalIndent(v, "", " ")
			require.NoError(t, err)
			return string(b)
		},
		"Errorf": func(v any) string { return fmt.Errorf("failed: %v", v).Error() },
		"slog text": func(v any) string {
			var b bytes.Buffer
			slog.New(slog.NewTextHandler(&b, nil)).Info("got", "n", v, slog.Group("g", "n", v))
			return b.String()
		},
		"slog JSON": func(v any) string {
			var b bytes.Buffer
			slog.New(slog.NewJSONHandler(&b, nil)).With("n", v).Info("got", "n", v)
			return b.String()
		},
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		sinks[verb] = func(v any) string { return fmt.Sprintf(verb, v) }
	}
	for sink, show := range sinks {
		for form, v := range forms {
			if form == "pointer to pointer" && sink != "MarshalIndent" && sink != "slog JSON" {
				continue // fmt prints the address
			}
			text := show(v)
			shows := func(s string) bool { return strings.Contains(text, s) || strings.Contains(text, fmt.Sprintf("%x", s)) }
			assert.False(t, shows("SECRET"), "%s of a %s: %s", sink, form, text)
			assert.True(t, shows("A-1"), "%s of a %s: %s", sink, form, text)
		}
	}
}

// Rule: what is shown of an account is what there is of it.
func TestNotificationShowsPayAccount(t *testing.T) {
	b, err := json.Marshal(mustParse(t, parseAccount().body()))
	require.NoError(t, err)
	assert.JSONEq(t, `{"account_id":"acc-1","account_status":"ENABLED","status_code":"200"}`, string(b))
}

// Rule: a log line about no notification must not take the program down.
func TestNilNotificationIsPrintable(t *testing.T) {
	var n *midhook.Notification
	assert.Equal(t, slog.Value{}, n.LogValue())
	assert.Equal(t, "<nil>", fmt.Sprint(n))
	b, err := json.Marshal(n)
	require.NoError(t, err)
	assert.Equal(t, "null", string(b))
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("got", "n", n)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("got", "n", n)
	assert.NotContains(t, log.String(), "panic")
}

// Rule: a copy of the client prints no key either.
func TestStatusClientPrintsNoKey(t *testing.T) {
	client, err := midhook.NewStatusClient(testKey)
	require.NoError(t, err)
	for _, v := range []any{client, *client} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			assert.Equal(t, "midhook.StatusClient(https://api.sandbox.midtrans.com)", fmt.Sprintf(verb, v))
		}
	}
}

// Rule: no verb reaches the key of a client, whatever it lies in.
func TestPrintingReachesNoKey(t *testing.T) {
	const key = "SB-Mid-server-TOPSECRET"
	client, err := midhook.NewStatusClient(key)
	require.NoError(t, err)
	hook, err := midhook.New(key)
	require.NoError(t, err)
	type unexported struct{ status midhook.StatusClient }
	type pointers struct {
		status *midhook.StatusClient
		hook   *midhook.Middleware
	}
	for _, v := range []any{client, *client, unexported{*client}, &unexported{*client}, pointers{client, hook}, *hook, struct{ hook midhook.Middleware }{*hook}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			assert.NotContains(t, fmt.Sprintf(verb, v), "TOPSECRET")
		}
	}
}

// Rule: the context of a handler, and those made from it, print nothing of the delivery,
// and end together.
func TestHandlersContext(t *testing.T) {
	hook, _ := newHook(t)
	var made []context.Context
	next := &counter{do: func(_ http.ResponseWriter, r *http.Request) {
		child, cancel := context.WithTimeout(r.Context(), time.Hour)
		t.Cleanup(cancel)
		made = []context.Context{r.Context(), child, context.WithoutCancel(r.Context()), context.WithValue(r.Context(), contextKey{}, "x")}
		for _, ctx := range made {
			n, ok := midhook.FromContext(ctx)
			require.True(t, ok)
			for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
				printed := fmt.Sprintf(verb, ctx)
				assert.NotContains(t, printed, n.OrderID)
				assert.NotContains(t, printed, testKey)
			}
			deadline, ok := ctx.Deadline()
			assert.Equal(t, ctx != made[2], ok)
			assert.Equal(t, ok, time.Until(deadline) > 0)
			assert.NoError(t, ctx.Err())
		}
	}}
	hook.Handler(next).ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
	assert.EqualValues(t, 1, next.runs.Load())
	for i, ctx := range made {
		assert.Equal(t, i == 2, ctx.Err() == nil, "after the handler")
	}
}

type contextKey struct{}

// Rule: what is printed is on one line and at most 256 bytes a field, whatever is in
// it and however it is printed.
func TestPrintedFieldsForgeNothing(t *testing.T) {
	for _, hostile := range []string{"x\n2026/01/01 00:00:00 INFO midhook: handled", "x\r\x1b[2K", "x\u2028y", "x\x85y", strings.Repeat("é", 5000), strings.Repeat("\n", 5000)} {
		n := midhooktest.Sample("gopay", midhooktest.Field("payment_type", hostile))
		var text, asJSON bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("got", "n", n)
		slog.New(slog.NewJSONHandler(&asJSON, nil)).Info("got", "n", n)
		marshalled, err := json.Marshal(n)
		require.NoError(t, err)
		for form, printed := range map[string]string{
			"%v": fmt.Sprint(n), "%s": fmt.Sprintf("%s", n), "%+v": fmt.Sprintf("%+v", *n), "LogValue": fmt.Sprint(n.LogValue()), "its String": n.LogValue().String(),
			"text": strings.TrimSuffix(text.String(), "\n"), "JSON": strings.TrimSuffix(asJSON.String(), "\n"), "MarshalJSON": string(marshalled),
		} {
			assert.NotContains(t, printed, "\n", form)
			assert.NotContains(t, printed, "\r", form)
			assert.NotContains(t, printed, "\x1b", form)
			assert.NotContains(t, printed, "\u2028", form)
			assert.Less(t, len(printed), 1600, form)
		}
	}
}

// Rule: UnmarshalJSON is Parse for what Raw returns, and refuses what MarshalJSON
// printed, of every notification there is.
func TestUnmarshalRefusesWhatWasPrinted(t *testing.T) {
	for _, name := range midhooktest.Samples() {
		n := mustParse(t, midhooktest.Body(midhooktest.Sample(name), testKey))
		printed, err := json.Marshal(n)
		require.NoError(t, err)
		var husk midhook.Notification
		assert.ErrorContains(t, json.Unmarshal(printed, &husk), "keep Raw", name)
		assert.Empty(t, husk.OrderID+husk.AccountID)

		var again midhook.Notification
		require.NoError(t, json.Unmarshal(n.Raw(), &again), name)
		assert.Equal(t, n.IdempotencyKey(), again.IdempotencyKey())
		assert.NoError(t, midhook.Verify(&again, testKey))
		assert.Equal(t, string(n.Raw()), string(again.Raw()))
	}
	var in struct{ N *midhook.Notification }
	assert.NoError(t, json.Unmarshal([]byte(`{"N":null}`), &in))
	assert.ErrorIs(t, json.Unmarshal([]byte(`{"N":{"order_id":"a"}}`), &in), midhook.ErrMalformed)
}
