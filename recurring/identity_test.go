package recurring_test

import (
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/recurring"
)

const (
	stableCreated = "6aca79fb7d33a6328594696d60d37eac71c0937351c63d72649c3754ae4dd30d"
	stableCharged = "2342b178165c71edc5f6ffcfee044cd1ba44bc34e64f6a6264bd86c186489ff0"
	stableFailed  = "ba71b1658892b717ebea5c9ec584a8628ed26e620808e12a1d5f6852342a5a59"
)

// keyOf is the IdempotencyKey of what a body becomes.
func keyOf(t testing.TB, api *fakeAPI, body string) string {
	t.Helper()
	msg := confirm(t, api, body)
	n, ok := msg.Value.(*recurring.Notification)
	require.True(t, ok)
	assert.Equal(t, msg.Key, n.IdempotencyKey())
	return msg.Key
}

func confirm(t testing.TB, api *fakeAPI, body string) midhook.Message {
	t.Helper()
	g, err := recurring.New(testKey, 1e6, 100, recurring.WithHTTPClient(&http.Client{Transport: api}))
	require.NoError(t, err)
	msg, err := g.Open(nil, []byte(body))
	require.NoError(t, err)
	msg, err = g.Authenticate(t.Context(), msg)
	require.NoError(t, err)
	return msg
}

// Rule: the keys stay the same in later versions, for they are in merchants'
// unique indexes.
func TestIdempotencyKeyIsStable(t *testing.T) {
	api := newAPI()
	assert.Equal(t, stableCreated, keyOf(t, api, subscription()))
	assert.Equal(t, stableCharged, keyOf(t, api, documented))
	assert.Equal(t, stableFailed, keyOf(t, api, failed("411")))
}

// Rule: one event in two shapes is one event.
func TestShapesAgree(t *testing.T) {
	api := newAPI()
	assert.Equal(t, keyOf(t, api, documented), keyOf(t, api, payment("capture", testKey)))
	assert.Equal(t, confirm(t, api, documented).Subject, confirm(t, api, payment("capture", testKey)).Subject)
}

// Rule: no other gateway's events in the same store are these.
func TestEventsAreOnesOwn(t *testing.T) {
	msg := confirm(t, newAPI(), documented)
	payment := msg.Value.(*recurring.Notification).Transaction.Message("")
	assert.NotEqual(t, payment.Key, msg.Key)
	assert.NotEqual(t, payment.Subject, msg.Subject)
	assert.Equal(t, payment.Stage, msg.Stage)
}

// Rule: what the API says tells events apart, not what was notified.
func TestEventsDiffer(t *testing.T) {
	edited := func(from, to string) *fakeAPI {
		api := newAPI()
		require.Contains(t, api.subscriptions[subID]+api.transactions[txID], from)
		api.subscriptions[subID] = strings.Replace(api.subscriptions[subID], from, to, 1)
		api.transactions[txID] = strings.Replace(api.transactions[txID], from, to, 1)
		return api
	}
	settled := newAPI()
	settled.transactions[txID] = transaction("settlement")
	one := newAPI()
	one.subscriptions[subID] = subscription(listing(txID))
	for _, test := range []struct {
		name string
		body string
		api  *fakeAPI
		same bool
	}{
		{"charge, later status", documented, settled, false},
		{"charge, disabled since", documented, edited("active", "inactive"), true},
		{"charge, next interval", documented, edited(`"current_interval":1`, `"current_interval":2`), true},
		{"creation, disabled since", subscription(), edited("active", "inactive"), false},
		{"creation, dearer since", subscription(), edited(`"amount":"14000"`, `"amount":"15000"`), false},
		{"creation, charged since", subscription(), edited(`"current_interval":1`, `"current_interval":2`), true},
		{"failure, disabled since", failed("411"), edited("active", "inactive"), false},
		{"failure, next interval", failed("411"), edited(`"current_interval":1`, `"current_interval":2`), false},
		{"failure, tried again", failed("411"), edited("2022-11-26", "2022-11-27"), false},
		{"failure, charged since", failed("411"), one, false},
		{"failure, renamed since", failed("411"), edited(name, "other"), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.same, keyOf(t, newAPI(), test.body) == keyOf(t, test.api, test.body))
		})
	}
	assert.Equal(t, keyOf(t, newAPI(), subscription()), keyOf(t, newAPI(), subscription(`"note":"x"`)), "nothing of the body is in the event")
	assert.Equal(t, keyOf(t, newAPI(), documented), keyOf(t, newAPI(), charge(subID, txID, "pending")))
}

