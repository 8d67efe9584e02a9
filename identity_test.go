package midhook_test

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

var parseKeyShape = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Rule: merchants keep the key in an index: it stays the same in every version.
// These were computed by hand from the definition, not by this package.
func TestIdempotencyKeyIsStable(t *testing.T) {
	for want, n := range map[string]*midhook.Notification{
		"73806f43059ed324f8d7a0f27da4b0a7ebfbb54be218a89a730dbf202c6d1edf": {
			OrderID: "Order-5100", TransactionID: "513f1f01-c9da-474c-9fc9-d5c64364b709",
			TransactionStatus: midhook.StatusSettlement, FraudStatus: midhook.FraudAccept, GrossAmount: "154600.00", StatusCode: "200",
		},
		"d7a427e242280b3c9387d2f8dadbfc3aaf6a6900cd39a9811ab5545ce9ab4800": {
			OrderID: "Order-5100", TransactionID: "513f1f01-c9da-474c-9fc9-d5c64364b709",
			TransactionStatus: midhook.StatusExpire, FraudStatus: midhook.FraudAccept, GrossAmount: "154600.00", StatusCode: "201",
		},
		"36de2472bce6a0b599c71aee79dd03f3040a87aede052150196990c333970162": {
			OrderID: "example-1424936368", TransactionID: "249fc620-6017-4540-af7c-5a1c25788f46",
			TransactionStatus: midhook.StatusPartialRefund, FraudStatus: midhook.FraudAccept, GrossAmount: "30000.00", RefundAmount: "12000.00", StatusCode: "200",
			Refunds: []midhook.Refund{
				{RefundKey: "reference1", RefundAmount: "5000.00", BankConfirmedAt: "2015-02-27 02:30:20"},
				{RefundKey: "reference2", RefundAmount: "7000.00", BankConfirmedAt: "2015-02-27 02:30:20"},
			},
		},
		"d288ad9ec2eb95dab25a6a1e59172f2d0ada38923e1abf4c09864189a41c3793": {
			AccountID: "00000269-7836-49e5-bc65-e592afafec14", AccountStatus: "ENABLED",
		},
	} {
		assert.Equal(t, want, n.IdempotencyKey())
	}
}

// Rule: the payment's key stays the same in every version, too.
func TestPaymentKeyIsStable(t *testing.T) {
	payment := midhook.Notification{OrderID: "Order-5100", TransactionID: "513f1f01-c9da-474c-9fc9-d5c64364b709"}
	assert.Equal(t, "eb199f8c6c0ca854216378b7fda5bb75d9441435fe922c994009ff5bf626622f", payment.PaymentKey())
	account := midhook.Notification{AccountID: "00000269-7836-49e5-bc65-e592afafec14"}
	assert.Equal(t, "8b261a6db61a777ef33326e8c4f24f77afde2a0cfa243a06b5ba5cda90bd35d6", account.PaymentKey())
}

// Rule: the key of a payment is the same for every event of one transaction of one
// order, whatever else is in it, and another for every other transaction or order.
func TestPaymentKey(t *testing.T) {
	sample := func(name string, tweaks ...midhooktest.Tweak) *midhook.Notification {
		return midhooktest.Sample(name, append([]midhooktest.Tweak{midhooktest.Order("A-1"), midhooktest.Transaction("tx-1")}, tweaks...)...)
	}
	want := sample("credit-card").PaymentKey()
	assert.Regexp(t, parseKeyShape, want)
	events := map[string]bool{}
	for _, name := range midhooktest.Samples() {
		if midhooktest.Sample(name).Kind() == midhook.Payment {
			n := sample(name)
			assert.Equal(t, want, n.PaymentKey(), name)
			assert.Equal(t, want, n.Message("").Subject, "the subject of its events")
			events[n.IdempotencyKey()] = true
		}
	}
	assert.Greater(t, len(events), 10, "of which each has a key of its own")
	assert.NotEqual(t, want, sample("credit-card", midhooktest.Transaction("tx-2")).PaymentKey())
	assert.NotEqual(t, want, sample("credit-card", midhooktest.Order("A-2")).PaymentKey())
	assert.Equal(t, midhooktest.Sample("pay-account-enabled", midhooktest.Field("account_id", "a")).PaymentKey(),
		midhooktest.Sample("pay-account-disabled", midhooktest.Field("account_id", "a")).PaymentKey())
}

