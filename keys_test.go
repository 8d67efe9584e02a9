package midhook_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// keyFields are the texts that a key may depend on, but for the refunds.
func keyFields(n *midhook.Notification) []*string {
	return []*string{
		&n.OrderID, &n.TransactionID, (*string)(&n.TransactionStatus), (*string)(&n.FraudStatus), &n.GrossAmount, &n.StatusCode,
		&n.RefundAmount, &n.RefundChargebackAmount, &n.RefundKey, &n.AccountID, &n.AccountStatus,
	}
}

func refundFields(r *midhook.Refund) []*string {
	return []*string{&r.RefundKey, &r.RefundChargebackID, &r.RefundChargebackUUID, &r.RefundAmount, &r.BankConfirmedAt}
}

// eventOf reads an event from lines: a fuzzer moves text between them. What follows the
// fields is refunds, of which it may make as many as it likes.
func eventOf(lines string) *midhook.Notification {
	rest := strings.Split(lines, "\n")
	fill := func(fields []*string) {
		for _, field := range fields {
			if len(rest) > 0 {
				*field, rest = rest[0], rest[1:]
			}
		}
	}
	n := &midhook.Notification{}
	for fill(keyFields(n)); len(rest) > 0; {
		n.Refunds = append(n.Refunds, midhook.Refund{})
		fill(refundFields(&n.Refunds[len(n.Refunds)-1]))
	}
	return n
}

// linesOf is what eventOf reads n from.
func linesOf(n *midhook.Notification) string {
	var lines []string
	add := func(fields []*string) {
		for _, field := range fields {
			lines = append(lines, *field)
		}
	}
	add(keyFields(n))
	for i := range n.Refunds {
		add(refundFields(&n.Refunds[i]))
	}
	return strings.Join(lines, "\n")
}

// event is what makes n the event that it is, in words of its own: nothing of it is
// hashed, cut or concatenated.
func event(n *midhook.Notification) []string {
	if n.OrderID == "" && n.AccountID != "" {
		return []string{"Pay Account", n.AccountID, n.AccountStatus}
	}
	status, fraud := strings.ToLower(string(n.TransactionStatus)), strings.ToLower(string(n.FraudStatus))
	facts := []string{"payment", n.OrderID, n.TransactionID, status, fraud, n.GrossAmount}
	if !isProven(status, fraud, n.StatusCode) {
		facts = append(facts, "says "+n.StatusCode)
	}
	if !slices.Contains([]string{"refund", "partial_refund", "chargeback", "partial_chargeback"}, status) {
		return facts
	}
	var refunds []string
	for _, r := range n.Refunds {
		id := r.RefundKey
		if id == "" {
			id = r.RefundChargebackID
		}
		if id == "" {
			id = r.RefundChargebackUUID
		}
		refunds = append(refunds, fmt.Sprintf("%q of %q, confirmed: %v", id, r.RefundAmount, r.BankConfirmedAt != ""))
	}
	slices.Sort(refunds)
	return append(append(facts, n.RefundAmount, n.RefundChargebackAmount, n.RefundKey), refunds...)
}

// isProven looks the status_code up in provenBy. A challenge counts where a charge can
// be challenged.
func isProven(status, fraud, code string) bool {
	challenged := fraud == "challenge" && (status == "capture" || status == "authorize")
	return slices.ContainsFunc(provenBy, func(p struct {
		status midhook.TransactionStatus
		fraud  midhook.FraudStatus
		codes  []string
		stage  int
	}) bool {
		return string(p.status) == status && (p.fraud == "challenge") == challenged && slices.Contains(p.codes, code)
	})
}

// payment is what names the payment of n.
func payment(n *midhook.Notification) []string {
	if n.OrderID == "" && n.AccountID != "" {
		return []string{"Pay Account", n.AccountID}
	}
	return []string{"payment", n.OrderID, n.TransactionID}
}

