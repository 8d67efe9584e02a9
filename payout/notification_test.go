package payout_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/payout"
)

// Rule: every field that Midtrans documents is read.
func TestParseFields(t *testing.T) {
	n := parse(t, failed)
	assert.Equal(t, payout.Payout, n.Kind())
	assert.Equal(t, "83hgf882", n.ReferenceNo)
	assert.Equal(t, "154600.0", n.Amount)
	assert.Equal(t, payout.StatusFailed, n.Status)
	assert.Equal(t, "2026-01-02T02:00:10Z", n.UpdatedAt)
	assert.Equal(t, "017", n.ErrorCode)
	assert.Equal(t, "closed: name-secret", n.ErrorMessage)

	n = parse(t, topUp)
	assert.Equal(t, payout.TopUp, n.Kind())
	assert.Equal(t, "9a1f2d4e-0000-4000-8000-0123456789ab", n.TransactionID)
	assert.Equal(t, "topup-1", n.OrderID)
	assert.Equal(t, "5000000.00", n.GrossAmount)
	assert.Equal(t, payout.StatusTopUp, n.Status)
	assert.Equal(t, "2026-01-01T16:12:44Z", n.TransactionTime)
}

// Rule: strict where two events could be taken for one, tolerant of everything
// else. Errors name field and rule, never a value.
func TestParse(t *testing.T) {
	for _, c := range []struct {
		name string
		body string
		err  string // behind "malformed notification: "; "" for none
	}{
		{"approved", approved, ""},
		{"processed", processed, ""},
		{"completed", completed, ""},
		{"failed", failed, ""},
		{"rejected", rejected, ""},
		{"top-up", topUp, ""},
		{"unknown status", `{"reference_no":"secret","status":"held"}`, ""},
		{"unknown status of a top-up", `{"order_id":"secret","status":"topup_reversed"}`, ""},
		{"no updated_at", `{"reference_no":"secret","status":"completed"}`, ""},
		{"updated_at null", `{"reference_no":"secret","status":"completed","updated_at":null}`, ""},
		{"updated_at empty", `{"reference_no":"secret","status":"completed","updated_at":""}`, ""},
		{"numbers", `{"reference_no":17,"status":"completed","updated_at":1767258764}`, ""},
		{"the other kind's ids empty", `{"reference_no":"secret","status":"completed","order_id":"","transaction_id":null}`, ""},
		{"top-up by transaction_id alone", `{"transaction_id":"secret","status":"topup"}`, ""},
		{"top-up by order_id alone", `{"order_id":"secret","status":"topup","reference_no":""}`, ""},
		{"other fields of any type", `{"reference_no":"secret","status":"failed","amount":{},"error_code":[1],"error_message":true,"new":{"a":[]}}`, ""},

		{"nothing", ``, "not one JSON object"},
		{"null", `null`, "not one JSON object"},
		{"array", `[` + completed + `]`, "not one JSON object"},
		{"string", `"secret"`, "not one JSON object"},
		{"cut off", completed[:40], "not one JSON object"},
		{"two objects", completed + completed, "not one JSON object"},
		{"form", `reference_no=secret&status=completed`, "not one JSON object"},
		{"a name twice", `{"status":"failed","reference_no":"secret","status":"completed"}`, "a name is given twice"},
		{"a name twice, escaped", `{"status":"failed","reference_no":"secret","st\u0061tus":"completed"}`, "a name is given twice"},
		{"empty object", `{}`, "status must be a non-empty string"},
		{"no status", `{"reference_no":"secret"}`, "status must be a non-empty string"},
		{"status empty", `{"reference_no":"secret","status":""}`, "status must be a non-empty string"},
		{"status null", `{"reference_no":"secret","status":null}`, "status must be a non-empty string"},
		{"status of another type", `{"reference_no":"secret","status":["completed"]}`, "status must be a string"},
		{"status in another case of its name", `{"reference_no":"secret","Status":"completed"}`, "a name differs"},
		{"no reference_no", `{"status":"completed"}`, "reference_no must be a non-empty string"},
		{"reference_no empty", `{"reference_no":"","status":"completed"}`, "reference_no must be a non-empty string"},
		{"reference_no null", `{"reference_no":null,"status":"secret"}`, "reference_no must be a non-empty string"},
		{"reference_no of another type", `{"reference_no":{"a":"secret"},"status":"completed"}`, "reference_no must be a string"},
		{"reference_no of another type beside an order_id", `{"reference_no":false,"order_id":"secret","status":"held"}`, "reference_no must be a string"},
		{"payout under a top-up's id", `{"order_id":"secret","status":"completed"}`, "reference_no must be a non-empty string"},
		{"updated_at of another type", `{"reference_no":"secret","status":"completed","updated_at":{"secret":1}}`, "updated_at must be a string"},
		{"top-up without ids", `{"status":"topup","gross_amount":"1"}`, "transaction_id or order_id must be a non-empty string"},
		{"top-up under a payout's id", `{"reference_no":"secret","status":"topup"}`, "transaction_id or order_id must be a non-empty string"},
		{"order_id of another type", `{"transaction_id":"secret","order_id":["secret"],"status":"topup"}`, "order_id must be a string"},
		{"transaction_id of another type", `{"transaction_id":true,"order_id":"secret","status":"topup"}`, "transaction_id must be a string"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, err := payout.Parse([]byte(c.body))
			if c.err == "" {
				require.NoError(t, err)
				assert.Equal(t, c.body, string(n.Raw()))
				return
			}
			assert.Nil(t, n)
			assert.ErrorIs(t, err, midhook.ErrMalformed)
			assert.ErrorContains(t, err, "malformed notification: "+c.err)
			assert.NotContains(t, err.Error(), "secret")
		})
	}
}

