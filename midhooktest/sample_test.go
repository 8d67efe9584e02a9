package midhooktest_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

func TestEverySampleIsASignedNotificationOnceSigned(t *testing.T) {
	for _, name := range midhooktest.Samples() {
		t.Run(name, func(t *testing.T) {
			n := midhooktest.Sample(name)
			if n.SignatureKey != "" {
				t.Error("a sample must carry no signature")
			}
			if midhook.Verify(n, key) == nil {
				t.Error("a sample must not verify before it is signed")
			}
			body := midhooktest.Body(n, key)
			got := parse(t, body)
			want := midhook.Payment
			if strings.HasPrefix(name, "pay-account-") {
				want = midhook.PayAccount
			}
			if got.Kind() != want {
				t.Errorf("kind is %v, want %v", got.Kind(), want)
			}
			if got.IdempotencyKey() != n.IdempotencyKey() {
				t.Error("signing must not change the event")
			}
			if again := midhooktest.Body(got, key); !bytes.Equal(again, body) {
				t.Errorf("signing again must give the same bytes:\n%s\n%s", body, again)
			}
			if midhook.Verify(got, key+"x") == nil {
				t.Error("another key must not verify")
			}
		})
	}
}

// Each sample has the status it is named for, and only those are paid whose
// money came in.
func TestSampleStatuses(t *testing.T) {
	unpaid := map[string]struct {
		code   string
		status midhook.TransactionStatus
	}{
		"authorize":                     {"200", midhook.StatusAuthorize},
		"cancel":                        {"202", midhook.StatusCancel},
		"chargeback":                    {"200", midhook.StatusChargeback},
		"credit-card-challenge":         {"201", midhook.StatusCapture},
		"credit-card-deny":              {"202", midhook.StatusDeny},
		"expire":                        {"202", midhook.StatusExpire},
		"failure":                       {"202", midhook.StatusFailure},
		"partial-chargeback":            {"200", midhook.StatusPartialChargeback},
		"partial-refund":                {"200", midhook.StatusPartialRefund},
		"partial-refund-bank-confirmed": {"200", midhook.StatusPartialRefund},
		"partial-refund-flat":           {"200", midhook.StatusPartialRefund},
		"pay-account-disabled":          {"204", ""},
		"pay-account-enabled":           {"200", ""},
		"pending":                       {"201", midhook.StatusPending},
		"refund":                        {"200", midhook.StatusRefund},
		"reversal":                      {"202", midhook.StatusDeny},
	}
	names := midhooktest.Samples()
	if !slices.IsSorted(names) {
		t.Errorf("Samples must be sorted: %q", names)
	}
	for _, name := range names {
		n := midhooktest.Sample(name)
		want, exists := unpaid[name]
		if n.Paid() == exists {
			t.Errorf("%s: Paid() is %v", name, n.Paid())
		}
		if exists && (n.StatusCode != want.code || n.TransactionStatus != want.status) {
			t.Errorf("%s: %s %s, want %s %s", name, n.StatusCode, n.TransactionStatus, want.code, want.status)
		}
		delete(unpaid, name)
	}
	if len(unpaid) > 0 {
		t.Errorf("no samples for %v", unpaid)
	}
}

// A test that sends all samples must not see one suppress another.
func TestSamplesAreDifferentEvents(t *testing.T) {
	events, subjects := map[string]string{}, map[string]string{}
	continues := map[string]string{
		"credit-card-challenge-accepted": "credit-card-challenge",
		"partial-refund-bank-confirmed":  "partial-refund",
		"reversal":                       "permata-va",
		"pay-account-enabled":            "pay-account-disabled",
	}
	for _, name := range midhooktest.Samples() {
		n := midhooktest.Sample(name)
		if other, exists := events[n.IdempotencyKey()]; exists {
			t.Errorf("%s and %s are one event", other, name)
		}
		events[n.IdempotencyKey()] = name
		subject := n.OrderID + " " + n.TransactionID + " " + n.AccountID
		if other, exists := subjects[subject]; exists && continues[name] != other && continues[other] != name {
			t.Errorf("%s and %s are of one order", other, name)
		}
		subjects[subject] = name
	}
}

func TestShapesThatDifferByMethod(t *testing.T) {
	if n := midhooktest.Sample("indomaret"); n.FraudStatus != "" || !n.Paid() {
		t.Error("Indomaret is not screened for fraud")
	}
	if n := midhooktest.Sample("mandiri-bill"); n.PaymentType != "echannel" || n.BillKey == "" {
		t.Error("a Mandiri bill is an echannel with a bill key")
	}
	if n := midhooktest.Sample("partial-refund-flat"); n.RefundKey == "" || n.RefundAmount == "" || len(n.Refunds) != 0 {
		t.Error("the flat refund has its key and amount at the top level alone")
	}
	if n := midhooktest.Sample("reversal"); n.SettlementTime == "" {
		t.Error("a reversal was settled before")
	}
	if n := midhooktest.Sample("dashboard-test"); !strings.HasPrefix(n.OrderID, "payment_notif_test_") {
		t.Error("the dashboard's test has an order_id of its own")
	}
	for _, bank := range []string{"bca", "bni", "bri", "cimb", "danamon", "bsi", "seabank", "saqu"} {
		if n := midhooktest.Sample(bank + "-va"); len(n.VANumbers) != 1 || n.VANumbers[0].Bank != bank {
			t.Errorf("%s: va_numbers is %d long", bank, len(n.VANumbers))
		}
	}
}

