package midhook

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/midhook/midhook/internal/object"
)

// ErrMalformed marks a body that is not a notification: not one JSON object,
// a name that is given twice or could be taken for a known field's (Order_ID), or a
// signed field that is missing or of a wrong shape.
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

// String is the kind's name: payment or pay_account.
func (k Kind) String() string {
	switch k {
	case Payment:
		return "payment"
	case PayAccount:
		return "pay_account"
	}
	return fmt.Sprintf("Kind(%d)", int(k))
}

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
// It is about one transaction, and an order can have several. Each has notifications of
// its own: when a customer has tried one method and paid by another, the expire, deny or
// cancel of the abandoned attempt reaches the handler after the order was paid. Look
// at the TransactionID, too, before such a status closes an order. Refund amounts are
// cumulative, and an older refund can come after a newer one: take the larger sum.
// What is bought is delivered once for each order, or for each
// [Notification.PaymentKey], not for each event.
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
	FraudStatus       FraudStatus       `json:"fraud_status,omitempty"` // a value that is no text is kept as its JSON, and accepts nothing
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

	// Refunds and chargebacks. RefundAmount is cumulative.
	RefundAmount           string   `json:"refund_amount,omitempty"`
	RefundChargebackAmount string   `json:"refund_chargeback_amount,omitempty"`
	RefundKey              string   `json:"refund_key,omitempty"`
	Refunds                []Refund `json:"refunds,omitempty"`

	raw       string
	confirmed bool
	notified  *Notification // nil unless confirmed
	alsoPaid  bool          // its order has another paid transaction
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
// [ErrMalformed] for anything but one JSON object, for more than 1,000 members, objects,
// lists or items of a known list, or backslashes and bytes that are not ASCII in names,
// for a name given twice, for a name that encoding/json would take for a known field's
// although it is spelled otherwise (Order_ID), and for a signed field that is missing,
// empty, neither string nor number, or of a wrong shape (status_code has three digits,
// gross_amount two decimals). It is tolerant of everything else, because Midtrans adds
// fields at any time and varies their types: what does not fit its field is left to
// [Notification.Extra].
func Parse(body []byte) (*Notification, error) { return parse(body, string(body)) }

// parse is Parse, whose Notification keeps text: the body as a string.
func parse(body []byte, text string) (*Notification, error) {
	n, err := decode(body, text)
	if err != nil {
		return nil, err
	}
	if err := n.checkSigned(); err != nil {
		return nil, err
	}
	return n, nil
}

// notificationFields finds the fields of a Notification by their JSON names.
var notificationFields = object.TableOf[Notification]()

// decode reads any JSON object that could be a notification, or the status
// API's answer.
func decode(body []byte, text string) (*Notification, error) {
	n := &Notification{raw: text}
	var payment, account bool
	err := notificationFields.DecodeMembers(body, n.raw, n, func(name []byte, json string, held bool) {
		switch string(name) {
		case "order_id", "gross_amount", "transaction_id", "transaction_status":
			payment = true
		case "account_id", "account_status":
			account = true
		case "fraud_status":
			if !held { // what nobody can read is no verdict, and not the lack of one
				n.FraudStatus = FraudStatus(json)
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if payment && account && n.OrderID == "" {
		return nil, fmt.Errorf("%w: it has fields of a payment and of a Pay Account, and no order_id", ErrMalformed)
	}
	n.TransactionStatus = TransactionStatus(strings.ToLower(string(n.TransactionStatus)))
	n.FraudStatus = FraudStatus(strings.ToLower(string(n.FraudStatus)))
	return n, nil
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
	return n.status() == s
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

// Raw returns a copy of the body that n was parsed from, nil for a Notification that
// was not parsed: the body as received, or the status API's answer where n has its
// facts (there the order_id is the order's own, also where the API has the
// transaction_id in its place). A payment that stands although it was refunded in
// part has the body as received, see [Notification.Confirm]. The body holds the
// signature and the customer's data: keep it out of logs and answers.
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
	return notificationFields.Extra(n.raw, name)
}
