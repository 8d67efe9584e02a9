package midhooktest_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// tellingGateways tell what nobody may see.
func tellingGateways() map[string]broken {
	return map[string]broken{
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
			cases: allCasesBut("methods", "answers", "samples"),
			says:  []string{"sensitive data, by the Value's LogValue, Format or MarshalJSON, came out", `"phone":"HERE`},
		},
		"shows the phone when printed": {
			test:  retried(telling(func(m *midhook.Message, p *parcel) { m.Value = &shy{p.id, p.phone} })),
			cases: allCasesBut("methods", "answers", "samples"),
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
	}
}

// brokenTests are the mistakes of those who test a gateway, and of those who set it up.
func brokenTests() map[string]broken {
	return map[string]broken{
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
			cases: []string{"handled", "by-default", "duplicate", "subjects", "shared-store", "store", forgery, "rotation"},
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
