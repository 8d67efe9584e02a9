package recurring_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/recurring"
)

// documented is the sample of a charge in Midtrans' documentation.
const documented = `{"transaction":{"transaction_status":"capture","transaction_id":"2dd96707-8969-4930-9afa-74343b9e2042","status_code":"200","channel_response_message":"Approved","channel_response_code":"0"},"subscription":{"token":"48111111JMUIocDPQoVTfKUhpNKX1114","status":"active","schedule":{"start_time":"2022-10-26T09:59:00.000000Z","next_execution_at":"2022-11-26T09:59:00.000000Z","interval_unit":"month","interval":1,"current_interval":1},"payment_type":"credit_card","name":"SUBSCRIBE-1666778331","metadata":{"meta":"data"},"merchant_id":"M099098","id":"db516f5c-4acf-4f67-ac75-bb8428b58633","customer_details":{"first_name":"John"},"currency":"IDR","amount":"14000"},"event_name":"subscription.charge"}`

func TestParse(t *testing.T) {
	t.Run("charge", func(t *testing.T) {
		n, err := recurring.Parse([]byte(documented))
		require.NoError(t, err)
		assert.Equal(t, recurring.Charged, n.Kind())
		assert.Equal(t, subID, n.Subscription.ID)
		assert.Equal(t, "14000", n.Subscription.Amount)
		assert.Equal(t, recurring.Schedule{
			Interval: 1, IntervalUnit: "month", CurrentInterval: 1,
			StartTime: "2022-10-26T09:59:00.000000Z", NextExecutionAt: "2022-11-26T09:59:00.000000Z",
		}, n.Subscription.Schedule)
		assert.JSONEq(t, `{"meta":"data"}`, string(n.Subscription.Metadata))
		assert.Equal(t, txID, n.Transaction.TransactionID)
		assert.Equal(t, midhook.StatusCapture, n.Transaction.TransactionStatus)
		assert.Equal(t, documented, string(n.Raw()))
		extra, ok := n.Extra("customer_details")
		assert.True(t, ok)
		assert.JSONEq(t, `{"first_name":"John"}`, string(extra))
	})
	t.Run("creation", func(t *testing.T) {
		n, err := recurring.Parse([]byte(subscription()))
		require.NoError(t, err)
		assert.Equal(t, recurring.Created, n.Kind())
		assert.Equal(t, subID, n.Subscription.ID)
		assert.Equal(t, "active", n.Subscription.Status)
		assert.Nil(t, n.Transaction)
		_, ok := n.Extra("customer_details")
		assert.True(t, ok)
	})
	t.Run("failed charge", func(t *testing.T) {
		for _, code := range []string{"411", "402", "500"} {
			n, err := recurring.Parse([]byte(failed(code)))
			require.NoError(t, err)
			assert.Equal(t, recurring.ChargeFailed, n.Kind())
			assert.Nil(t, n.Transaction)
			given, message := n.Failure()
			assert.Equal(t, code, given)
			assert.Equal(t, "Token id is missing, invalid, or timed out", message)
		}
	})
	t.Run("signed payment", func(t *testing.T) {
		n, err := recurring.Parse([]byte(payment("settlement", testKey)))
		require.NoError(t, err)
		assert.Equal(t, recurring.Charged, n.Kind())
		assert.Equal(t, subID, n.Subscription.ID)
		assert.Equal(t, orderID, n.Transaction.OrderID)
	})
	t.Run("proves nothing", func(t *testing.T) {
		n, err := recurring.Parse([]byte(payment("settlement", testKey)))
		require.NoError(t, err)
		assert.False(t, n.Confirmed())
		assert.False(t, n.Paid())
		assert.Same(t, n, n.Notified())
		assert.Empty(t, n.IdempotencyKey(), "an event is made of what the API says")
	})
}

