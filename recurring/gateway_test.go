package recurring_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/recurring"
)

func TestNew(t *testing.T) {
	for _, test := range []struct {
		name  string
		key   string
		limit rate.Limit
		burst int
		opts  []recurring.Option
		err   string // "" for none
	}{
		{"sandbox", "SB-Mid-server-test", 1, 1, nil, ""},
		{"production", "Mid-server-test", 0.5, 10, nil, ""},
		{"elsewhere", "of-no-known-shape", 1, 1, []recurring.Option{recurring.WithBaseURL("http://127.0.0.1:1")}, ""},
		{"rotation", "SB-Mid-server-test", 1, 1, []recurring.Option{recurring.WithServerKey("next", nextKey)}, ""},

		{"empty key", "", 1, 1, nil, `recurring: server key "default": the key is empty`},
		{"blank key", " \t", 1, 1, nil, `recurring: server key "default": the key is empty`},
		{"newline", testKey + "\n", 1, 1, nil, `recurring: server key "default": the key begins or ends with white space`},
		{"client key", "SB-Mid-client-test", 1, 1, nil, `recurring: server key "default": the key is of another kind (Midtrans client key, which is public): the Midtrans server key is required`},
		{"Iris key", "IRIS-test", 1, 1, nil, `recurring: server key "default": the key is of another kind (Midtrans Iris key): the Midtrans server key is required`},
		{"no environment", "of-no-known-shape", 1, 1, nil, `recurring: server key "default": its prefix tells neither sandbox nor production, a base URL is required`},
		{"no rate", testKey, 0, 1, nil, "recurring: rate 0: it must be positive and finite"},
		{"negative rate", testKey, -1, 1, nil, "recurring: rate -1: it must be positive and finite"},
		{"rate.Inf", testKey, rate.Inf, 1, nil, "recurring: rate 1.7976931348623157e+308: it must be positive and finite"},
		{"infinity", testKey, rate.Limit(math.Inf(1)), 1, nil, "recurring: rate +Inf: it must be positive and finite"},
		{"NaN", testKey, rate.Limit(math.NaN()), 1, nil, "recurring: rate NaN: it must be positive and finite"},
		{"no burst", testKey, 1, 0, nil, "recurring: burst 0: it must be positive"},
		{"nil option", testKey, 1, 1, []recurring.Option{nil}, "recurring: option 1 is nil"},
		{"nil client", testKey, 1, 1, []recurring.Option{recurring.WithHTTPClient(nil)}, "recurring: HTTP client: it must not be nil"},
		{"http to elsewhere", testKey, 1, 1, []recurring.Option{recurring.WithBaseURL("http://example.com")}, "recurring: base URL: an https URL (http to loopback only) without user, query or fragment is required"},
		{"label twice", testKey, 1, 1, []recurring.Option{recurring.WithServerKey("default", nextKey)}, `recurring: server key: there are two with the label "default"`},
		{"no label", testKey, 1, 1, []recurring.Option{recurring.WithServerKey("", nextKey)}, "recurring: server key: a label is required"},
		{"label and key exchanged", testKey, 1, 1, []recurring.Option{recurring.WithServerKey(nextKey, "next")}, "recurring: server key: the label looks like a key: the label comes first"},
		{"environments mixed", testKey, 1, 1, []recurring.Option{recurring.WithServerKey("live", "Mid-server-test")}, `recurring: server key "live": it is another environment's than the first`},
		{"everything at once", " ", rate.Inf, 0, []recurring.Option{nil, recurring.WithServerKey("next", "SB-Mid-client-test")},
			"recurring: server key \"default\": the key is empty\nrate 1.7976931348623157e+308: it must be positive and finite\nburst 0: it must be positive\noption 1 is nil\n" +
				"server key \"next\": the key is of another kind (Midtrans client key, which is public): the Midtrans server key is required"},
	} {
		t.Run(test.name, func(t *testing.T) {
			g, err := recurring.New(test.key, test.limit, test.burst, test.opts...)
			if test.err == "" {
				require.NoError(t, err)
				assertNothingSensitive(t, fmt.Sprintf("%v %+v %#v", g, g, g))
				return
			}
			assert.EqualError(t, err, test.err)
			assert.Nil(t, g)
		})
	}
}

func TestAnswer(t *testing.T) {
	g, err := recurring.New(testKey, 1, 1)
	require.NoError(t, err)
	for _, o := range []midhook.Outcome{midhook.OutcomeHandled, midhook.OutcomeContradicted, midhook.OutcomeRateLimited} {
		status, contentType, body := g.Answer(o)
		wantStatus, wantType, wantBody := midhook.PlainAnswer(o)
		assert.Equal(t, []any{wantStatus, wantType, wantBody}, []any{status, contentType, body})
	}
}

// Rule: Open asks nobody, and what it returns names no event, so that nothing can
// run for it.
func TestOpen(t *testing.T) {
	api := newAPI()
	g, err := recurring.New(testKey, 1, 1, recurring.WithServerKey("next", nextKey), recurring.WithHTTPClient(&http.Client{Transport: api}))
	require.NoError(t, err)
	for name, test := range map[string]struct {
		body, label string
		is          error
	}{
		"charge":                 {documented, "", nil},
		"creation":               {subscription(), "", nil},
		"failed charge":          {failed("411"), "", nil},
		"payment":                {payment("settlement", testKey), "default", nil},
		"payment, next key":      {payment("settlement", nextKey), "next", nil},
		"payment, another's key": {payment("settlement", "SB-Mid-server-other"), "", midhook.ErrSignature},
		"malformed":              {"{}", "", midhook.ErrMalformed},
		"empty":                  {"", "", midhook.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			msg, err := g.Open(nil, []byte(test.body))
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
				assert.Nil(t, msg.Value)
				return
			}
			require.NoError(t, err)
			assert.Empty(t, msg.Key)
			assert.Equal(t, test.label, msg.KeyLabel)
		})
	}
	assert.Zero(t, api.count())
}