// requireKeys holds the keys of two notifications against what they are about.
func requireKeys(t *testing.T, a, b *midhook.Notification) {
	t.Helper()
	require.Equal(t, slices.Equal(event(a), event(b)), a.IdempotencyKey() == b.IdempotencyKey(), "event of\n%q\n%q", event(a), event(b))
	require.Equal(t, slices.Equal(payment(a), payment(b)), a.PaymentKey() == b.PaymentKey(), "payment of\n%q\n%q", payment(a), payment(b))
	require.NotEqual(t, a.IdempotencyKey(), b.PaymentKey(), "an event is no payment")
	require.NotEqual(t, b.IdempotencyKey(), a.PaymentKey(), "an event is no payment")
}

// withOtherWords is n as another delivery of it may be: what names no event is other.
func withOtherWords(n midhook.Notification, word string) *midhook.Notification {
	for _, field := range []*string{&n.StatusMessage, &n.PaymentType, &n.Currency, &n.MerchantID, &n.TransactionTime, &n.SettlementTime, &n.ExpiryTime,
		&n.SignatureKey, &n.CustomField1, &n.ReferenceID, &n.MaskedCard, &n.ApprovalCode, &n.Issuer} {
		*field = word
	}
	n.TransactionStatus = midhook.TransactionStatus(upperASCII(string(n.TransactionStatus)))
	if n.OrderID != "" {
		n.AccountID, n.AccountStatus = word, word // a payment that names an account is a payment
	}
	n.Refunds = slices.Clone(n.Refunds)
	slices.Reverse(n.Refunds)
	for i := range n.Refunds {
		r := &n.Refunds[i]
		r.Reason, r.RefundMethod, r.CreatedAt = word, word, word
		if r.BankConfirmedAt != "" {
			r.BankConfirmedAt += word
		}
	}
	return &n
}

func upperASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r - ('a' - 'A')
		}
		return r
	}, s)
}

// FuzzKeys compares two notifications: they have one key if, and only if, what names the
// event or the payment is the same. So it is with one of them and itself in other words,
// with one more letter in any field, and where a letter has moved to the next field.
func FuzzKeys(f *testing.F) {
	for _, name := range midhooktest.Samples() {
		n := midhooktest.Sample(name)
		next := *n
		next.OrderID, next.TransactionID = n.OrderID+n.TransactionID, ""
		f.Add(linesOf(n), linesOf(&next))
	}
	for _, status := range provenBy {
		line := fmt.Sprintf("A\nT\n%s\n%s\n1.00\n", status.status, status.fraud)
		f.Add(line+"200", line+"201")
		f.Add(line+"202", line+"407")
		f.Add(line+"200\n2\n\nk\n\n\n1\n2\n3\n4\n5", line+"200\n\n2\nk\n\n\n\n1\n2\n3\n4")
		f.Add(line+"200\n2\n\nk\n\n\n\n\nu\n1\n", line+"200\n2\n\nk\n\n\n\ni\nu\n1\n")
		f.Add(line+"200\n2\n\nk\n\n\nr\n\n\n1\n\ns\n\n\n2\n", line+"200\n2\n\nk\n\n\ns\n\n\n2\n\nr\n\n\n1\n")
	}
	f.Add("A\n\nrefund\n\n1.00\n201\n2", "A\n\nrefund\n\n1.00\n2012\n")
	f.Add("\n\n\n\n\n200\n\n\n\nacc\nENABLED", "\n\n\n\n\n200\n\n\n\naccE\nNABLED")
	f.Add("\n\n\n\n\n200\n\n\n\nacc\nENABLED", "acc\nENABLED\n\n\n\n200")
	f.Fuzz(func(t *testing.T, first, second string) {
		if len(first)+len(second) > 4096 {
			t.Skip("a longer text finds no more")
		}
		a, b := eventOf(first), eventOf(second)
		requireKeys(t, a, b)
		again := withOtherWords(*a, second)
		requireKeys(t, a, again)
		require.Equal(t, a.IdempotencyKey(), again.IdempotencyKey(), "one event in other words")
		fields := strings.Split(first, "\n")
		for i := range fields {
			more := slices.Clone(fields)
			more[i] += "x"
			requireKeys(t, a, eventOf(strings.Join(more, "\n")))
		}
		for i := range len(first) - 1 {
			if first[i] == '\n' {
				requireKeys(t, a, eventOf(first[:i]+first[i+1:i+2]+"\n"+first[i+2:]))
			}
		}
	})
}
