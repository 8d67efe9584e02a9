package midhooktest_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
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

// Rule: a sound gateway passes, whatever its sender is like.
func TestTestGateway(t *testing.T) {
	for name, g := range map[string]midhooktest.GatewayTest{
		"retries":    courierTest(newCourier(), midhooktest.MidtransRetries()),
		"no retries": courierTest(leaving{newCourier()}, midhooktest.NoRetries()),
		"JSON":       courierTest(picky{newCourier(func(c *courier) { c.answer = answerJSON }), acceptsJSON}, midhooktest.PayMongoRetries()),
		"inside":     insideTest(newCourier()),
		"unsigned":   unsignedTest(asking{courier: newCourier()}),
		"no rotation": func() midhooktest.GatewayTest {
			g := courierTest(newCourier(), midhooktest.MidtransRetries())
			g.NextSecret = ""
			return g
		}(),
	} {
		t.Run(name, func(t *testing.T) { midhooktest.TestGateway(t, g) })
	}
}

func FuzzCourier(f *testing.F) {
	midhooktest.FuzzGateway(f, courierTest(newCourier(), midhooktest.MidtransRetries()))
}

func FuzzCourierInside(f *testing.F) { midhooktest.FuzzGateway(f, insideTest(newCourier())) }

// broken is a gateway with a mistake, the cases that must find it, and no others,
// and what they must say.
type broken struct {
	test  midhooktest.GatewayTest
	cases []string
	says  []string
}

func retried(changes ...func(*courier)) midhooktest.GatewayTest {
	return courierTest(newCourier(changes...), midhooktest.MidtransRetries())
}

// answering gives another answer to an outcome.
func answering(outcome midhook.Outcome, status int, body string) func(*courier) {
	return func(c *courier) {
		c.answer = func(o midhook.Outcome) (int, string, string) {
			if o == outcome {
				return status, "text/plain", body
			}
			return midhook.PlainAnswer(o)
		}
	}
}

func matching(matches func(given, want string) bool) func(*courier) {
	return func(c *courier) { c.matches = matches }
}

// telling changes what the pipeline is told.
func telling(change func(*midhook.Message, *parcel)) func(*courier) {
	return func(c *courier) {
		message := c.message
		c.message = func(p *parcel, key int) midhook.Message {
			m := message(p, key)
			change(&m, p)
			return m
		}
	}
}

// open is a Value that hides nothing, shy one whose LogValue alone does.
type open struct{ ID, Phone string }

func (o *open) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", o.ID), slog.String("phone", o.Phone))
}

type shy struct{ ID, Phone string }

func (s *shy) LogValue() slog.Value { return slog.GroupValue(slog.String("id", s.ID)) }