// Rule: statuses are lower-cased, and an unknown one is handed on as it is.
func TestStatus(t *testing.T) {
	for given, want := range map[string]payout.Status{
		"approved": payout.StatusApproved, "REJECTED": payout.StatusRejected, "Processed": payout.StatusProcessed,
		"Completed": payout.StatusCompleted, "FAILED": payout.StatusFailed, "On_Hold": "on_hold",
	} {
		n := parse(t, `{"reference_no":"r","status":"`+given+`"}`)
		assert.Equal(t, want, n.Status)
		assert.Equal(t, payout.Payout, n.Kind())
	}
	assert.Equal(t, payout.StatusTopUp, parse(t, `{"order_id":"o","status":"TopUp"}`).Status)
}

// Rule: the status tells the kind; where it is unknown, the ids do.
func TestKind(t *testing.T) {
	for _, c := range []struct {
		n    payout.Notification
		want payout.Kind
	}{
		{payout.Notification{}, payout.Payout},
		{payout.Notification{ReferenceNo: "r", Status: payout.StatusCompleted}, payout.Payout},
		{payout.Notification{ReferenceNo: "r", OrderID: "o", Status: payout.StatusCompleted}, payout.Payout},
		{payout.Notification{ReferenceNo: "r", OrderID: "o", Status: "held"}, payout.Payout},
		{payout.Notification{ReferenceNo: "r", OrderID: "o", Status: payout.StatusTopUp}, payout.TopUp},
		{payout.Notification{OrderID: "o", Status: "TOPUP"}, payout.TopUp},
		{payout.Notification{OrderID: "o", Status: "held"}, payout.TopUp},
		{payout.Notification{TransactionID: "t", Status: "held"}, payout.TopUp},
		{payout.Notification{TransactionID: "t", Status: "Failed"}, payout.Payout},
	} {
		assert.Equal(t, c.want, c.n.Kind(), "%v", c.n)
	}
}

// Rule: the body is the caller's to change before and after, and the notification
// does not change with it.
func TestRawIsACopy(t *testing.T) {
	body := []byte(completed)
	n, err := payout.Parse(body)
	require.NoError(t, err)
	clear(body)
	clear(n.Raw())
	assert.Equal(t, completed, string(n.Raw()))
	assert.Equal(t, "83hgf882", n.ReferenceNo)
	assert.Nil(t, (&payout.Notification{}).Raw())
}

