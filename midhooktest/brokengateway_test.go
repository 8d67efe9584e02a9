package midhooktest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

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
	all := map[string]broken{}
	for _, some := range []map[string]broken{
		forgedAtGateways(), misnamingGateways(), misansweringGateways(), losingGateways(), tellingGateways(), brokenTests(),
	} {
		maps.Copy(all, some)
	}
	return all
}

const forgery = "forgery"

// forgedAtGateways let in what the sender did not sign, or fall over it.
func forgedAtGateways() map[string]broken {
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
	}
}
