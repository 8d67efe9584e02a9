package midhooktest

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/midhook/midhook"
)

// Sender is one who posts webhooks, as far as a test has to play it: how its
// requests are made, and what it does about the answers. [Senders] has those that
// midhook knows; for a [midhook.Gateway] of your own, make one.
type Sender struct {
	Name   string // in lower case, as a package's name
	Policy RetryPolicy

	// Sign makes a delivery of body at a time: the header that proves it, which may
	// be nil, and the body that is sent, which is body unless the signature is
	// inside of it: then it takes the place of one that is there.
	Sign func(body []byte, secret string, at time.Time) (http.Header, []byte)

	// Event returns the unsigned body of an event: for each number from 0 on another
	// one, of another payment, and the same for the same number.
	Event func(nr int) []byte

	samples   string     // their directory
	sequences [][]string // samples of one payment, in the order in which they happen
	userAgent string     // "" where it is not known
}

// Senders returns the senders that midhook has a gateway for.
func Senders() []Sender {
	return []Sender{MidtransSender(), PayoutSender(), RecurringSender(), OpnSender(), PayMongoSender()}
}

// MidtransSender sends Midtrans' payment notifications. Its secret is the server
// key.
func MidtransSender() Sender {
	s := Sender{Name: "midtrans", Policy: MidtransRetries(), userAgent: "Veritrans", samples: "samples"}
	s.sequences = [][]string{
		{"credit-card-challenge", "credit-card-challenge-accepted"},
		{"permata-va", "reversal"},
		{"partial-refund", "partial-refund-bank-confirmed"},
	}
	s.Sign = func(body []byte, serverKey string, _ time.Time) (http.Header, []byte) {
		n, err := midhook.Parse(body)
		if err != nil {
			return nil, body
		}
		return nil, Body(n, serverKey)
	}
	s.Event = func(nr int) []byte {
		return s.Body("gopay", Order(fmt.Sprint("order-", nr)), Transaction(fmt.Sprint("transaction-", nr)))
	}
	return s
}

// PayoutSender sends the notifications of Midtrans' payouts (Iris). Its secret is
// the Iris merchant key. That they are retried as payments are is assumed: it is
// not documented.
func PayoutSender() Sender {
	s := Sender{Name: "payout", Policy: MidtransRetries(), userAgent: "Veritrans", samples: "samples/payout"}
	s.sequences = [][]string{{"processed", "completed", "failed"}}
	s.Sign = func(body []byte, merchantKey string, _ time.Time) (http.Header, []byte) {
		digest := sha512.Sum512(slices.Concat(body, []byte(merchantKey)))
		return http.Header{"Iris-Signature": {hex.EncodeToString(digest[:])}}, body
	}
	s.Event = func(nr int) []byte {
		return s.Body("completed", Field("reference_no", fmt.Sprint("payout-", nr)))
	}
	return s
}

// RecurringSender sends the notifications of Midtrans' subscriptions, charges but
// for what the samples have besides. Only a flat body with a signature_key is
// signed, with the server key. That they are retried as payments are is assumed.
func RecurringSender() Sender {
	s := Sender{Name: "recurring", Policy: MidtransRetries(), userAgent: "Veritrans", samples: "samples/recurring"}
	s.Sign = func(body []byte, serverKey string, at time.Time) (http.Header, []byte) {
		if decodeObject(body).get("signature_key") == nil {
			return nil, body
		}
		return MidtransSender().Sign(body, serverKey, at)
	}
	s.Event = func(nr int) []byte {
		return s.Body("charged",
			Member(fmt.Sprint("subscription-", nr), "subscription", "id"),
			Member(fmt.Sprint("transaction-", nr), "transaction", "transaction_id"))
	}
	return s
}