// brokenGateways are mistakes by name.
func brokenGateways() map[string]broken {
	const forgery = "forgery"
	return map[string]broken{
		"lets everyone in": {
			test:  retried(matching(func(string, string) bool { return true })),
			cases: []string{forgery, "rotation"},
			says:  []string{"signed without a secret: handed on", "signed with another secret: handed on", "without Courier-Signature: came as far as the store"},
		},
		"accepts an empty signature": {
			test:  retried(matching(func(given, want string) bool { return given == "" || given == want })),
			cases: []string{forgery},
			says:  []string{"without Courier-Signature: handed on", "with an empty Courier-Signature: handed on"},
		},
		"compares as much as there is": {
			test:  retried(matching(func(given, want string) bool { return given != "" && strings.HasPrefix(want, given) })),
			cases: []string{forgery},
			says:  []string{"with half of a signature: handed on", "with one digit of a signature: handed on"},
		},
		"compares the beginning": {
			test:  retried(matching(func(given, want string) bool { return len(given) == len(want) && given[:8] == want[:8] })),
			cases: []string{forgery},
			says:  []string{"with a signature that ends otherwise: handed on"},
		},
		"compares the end": {
			test:  retried(matching(func(given, want string) bool { return len(given) == len(want) && given[8:] == want[8:] })),
			cases: []string{forgery},
			says:  []string{"with a signature that begins otherwise: handed on"},
		},
		"compares the length": {
			test:  retried(matching(func(given, want string) bool { return len(given) == len(want) })),
			cases: []string{forgery, "rotation"},
			says:  []string{"with another Courier-Signature: handed on", "with another event's signature: handed on", "with a body that was changed: handed on"},
		},
		"inside, accepts an empty signature": {
			test:  insideTest(newCourier(matching(func(given, want string) bool { return given == "" || given == want }))),
			cases: []string{forgery},
			says:  []string{"with an empty signature: handed on"},
		},
		"inside, compares the beginning": {
			test:  insideTest(newCourier(matching(func(given, want string) bool { return len(given) == len(want) && given[:8] == want[:8] }))),
			cases: []string{forgery},
			says:  []string{"with a signature that ends otherwise: handed on"},
		},
		"accepts the empty secret": {
			test:  retried(func(c *courier) { c.keys = append(c.keys, "") }),
			cases: []string{forgery},
			says:  []string{"signed without a secret: handed on"},
		},
		"accepts a secret that is not decoded": {
			test:  retried(func(c *courier) { c.keys = append(c.keys, courierSecret) }),
			cases: []string{forgery},
			says:  []string{"signed with a secret that is not decoded: handed on"},
		},
		"reads before it verifies": {
			test: retried(func(c *courier) {
				c.forged = func(body []byte, _ string) error {
					_, err := c.read(body)
					return errors.Join(err, midhook.ErrSignature)
				}
				read := c.read
				c.read = func(body []byte) (*parcel, error) {
					if bytes.HasSuffix(body, []byte(" ")) { // a mistake that only a stranger's body finds
						panic("space")
					}
					return read(body)
				}
			}),
			cases: []string{forgery, "garbage"},
			says:  []string{"with a space at the end: answered 0 (handler panicked: space)"},
		},
		"panics on null": {
			test: retried(func(c *courier) {
				c.read = func(body []byte) (*parcel, error) {
					var fields *struct{ ID, Phone string }
					if err := json.Unmarshal(body, &fields); err != nil {
						return nil, fmt.Errorf("%w: no parcel", midhook.ErrMalformed)
					}
					if fields.ID == "" { // of nil
						return nil, fmt.Errorf("%w: id is required", midhook.ErrMalformed)
					}
					return &parcel{fields.ID, fields.Phone}, nil
				}
			}),
			cases: []string{"garbage"},
			says:  []string{`"null": answered 0 (handler panicked: runtime error: invalid memory address or nil pointer dereference), want a 4xx`},
		},
		"panics on null inside": {
			test: retried(func(c *courier) {
				read := c.read
				c.read = func(body []byte) (*parcel, error) {
					var fields struct{ Size map[string]any }
					_ = json.Unmarshal(body, &fields)
					if height, is := fields.Size["height"]; is && height.(float64) < 0 {
						return nil, fmt.Errorf("%w: height must not be negative", midhook.ErrMalformed)
					}
					return read(body)
				}
			}),
			cases: []string{"garbage"},
			says:  []string{`"size":{"height":null}}: handler panicked: interface conversion`},
		},
		"takes anything for an event": {
			test:  retried(func(c *courier) { c.read = func([]byte) (*parcel, error) { return &parcel{"parcel", ""}, nil } }),
			cases: []string{"duplicate", "garbage", "rotation"},
			says:  []string{`"[]": answered 200 (<nil>), want a 4xx`, "garbage: runs of the handler: "},
		},
		"redirects": {
			test:  retried(answering(midhook.OutcomeDuplicate, 302, "")),
			cases: allCases,
			says:  []string{"gateway: its answer to duplicate is 302: 200 to 599 and no redirect is required"},
		},
		"one event for all": {
			test:  retried(telling(func(m *midhook.Message, _ *parcel) { m.Key = "courier" })),
			cases: []string{"duplicate", "rotation"},
			says:  []string{"other events: runs of the handler: 1, want 2"},
		},
		"another event each time": {
			test:  retried(telling(func(m *midhook.Message, _ *parcel) { m.Key += rand.Text() })),
			cases: []string{"duplicate", "shared-store", "at-once", "budget", "hang-up"},
			says:  []string{"one event: runs of the handler: 2, want 1", "32 runs at once", "hung up on: runs of the handler: 2, want 1"},
		},
		"another event each minute": {
			test:  retried(telling(func(m *midhook.Message, _ *parcel) { m.Key += time.Now().Format(time.Kitchen) })),
			cases: []string{"duplicate"},
			says:  []string{"one event: runs of the handler: 2, want 1"},
		},
		"no event": {
			test:  retried(telling(func(m *midhook.Message, _ *parcel) { m.Key = "" })),
			cases: allCasesBut("samples", "garbage"),
			says:  []string{"the gateway did not say which event this is"},
		},
		"event without the gateway's name": {
			test:  retried(telling(func(m *midhook.Message, p *parcel) { m.Key = p.id })),
			cases: []string{"shared-store"},
			says:  []string{"the event is named parcel-0, as in the body: the gateway's name must be in it, too"},
		},
		"another event on each machine": {
			test: func() midhooktest.GatewayTest {
				g := retried()
				g.New = func(t testing.TB, opts ...midhook.Option) *midhook.Middleware {
					machine := rand.Text()
					hook, err := midhook.NewFor(newCourier(telling(func(m *midhook.Message, _ *parcel) { m.Key += machine })), opts...)
					require.NoError(t, err)
					return hook
				}
				return g
			}(),
			cases: []string{"shared-store"},
			says:  []string{"one event on two machines: runs of the handler: 2, want 1"},
		},
		"200 in flight": {
			test:  retried(answering(midhook.OutcomeInFlight, 200, "OK")),
			cases: []string{"at-once", "budget"},
			says:  []string{"answered 200 before the handler was through: if it fails, the event is lost", "in flight: courier must come again: 200: delivered"},
		},
		"200 at the budget": {
			test:  retried(answering(midhook.OutcomeBudgetExceeded, 200, "OK")),
			cases: []string{"budget", "late-failure"},
			says:  []string{"budget spent: courier must come again: 200: delivered"},
		},
		"200 without the store": {
			test:  retried(answering(midhook.OutcomeStoreUnavailable, 200, "OK")),
			cases: []string{"store"},
			says:  []string{"store away: courier must come again: 200: delivered"},
		},
		"200 for a failure": {
			test:  retried(answering(midhook.OutcomeHandlerFailed, 200, "OK")),
			cases: []string{"failure", "retries"},
			says:  []string{"handler answers 503: courier must come again: 200: delivered"},
		},
		"200 for a forgery": {
			test:  retried(answering(midhook.OutcomeForged, 200, "OK")),
			cases: []string{forgery},
			says:  []string{"signed without a secret: answered 200"},
		},
		"200 for garbage": {
			test:  retried(answering(midhook.OutcomeMalformed, 200, "OK")),
			cases: []string{"garbage"},
			says:  []string{`"null": answered 200`},
		},
		"500 for garbage": {
			test:  retried(answering(midhook.OutcomeMalformed, 500, "")),
			cases: []string{"garbage"},
			says:  []string{`"null": answered 500`},
		},
		"400 for a duplicate": {
			test:  retried(answering(midhook.OutcomeDuplicate, 400, "twice")),
			cases: []string{"duplicate", "shared-store", "budget", "hang-up"},
			says:  []string{`delivery of one event: the answer 400 "twice" (<nil>) is no success for courier`},
		},
		"text where JSON is wanted, from the handler": {
			test:  courierTest(newCourier(func(c *courier) { c.answer = answerJSON }), midhooktest.PayMongoRetries()),
			cases: allCasesBut("samples", "budget", "hang-up", "garbage"), // in those there is no success of a handler's own
			says:  []string{`handler writes text: the answer 200 "OK" (<nil>) is no success for courier`, `handler writes nothing: the answer 200 "" (<nil>)`},
		},
		"text where JSON is wanted, from the gateway": {
			test:  courierTest(picky{newCourier(), acceptsJSON}, midhooktest.PayMongoRetries()),
			cases: allCasesBut("samples", "garbage"),
			says:  []string{`delivery of one event: the answer 200 "already handled\n" (<nil>) is no success for courier`},
		},
		"accepts too much": {
			test: courierTest(picky{newCourier(func(c *courier) { c.answer = answerJSON }), func(_ int, body []byte) bool { return len(body) > 0 }},
				midhooktest.PayMongoRetries()),
			cases: []string{"handled"},
			says:  []string{`handler writes text: the answer 200 "OK" (<nil>) is no success for courier`, `handler writes broken: `},
		},
		"refuses new fields": {
			test: retried(func(c *courier) {
				read := c.read
				c.read = func(body []byte) (*parcel, error) {
					if bytes.Contains(body, []byte(`"height":1,`)) { // in an object in the body
						return nil, fmt.Errorf("%w: unknown field", midhook.ErrMalformed)
					}
					return read(body)
				}
			}),
			cases: []string{"unknown"},
			says:  []string{`with new fields: the answer 400 "malformed notification\n"`},
		},
		"shows the phone in the log": {
			test:  retried(telling(func(m *midhook.Message, p *parcel) { m.Value = &open{p.id, p.phone} })),
			cases: allCasesBut("samples"),
			says:  []string{"sensitive data, by the Value's LogValue, Format or MarshalJSON, came out", `"phone":"HERE`},
		},
		"shows the phone when printed": {
			test:  retried(telling(func(m *midhook.Message, p *parcel) { m.Value = &shy{p.id, p.phone} })),
			cases: allCasesBut("samples"),
			says:  []string{"sensitive data, by the Value's LogValue, Format or MarshalJSON, came out, in the log, an answer, or what was told to the observer, as printed"},
		},
		"shows the secret": {
			test: retried(func(c *courier) {
				c.forged = func([]byte, string) error { return fmt.Errorf("%w: not by %s", midhook.ErrSignature, courierSecret) }
			}),
			cases: []string{forgery},
			says:  []string{"the secret came out", "not by HERE"},
		},
		"shows what the signature should be": {
			test: retried(func(c *courier) {
				c.forged = func(_ []byte, want string) error { return fmt.Errorf("%w: want %s", midhook.ErrSignature, want) }
			}),
			cases: []string{forgery},
			says:  []string{"a signature came out", "want HERE"},
		},
		"shows what the signature of an edited body should be": {
			test: retried(func(c *courier) {
				c.forged = func(body []byte, want string) error {
					if bytes.HasSuffix(body, []byte(" ")) {
						return fmt.Errorf("%w: want %s", midhook.ErrSignature, want)
					}
					return midhook.ErrSignature
				}
			}),
			cases: []string{forgery},
			says:  []string{"a signature came out", "want HERE"},
		},
		"shows a part of the header": {
			test: func() midhooktest.GatewayTest {
				g := retried(matching(func(given, want string) bool { return given == "v1="+want }), func(c *courier) {
					c.forged = func(_ []byte, want string) error { return fmt.Errorf("%w: want %s", midhook.ErrSignature, want) }
				})
				g.Sender.Sign = func(body []byte, secret string, _ time.Time) (http.Header, []byte) {
					return http.Header{"Courier-Signature": {"v1=" + courierMAC(decoded(secret), body)}}, body
				}
				return g
			}(),
			cases: []string{forgery},
			says:  []string{"a signature came out", "want HERE"},
		},
		"inside, shows what the signature should be": {
			test: insideTest(newCourier(func(c *courier) {
				c.forged = func(_ []byte, want string) error { return fmt.Errorf("%w: want %s", midhook.ErrSignature, want) }
			})),
			cases: []string{forgery},
			says:  []string{"a signature came out", "want HERE"},
		},
		"answers the secret": {
			test:  retried(answering(midhook.OutcomeForged, 403, "not by "+courierSecret)),
			cases: []string{forgery},
			says:  []string{"the secret came out", "403 not by HERE"},
		},
		"does not ask": {
			test:  unsignedTest(asking{courier: newCourier(), unasked: true}),
			cases: []string{forgery},
			says:  []string{"of a parcel that nobody sent: handed on"},
		},
		"one label for two secrets": {
			test:  retried(telling(func(m *midhook.Message, _ *parcel) { m.KeyLabel = "key" })),
			cases: []string{"rotation"},
			says:  []string{"the labels of two secrets are [key]"},
		},
		"stops at the first secret": {
			test:  retried(func(c *courier) { c.keys = c.keys[:1] }),
			cases: []string{"rotation"},
			says:  []string{"secret 2: the answer 403"},
		},
		"sends away who does not come again": {
			test:  courierTest(newCourier(), midhooktest.NoRetries()),
			cases: []string{"at-once", "store"},
			says: []string{
				"31 of 32 deliveries were sent away, and nobody comes again: they must wait",
				"a store that was back within the budget: the answer 503",
			},
		},
		"another's options": {
			test: func() midhooktest.GatewayTest {
				g := retried()
				g.New = func(t testing.TB, _ ...midhook.Option) *midhook.Middleware {
					hook, err := midhook.NewFor(newCourier(), midhook.WithLogger(slog.New(slog.DiscardHandler)))
					require.NoError(t, err)
					return hook
				}
				return g
			}(),
			cases: []string{"handled", "duplicate", "shared-store", "store", forgery, "rotation"},
			says:  []string{"no event was told"},
		},
		"nil": {
			test: func() midhooktest.GatewayTest {
				g := retried()
				g.New = func(testing.TB, ...midhook.Option) *midhook.Middleware { return nil }
				return g
			}(),
			cases: allCases,
			says:  []string{"New returned nil"},
		},
		"nothing to test": {says: []string{"GatewayTest needs New, Secret, and a Sender with Sign and Event"}},
		"one body for all events": {
			test: func() midhooktest.GatewayTest {
				g := retried()
				g.Sender.Event = func(int) []byte { return []byte(`{"id":"parcel-0"}`) }
				return g
			}(),
			says: []string{"Sender.Event must make another body for each number"},
		},
		"unsigned without forgeries": {
			test: func() midhooktest.GatewayTest {
				g := unsignedTest(asking{courier: newCourier(), unasked: true})
				g.Forgeries = nil
				return g
			}(),
			says: []string{"GatewayTest needs Forgeries where bodies are Unsigned"},
		},
		"forgery that is none": {
			test: func() midhooktest.GatewayTest {
				g := retried()
				g.Forgeries["of nobody's"] = func(body []byte, at time.Time) (http.Header, []byte) { return g.Sender.Sign(body, g.Secret, at) }
				return g
			}(),
			cases: []string{forgery},
			says:  []string{"of nobody's: this forgery is what the sender itself would send"},
		},
	}
}