// provenBy says which status_code Midtrans sends with a status.
var provenBy = []struct {
	status midhook.TransactionStatus
	fraud  midhook.FraudStatus
	codes  []string
	stage  int
}{
	{"pending", "accept", []string{"201"}, 10},
	{"authorize", "accept", []string{"200"}, 20},
	{"authorize", "challenge", []string{"201"}, 20},
	{"capture", "challenge", []string{"201"}, 25},
	{"capture", "accept", []string{"200"}, 30},
	{"capture", "", []string{"200"}, 30},
	{"settlement", "accept", []string{"200"}, 40},
	{"settlement", "", []string{"200"}, 40},
	{"deny", "deny", []string{"202"}, 40},
	{"cancel", "accept", []string{"202"}, 40},
	{"expire", "accept", []string{"202", "407"}, 40},
	{"failure", "accept", []string{"202"}, 40},
	{"partial_refund", "accept", []string{"200"}, 40},
	{"partial_chargeback", "accept", []string{"200"}, 40},
	{"refund", "accept", []string{"200"}, 60},
	{"chargeback", "accept", []string{"200"}, 60},
	{"brand_new", "accept", nil, 0},
	{"", "accept", nil, 0},
}

// Rule: a status counts only where the signed status_code bears it out. Otherwise
// its stage is 0, and the event is another than the one that it is made to look
// like, so that an edited body neither supersedes nor pre-empts a genuine event.
func TestStatusCodeBearsStatusOut(t *testing.T) {
	for _, p := range provenBy {
		keys := map[string]string{}
		proven := ""
		for _, code := range []string{"200", "201", "202", "204", "400", "404", "407", "500"} {
			for _, capitals := range []bool{false, true} {
				n := &midhook.Notification{OrderID: "A-1", TransactionID: "tx-1", GrossAmount: "1.00", StatusCode: code, TransactionStatus: p.status, FraudStatus: p.fraud}
				if capitals {
					n.TransactionStatus = midhook.TransactionStatus(strings.ToUpper(string(p.status)))
				}
				about := fmt.Sprintf("%s/%s with %s", n.TransactionStatus, p.fraud, code)
				key, stage := n.IdempotencyKey(), n.Message("").Stage
				if slices.Contains(p.codes, code) {
					assert.Equal(t, p.stage, stage, about)
					proven = key
				} else {
					assert.Zero(t, stage, about)
					assert.Contains(t, []string{"", code}, keys[key], "%s is an event of its own", about)
				}
				keys[key] = code
			}
		}
		if proven != "" {
			assert.Len(t, keys, 8-len(p.codes)+1, "%s: the codes that prove one event do not make two of it", p.status)
		}
	}
	for _, name := range midhooktest.Samples() {
		if n := midhooktest.Sample(name); n.Kind() == midhook.Payment {
			assert.NotZero(t, n.Message("").Stage, "%s is what Midtrans sends", name)
		}
	}
}

// Rule: what was confirmed is as good as proven, whatever code the status API has
// for it, and is the event that was notified.
func TestConfirmedIsProven(t *testing.T) {
	s := newStatusServer(t)
	for status, code := range map[midhook.TransactionStatus]string{"cancel": "200", "expire": "407"} {
		notified := midhooktest.Sample("gopay", midhooktest.Status("202", status))
		s.Put(notified)
		n, err := s.Client().Get(t.Context(), notified.OrderID)
		require.NoError(t, err)
		assert.Equal(t, code, n.StatusCode)
		assert.Equal(t, 40, n.Message("").Stage)
		assert.Equal(t, notified.IdempotencyKey(), n.IdempotencyKey())
	}
}

// Rule: only the events that take money back are known by their refunds: in any
// other someone wrote them, and a thousand such bodies are one event.
func TestRefundFieldsMakeNoEventOfAPayment(t *testing.T) {
	for _, p := range provenBy {
		status := p.status
		n := midhook.Notification{OrderID: "A-1", GrossAmount: "1.00", StatusCode: "200", TransactionStatus: status}
		reverses := strings.Contains(string(status), "refund") || strings.Contains(string(status), "chargeback")
		for name, edit := range map[string]func(*midhook.Notification){
			"refund_key":               func(n *midhook.Notification) { n.RefundKey = "x" },
			"refund_amount":            func(n *midhook.Notification) { n.RefundAmount = "1.00" },
			"refund_chargeback_amount": func(n *midhook.Notification) { n.RefundChargebackAmount = "1.00" },
			"refunds":                  func(n *midhook.Notification) { n.Refunds = []midhook.Refund{{RefundKey: "x"}} },
		} {
			edited := n
			edit(&edited)
			assert.Equal(t, reverses, n.IdempotencyKey() != edited.IdempotencyKey(), "%s of %q", name, status)
		}
	}
}

