package paymongo

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/object"
)

// Resource is what an event happened to: a payment, a refund, a source. Its
// fields are empty if the event has none, or one of another shape.
//
// Printed, logged or marshalled to JSON, it shows ids, status and amount only.
// Its Attributes hold the customer's name, address and phone: keep them out of
// logs and answers.
type Resource struct {
	ID         string          `json:"id"`         // pay_…, pi_…, cs_…
	Type       string          `json:"type"`       // payment, payment_intent, checkout_session
	Attributes json.RawMessage `json:"attributes"` // as received
}

var resourceFields = object.TableOf[Resource]()

// UnmarshalJSON reads a resource as PayMongo writes it, and leaves r as it was where
// it fails: for anything but one JSON object, for a name given twice, and where there
// are no attributes, as in what MarshalJSON printed.
func (r *Resource) UnmarshalJSON(body []byte) error {
	if string(body) == "null" {
		return nil // as encoding/json asks for
	}
	var read Resource
	err := resourceFields.Decode(body, string(body), &read, nil)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", midhook.ErrMalformed, err)
	case len(read.Attributes) == 0:
		return fmt.Errorf("%w: a resource must have attributes, which MarshalJSON does not print", midhook.ErrMalformed)
	}
	*r = read
	return nil
}

// facts are what the attributes of most resources have in common.
type facts struct {
	Amount   json.RawMessage `json:"amount"`
	Currency string          `json:"currency"`
	Status   string          `json:"status"`
}

var factFields = object.TableOf[facts]()

func (r Resource) facts() (f facts) {
	if err := factFields.Decode(r.Attributes, string(r.Attributes), &f, nil); err != nil {
		return facts{} // there are none
	}
	return f
}

func (f facts) amount() (centavos int64, ok bool) {
	centavos, err := strconv.ParseInt(string(f.Amount), 10, 64)
	return centavos, err == nil
}

// Amount is the resource's amount, exact, in centavos (hundredths of the currency
// unit), as PayMongo writes it. ok is false where there is none, as in a checkout
// session, or where it is anything but a JSON integer: it is then unknown, not 0.
//
// It does not say that the amount is what the order costs: compare it, and
// [Resource.Currency], with your own record.
func (r Resource) Amount() (centavos int64, ok bool) { return r.facts().amount() }

// Currency is the resource's currency, such as PHP, "" where there is none.
func (r Resource) Currency() string { return r.facts().Currency }

// Status is where the resource stood, such as paid, "" where there is none. What
// it can be depends on the resource's type.
func (r Resource) Status() string { return r.facts().Status }

// Decode reads the attributes into the value that v points to, as [json.Unmarshal]
// does. Its error names the field that does not fit, and quotes nothing.
func (r Resource) Decode(v any) error {
	if len(r.Attributes) == 0 {
		return errors.New("paymongo: the resource has no attributes")
	}
	err := json.Unmarshal(r.Attributes, v)
	if err == nil {
		return nil
	}
	if mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && mismatch.Field != "" {
		kind, _, _ := strings.Cut(mismatch.Value, " ") // what follows is the number
		return fmt.Errorf("paymongo: the resource's attributes: field %q: a JSON %s does not fit %v", mismatch.Field, kind, mismatch.Type)
	}
	return fmt.Errorf("paymongo: the resource's attributes do not fit %T", v) // err may quote them
}