// allCases are those of TestGateway.
var allCases = []string{
	"handled", "samples", "unknown", "duplicate", "shared-store", "at-once", "failure", "panic", "store", "budget", "late-failure", "hang-up", "retries", "forgery", "garbage", "rotation",
}

func allCasesBut(others ...string) []string {
	return slices.DeleteFunc(slices.Clone(allCases), func(name string) bool { return slices.Contains(others, name) })
}

// brokenGateway in the environment makes the tests of broken gateways fail.
const brokenGateway = "MIDHOOKTEST_BROKEN_GATEWAY"

func skipUnlessAsked(t testing.TB) {
	if os.Getenv(brokenGateway) == "" {
		t.Skip("it is TestTestGatewayFindsMistakes that runs this")
	}
}

func TestOfABrokenGateway(t *testing.T) {
	skipUnlessAsked(t)
	for name, b := range brokenGateways() {
		t.Run(name, func(t *testing.T) { midhooktest.TestGateway(t, b.test) })
	}
}

// FuzzOfABrokenGateway and FuzzOfABrokenGatewayInside have no corpus: the seeds must
// find the mistake.
func FuzzOfABrokenGateway(f *testing.F) {
	skipUnlessAsked(f)
	midhooktest.FuzzGateway(f, retried(matching(func(given, want string) bool { return given == "" || given == want })))
}