var malformed = map[string]string{
	"empty":                     "",
	"null":                      "null",
	"a list":                    "[]",
	"text":                      "subscription",
	"two objects":               subscription() + "{}",
	"empty object":              "{}",
	"twice the same name":       `{"id":"` + subID + `","id":"` + subID + `"}`,
	"no id":                     `{"name":"A","status":"active"}`,
	"id is null":                `{"id":null}`,
	"id is empty":               `{"id":""}`,
	"id is an object":           `{"id":{"a":1}}`,
	"id leads elsewhere":        `{"id":"../../v2/x"}`,
	"id of dots":                `{"id":".."}`,
	"id with a query":           `{"id":"a?b=c"}`,
	"id with a slash":           `{"id":"a\/b"}`,
	"id with a newline":         `{"id":"a\nb"}`,
	"id beyond ASCII":           `{"id":"ä"}`,
	"id too long":               `{"id":"` + strings.Repeat("a", 65) + `"}`,
	"charge, no subscription":   `{"transaction":{"transaction_id":"` + txID + `"}}`,
	"charge, bad subscription":  charge("a b", txID, "capture"),
	"charge, bad transaction":   charge(subID, "../x", "capture"),
	"charge of nothing":         `{"transaction":{},"subscription":{"id":"` + subID + `"}}`,
	"charge, no transaction":    `{"subscription":{"id":"` + subID + `"},"event_name":"subscription.charge"}`,
	"charge is text":            `{"transaction":"x","subscription":"y"}`,
	"failure that succeeded":    failed("200"),
	"failure of no code":        `{"transaction":{"status_code":"4a1"},"subscription":{"id":"` + subID + `"}}`,
	"payment, no subscription":  transaction("settlement"),
	"payment, no transaction":   `{"order_id":"A","status_code":"200","gross_amount":"1.00","subscription_id":"` + subID + `"}`,
	"payment, amount":           `{"order_id":"A","status_code":"200","gross_amount":"1","subscription_id":"` + subID + `","transaction_id":"x"}`,
	"payment, bad subscription": `{"order_id":"A","status_code":"200","gross_amount":"1.00","subscription_id":"a/b","transaction_id":"x"}`,
}

func TestParseMalformed(t *testing.T) {
	for name, body := range malformed {
		t.Run(name, func(t *testing.T) {
			n, err := recurring.Parse([]byte(body))
			require.ErrorIs(t, err, midhook.ErrMalformed)
			assert.Nil(t, n)
			assert.NotContains(t, err.Error(), "x\"", "an error quotes nothing")
			assert.NotContains(t, err.Error(), "..")
		})
	}
}

// Rule: what Midtrans varies, or adds one day, refuses nothing.
func TestParseTolerates(t *testing.T) {
	for name, body := range map[string]string{
		"fields of other types": `{"id":"` + subID + `","amount":14000,"schedule":"monthly","metadata":[1],"token":null,"name":{}}`,
		"a number for an id":    `{"id":17}`,
		"new fields":            subscription(`"gopay":{"account_id":"x"}`, `"new":[{}]`),
		"another event":         strings.Replace(documented, "subscription.charge", "subscription.renewed", 1),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := recurring.Parse([]byte(body))
			assert.NoError(t, err)
		})
	}
}

func TestHundredths(t *testing.T) {
	for amount, want := range map[string]int64{"14000": 1400000, "14000.00": 1400000, "0": 0, "0.05": 5, "1": 100} {
		got, err := recurring.Subscription{Amount: amount}.Hundredths()
		assert.NoError(t, err)
		assert.Equal(t, want, got, amount)
	}
	for _, amount := range []string{"", "-1", "+1", "1e4", "14.000", "14,000", "014000", "1.5", ".50", "1.", " 1", "99999999999999999999"} {
		_, err := recurring.Subscription{Amount: amount}.Hundredths()
		assert.Error(t, err, amount)
	}
}

// inEveryForm prints v in every way there is.
func inEveryForm(v any) string {
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&b, verb+"\n", v)
	}
	text, err := json.Marshal(v)
	fmt.Fprintf(&b, "%s %v\n", text, err)
	slog.New(slog.NewTextHandler(&b, nil)).Info("text", "v", v)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("json", "v", v)
	return b.String()
}

func assertNothingSensitive(t testing.TB, printed string) {
	t.Helper()
	for _, secret := range []string{
		testKey, nextKey, token, "48111111JMUI", name, "SUBSCRIBE-", customer, "John", phone, "481111-1114",
		"U0ItTWlk", // testKey in Basic authentication
		"Token id is missing",
	} {
		assert.NotContains(t, printed, secret)
	}
	for i := range len(printed) - 128 {
		if strings.Trim(printed[i:i+128], "0123456789abcdef") == "" {
			t.Errorf("a digest was printed: %s", printed[i:i+128])
			return
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, body := range malformed {
		f.Add([]byte(body))
	}
	for _, body := range []string{documented, subscription(listing(txID)), failed("402"), payment("pending", testKey)} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		n, err := recurring.Parse(body)
		require.Equal(t, before, body)
		if err != nil {
			require.ErrorIs(t, err, midhook.ErrMalformed)
			require.Nil(t, n)
			return
		}
		require.Regexp(t, `^[0-9A-Za-z_-]{1,64}$`, n.Subscription.ID)
		require.False(t, n.Confirmed())
		require.Empty(t, n.IdempotencyKey())
		require.Equal(t, n.Kind() == recurring.Charged, n.Transaction != nil)
		if n.Transaction != nil {
			require.Regexp(t, `^[0-9A-Za-z_-]{1,64}$`, n.Transaction.TransactionID)
		}
		if token := n.Subscription.Token; len(token) > 20 && !strings.Contains(n.Subscription.ID, token) {
			require.Equal(t, strings.Contains(visible(n), token), strings.Contains(fmt.Sprint(n), token))
		}
		n.Extra("customer_details")
		n.Failure()
	})
}