// OpnSender sends Opn's events. Its secret is the webhook secret, in base64.
func OpnSender() Sender {
	s := Sender{Name: "opn", Policy: NoRetries(), samples: "samples/opn"}
	s.Sign = func(body []byte, secret string, at time.Time) (http.Header, []byte) {
		key, _ := base64.StdEncoding.DecodeString(secret) // a secret that is not base64 signs nothing that verifies
		timestamp := strconv.FormatInt(at.Unix(), 10)
		return http.Header{
			"Omise-Signature":           {hexMAC(key, timestamp+"."+string(body))},
			"Omise-Signature-Timestamp": {timestamp},
		}, body
	}
	s.Event = func(nr int) []byte {
		return s.Body("charge.complete", Field("id", fmt.Sprint("evnt_test_", nr)))
	}
	return s
}

// PayMongoSender sends PayMongo's events. Its secret is the webhook secret,
// whsk_…
func PayMongoSender() Sender {
	s := Sender{Name: "paymongo", Policy: PayMongoRetries(), samples: "samples/paymongo"}
	s.Sign = func(body []byte, secret string, at time.Time) (http.Header, []byte) {
		var event struct {
			Data struct{ Attributes struct{ Livemode bool } }
		}
		_ = json.Unmarshal(body, &event) // a test event, if it is anything
		timestamp := strconv.FormatInt(at.Unix(), 10)
		mac := hexMAC([]byte(secret), timestamp+"."+string(body))
		signature := "t=" + timestamp + ",te=" + mac + ",li="
		if event.Data.Attributes.Livemode {
			signature = "t=" + timestamp + ",te=,li=" + mac
		}
		return http.Header{"Paymongo-Signature": {signature}}, body
	}
	s.Event = func(nr int) []byte {
		return s.Body("payment.paid", Member(fmt.Sprint("evt_", nr), "data", "id"))
	}
	return s
}

func hexMAC(key []byte, text string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// Samples returns the names of the sender's sample bodies, sorted.
func (s Sender) Samples() []string {
	if s.samples == "" {
		return nil
	}
	entries, _ := files.ReadDir(s.samples)
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".json"); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names) // the entries are, with .json, in another order
	return names
}

// Body returns the unsigned body of the sample of that name, changed by tweaks in
// their order. It panics if there is no such sample.
func (s Sender) Body(sample string, tweaks ...Tweak) []byte {
	names := s.Samples()
	body, err := files.ReadFile(path.Join(s.samples, sample+".json"))
	switch {
	case len(names) == 0:
		panic(fmt.Sprintf("midhooktest: the sender %q has no samples", s.Name))
	case err != nil || !slices.Contains(names, sample): // the path may lead to another sender's
		panic(fmt.Sprintf("midhooktest: %s has no sample %q, only %s", s.Name, sample, strings.Join(names, ", ")))
	}
	if len(tweaks) == 0 {
		return body
	}
	o := decodeObject(body)
	for _, tweak := range tweaks {
		tweak(&o)
	}
	return o.encode()
}

// NewRequest returns a request that delivers body now, signed with secret. Its
// path is "/". It is for a handler's ServeHTTP; to send it with an
// [http.Client], set its URL.
func (s Sender) NewRequest(body []byte, secret string) *http.Request {
	header, body := s.Sign(body, secret, time.Now())
	r, err := http.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	if err != nil {
		panic("midhooktest: " + err.Error()) // the method and the URL are right
	}
	r.Header = s.requestHeader(header)
	r.RemoteAddr = "192.0.2.1:1234" // as in net/http/httptest: of a network that is nobody's
	return r
}

// Header returns the header of every request, without what proves a body.
func (s Sender) Header() http.Header {
	return http.Header{
		"Accept":       {"application/json"},
		"Content-Type": {"application/json"},
		"User-Agent":   {cmp.Or(s.userAgent, "midhooktest")},
	}
}

// requestHeader is that of a request, with what proves its body.
func (s Sender) requestHeader(proof http.Header) http.Header {
	header := s.Header()
	maps.Copy(header, proof.Clone())
	return header
}
