package midhook

import (
	"bytes"
	"cmp"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// ErrMalformed marks a body that is not a notification: not one JSON object,
// a name twice, or a signed field that is missing or of a wrong shape.
// Its text names the field and the rule, never a value.
var ErrMalformed = errors.New("malformed notification")

// Kind tells apart the notifications that Midtrans signs with the server key.
type Kind int

const (
	// Payment is a change of a transaction.
	Payment Kind = iota + 1
	// PayAccount is a change of a customer's linked GoPay account. It is sent
	// to a notification URL of its own and signed by a formula of its own.
	PayAccount
)

// TransactionStatus is where a transaction stands. [Parse] lower-cases it.
// Midtrans may add statuses: treat an unknown one as not paid.
type TransactionStatus string

// The statuses Midtrans documents.
const (
	StatusPending           TransactionStatus = "pending"
	StatusAuthorize         TransactionStatus = "authorize"
	StatusCapture           TransactionStatus = "capture"
	StatusSettlement        TransactionStatus = "settlement"
	StatusDeny              TransactionStatus = "deny"
	StatusCancel            TransactionStatus = "cancel"
	StatusExpire            TransactionStatus = "expire"
	StatusFailure           TransactionStatus = "failure"
	StatusRefund            TransactionStatus = "refund"
	StatusPartialRefund     TransactionStatus = "partial_refund"
	StatusChargeback        TransactionStatus = "chargeback"
	StatusPartialChargeback TransactionStatus = "partial_chargeback"
)

// FraudStatus is the verdict of Midtrans' fraud screening. [Parse] lower-cases
// it. It is empty for methods that are not screened (Indomaret, Alfamart).
type FraudStatus string

// The verdicts Midtrans documents.
const (
	FraudAccept    FraudStatus = "accept"
	FraudChallenge FraudStatus = "challenge"
	FraudDeny      FraudStatus = "deny"
)

// Notification is one notification. The fields are named after Midtrans' own;
// a field is empty when the body has none, and [Notification.Extra] finds what
// has no field here.
//
// Only the fields marked signed are covered by the signature. Whoever has seen
// one signed body of yours can change all the others: decide about money with
// [Notification.Paid] and [WithStatusCheck].
//
// Amounts are decimal strings (see [ParseAmount]), times are local to Jakarta
// (see [ParseTime]). Printed, logged or marshalled to JSON, a Notification shows
// ids, statuses and amount only, so that no customer's data or signature ends in
// a log or a browser; [Notification.Raw] has everything.
type Notification struct {
	OrderID      string `json:"order_id,omitempty"`      // signed (Payment)
	StatusCode   string `json:"status_code,omitempty"`   // signed
	GrossAmount  string `json:"gross_amount,omitempty"`  // signed (Payment); see Amount
	SignatureKey string `json:"signature_key,omitempty"` // the signature itself

	AccountID     string `json:"account_id,omitempty"`     // signed (PayAccount)
	AccountStatus string `json:"account_status,omitempty"` // signed (PayAccount): ENABLED, DISABLED, PENDING, EXPIRED

	TransactionID     string            `json:"transaction_id,omitempty"`
	TransactionStatus TransactionStatus `json:"transaction_status,omitempty"`
	FraudStatus       FraudStatus       `json:"fraud_status,omitempty"`
	StatusMessage     string            `json:"status_message,omitempty"`
	PaymentType       string            `json:"payment_type,omitempty"`
	Currency          string            `json:"currency,omitempty"`
	MerchantID        string            `json:"merchant_id,omitempty"`
	TransactionTime   string            `json:"transaction_time,omitempty"`
	SettlementTime    string            `json:"settlement_time,omitempty"`
	ExpiryTime        string            `json:"expiry_time,omitempty"`

	CustomField1             string             `json:"custom_field1,omitempty"`
	CustomField2             string             `json:"custom_field2,omitempty"`
	CustomField3             string             `json:"custom_field3,omitempty"`
	Metadata                 stdjson.RawMessage `json:"metadata,omitempty"` // any JSON, as received
	PaymentOptionType        string             `json:"payment_option_type,omitempty"`
	TransactionType          string             `json:"transaction_type,omitempty"`
	ReferenceID              string             `json:"reference_id,omitempty"`
	MerchantCrossReferenceID string             `json:"merchant_cross_reference_id,omitempty"`
	PaymentLinkID            string             `json:"payment_link_id,omitempty"`
	SubscriptionID           string             `json:"subscription_id,omitempty"`

	// Cards.
	MaskedCard             string `json:"masked_card,omitempty"`
	ECI                    string `json:"eci,omitempty"`
	Bank                   string `json:"bank,omitempty"`
	ApprovalCode           string `json:"approval_code,omitempty"`
	CardType               string `json:"card_type,omitempty"`
	Channel                string `json:"channel,omitempty"`
	ChannelResponseCode    string `json:"channel_response_code,omitempty"`
	ChannelResponseMessage string `json:"channel_response_message,omitempty"`
	ThreeDSVersion         string `json:"three_ds_version,omitempty"`
	ChallengeCompletion    bool   `json:"challenge_completion,omitempty"`
	OnUs                   bool   `json:"on_us,omitempty"`
	InstallmentTerm        string `json:"installment_term,omitempty"` // months; Midtrans sends a number or a string
	SavedTokenID           string `json:"saved_token_id,omitempty"`
	SavedTokenIDExpiredAt  string `json:"saved_token_id_expired_at,omitempty"`
	PointRedeemAmount      string `json:"point_redeem_amount,omitempty"`
	PointRedeemQuantity    string `json:"point_redeem_quantity,omitempty"`
	PointBalanceAmount     string `json:"point_balance_amount,omitempty"`

	// Bank transfers and bills.
	VANumbers       []VANumber      `json:"va_numbers,omitempty"`
	PermataVANumber string          `json:"permata_va_number,omitempty"`
	PaymentAmounts  []PaymentAmount `json:"payment_amounts,omitempty"`
	BillerCode      string          `json:"biller_code,omitempty"`
	BillKey         string          `json:"bill_key,omitempty"`

	// Stores, QRIS and wallets.
	Store                    string `json:"store,omitempty"`
	PaymentCode              string `json:"payment_code,omitempty"`
	Issuer                   string `json:"issuer,omitempty"`
	Acquirer                 string `json:"acquirer,omitempty"`
	ShopeePayReferenceNumber string `json:"shopeepay_reference_number,omitempty"`
	PayerPhoneNumber         string `json:"payer_phone_number,omitempty"`
	MerchantInvoice          string `json:"merchant_invoice,omitempty"`

	// Refunds. RefundAmount is cumulative.
	RefundAmount string   `json:"refund_amount,omitempty"`
	RefundKey    string   `json:"refund_key,omitempty"`
	Refunds      []Refund `json:"refunds,omitempty"`

	raw       string
	confirmed bool
	notified  *Notification
}

// VANumber is a virtual account the customer pays to.
type VANumber struct {
	VANumber string `json:"va_number,omitempty"`
	Bank     string `json:"bank,omitempty"`
}

// PaymentAmount is one payment into a virtual account.
type PaymentAmount struct {
	PaidAt string `json:"paid_at,omitempty"`
	Amount string `json:"amount,omitempty"`
}

// Refund is one refund or chargeback of a transaction. Midtrans notifies each
// twice: when it is requested, and with BankConfirmedAt when the bank has it.
type Refund struct {
	RefundChargebackID   string `json:"refund_chargeback_id,omitempty"` // a number beyond 2^53 in real bodies
	RefundChargebackUUID string `json:"refund_chargeback_uuid,omitempty"`
	RefundAmount         string `json:"refund_amount,omitempty"`
	Reason               string `json:"reason,omitempty"`
	RefundKey            string `json:"refund_key,omitempty"`
	RefundMethod         string `json:"refund_method,omitempty"`
	BankConfirmedAt      string `json:"bank_confirmed_at,omitempty"`
	CreatedAt            string `json:"created_at,omitempty"`
}

// Parse reads the body of a notification. It does not check the signature;
// that is [Verify].
//
// Parse is strict where money depends on it: it returns an error that is
// [ErrMalformed] for anything but one JSON object, for a name given twice, and
// for a signed field that is missing, empty, neither string nor number, or of a
// wrong shape (status_code has three digits, gross_amount two decimals). It is
// tolerant of everything else, because Midtrans adds fields at any time and
// varies their types: what does not fit its field is left to
// [Notification.Extra].
func Parse(body []byte) (*Notification, error) {
	n, err := decode(body)
	if err != nil {
		return nil, err
	}
	if err := n.checkSigned(); err != nil {
		return nil, err
	}
	return n, nil
}

// decode reads any JSON object that could be a notification, or the status
// API's answer.
func decode(body []byte) (*Notification, error) {
	n := &Notification{raw: string(body)}
	v := reflect.ValueOf(n).Elem()
	var kinds Kind
	err := read(body, n.raw, func(p *parser, name string) error {
		f := notificationFields[name]
		if f.identifies != 0 && p.dec.PeekKind() != jsontext.KindNull {
			kinds |= f.identifies
		}
		_, err := p.field(v, f)
		return err
	})
	if err != nil {
		return nil, malformed(err)
	}
	if kinds == Payment|PayAccount {
		return nil, fmt.Errorf("%w: it has fields of a payment and of a Pay Account", ErrMalformed)
	}
	n.TransactionStatus = TransactionStatus(strings.ToLower(string(n.TransactionStatus)))
	n.FraudStatus = FraudStatus(strings.ToLower(string(n.FraudStatus)))
	return n, nil
}

// malformed says where a body stops being JSON. The decoder's own text would
// quote the body.
func malformed(err error) error {
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return fmt.Errorf("%w: a name is given twice", ErrMalformed)
	case errors.As(err, &syntax):
		return fmt.Errorf("%w: not one JSON object (at byte %d)", ErrMalformed, syntax.ByteOffset)
	default:
		return fmt.Errorf("%w: not one JSON object", ErrMalformed)
	}
}

