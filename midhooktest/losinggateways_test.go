package midhooktest_test

import (
	"bytes"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/payout"
)

// decorated wraps a gateway as one does who wants to see what it opens. Its embedded
// Gateway has Open and Answer, and no other method.
type decorated struct{ midhook.Gateway }

// counting wraps a gateway in a field.
type counting struct{ inner midhook.Gateway }

func (c counting) Open(header http.Header, body []byte) (midhook.Message, error) {
	return c.inner.Open(header, body)
}

func (c counting) Answer(o midhook.Outcome) (int, string, string) { return c.inner.Answer(o) }

// several wraps gateways of which one knows the sender.
type several struct{ all []midhook.Gateway }

func (s several) Open(header http.Header, body []byte) (msg midhook.Message, err error) {
	for _, g := range s.all {
		if msg, err = g.Open(header, body); err == nil {
			break
		}
	}
	return msg, err
}

func (s several) Answer(o midhook.Outcome) (int, string, string) { return s.all[0].Answer(o) }

// reversed wraps a gateway and turns the order of its events round.
type reversed struct{ midhook.Gateway }

func (r reversed) Open(header http.Header, body []byte) (midhook.Message, error) {
	msg, err := r.Gateway.Open(header, body)
	if msg.Stage > 0 {
		msg.Stage = 100 - msg.Stage
	}
	return msg, err
}

// faithful wraps a gateway and loses nothing.
type faithful struct{ leaving }

// of returns the test of another gateway for the same sender.
func of(g midhooktest.GatewayTest, gateway midhook.Gateway) midhooktest.GatewayTest {
	g.New = func(t testing.TB, opts ...midhook.Option) *midhook.Middleware {
		hook, err := midhook.NewFor(gateway, opts...)
		require.NoError(t, err)
		return hook
	}
	return g
}

// withMode is a sender whose events say whether they are tests.
func withMode(g midhooktest.GatewayTest) midhooktest.GatewayTest {
	event := g.Sender.Event
	g.Sender.Event = func(nr int) []byte {
		return bytes.Replace(event(nr), []byte(`,"size"`), []byte(`,"livemode":false,"size"`), 1)
	}
	return g
}

// marking has the courier mark events as tests.
func marking(isTest func(body []byte) bool) func(*courier) {
	return func(c *courier) {
		read, message := c.read, c.message
		var last atomic.Value // deliveries come at once
		c.read = func(body []byte) (*parcel, error) {
			last.Store(body)
			return read(body)
		}
		c.message = func(p *parcel, key int) midhook.Message {
			m := message(p, key)
			m.Test = isTest(last.Load().([]byte))
			return m
		}
	}
}

// Rule: a gateway passes that leaves outcomes it does not know to
// the middleware, and that wraps another one with all its methods.
func TestTestGatewayPassesUncommonGateways(t *testing.T) {
	t.Parallel()
	for name, g := range map[string]midhooktest.GatewayTest{
		"status 0": retried(func(c *courier) {
			c.answer = func(o midhook.Outcome) (int, string, string) {
				if o == midhook.OutcomeDuplicate || o == midhook.OutcomeInFlight {
					return 0, "", ""
				}
				return midhook.PlainAnswer(o)
			}
		}),
		"subjects": retried(telling(func(m *midhook.Message, p *parcel) { m.Subject, m.Stage = "parcel "+p.id, 1 })),
		"faithful": of(courierTest(newCourier(), midhooktest.NoRetries()), faithful{leaving{newCourier()}}),
	} {
		t.Run(name, func(t *testing.T) { midhooktest.TestGateway(t, g) })
	}
}