// Rule: what has no field, or does not fit it, is in Extra.
func TestExtra(t *testing.T) {
	n := parse(t, `{"reference_no":"r","status":"failed","amount":{"value":1},"beneficiary": {"a" :[1]},"note":null}`)
	for _, c := range []struct {
		name, want string
		ok         bool
	}{
		{"beneficiary", `{"a" :[1]}`, true},
		{"amount", `{"value":1}`, true},
		{"note", `null`, true},
		{"reference_no", "", false},
		{"absent", "", false},
	} {
		got, ok := n.Extra(c.name)
		assert.Equal(t, c.ok, ok, c.name)
		assert.Equal(t, c.want, string(got), c.name)
	}
	_, ok := (&payout.Notification{}).Extra("a")
	assert.False(t, ok)
}

// Rule: whatever comes, Parse refuses it as malformed, or reads an event that has
// an id and a status, and that is the same event however its JSON is written.
func FuzzParse(f *testing.F) {
	for _, body := range []string{approved, processed, completed, failed, rejected, topUp, `null`, `{}`, ``,
		`{"reference_no":1e3,"status":"HELD","updated_at":{}}`, `{"order_id":"o","status":"x","amount":1.005}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		n, err := payout.Parse(body)
		if err != nil {
			require.Nil(t, n)
			require.True(t, errors.Is(err, midhook.ErrMalformed))
			return
		}
		require.Equal(t, body, n.Raw())
		require.NotEmpty(t, n.Status)
		require.NotEmpty(t, n.ReferenceNo+n.TransactionID+n.OrderID)
		require.Len(t, n.IdempotencyKey(), 64)
		if v, err := n.Hundredths(); err == nil {
			require.GreaterOrEqual(t, v, int64(0))
		}
		printed, err := n.MarshalJSON()
		require.NoError(t, err)
		require.True(t, json.Valid(printed))

		var indented bytes.Buffer
		require.NoError(t, json.Indent(&indented, body, "", "\t"))
		again, err := payout.Parse(indented.Bytes())
		require.NoError(t, err)
		require.Equal(t, n.IdempotencyKey(), again.IdempotencyKey())
		require.Equal(t, n.Status, again.Status)
	})
}

// Rule: unmarshalling is parsing. What was marshalled is a summary, so that it is
// refused instead of giving a husk, whatever it is a part of; the body comes through.
func TestUnmarshal(t *testing.T) {
	for _, body := range []string{approved, processed, completed, failed, rejected, topUp, `{"reference_no":"a","status":"x"}`} {
		n := parse(t, body)
		var again payout.Notification
		require.NoError(t, json.Unmarshal([]byte(body), &again))
		assert.Equal(t, *n, again)
		assert.Equal(t, body, string(again.Raw()))

		for _, v := range []any{n, *n} {
			marshalled, err := json.Marshal(v)
			require.NoError(t, err)
			assert.ErrorIs(t, json.Unmarshal(marshalled, &again), midhook.ErrMalformed)
			_, err = payout.Parse(marshalled)
			assert.ErrorIs(t, err, midhook.ErrMalformed)
		}
		job, err := json.Marshal(struct{ N *payout.Notification }{n})
		require.NoError(t, err)
		assert.ErrorIs(t, json.Unmarshal(job, &struct{ N *payout.Notification }{}), midhook.ErrMalformed)
		assert.Equal(t, *n, again, "what is refused changes nothing")
	}
	assert.ErrorIs(t, json.Unmarshal([]byte(`{"reference_no":"a"}`), new(payout.Notification)), midhook.ErrMalformed)
}

// Rule: a name that other readers take for a field's (encoding/json and what binds
// with it fold the case of letters, and the last one wins) makes a body malformed.
func TestNamesThatFold(t *testing.T) {
	for _, name := range []string{"Reference_No", "reference_No", "STATUS", "ſtatus", "Updated_at", "Amount", "Order_ID", "transaction_Id"} {
		for _, body := range []string{completed, topUp} {
			_, err := payout.Parse([]byte(strings.Replace(body, "{", `{"`+name+`":"x",`, 1)))
			assert.ErrorIs(t, err, midhook.ErrMalformed, name)
			_, err = payout.Parse([]byte(strings.TrimSuffix(body, "}") + `,"` + name + `":"x"}`))
			assert.ErrorIs(t, err, midhook.ErrMalformed, name)
		}
	}
	_, err := payout.Parse([]byte(strings.Replace(completed, "{", `{"metadata":{"Status":1,"STATUS":2},"Reference":"x",`, 1)))
	assert.NoError(t, err, "a merchant's own names, and those of no field")
}