// Rule: the key is of the facts that make an event, each of them, and of nothing
// else: retries, and other messages and times name the same event. Every field of
// Notification is on one side. A status_code is where it does not bear the status out.
func TestIdempotencyKeyIsOfTheEvent(t *testing.T) {
	payment := midhook.Notification{OrderID: "A-1", TransactionID: "T-1", TransactionStatus: midhook.StatusPartialRefund, FraudStatus: midhook.FraudAccept,
		StatusCode: "200", GrossAmount: "10.00", RefundAmount: "3.00", RefundKey: "key"}
	account := midhook.Notification{AccountID: "acc-1", AccountStatus: "ENABLED", StatusCode: "200"}
	for _, c := range []struct {
		of       midhook.Notification
		identity []string
		skip     []string // would make it the other kind
	}{
		{payment, []string{"order_id", "transaction_id", "transaction_status", "fraud_status", "gross_amount", "refund_amount", "refund_chargeback_amount", "refund_key", "refunds", "status_code"}, nil},
		{account, []string{"account_id", "account_status"}, []string{"order_id"}},
	} {
		base := c.of.IdempotencyKey()
		assert.Regexp(t, parseKeyShape, base)
		for name := range parseFields(reflect.ValueOf(&c.of).Elem()) {
			if slices.Contains(c.skip, name) {
				continue
			}
			n := c.of
			switch field := parseFields(reflect.ValueOf(&n).Elem())[name]; {
			case field.Kind() == reflect.String:
				field.SetString("other")
			case field.Kind() == reflect.Bool:
				field.SetBool(true)
			case field.Type().Elem().Kind() == reflect.Uint8:
				field.SetBytes([]byte(`{}`))
			default:
				field.Set(reflect.MakeSlice(field.Type(), 1, 1))
			}
			if slices.Contains(c.identity, name) {
				assert.NotEqual(t, base, n.IdempotencyKey(), "%s is of the identity", name)
			} else {
				assert.Equal(t, base, n.IdempotencyKey(), "%s is not of the identity", name)
			}
		}
	}
}

// Rule: a retry has the same key, to the byte or not; so has one body parsed twice.
func TestIdempotencyKeyOfRetries(t *testing.T) {
	keys := map[string]string{}
	for _, name := range midhooktest.Samples() {
		first := mustParse(t, midhooktest.Body(midhooktest.Sample(name), testKey))
		retry := mustParse(t, midhooktest.Body(midhooktest.Sample(name, midhooktest.Field("status_message", "again"), midhooktest.Field("new", 1)), testKey))
		assert.Equal(t, first.IdempotencyKey(), retry.IdempotencyKey(), name)
		assert.Empty(t, keys[first.IdempotencyKey()], "%s is another event", name)
		keys[first.IdempotencyKey()] = name
	}
	upper := parsePayment().with("transaction_status", `"SETTLEMENT"`).with("fraud_status", `"ACCEPT"`)
	lower := parsePayment().with("transaction_status", `"settlement"`).with("fraud_status", `"accept"`)
	assert.Equal(t, mustParse(t, lower.body()).IdempotencyKey(), mustParse(t, upper.body()).IdempotencyKey())
}

// Rule: each refund is in the identity by its key or else its id, its amount, and
// whether the bank has confirmed it; in which order they are listed is not.
func TestIdempotencyKeyOfRefunds(t *testing.T) {
	key := func(refunds ...midhook.Refund) string {
		return (&midhook.Notification{OrderID: "A-1", TransactionStatus: midhook.StatusPartialRefund, Refunds: refunds}).IdempotencyKey()
	}
	a := midhook.Refund{RefundKey: "a", RefundChargebackID: "1", RefundAmount: "5.00"}
	b := midhook.Refund{RefundKey: "b", RefundChargebackID: "2", RefundAmount: "7.00"}
	c := midhook.Refund{RefundChargebackID: "3", RefundAmount: "7.00"}
	change := func(r midhook.Refund, change func(*midhook.Refund)) midhook.Refund {
		change(&r)
		return r
	}
	confirmed := change(a, func(r *midhook.Refund) { r.BankConfirmedAt = "2015-02-27 02:30:20" })

	t.Run("the order of the list is not of the event", func(t *testing.T) {
		want := key(a, b, c)
		for _, list := range [][]midhook.Refund{{a, c, b}, {b, a, c}, {b, c, a}, {c, a, b}, {c, b, a}} {
			given := slices.Clone(list)
			assert.Equal(t, want, key(list...))
			assert.Equal(t, given, list, "the list itself is left in its order")
		}
	})
	t.Run("these are different events", func(t *testing.T) {
		seen := map[string]string{}
		for name, k := range map[string]string{
			"none":               key(),
			"a":                  key(a),
			"b":                  key(b),
			"a, then b":          key(a, b),
			"a twice":            key(a, a),
			"a confirmed":        key(confirmed),
			"a confirmed, b not": key(confirmed, b),
			"a, b confirmed":     key(a, change(b, func(r *midhook.Refund) { r.BankConfirmedAt = "2015-02-27 02:30:20" })),
			"a's other amount":   key(change(a, func(r *midhook.Refund) { r.RefundAmount = "5.01" })),
			"a's other key":      key(change(a, func(r *midhook.Refund) { r.RefundKey = "a2" })),
			"by its id":          key(c),
			"by another id":      key(change(c, func(r *midhook.Refund) { r.RefundChargebackID = "4" })),
			"an empty one":       key(midhook.Refund{}),
		} {
			assert.Empty(t, seen[k], "%s is another event", name)
			seen[k] = name
		}
	})
	t.Run("these are the same event", func(t *testing.T) {
		for name, r := range map[string]midhook.Refund{
			"reason":                              change(confirmed, func(r *midhook.Refund) { r.Reason = "other" }),
			"method":                              change(confirmed, func(r *midhook.Refund) { r.RefundMethod = "other" }),
			"created_at":                          change(confirmed, func(r *midhook.Refund) { r.CreatedAt = "other" }),
			"the time of the bank's confirmation": change(confirmed, func(r *midhook.Refund) { r.BankConfirmedAt = "other" }),
			"uuid":                                change(confirmed, func(r *midhook.Refund) { r.RefundChargebackUUID = "other" }),
			"the id beside a key":                 change(confirmed, func(r *midhook.Refund) { r.RefundChargebackID = "other" }),
		} {
			assert.Equal(t, key(confirmed), key(r), name)
		}
	})
}

