package midhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// No key, signature, digest, card, token, name, phone or VA number in a log
// line, an error, an answer or an observer's printed event. Every path is
// driven at Debug level, and everything that came out is searched.
func TestNothingSensitiveComesOut(t *testing.T) {
	const otherKey = "Mid-server-other-test"
	secrets := map[string]any{
		"masked_card": "48111111-secret", "saved_token_id": "token-secret", "va_numbers": []any{map[string]any{"va_number": "va-secret", "bank": "bank-secret"}},
		"permata_va_number": "permata-secret", "payer_phone_number": "phone-secret", "bill_key": "bill-secret", "payment_code": "code-secret",
		"custom_field1": "name-secret", "metadata": map[string]any{"customer": "meta-secret"}, "approval_code": "approval-secret",
		"customer_details": map[string]any{"first_name": "first-secret"}, "status_message": "message-secret", "merchant_invoice": "invoice-secret",
	}
	sample := func(tweaks ...midhooktest.Tweak) *midhook.Notification {
		for name, value := range secrets {
			tweaks = append(tweaks, midhooktest.Field(name, value))
		}
		return midhooktest.Sample("credit-card", tweaks...)
	}
	good := midhooktest.Body(sample(), testKey)
	pay := midhooktest.Body(midhooktest.Sample("pay-account-enabled", midhooktest.Field("metadata", secrets)), testKey)
	bodies := [][]byte{
		good, good, pay, nil, good[:len(good)/2], append(good[:len(good):len(good)], '}'),
		bytes.Replace(good, []byte(`"order_id"`), []byte(`"signature_key":"x","order_id"`), 1),
		midhooktest.Body(sample(), otherKey), sample().Raw(),
		midhooktest.Body(sample(midhooktest.Status("201", "settlement")), testKey),
		midhooktest.Body(sample(midhooktest.Status("201", "pending")), testKey),
		bytes.Replace(good, []byte(`"status_code":"200"`), []byte(`"status_code":"48111111-secret"`), 1),
		bytes.Repeat([]byte("48111111-secret"), 10_000),
	}
	handlers := []http.HandlerFunc{
		func(w http.ResponseWriter, r *http.Request) {},
		func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) },
		func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(302) },
		func(w http.ResponseWriter, r *http.Request) { panic("boom") },
		func(w http.ResponseWriter, r *http.Request) { time.Sleep(6 * time.Second) },
		func(w http.ResponseWriter, r *http.Request) { time.Sleep(6 * time.Second); panic("late") },
		func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	}
	stores := []midhook.Store{nil, failingStore{},
		&spyStore{Store: midhook.NewLRUStore(9), finish: func(context.Context, midhook.Claim) error { return errors.New("lost") }}}

	var out bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		logs := &recorder{}
		level := &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}
		both := slog.NewMultiHandler(slog.NewTextHandler(logs, level), slog.NewJSONHandler(logs, level))
		events := 0
		for _, handler := range handlers {
			for _, store := range stores {
				opts := []midhook.Option{
					midhook.WithServerKey("other", otherKey+"2"),
					midhook.WithLogger(slog.New(both)),
					midhook.WithObserver(func(_ context.Context, e midhook.Event) {
						events++
						marshalled, err := json.Marshal(e)
						assert.NoError(t, err)
						assert.Contains(t, string(marshalled), e.Outcome.String())
						fmt.Fprintf(logs, "%v %+v %#v %s %q %v %+v %s\n", e, e, e, e, e, &e, []midhook.Event{e}, marshalled)
						fmt.Fprintf(logs, "%v %+v %#v %s\n", e.Notification, e.Notification, e.Notification, e.Notification)
						slog.New(both).Info("event", "e", e, "n", e.Notification, "nested", struct{ N *midhook.Notification }{e.Notification})
					}),
				}
				if store != nil {
					opts = append(opts, midhook.WithStore(store))
				}
				hook, err := midhook.New(testKey, opts...)
				require.NoError(t, err)
				h := hook.Handler(handler)
				for _, body := range bodies {
					w := httptest.NewRecorder()
					func() {
						defer func() { recover() }() //nolint:errcheck // the handler's own
						h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body)))
					}()
					fmt.Fprintln(&out, w.Code, w.Header(), w.Body)
				}
			}
		}
		assert.Greater(t, events, len(handlers)*len(bodies))
		for _, key := range []string{"", testKey + "\n", "Mid-client-secret"} {
			_, err := midhook.New(key, midhook.WithServerKey("x", "Mid-client-secret"), midhook.WithServerKey("x", otherKey+" "))
			fmt.Fprintln(&out, err)
		}
		for _, body := range bodies {
			n, err := midhook.Parse(body)
			fmt.Fprintln(&out, n, err, midhook.Verify(n, otherKey))
		}
		out.WriteString(logs.logged())
	})
	for _, forbidden := range []string{
		"secret", testKey, otherKey, "Mid-client",
		midhooktest.Sign(sample(), testKey)[:16], midhooktest.Sign(sample(), otherKey)[:16],
		midhooktest.Sign(midhooktest.Sample("pay-account-enabled"), testKey)[:16],
	} {
		if at := strings.Index(strings.ToLower(out.String()), strings.ToLower(forbidden)); at >= 0 {
			t.Errorf("%q came out: …%s…", forbidden, out.String()[max(0, at-200):min(out.Len(), at+50)])
		}
	}
}