// A float64 would make 202502070943231230 of it.
func TestLargeNumbersSurvive(t *testing.T) {
	const id = "202502070943231234"
	n := midhooktest.Sample("partial-refund-bank-confirmed", midhooktest.Order("A-1"))
	n.Refunds[0].Reason = "changed"
	n.Refunds = append(n.Refunds, midhook.Refund{RefundChargebackID: "9007199254740993", RefundKey: "new"})
	body := midhooktest.Body(n, key)
	for _, literal := range []string{`"refund_chargeback_id":` + id + `,`, `"refund_chargeback_id":9007199254740993,`, `"reason":"changed"`} {
		if !bytes.Contains(body, []byte(literal)) {
			t.Errorf("no %s in %s", literal, body)
		}
	}
	got := parse(t, body)
	if len(got.Refunds) != 3 || got.Refunds[0].RefundChargebackID != id || got.Refunds[2].RefundChargebackID != "9007199254740993" {
		t.Errorf("refunds of %s", body)
	}
}

func TestTweaks(t *testing.T) {
	at := time.Date(2026, 1, 31, 17, 30, 0, 0, time.UTC)
	n := midhooktest.Sample("bni-va",
		midhooktest.Order("A/1#2"),
		midhooktest.Transaction("T-1"),
		midhooktest.Amount("10000.00"),
		midhooktest.Status("201", midhook.StatusPending),
		midhooktest.Fraud(midhook.FraudChallenge),
		midhooktest.Time(at),
		midhooktest.Field("settlement_time", nil),
		midhooktest.Field("installment_term", 12),
		midhooktest.Field("custom_field1", "<b>&"),
		midhooktest.Field("shipping", map[string]int64{"id": 1<<53 + 1}),
		midhooktest.Field("note", json.RawMessage(`[1.50, null]`)),
	)
	n = parse(t, midhooktest.Body(n, key))
	for _, f := range []struct{ name, got, want string }{
		{"order_id", n.OrderID, "A/1#2"},
		{"transaction_id", n.TransactionID, "T-1"},
		{"gross_amount", n.GrossAmount, "10000.00"},
		{"status_code", n.StatusCode, "201"},
		{"transaction_status", string(n.TransactionStatus), "pending"},
		{"fraud_status", string(n.FraudStatus), "challenge"},
		{"transaction_time", n.TransactionTime, "2026-02-01 00:30:00"}, // in Jakarta
		{"paid_at", n.PaymentAmounts[0].PaidAt, "2026-02-01 00:31:30"}, // moved with it
		{"settlement_time", n.SettlementTime, ""},
		{"installment_term", n.InstallmentTerm, "12"},
		{"custom_field1", n.CustomField1, "<b>&"},
		{"va_number", n.VANumbers[0].VANumber, "0000000000000002"}, // kept
	} {
		if f.got != f.want {
			t.Errorf("%s is %q, want %q", f.name, f.got, f.want)
		}
	}
	for name, want := range map[string]string{"shipping": `{"id":9007199254740993}`, "note": `[1.50,null]`} {
		if got, ok := n.Extra(name); !ok || string(got) != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if n := midhooktest.Sample("gopay", midhooktest.Fraud("")); n.FraudStatus != "" {
		t.Error(`Fraud("") must take fraud_status out`)
	}
	if n := midhooktest.Sample("pay-account-enabled", midhooktest.Time(at)); n.TransactionTime != "2026-02-01 00:30:00" {
		t.Errorf("transaction_time is %q", n.TransactionTime)
	}
	if midhooktest.Sample("bni-va").OrderID != "bni-va-01" {
		t.Error("a tweak must not change the sample itself")
	}
}

// A misspelt name should tell what there is.
func TestMisuseOfSamplePanicsWithAdvice(t *testing.T) {
	for _, c := range []struct {
		name   string
		misuse func()
		says   []string
	}{
		{"unknown name", func() { midhooktest.Sample("../gopy") }, []string{`"../gopy"`, "bca-va, ", ", gopay, "}},
		{"malformed by a tweak", func() { midhooktest.Sample("gopay", midhooktest.Amount("1")) }, []string{`"gopay"`, "gross_amount"}},
		{"no JSON", func() { midhooktest.Field("x", func() {}) }, []string{"midhooktest: json: "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer func() {
				text, _ := recover().(string)
				for _, want := range c.says {
					if !strings.Contains(text, want) {
						t.Errorf("panic %q does not say %q", text, want)
					}
				}
			}()
			c.misuse()
		})
	}
}
