package midhooktest_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

const (
	courierSecret     = "Y291cmllci10ZXN0LXNlY3JldA==" // in base64
	courierNextSecret = "Y291cmllci1uZXh0LXNlY3JldA=="
	courierPhone      = "+62800000000"
)

// parcel is what the courier of these tests tells of.
type parcel struct{ id, phone string }

func (p *parcel) LogValue() slog.Value         { return slog.GroupValue(slog.String("id", p.id)) }
func (p *parcel) Format(f fmt.State, _ rune)   { fmt.Fprintf(f, "parcel %s", p.id) }
func (p *parcel) MarshalJSON() ([]byte, error) { return json.Marshal(p.id) }

// courier is a sound gateway, whose parts a test replaces by broken ones. It signs
// the body in a header, or inside of the body its id alone.
type courier struct {
	inBody  bool
	keys    []string // decoded; the labels are their numbers
	matches func(given, want string) bool
	forged  func(body []byte, want string) error
	read    func(body []byte) (*parcel, error)
	message func(p *parcel, key int) midhook.Message
	answer  func(midhook.Outcome) (int, string, string)
}

func newCourier(changes ...func(*courier)) *courier {
	c := &courier{
		keys:    []string{decoded(courierSecret), decoded(courierNextSecret)},
		matches: func(given, want string) bool { return hmac.Equal([]byte(given), []byte(want)) },
		forged:  func([]byte, string) error { return midhook.ErrSignature },
		read: func(body []byte) (*parcel, error) {
			var fields struct{ ID, Phone string }
			if err := json.Unmarshal(body, &fields); err != nil || fields.ID == "" {
				return nil, fmt.Errorf("%w: id is required", midhook.ErrMalformed)
			}
			return &parcel{fields.ID, fields.Phone}, nil
		},
		message: func(p *parcel, key int) midhook.Message {
			return midhook.Message{Value: p, Key: "courier " + p.id, KeyLabel: fmt.Sprint("key ", key)}
		},
		answer: midhook.PlainAnswer,
	}
	for _, change := range changes {
		change(c)
	}
	return c
}

func decoded(secret string) string {
	key, _ := base64.StdEncoding.DecodeString(secret)
	return string(key)
}

func courierMAC(key string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

func (c *courier) Answer(o midhook.Outcome) (int, string, string) { return c.answer(o) }

func (c *courier) Open(header http.Header, body []byte) (midhook.Message, error) {
	given, signed := header.Get("Courier-Signature"), body
	if c.inBody {
		p, err := c.read(body)
		if err != nil {
			return midhook.Message{}, err
		}
		var fields struct{ Signature string }
		_ = json.Unmarshal(body, &fields) // then it is empty
		given, signed = fields.Signature, []byte(p.id)
	}
	found := -1
	for i, key := range c.keys {
		if c.matches(given, courierMAC(key, signed)) && found < 0 {
			found = i
		}
	}
	if found < 0 {
		return midhook.Message{}, c.forged(body, courierMAC(c.keys[0], signed))
	}
	p, err := c.read(body)
	if err != nil {
		return midhook.Message{}, err
	}
	return c.message(p, found), nil
}

// leaving is a courier that comes once.
type leaving struct{ *courier }

func (leaving) Retries() bool { return false }

// picky is a courier that wants JSON.
type picky struct {
	*courier
	accepts func(status int, body []byte) bool
}

func (p picky) Accepts(status int, _ http.Header, body []byte) bool { return p.accepts(status, body) }

func acceptsJSON(status int, body []byte) bool { return status <= 209 && json.Valid(body) }

func answerJSON(o midhook.Outcome) (int, string, string) {
	status, _, _ := midhook.PlainAnswer(o)
	return status, "application/json", `{}`
}

// asking is a courier whose bodies prove nothing. Its API knows of parcel-…
type asking struct {
	*courier
	unasked bool
}

func (a asking) Open(_ http.Header, body []byte) (midhook.Message, error) {
	p, err := a.read(body)
	if err != nil {
		return midhook.Message{}, err
	}
	return a.message(p, 0), nil
}

func (a asking) Authenticate(_ context.Context, m midhook.Message) (midhook.Message, error) {
	if p := m.Value.(*parcel); !a.unasked && !strings.HasPrefix(p.id, "parcel-") {
		return midhook.Message{}, fmt.Errorf("%w: there is no such parcel", midhook.ErrUnconfirmed)
	}
	return m, nil
}

// courierTest is TestGateway's for a courier with a sender's policy.
func courierTest(g midhook.Gateway, policy midhooktest.RetryPolicy) midhooktest.GatewayTest {
	inHeader := func(body []byte, secret string, _ time.Time) (http.Header, []byte) {
		return http.Header{"Courier-Signature": {courierMAC(decoded(secret), body)}}, body
	}
	return midhooktest.GatewayTest{
		Sender: midhooktest.Sender{
			Name:   "courier",
			Policy: policy,
			Sign:   inHeader,
			Event: func(nr int) []byte {
				return fmt.Appendf(nil, `{"id":"parcel-%d","phone":%q,"size":{"height":1}}`, nr, courierPhone)
			},
		},
		Secret:     courierSecret,
		NextSecret: courierNextSecret,
		New: func(t testing.TB, opts ...midhook.Option) *midhook.Middleware {
			hook, err := midhook.NewFor(g, opts...)
			require.NoError(t, err)
			return hook
		},
		Forgeries: map[string]func([]byte, time.Time) (http.Header, []byte){
			"signed with a secret that is not decoded": func(body []byte, _ time.Time) (http.Header, []byte) {
				return http.Header{"Courier-Signature": {courierMAC(courierSecret, body)}}, body
			},
		},
		Sensitive: []string{courierPhone},
	}
}

// insideTest is courierTest for a courier that signs inside of the body.
func insideTest(c *courier) midhooktest.GatewayTest {
	c.inBody = true
	g := courierTest(c, midhooktest.MidtransRetries())
	g.Forgeries = nil
	g.Sender.Sign = func(body []byte, secret string, _ time.Time) (http.Header, []byte) {
		var fields struct{ ID string }
		if json.Unmarshal(body, &fields) != nil || fields.ID == "" {
			return nil, body
		}
		unsigned, _, _ := bytes.Cut(bytes.TrimSuffix(bytes.TrimSpace(body), []byte("}")), []byte(`,"signature":`))
		return nil, fmt.Appendf(nil, `%s,"signature":%q}`, unsigned, courierMAC(decoded(secret), []byte(fields.ID)))
	}
	return g
}

// unsignedTest is courierTest for a courier that is asked.
func unsignedTest(a asking) midhooktest.GatewayTest {
	g := courierTest(a, midhooktest.MidtransRetries())
	g.NextSecret = ""
	g.Unsigned = true
	g.Sender.Sign = func(body []byte, _ string, _ time.Time) (http.Header, []byte) { return nil, body }
	g.Forgeries = map[string]func([]byte, time.Time) (http.Header, []byte){
		"of a parcel that nobody sent": func(body []byte, _ time.Time) (http.Header, []byte) {
			return nil, bytes.Replace(body, []byte("parcel-0"), []byte("stolen-0"), 1)
		},
	}
	return g
}