func FuzzOfABrokenGatewayInside(f *testing.F) {
	skipUnlessAsked(f)
	midhooktest.FuzzGateway(f, insideTest(newCourier(matching(func(string, string) bool { return true }))))
}

// Rule: a mistake fails the case whose rule it breaks, no other, and the rule and
// what is wrong are printed. A process of its own is asked, for only there may a test
// fail; it must get to the end, whatever a broken gateway leaves running.
func TestTestGatewayFindsMistakes(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^(Test|Fuzz)OfABrokenGateway", "-test.timeout=120s")
	cmd.Env = append(os.Environ(), brokenGateway+"=1")
	out, err := cmd.CombinedOutput()
	exit, failed := errors.AsType[*exec.ExitError](err)
	require.True(t, failed && exit.ExitCode() == 1, "%v\n%s", err, out)
	require.NotContains(t, string(out), "\npanic: ")

	printed, failures := map[string]string{}, map[string][]string{} // by mistake
	header := regexp.MustCompile(`^ +--- FAIL: TestOfABrokenGateway/([^/]*)(?:/(.*))? \(`)
	var mistake, name string
	for line := range strings.Lines(string(out)) {
		if m := header.FindStringSubmatch(line); m != nil {
			mistake, name = m[1], m[2]
			printed[mistake] += "" // there is one
			if name != "" {
				failures[mistake] = append(failures[mistake], name)
			}
			continue
		}
		printed[mistake] += line
	}
	for name, b := range brokenGateways() {
		t.Run(name, func(t *testing.T) {
			mistake := strings.ReplaceAll(name, " ", "_")
			text, failed := printed[mistake]
			require.True(t, failed, "it was not found")
			assert.ElementsMatch(t, b.cases, failures[mistake], "the cases that fail")
			assert.Equal(t, len(b.cases), strings.Count(text, "The rule: "), "each says its rule, in\n%s", text)
			for _, says := range b.says {
				assert.Contains(t, text, says)
			}
		})
	}
	assert.Contains(t, printed["compares_the_end"], "The rule: What the sender did not sign reaches neither the handler nor the store, and is refused.\n")
	for _, name := range []string{"FuzzOfABrokenGateway", "FuzzOfABrokenGatewayInside"} {
		assert.Regexp(t, `--- FAIL: `+name+`/seed#\d+ .*\n.*handed on, though the sender did not sign it:`, string(out))
	}
}