// visible is what a notification may show.
func visible(n *recurring.Notification) string {
	s := n.Subscription
	fields := []string{s.ID, s.Status, s.Amount, s.Currency, s.PaymentType}
	if n.Transaction != nil {
		tx := n.Transaction
		fields = append(fields, tx.OrderID, tx.TransactionID, string(tx.TransactionStatus), string(tx.FraudStatus), tx.StatusCode, tx.GrossAmount, tx.RefundAmount)
	}
	return fmt.Sprintf("%q", fields)
}

// Rule: unmarshalling is parsing. What was marshalled is a summary, so that it is
// refused instead of giving a husk, whatever it is a part of; the body comes through.
func TestUnmarshal(t *testing.T) {
	for _, body := range []string{subscription(), documented, charge(subID, txID, "capture"), failed("411"), payment("settlement", testKey)} {
		n, err := recurring.Parse([]byte(body))
		require.NoError(t, err)
		var again recurring.Notification
		require.NoError(t, json.Unmarshal([]byte(body), &again))
		assert.Equal(t, body, string(again.Raw()))
		assert.Equal(t, n.Kind(), again.Kind())
		assert.Equal(t, n.Subscription, again.Subscription)
		assert.False(t, again.Confirmed())

		marshalled, err := json.Marshal(n)
		require.NoError(t, err)
		assert.ErrorIs(t, json.Unmarshal(marshalled, &again), midhook.ErrMalformed, body)
		job, err := json.Marshal(struct{ N *recurring.Notification }{n})
		require.NoError(t, err)
		assert.ErrorIs(t, json.Unmarshal(job, &struct{ N *recurring.Notification }{}), midhook.ErrMalformed)
		assert.Equal(t, body, string(again.Raw()), "what is refused changes nothing")
	}

	s := newShop(t, newAPI(), shopOptions{})
	for _, body := range []string{subscription(), charge(subID, txID, "capture"), failed("411")} {
		require.Equal(t, http.StatusOK, s.post(body).Code)
	}
	for _, confirmed := range s.got {
		marshalled, err := json.Marshal(confirmed)
		require.NoError(t, err)
		assert.ErrorIs(t, json.Unmarshal(marshalled, new(recurring.Notification)), midhook.ErrMalformed)
	}
	require.Len(t, s.got, 3)
}

// Rule: a subscription is read as Midtrans writes it, and not from what was
// marshalled.
func TestUnmarshalSubscription(t *testing.T) {
	var s recurring.Subscription
	require.NoError(t, json.Unmarshal([]byte(subscription(listing(txID))), &s))
	assert.Equal(t, subID, s.ID)
	assert.Equal(t, token, s.Token)
	assert.Equal(t, "month", s.Schedule.IntervalUnit)
	assert.Equal(t, []string{txID}, s.TransactionIDs)
	marshalled, err := json.Marshal(s)
	require.NoError(t, err)
	for _, body := range []string{string(marshalled), `{}`, `7`, `{"id":"a","id":"b"}`} {
		before := s
		assert.ErrorIs(t, json.Unmarshal([]byte(body), &s), midhook.ErrMalformed, body)
		assert.Equal(t, before.ID, s.ID)
	}
}

// Rule: a name that other readers take for a field's (encoding/json and what binds
// with it fold the case of letters, and the last one wins) makes a body malformed.
func TestNamesThatFold(t *testing.T) {
	for _, body := range []string{subscription(), charge(subID, txID, "capture"), failed("411"), payment("settlement", testKey)} {
		_, err := recurring.Parse([]byte(body))
		require.NoError(t, err)
		twin := `"ID":"x"`
		switch {
		case strings.Contains(body, `"transaction":`):
			twin = `"Transaction":{}`
		case strings.Contains(body, "signature_key"):
			twin = `"Order_ID":"x"`
		}
		_, err = recurring.Parse([]byte(strings.TrimSuffix(body, "}") + "," + twin + "}"))
		assert.ErrorIs(t, err, midhook.ErrMalformed, twin)
	}
	for _, nested := range [][2]string{{`"transaction_id":`, `"Transaction_ID":"x","transaction_id":`}, {`"subscription":{`, `"subscription":{"ID":"x",`}} {
		_, err := recurring.Parse([]byte(strings.Replace(charge(subID, txID, "capture"), nested[0], nested[1], 1)))
		assert.ErrorIs(t, err, midhook.ErrMalformed, nested[1])
	}
	_, err := recurring.Parse([]byte(strings.Replace(subscription(), `"plan":"A"`, `"Plan":"B","plan":"A"`, 1)))
	assert.NoError(t, err, "a merchant's own names")
}