// losingGateways lose payments, each in a way of its own.
func losingGateways() map[string]broken {
	withJSON := picky{newCourier(func(c *courier) { c.answer = answerJSON }), acceptsJSON}
	tooFew := func(o midhook.Outcome, status int, says string) broken {
		return broken{
			test:  retried(answering(o, status, "")),
			cases: []string{"answers"},
			says:  []string{says},
		}
	}
	return map[string]broken{
		"takes live events for tests": {
			test:  withMode(retried(marking(func(body []byte) bool { return bytes.Contains(body, []byte(`"livemode":true`)) }))),
			cases: []string{"by-default"},
			says:  []string{"an event of live mode: it is taken for a test, and so not handed on: it is lost"},
		},
		"takes all events for tests": {
			test:  retried(telling(func(m *midhook.Message, _ *parcel) { m.Test = true })),
			cases: allCasesBut("methods", "answers", "samples", "garbage", forgery),
			says:  []string{"an event: it is taken for a test, and so not handed on: it is lost"},
		},
		"one subject for all": {
			test:  retried(telling(func(m *midhook.Message, _ *parcel) { m.Subject = "courier" })),
			cases: []string{"subjects"},
			says:  []string{"the events 0 and 1 of the sender have one Subject"},
		},
		"subjects cut short": {
			test:  retried(telling(func(m *midhook.Message, p *parcel) { m.Subject = p.id[:min(8, len(p.id))] })),
			cases: []string{"subjects"},
			says:  []string{"the events 1 and 10 of the sender have one Subject"},
		},
		"keys cut short": {
			test:  retried(telling(func(m *midhook.Message, p *parcel) { m.Key = "courier " + p.id[:min(9, len(p.id))] })),
			cases: []string{"subjects"},
			says:  []string{"the events 10 and 100 of the sender have one Key"},
		},
		"no retry where the order is not known yet": tooFew(midhook.OutcomeOrderUnavailable, 500,
			`the answer to order_unavailable is 500 "", after which courier makes 1 of its 5 retries`),
		"few retries while the API is away": tooFew(midhook.OutcomeStatusUnavailable, 400,
			`the answer to status_unavailable is 400 "", after which courier makes 2 of its 5 retries`),
		"few retries for a late failure": tooFew(midhook.OutcomeLateFailed, 500,
			`the answer to late_failed is 500 "", after which courier makes 1 of its 5 retries`),
		"few retries over the rate": tooFew(midhook.OutcomeRateLimited, 404,
			`the answer to rate_limited is 404 "", after which courier makes 2 of its 5 retries`),
		"404 for what is superseded": tooFew(midhook.OutcomeSuperseded, 404,
			`the answer to superseded is 404 "", which is no success for courier`),
		"500 for a permanent error": tooFew(midhook.OutcomeHandledPermanent, 500,
			`the answer to handled_permanent is 500 "", which is no success for courier`),
		"403 for a test": tooFew(midhook.OutcomeTest, 403,
			`the answer to test is 403 "", which is no success for courier`),
		"embeds and loses Accepts": {
			test:  of(courierTest(newCourier(), midhooktest.PayMongoRetries()), decorated{withJSON}),
			cases: allCasesBut("answers", "samples", "subjects", "budget", "hang-up", "garbage"),
			says:  []string{"the gateway midhooktest_test.decorated wraps midhooktest_test.picky and has lost its method Accepts"},
		},
		"embeds and loses Retries": {
			test:  of(courierTest(newCourier(), midhooktest.NoRetries()), &decorated{&leaving{newCourier()}}),
			cases: []string{"methods", "at-once", "store"},
			says:  []string{"the gateway *midhooktest_test.decorated wraps *midhooktest_test.leaving and has lost its method Retries"},
		},
		"holds and loses Retries": {
			test:  of(courierTest(newCourier(), midhooktest.NoRetries()), counting{inner: leaving{newCourier()}}),
			cases: []string{"methods", "at-once", "store"},
			says:  []string{"the gateway midhooktest_test.counting wraps midhooktest_test.leaving and has lost its method Retries"},
		},
		"holds several and loses Retries": {
			test:  of(courierTest(newCourier(), midhooktest.NoRetries()), several{[]midhook.Gateway{decorated{leaving{newCourier()}}}}),
			cases: []string{"methods", "at-once", "store"},
			says:  []string{"the gateway midhooktest_test.several wraps midhooktest_test.leaving and has lost its method Retries"},
		},
		"embeds and loses Authenticate": {
			test:  of(unsignedTest(asking{courier: newCourier()}), decorated{asking{courier: newCourier()}}),
			cases: []string{"methods", forgery},
			says:  []string{"the gateway midhooktest_test.decorated wraps midhooktest_test.asking and has lost its method Authenticate: nobody asks whether a body is true"},
		},
		"stages the wrong way round": {
			test: func() midhooktest.GatewayTest {
				gateway, err := payout.New("payout-merchant-test-key-0001")
				if err != nil {
					panic(err)
				}
				g := of(midhooktest.GatewayTest{Sender: midhooktest.PayoutSender(), Secret: "payout-merchant-test-key-0001"}, reversed{gateway})
				return g
			}(),
			cases: []string{"by-default"},
			says:  []string{"completed, in its order: it is told as superseded, and not handed on: it is lost"},
		},
		"refuses what was signed an hour ago": {
			test: func() midhooktest.GatewayTest {
				g := retried()
				g.Sender.Sign = func(body []byte, secret string, at time.Time) (http.Header, []byte) {
					date := at.UTC().Format(time.RFC3339)
					return http.Header{"Courier-Date": {date}, "Courier-Signature": {courierMAC(decoded(secret), append([]byte(date), body...))}}, body
				}
				g.Forgeries = nil
				return of(g, dated{newCourier()})
			}(),
			cases: []string{"retries"},
			says:  []string{"not delivered by the last retry"},
		},
	}
}

// dated is a courier whose signatures are good for an hour.
type dated struct{ *courier }

func (d dated) Open(header http.Header, body []byte) (midhook.Message, error) {
	date := header.Get("Courier-Date")
	at, err := time.Parse(time.RFC3339, date)
	if err != nil || time.Since(at) > time.Hour {
		return midhook.Message{}, midhook.ErrSignature
	}
	for i, key := range d.keys {
		if d.matches(header.Get("Courier-Signature"), courierMAC(key, append([]byte(date), body...))) {
			p, err := d.read(body)
			if err != nil {
				return midhook.Message{}, err
			}
			return d.message(p, i), nil
		}
	}
	return midhook.Message{}, midhook.ErrSignature
}