// Rule: a stranger who knows a subscription makes no more events of it than there
// are documented codes, and one for all others.
func TestStrangersFailuresAreBounded(t *testing.T) {
	s := newShop(t, newAPI(), shopOptions{})
	for code := 100; code < 1000; code += 7 {
		if code/100 != 2 {
			require.Equal(t, http.StatusOK, s.post(failed(strconv.Itoa(code))).Code)
		}
	}
	for _, code := range []string{"402", "411", "500"} {
		require.Equal(t, http.StatusOK, s.post(failed(code)).Code)
	}
	assert.LessOrEqual(t, s.runs.Load(), int64(4))
	for range 10 {
		s.post(subscription())
		s.post(documented)
	}
	assert.LessOrEqual(t, s.runs.Load(), int64(6))
}

// Rule: an API that goes back to pending after the settlement runs nothing.
func TestSuperseded(t *testing.T) {
	api := newAPI()
	s := newShop(t, api, shopOptions{})
	api.change(func(a *fakeAPI) { a.transactions[txID] = transaction("settlement") })
	require.Equal(t, http.StatusOK, s.post(documented).Code)
	api.change(func(a *fakeAPI) { a.transactions[txID] = transaction("pending") })
	require.Equal(t, http.StatusOK, s.post(charge(subID, txID, "pending")).Code)
	assert.Equal(t, midhook.OutcomeSuperseded, s.last().Outcome)
	assert.EqualValues(t, 1, s.runs.Load())
}

// Rule: a payment's own notification in the same store does not suppress the
// charge, nor the other way round.
func TestSharedStore(t *testing.T) {
	store := midhook.NewLRUStore(100)
	s := newShop(t, newAPI(), shopOptions{hook: []midhook.Option{midhook.WithStore(store)}})
	payments, err := midhook.New(testKey, midhook.WithStore(store), midhook.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	runs := 0
	other := &shop{handler: payments.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { runs++ }))}
	require.Equal(t, http.StatusOK, other.post(payment("capture", testKey)).Code)
	require.Equal(t, http.StatusOK, s.post(payment("capture", testKey)).Code)
	assert.Equal(t, 1, runs)
	assert.EqualValues(t, 1, s.runs.Load())
}

// Rule: a failed charge that a stranger made up, who has no token, does not pre-empt
// Midtrans' own; nor does Midtrans' own come twice.
func TestMadeUpFailurePreemptsNothing(t *testing.T) {
	s := newShop(t, newAPI(), shopOptions{})
	genuine := failed("411")
	for _, made := range []string{
		strings.Replace(genuine, `,"token":"`+token+`"`, "", 1),
		strings.Replace(genuine, token, "481111token0000", 1),
		strings.Replace(genuine, token, "", 1),
	} {
		require.NotEqual(t, genuine, made)
		require.Equal(t, http.StatusOK, s.post(made).Code)
	}
	assert.EqualValues(t, 1, s.runs.Load(), "what strangers make up is one event")
	for range 2 {
		require.Equal(t, http.StatusOK, s.post(genuine).Code)
	}
	assert.EqualValues(t, 2, s.runs.Load())

	api := newAPI()
	api.subscriptions[subID] = strings.Replace(api.subscriptions[subID], `"token":"`+token+`",`, "", 1)
	assert.Equal(t, keyOf(t, api, genuine), keyOf(t, api, strings.Replace(genuine, token, "", 1)), "an API without tokens proves none")
}

// Rule: a subscription that is disabled, and enabled again, is handed on each time.
func TestSubscriptionAlternates(t *testing.T) {
	active := subscription(listing(txID))
	inactive := strings.Replace(active, `"active"`, `"inactive"`, 1)
	api := newAPI()
	s := newShop(t, api, shopOptions{})
	for i, answer := range []string{active, inactive, active, inactive} {
		api.change(func(a *fakeAPI) { a.subscriptions[subID] = answer })
		for range 2 {
			require.Equal(t, http.StatusOK, s.post(subscription()).Code)
		}
		assert.EqualValues(t, i+1, s.runs.Load())
	}
	other := confirm(t, newAPI(), documented)
	assert.NotEqual(t, other.Subject, confirm(t, newAPI(), subscription()).Subject)
	assert.False(t, other.Alternates)
}