// Rule: Authenticate takes what Open returned, and nothing else causes a call.
func TestAuthenticateRefuses(t *testing.T) {
	api := newAPI()
	g, err := recurring.New(testKey, 1, 10, recurring.WithHTTPClient(&http.Client{Transport: api}))
	require.NoError(t, err)
	var none *recurring.Notification
	for _, value := range []any{nil, "text", none, &recurring.Notification{}, &recurring.Notification{Subscription: recurring.Subscription{ID: subID}}} {
		_, err := g.Authenticate(context.Background(), midhook.Message{Value: value})
		assert.ErrorIs(t, err, midhook.ErrMalformed)
	}
	assert.Zero(t, api.count())

	opened, err := g.Open(nil, []byte(documented))
	require.NoError(t, err)
	msg, err := g.Authenticate(context.Background(), opened)
	require.NoError(t, err)
	calls := api.count()
	_, err = g.Authenticate(context.Background(), msg)
	assert.ErrorIs(t, err, midhook.ErrMalformed, "it is confirmed already")
	assert.Equal(t, calls, api.count())
}

// Rule: during a rotation the key that the API refuses costs one call more, once.
func TestRotation(t *testing.T) {
	api := newAPI()
	api.keys = []string{nextKey}
	s := newShop(t, api, shopOptions{gateway: []recurring.Option{recurring.WithServerKey("next", nextKey)}})

	require.Equal(t, http.StatusOK, s.post(subscription()).Code)
	assert.Equal(t, "next", s.last().KeyLabel)
	assert.Equal(t, 2, api.count())

	require.Equal(t, http.StatusOK, s.post(documented).Code)
	assert.Equal(t, "next", s.last().KeyLabel)
	assert.Equal(t, 4, api.count(), "the key that did is asked with first")

	api.change(func(a *fakeAPI) { a.keys = []string{testKey}; a.transactions[txID] = transaction("settlement") })
	require.Equal(t, http.StatusOK, s.post(payment("settlement", nextKey)).Code, "signed by a key that is no longer good for the API")
	assert.Equal(t, "default", s.last().KeyLabel)

	api.change(func(a *fakeAPI) { a.keys = nil })
	assert.Equal(t, http.StatusServiceUnavailable, s.post(failed("411")).Code)
	assert.ErrorIs(t, s.last().Err, midhook.ErrUnauthorized)
	assert.EqualValues(t, 3, s.runs.Load())
	assertNothingSensitive(t, s.printed())
}

func TestFromContext(t *testing.T) {
	_, ok := recurring.FromContext(context.Background())
	assert.False(t, ok)

	s := newShop(t, newAPI(), shopOptions{})
	s.do = func(ctx context.Context, n *recurring.Notification) error {
		found, ok := recurring.FromContext(ctx)
		if !ok || found != n {
			return errors.New("FromContext has another notification")
		}
		return nil
	}
	assert.Equal(t, http.StatusOK, s.post(documented).Code)
	assert.EqualValues(t, 1, s.runs.Load())
}

// labelled wraps the gateway by its own type, and has all of its methods.
type labelled struct{ *recurring.Gateway }

func (labelled) Name() string { return "labelled" }

// counting wraps any gateway, and so has lost Authenticate.
type counting struct {
	midhook.Gateway
	opened *int
}

func (c counting) Open(header http.Header, body []byte) (midhook.Message, error) {
	*c.opened++
	return c.Gateway.Open(header, body)
}

// Rule: a gateway that wraps this one either asks the API or runs nothing, a signed
// body included: the signature covers neither the subscription nor the status.
func TestEmbedded(t *testing.T) {
	api := newAPI()
	g, err := recurring.New(testKey, 1e6, 100, recurring.WithHTTPClient(&http.Client{Transport: api}))
	require.NoError(t, err)
	opened, runs := 0, 0
	receive := func(g midhook.Gateway, body string, opts ...midhook.Option) *httptest.ResponseRecorder {
		hook, err := midhook.NewFor(g, append(opts, midhook.WithLogger(slog.New(slog.DiscardHandler)))...)
		require.NoError(t, err)
		h := midhook.HandleValue(hook, func(_ context.Context, n *recurring.Notification) error {
			runs++
			assert.True(t, n.Confirmed())
			return nil
		})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
		return w
	}
	for i, body := range []string{subscription(), documented, failed("411"), charge(subID, txID, "settlement"), payment("capture", testKey), payment("settlement", testKey)} {
		w := receive(counting{g, &opened}, body, midhook.WithStore(untouched{t}))
		assert.Equal(t, http.StatusBadRequest, w.Code)
		assert.Equal(t, i+1, opened)
		assert.Zero(t, runs)
		assert.Zero(t, api.count())
	}
	assert.Equal(t, http.StatusOK, receive(labelled{g}, documented).Code)
	assert.Equal(t, 1, runs)
	assert.Equal(t, 2, api.count())
}