// checkSigned checks the shapes of the signed fields, between which the
// signature has no separators. The shapes leave few ways to cut the same text
// otherwise, but not none: A, 201, 20050000.00 is signed like A201, 200,
// 50000.00. Only the merchant's own record of the order, or the status API, tells.
func (n *Notification) checkSigned() error {
	missing := func(field string) error {
		return fmt.Errorf("%w: %s must be a non-empty string", ErrMalformed, field)
	}
	switch {
	case n.Kind() == PayAccount && n.AccountStatus == "":
		return missing("account_status")
	case n.Kind() == Payment && n.OrderID == "":
		return missing("order_id")
	case !isStatusCode(n.StatusCode):
		return fmt.Errorf("%w: status_code must have three digits", ErrMalformed)
	case n.Kind() == Payment && !isAmount(n.GrossAmount):
		return fmt.Errorf("%w: gross_amount must be a decimal number with two decimals", ErrMalformed)
	}
	return nil
}

func isStatusCode(s string) bool {
	return len(s) == 3 && isDigits(s)
}

// isAmount reports whether s is of the shape (0|[1-9][0-9]*)\.[0-9]{2}.
func isAmount(s string) bool {
	units, hundredths, found := strings.Cut(s, ".")
	return found && len(hundredths) == 2 && isDigits(hundredths) &&
		isDigits(units) && (units == "0" || units != "" && units[0] != '0')
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// Kind tells which of the two signed notifications this is.
func (n *Notification) Kind() Kind {
	if n.OrderID == "" && n.AccountID != "" {
		return PayAccount
	}
	return Payment
}

// Paid reports whether the money is the merchant's by Midtrans' rule:
// status_code 200, a settlement or a capture, and fraud screening that accepted
// or did not take place. It does not say that the amount is what the order
// costs: compare [Notification.Amount] with your own record.
//
// transaction_status is not covered by the signature: whoever holds a signed
// body of a refund can turn it into a settlement of the same order. Only
// [WithStatusCheck] closes that.
func (n *Notification) Paid() bool {
	if n.Kind() != Payment || n.StatusCode != "200" {
		return false
	}
	return (n.is(StatusSettlement) || n.is(StatusCapture)) && n.fraudAccepted()
}

// overclaims reports whether the notification says that money came in while the
// signed status code says that it did not: a pending body that was edited.
func (n *Notification) overclaims() bool {
	return n.Kind() == Payment && n.StatusCode != "200" &&
		(n.is(StatusSettlement) || n.is(StatusCapture) && n.fraudAccepted())
}

func (n *Notification) is(s TransactionStatus) bool {
	return strings.ToLower(string(n.TransactionStatus)) == string(s)
}

func (n *Notification) fraud(s FraudStatus) bool {
	return strings.ToLower(string(n.FraudStatus)) == string(s)
}

func (n *Notification) fraudAccepted() bool {
	return n.FraudStatus == "" || n.fraud(FraudAccept)
}

// Amount is gross_amount, exact, in hundredths of the currency unit:
// "10000.00" is 1000000. It includes a fee that the customer pays.
func (n *Notification) Amount() (int64, error) { return ParseAmount(n.GrossAmount) }

// ParseAmount reads an amount as Midtrans writes it, "10000.00", in hundredths
// of the currency unit. It refuses every other shape, and what exceeds an int64.
func ParseAmount(s string) (int64, error) {
	if !isAmount(s) {
		return 0, fmt.Errorf("amount %q: a decimal number with two decimals is required", s)
	}
	v, err := strconv.ParseInt(s[:len(s)-3]+s[len(s)-2:], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("amount %q is out of range", s)
	}
	return v, nil
}

// jakarta is Midtrans' time zone, GMT+7 with no daylight saving.
var jakarta = time.FixedZone("WIB", 7*60*60)

// ParseTime reads a time as Midtrans writes it, "2006-01-02 15:04:05", which is
// local to Jakarta (GMT+7) and says so nowhere.
func ParseTime(s string) (time.Time, error) {
	return time.ParseInLocation(time.DateTime, s, jakarta)
}

// Raw returns a copy of the body as received, nil for a Notification that was
// not parsed. It holds the signature and the customer's data: keep it out of
// logs and answers.
func (n *Notification) Raw() []byte {
	if n.raw == "" {
		return nil
	}
	return []byte(n.raw)
}

// Confirmed reports whether these facts are the status API's, asked just now
// (see [WithStatusCheck]), and not only those of a signed notification.
func (n *Notification) Confirmed() bool { return n.confirmed }

// Notified returns the notification as it was received, where n has the facts
// that the status API confirmed instead. It is n itself where nothing was
// confirmed, and nil where nothing was received: [Middleware.Reconcile] asked.
func (n *Notification) Notified() *Notification {
	if !n.confirmed {
		return n
	}
	return n.notified
}

// Extra returns the JSON of a top-level field of the body that no field of
// Notification holds whole: one this version does not know, or one of an
// unexpected type. It reads the body again each time.
func (n *Notification) Extra(name string) (json []byte, ok bool) {
	scratch := reflect.ValueOf(new(Notification)).Elem()
	err := read([]byte(n.raw), n.raw, func(p *parser, member string) error {
		start := p.dec.InputOffset()
		whole, err := p.field(scratch, notificationFields[member])
		if member == name && !whole {
			value := n.raw[start:p.dec.InputOffset()]
			json, ok = []byte(strings.TrimLeft(value, ": \t\r\n")), true
		}
		return err
	})
	return json, ok && err == nil
}

// jsonField says where a JSON member goes: into which field of a struct.
type jsonField struct {
	index      int
	kind       reflect.Kind         // reflect.Invalid in the zero value, which no member goes to
	elem       map[string]jsonField // of a slice of structs
	identifies Kind                 // the kind of notification that alone has this field
}

// notificationFields finds the fields of a Notification by their JSON names.
var notificationFields = jsonFields(reflect.TypeFor[Notification]())

func jsonFields(t reflect.Type) map[string]jsonField {
	fields := map[string]jsonField{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name == "" {
			continue
		}
		f := jsonField{index: i, kind: t.Field(i).Type.Kind()}
		if f.kind == reflect.Slice && t.Field(i).Type.Elem().Kind() == reflect.Struct {
			f.elem = jsonFields(t.Field(i).Type.Elem())
		}
		// A body with fields of both kinds is refused: it could be read as either.
		switch name {
		case "order_id", "gross_amount", "transaction_id", "transaction_status":
			f.identifies = Payment
		case "account_id", "account_status":
			f.identifies = PayAccount
		}
		fields[name] = f
	}
	return fields
}

// parser reads one body. Its values are pieces of text, which is the body as a
// string: a field costs no copy.
type parser struct {
	dec  jsontext.Decoder
	body bytes.Buffer
	text string
}

var (
	parsers       = sync.Pool{New: func() any { return new(parser) }}
	nothing       = strings.NewReader("")
	errUnexpected = errors.New("not the one JSON object that was expected")
)

// read calls visit at each member of the one JSON object that body is. visit
// must read the member's value.
func read(body []byte, text string, visit func(p *parser, name string) error) error {
	p := parsers.Get().(*parser)
	defer func() {
		p.dec.Reset(nothing)
		p.body, p.text = bytes.Buffer{}, ""
		parsers.Put(p)
	}()
	p.body, p.text = *bytes.NewBuffer(body), text
	p.dec.Reset(&p.body)

	if p.dec.PeekKind() != jsontext.KindBeginObject {
		return errUnexpected
	}
	if err := p.object(func(name string) error { return visit(p, name) }); err != nil {
		return err
	}
	if _, err := p.dec.ReadToken(); err != io.EOF {
		return cmp.Or(err, errUnexpected) // something follows the object
	}
	return nil
}

// object reads an object, of whose members visit must read the values.
func (p *parser) object(visit func(name string) error) error {
	if _, err := p.dec.ReadToken(); err != nil {
		return err
	}
	for p.dec.PeekKind() == jsontext.KindString {
		name, err := p.value()
		if err != nil {
			return err
		}
		if err := visit(unquote(name)); err != nil {
			return err
		}
	}
	_, err := p.dec.ReadToken()
	return err
}

// value reads any value and returns its JSON text.
func (p *parser) value() (string, error) {
	value, err := p.dec.ReadValue()
	end := int(p.dec.InputOffset())
	return p.text[end-len(value) : end], err
}

// field reads a value into the field f of the struct v, and reports whether the
// field holds all of it. null is nothing to hold.
func (p *parser) field(v reflect.Value, f jsonField) (whole bool, err error) {
	if f.elem != nil && p.dec.PeekKind() == jsontext.KindBeginArray {
		return p.slice(v.Field(f.index), f.elem)
	}
	value, err := p.value()
	switch {
	case err != nil || f.kind == reflect.Invalid:
		return false, err
	case value == "null":
	case f.kind == reflect.String && (value[0] == '"' || isNumber(value)):
		v.Field(f.index).SetString(unquote(value))
	case f.kind == reflect.Bool && (value == "true" || value == "false"):
		v.Field(f.index).SetBool(value == "true")
	case f.kind == reflect.Slice && f.elem == nil:
		v.Field(f.index).SetBytes([]byte(value))
	default:
		return false, nil
	}
	return true, nil
}

// maxItems bounds the memory that a body can make of "refunds":[{},{},…].
const maxItems = 1000

// slice reads an array into a slice of structs, leaving out what is no object.
func (p *parser) slice(slice reflect.Value, elem map[string]jsonField) (whole bool, err error) {
	if _, err := p.dec.ReadToken(); err != nil {
		return false, err
	}
	whole = true
	for p.dec.PeekKind() != jsontext.KindEndArray {
		if p.dec.PeekKind() != jsontext.KindBeginObject || slice.Len() == maxItems {
			if err := p.dec.SkipValue(); err != nil {
				return false, err
			}
			whole = false
			continue
		}
		slice.Grow(1)
		slice.SetLen(slice.Len() + 1)
		item := slice.Index(slice.Len() - 1)
		err := p.object(func(name string) error {
			held, err := p.field(item, elem[name])
			whole = whole && held
			return err
		})
		if err != nil {
			return false, err
		}
	}
	_, err = p.dec.ReadToken()
	return whole, err
}

func isNumber(value string) bool {
	return value[0] == '-' || '0' <= value[0] && value[0] <= '9'
}

// unquote returns the text of a JSON string, and a number's literal text.
func unquote(value string) string {
	if value[0] != '"' {
		return value
	}
	if !strings.Contains(value, `\`) {
		return value[1 : len(value)-1]
	}
	b, _ := jsontext.AppendUnquote(nil, value) // its syntax was checked when it was read
	return string(b)
}