// Rule: no text moves from one fact to its neighbour and leaves the key the same.
func TestIdempotencyKeyIsUnambiguous(t *testing.T) {
	const text = "abcdef"
	seen := map[string]string{}
	add := func(n midhook.Notification) {
		t.Helper()
		key, facts := n.IdempotencyKey(), fmt.Sprintf("%q %q %q %q %q %q %q %q %q %q %q", n.OrderID, n.TransactionID, n.TransactionStatus,
			n.FraudStatus, n.GrossAmount, n.StatusCode, n.RefundAmount, n.RefundChargebackAmount, n.RefundKey, n.AccountID, n.AccountStatus)
		if other, exists := seen[key]; exists && other != facts {
			t.Errorf("%s and %s have the same key", facts, other)
		}
		seen[key] = facts
	}
	for i := range len(text) + 1 {
		x, y := text[:i], text[i:]
		add(midhook.Notification{OrderID: "o" + x, TransactionID: y})
		add(midhook.Notification{OrderID: "o", TransactionID: x, TransactionStatus: midhook.TransactionStatus(y)})
		add(midhook.Notification{OrderID: "o", TransactionStatus: midhook.TransactionStatus(x), FraudStatus: midhook.FraudStatus(y)})
		add(midhook.Notification{OrderID: "o", FraudStatus: midhook.FraudStatus(x), GrossAmount: y})
		add(midhook.Notification{OrderID: "o", GrossAmount: x, StatusCode: y})
		for _, code := range []string{"200", x} {
			add(midhook.Notification{OrderID: "o", TransactionStatus: "refund", GrossAmount: x, StatusCode: code, RefundAmount: y})
			add(midhook.Notification{OrderID: "o", TransactionStatus: "refund", RefundAmount: x, StatusCode: code, RefundChargebackAmount: y})
			add(midhook.Notification{OrderID: "o", TransactionStatus: "refund", RefundChargebackAmount: x, StatusCode: code, RefundKey: y})
		}
		add(midhook.Notification{AccountID: "o" + x, AccountStatus: y})
		// A separator within the text is no separator.
		add(midhook.Notification{OrderID: "o" + x + "\x00" + y})
		add(midhook.Notification{OrderID: "o" + x + "|" + y})
	}
	refunds := func(list ...midhook.Refund) string {
		return (&midhook.Notification{OrderID: "o", TransactionStatus: "refund", Refunds: list}).IdempotencyKey()
	}
	assert.NotEqual(t, refunds(midhook.Refund{RefundKey: "ab", RefundAmount: "c"}), refunds(midhook.Refund{RefundKey: "a", RefundAmount: "bc"}))
	assert.NotEqual(t, refunds(midhook.Refund{RefundKey: "x"}), (&midhook.Notification{OrderID: "o", TransactionStatus: "refund", RefundKey: "x"}).IdempotencyKey())
}

// The order in which a body lists its refunds is no other event, even where only
// the bank's confirmation tells them apart.
func TestRefundOrderIsNoEvent(t *testing.T) {
	one := `{"refund_amount":"1.00","bank_confirmed_at":"2026-01-01 00:00:00"}`
	two := `{"refund_amount":"1.00"}`
	key := func(refunds string) string {
		return midhooktest.Sample("refund", midhooktest.Field("refunds", rawJSON(refunds))).IdempotencyKey()
	}
	assert.Equal(t, key("["+one+","+two+"]"), key("["+two+","+one+"]"))
	assert.NotEqual(t, key("["+one+","+two+"]"), key("["+one+","+one+"]"))
}
