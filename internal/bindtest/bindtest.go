// Package bindtest compares what the binder of a framework reads from a delivery with
// what the notification says that the hook has handed on. The tests of the adapters,
// which are modules of their own, share it.
package bindtest

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// Key is the server key that signs.
const Key = "SB-Mid-server-test-key-0001"

// Body is what a merchant binds a delivery with: the signed fields, and those that
// money depends on. It has the tags of every source that a binder may turn to. Text is
// string, or [json.Number] where a merchant takes both ways to write an amount.
type Body[Text ~string] struct {
	OrderID           string     `json:"order_id" form:"order_id" query:"order_id" xml:"order_id"`
	StatusCode        Text       `json:"status_code" form:"status_code" query:"status_code" xml:"status_code"`
	GrossAmount       Text       `json:"gross_amount" form:"gross_amount" query:"gross_amount" xml:"gross_amount"`
	SignatureKey      string     `json:"signature_key" form:"signature_key" query:"signature_key" xml:"signature_key"`
	AccountID         string     `json:"account_id" form:"account_id" query:"account_id" xml:"account_id"`
	AccountStatus     string     `json:"account_status" form:"account_status" query:"account_status" xml:"account_status"`
	TransactionID     string     `json:"transaction_id" form:"transaction_id" query:"transaction_id" xml:"transaction_id"`
	TransactionStatus string     `json:"transaction_status" form:"transaction_status" query:"transaction_status" xml:"transaction_status"`
	FraudStatus       string     `json:"fraud_status" form:"fraud_status" query:"fraud_status" xml:"fraud_status"`
	PaymentType       string     `json:"payment_type" form:"payment_type" query:"payment_type" xml:"payment_type"`
	Currency          string     `json:"currency" form:"currency" query:"currency" xml:"currency"`
	MerchantID        string     `json:"merchant_id" form:"merchant_id" query:"merchant_id" xml:"merchant_id"`
	RefundAmount      Text       `json:"refund_amount" form:"refund_amount" query:"refund_amount" xml:"refund_amount"`
	RefundKey         string     `json:"refund_key" form:"refund_key" query:"refund_key" xml:"refund_key"`
	Refunds           []Refund   `json:"refunds"`
	VANumbers         []VANumber `json:"va_numbers"`
}

// Refund is what a merchant reads of a refund.
type Refund struct {
	RefundKey       string `json:"refund_key"`
	RefundAmount    string `json:"refund_amount"`
	BankConfirmedAt string `json:"bank_confirmed_at"`
}

// VANumber is what a merchant reads of a virtual account.
type VANumber struct {
	VANumber string `json:"va_number"`
	Bank     string `json:"bank"`
}

// placeholder stands for the signature of a body that may still be changed.
const placeholder = "SIGNATURE"

// Sign puts the signature into a body that has the placeholder, so that the hook
// accepts what a fuzzer has made of the rest. It reports whether there was something to
// sign.
func Sign(body []byte) ([]byte, bool) {
	n, err := midhook.Parse(body)
	if err != nil || n.SignatureKey != placeholder {
		return nil, false
	}
	return bytes.ReplaceAll(body, []byte(placeholder), []byte(midhooktest.Sign(n, Key))), true
}

// Difference is an error that names the field that bound, a Body, and n have not in
// common.
func Difference[Text ~string](n *midhook.Notification, bound *Body[Text]) error {
	said := reflect.ValueOf(n).Elem()
	read := reflect.ValueOf(bound).Elem()
	for i := range read.NumField() {
		name := read.Type().Field(i).Name
		if read.Field(i).Kind() != reflect.String {
			continue
		}
		ours, theirs := said.FieldByName(name).String(), read.Field(i).String()
		if strings.HasSuffix(name, "Status") && name != "AccountStatus" {
			theirs = strings.ToLower(theirs) // as midhook.Parse does
		}
		if !alike(name, ours, theirs) {
			return fmt.Errorf("%s: the notification says %q, the binder reads %q", name, ours, theirs)
		}
	}
	refunds := make([]Refund, len(n.Refunds))
	for i, r := range n.Refunds {
		refunds[i] = Refund{r.RefundKey, r.RefundAmount, r.BankConfirmedAt}
	}
	accounts := make([]VANumber, len(n.VANumbers))
	for i, va := range n.VANumbers {
		accounts[i] = VANumber(va)
	}
	return errors.Join(listDifference("refunds", refunds, bound.Refunds), listDifference("va_numbers", accounts, bound.VANumbers))
}

// alike allows for text that is not Unicode: a binder has it with replacement
// characters, or as it came, and the notification leaves the field to Extra. A verdict
// that nobody can read is not an accepted one.
func alike(name, ours, theirs string) bool {
	if ours == theirs {
		return true
	}
	if !strings.Contains(theirs, "\ufffd") && utf8.ValidString(theirs) {
		return false
	}
	if name == "FraudStatus" {
		return ours != "" && ours != string(midhook.FraudAccept)
	}
	return ours == ""
}

// listDifference leaves out empty items: null is one to a binder and none to midhook.
func listDifference[T comparable](name string, ours, theirs []T) error {
	isEmpty := func(item T) bool { return item == *new(T) }
	ours, theirs = slices.DeleteFunc(ours, isEmpty), slices.DeleteFunc(theirs, isEmpty)
	if text := fmt.Sprint(theirs); strings.Contains(text, "\ufffd") || !utf8.ValidString(text) {
		return nil // see alike
	}
	if !slices.Equal(ours, theirs) {
		return fmt.Errorf("%s: the notification says %+v, the binder reads %+v", name, ours, theirs)
	}
	return nil
}
