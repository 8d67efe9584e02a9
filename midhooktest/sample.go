package midhooktest

import (
	"embed"
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	"github.com/midhook/midhook"
)

//go:embed samples
var files embed.FS

// Samples returns the names of all samples, sorted. A name is that of a payment
// method, paid ("bca-va", "gopay"), or of what else can become of a payment
// ("pending", "credit-card-challenge", "partial-refund").
//
// Some continue another: credit-card-challenge-accepted has the order and
// transaction of credit-card-challenge, partial-refund-bank-confirmed those of
// partial-refund, and reversal, with which the bank takes a settled payment
// back, those of permata-va. All others are of orders of their own.
func Samples() []string { return MidtransSender().Samples() }

// Sample returns a new copy of the sample of that name, changed by tweaks in
// their order. It is not signed: [Body] and [NewRequest] do that.
//
// Sample panics if there is no such sample, and if [midhook.Parse] refuses what
// the tweaks have made of it.
func Sample(name string, tweaks ...Tweak) *midhook.Notification {
	n, err := midhook.Parse(MidtransSender().Body(name, tweaks...))
	if err != nil {
		panic(fmt.Sprintf("midhooktest: sample %q with these tweaks: %v", name, err))
	}
	return n
}

// Tweak changes the JSON of a [Sample], or of a [Sender.Body].
type Tweak func(*object)

// Order sets order_id.
func Order(id string) Tweak { return Field("order_id", id) }

// Transaction sets transaction_id.
func Transaction(id string) Tweak { return Field("transaction_id", id) }

// Amount sets gross_amount, a decimal number with two decimals: "10000.00".
func Amount(gross string) Tweak { return Field("gross_amount", gross) }

// Status sets status_code and transaction_status, which belong together: 200
// what succeeded, 201 what is pending or challenged, 202 a deny, cancel or expire.
func Status(code string, s midhook.TransactionStatus) Tweak {
	return func(o *object) {
		Field("status_code", code)(o)
		Field("transaction_status", s)(o)
	}
}

// Fraud sets fraud_status; "" takes it out, as for a method that is not screened.
func Fraud(s midhook.FraudStatus) Tweak {
	if s == "" {
		return Field("fraud_status", nil)
	}
	return Field("fraud_status", s)
}

var (
	quotedTime = regexp.MustCompile(`"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"`)
	jakarta    = time.FixedZone("WIB", 7*60*60)
)

// Time sets transaction_time, to the second and in Jakarta's time as Midtrans
// writes it, and moves every other time of the body by as much.
func Time(t time.Time) Tweak {
	return func(o *object) {
		var text string
		_ = json.Unmarshal(o.get("transaction_time"), &text)
		if was, err := midhook.ParseTime(text); err == nil {
			move := t.Sub(was)
			*o = decodeObject(quotedTime.ReplaceAllFunc(o.encode(), func(quoted []byte) []byte {
				at, err := midhook.ParseTime(string(quoted[1 : len(quoted)-1]))
				if err != nil {
					return quoted // digits that are no time
				}
				return marshal(at.Add(move).Format(time.DateTime))
			}))
		}
		Field("transaction_time", t.In(jakarta).Format(time.DateTime))(o)
	}
}

// Field sets a top-level field, known to midhook or not, to the JSON of value; a
// [json.RawMessage] stands as it is, and nil takes the field out. It panics if
// value has no JSON.
func Field(name string, value any) Tweak {
	if value == nil {
		return func(o *object) { o.remove(name) }
	}
	text := marshal(value)
	return func(o *object) { o.set(name, text) }
}

// Member is Field for what is inside of an object: path is the names that lead to
// it. What is no object on the way becomes one.
func Member(value any, path ...string) Tweak {
	if len(path) == 1 {
		return Field(path[0], value)
	}
	return func(o *object) {
		inner := decodeObject(o.get(path[0]))
		Member(value, path[1:]...)(&inner)
		o.set(path[0], inner.encode())
	}
}