// What a merchant must look at stands out.
func TestWhatStandsOut(t *testing.T) {
	status := midhooktest.Status
	for name, tt := range map[string]struct {
		body []byte
		do   http.HandlerFunc
		want []string
	}{
		"forged":         {body: midhooktest.Sample("gopay").Raw(), want: []string{"level=WARN", "forged"}},
		"edited":         {body: notify("gopay", status("201", "settlement")), want: []string{"level=ERROR", "unconfirmed"}},
		"challenge":      {body: notify("credit-card", status("201", "capture"), midhooktest.Fraud("challenge")), want: []string{"level=WARN", "fraud screening challenges"}},
		"denied":         {body: notify("credit-card", status("202", "deny"), midhooktest.Fraud("deny")), want: []string{"level=WARN", "fraud screening denied"}},
		"reversal":       {body: notify("permata-va", status("202", "deny")), want: []string{"level=WARN", "reversed"}},
		"chargeback":     {body: notify("credit-card", status("200", "chargeback")), want: []string{"level=WARN", "charged the payment back"}},
		"login redirect": {body: notify("gopay"), do: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) }, want: []string{"level=ERROR", "handler_redirected"}},
		"paid":           {body: notify("gopay"), want: []string{"level=INFO", "handled"}},
	} {
		t.Run(name, func(t *testing.T) {
			hook, rec := newHook(t)
			hook.Handler(&counter{do: tt.do}).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(tt.body)))
			for _, want := range tt.want {
				assert.Contains(t, rec.logged(), want)
			}
		})
	}
}

// A flood of forgeries does not flood the log, hides nothing else, and is
// counted.
func TestFloodIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook, rec := newHook(t)
		h := hook.Handler(&counter{})
		forged, edited := midhooktest.Sample("gopay").Raw(), notify("gopay", midhooktest.Status("201", "settlement"))
		send := func(body []byte) {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body)))
		}
		for range 1000 {
			send(forged)
		}
		assert.Equal(t, 10, strings.Count(rec.logged(), "midhook: forged"))
		send(edited)
		assert.Equal(t, 1, strings.Count(rec.logged(), "midhook: unconfirmed"))
		time.Sleep(11 * time.Second)
		send(forged)
		assert.Equal(t, 11, strings.Count(rec.logged(), "midhook: forged"))
		assert.Contains(t, rec.logged(), "suppressed=990")
		assert.Len(t, rec.outcomes(), 1002, "the observer sees each")
	})
}

// An observer or a log that panics does the delivery no harm.
func TestObserverPanics(t *testing.T) {
	hook, rec := newHook(t, midhook.WithObserver(func(context.Context, midhook.Event) { panic("observer") }))
	next := &counter{}
	for range 2 {
		w := httptest.NewRecorder()
		hook.Handler(next).ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
		assert.Equal(t, 200, w.Code)
	}
	assert.Equal(t, int64(1), next.runs.Load())
	assert.Contains(t, rec.logged(), "panic in an observer")

	hook, err := midhook.New(testKey, midhook.WithLogger(slog.New(panicking{})))
	require.NoError(t, err)
	w := httptest.NewRecorder()
	hook.Handler(next).ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
	assert.Equal(t, 200, w.Code)
}

type panicking struct{ slog.Handler }

func (panicking) Enabled(context.Context, slog.Level) bool  { return true }
func (panicking) Handle(context.Context, slog.Record) error { panic("log") }

// The default logger is the program's.
func TestDefaultLogger(t *testing.T) {
	before := slog.Default()
	defer slog.SetDefault(before)
	rec := &recorder{}
	slog.SetDefault(slog.New(slog.NewTextHandler(rec, nil)))
	hook, err := midhook.New(testKey)
	require.NoError(t, err)
	hook.Handler(&counter{}).ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
	assert.Contains(t, rec.logged(), "midhook: handled")
}

// Outcomes have names of their own, fit for a metric's label.
func TestOutcomeNames(t *testing.T) {
	seen := map[string]bool{}
	for o := midhook.OutcomeHandled; !strings.HasPrefix(o.String(), "Outcome("); o++ {
		assert.Regexp(t, `^[a-z_]+$`, o.String())
		assert.False(t, seen[o.String()], "%s is taken", o)
		seen[o.String()] = true
	}
	assert.Contains(t, seen, "late_failed")
	assert.Equal(t, "Outcome(0)", midhook.Outcome(0).String())
	assert.Equal(t, "Outcome(-1)", midhook.Outcome(-1).String())
	_, err := io.WriteString(io.Discard, fmt.Sprint(midhook.Event{}))
	assert.NoError(t, err, "the zero Event prints")
}

// Rule: several observers are each called, whatever one of them does.
func TestSeveralObservers(t *testing.T) {
	var calls []string
	hook, _ := newHook(t,
		midhook.WithObserver(func(context.Context, midhook.Event) { calls = append(calls, "first"); panic("observer") }),
		midhook.WithObserver(func(context.Context, midhook.Event) { calls = append(calls, "second") }))
	w := httptest.NewRecorder()
	hook.Handler(&counter{}).ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
	assert.Equal(t, 200, w.Code)
	assert.Equal(t, []string{"first", "second"}, calls)
}

// Rule: no panic of a log handler ends the process, also on a timer's goroutine.
func TestLoggerPanicsBesideTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := &spyStore{Store: midhook.NewLRUStore(10)}
		lost.acquire = func(ctx context.Context, c midhook.Claim) (midhook.ClaimState, error) {
			if len(lost.calls) > 1 {
				return midhook.InFlight, nil // the store has failed over: another delivery has the claim
			}
			return lost.Store.Acquire(ctx, c)
		}
		hook, err := midhook.New(testKey, midhook.WithStore(lost), midhook.WithLogger(slog.New(panicking{})))
		require.NoError(t, err)
		hook.HandlerFunc(func(context.Context, *midhook.Notification) error { time.Sleep(time.Minute); return nil }).
			ServeHTTP(httptest.NewRecorder(), midhooktest.NewRequest(midhooktest.Sample("gopay"), testKey))
		assert.Contains(t, lost.calls, "finish")
	})
}
