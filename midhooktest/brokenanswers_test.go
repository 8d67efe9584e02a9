package midhooktest_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// misnamingGateways say of an event what it is not.
func misnamingGateways() map[string]broken {
	return map[string]broken{
		"takes anything for an event": {
			test:  retried(func(c *courier) { c.read = func([]byte) (*parcel, error) { return &parcel{"parcel", ""}, nil } }),
			cases: []string{"duplicate", "subjects", "garbage", "rotation"},
			says:  []string{`"[]": answered 200 (<nil>), want a 4xx`, "garbage: runs of the handler: "},
		},
		"redirects": {
			test:  retried(answering(midhook.OutcomeDuplicate, 302, "")),
			cases: allCases,
			says:  []string{"gateway: its answer to duplicate is 302: 200 to 599 and no redirect is required"},
		},
		"one event for all": {
			test:  retried(telling(func(m *midhook.Message, _ *parcel) { m.Key = "courier" })),
			cases: []string{"duplicate", "subjects", "rotation"},
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
			cases: allCasesBut("methods", "answers", "samples", "garbage"),
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
	}
}

// misansweringGateways answer what their sender does not understand.
func misansweringGateways() map[string]broken {
	return map[string]broken{
		"200 in flight": {
			test:  retried(answering(midhook.OutcomeInFlight, 200, "OK")),
			cases: allCases,
			says:  []string{"its answer to in_flight is 200: a 2xx would lose what is not handled yet"},
		},
		"200 at the budget": {
			test:  retried(answering(midhook.OutcomeBudgetExceeded, 200, "OK")),
			cases: allCases,
			says:  []string{"its answer to budget_exceeded is 200: a 2xx would lose what is not handled yet"},
		},
		"200 without the store": {
			test:  retried(answering(midhook.OutcomeStoreUnavailable, 200, "OK")),
			cases: allCases,
			says:  []string{"its answer to store_unavailable is 200: a 2xx would lose what is not handled yet"},
		},
		"200 for a failure": {
			test:  retried(answering(midhook.OutcomeHandlerFailed, 200, "OK")),
			cases: allCases,
			says:  []string{"its answer to handler_failed is 200: a 2xx would lose what is not handled yet"},
		},
		"200 for a forgery": {
			test:  retried(answering(midhook.OutcomeForged, 200, "OK")),
			cases: allCases,
			says:  []string{"its answer to forged is 200: a 2xx would lose what is not handled yet"},
		},
		"200 for garbage": {
			test:  retried(answering(midhook.OutcomeMalformed, 200, "OK")),
			cases: allCases,
			says:  []string{"its answer to malformed is 200: a 2xx would lose what is not handled yet"},
		},
		"500 for garbage": {
			test:  retried(answering(midhook.OutcomeMalformed, 500, "")),
			cases: []string{"garbage"},
			says:  []string{`"null": answered 500`},
		},
		"400 for a duplicate": {
			test:  retried(answering(midhook.OutcomeDuplicate, 400, "twice")),
			cases: []string{"answers", "duplicate", "shared-store", "budget", "hang-up"},
			says:  []string{`delivery of one event: the answer 400 "twice" (<nil>) is no success for courier`},
		},
		"text where JSON is wanted, from the handler": {
			test:  courierTest(newCourier(func(c *courier) { c.answer = answerJSON }), midhooktest.PayMongoRetries()),
			cases: allCasesBut("methods", "answers", "samples", "subjects", "budget", "hang-up", "garbage"), // in those there is no success of a handler's own
			says:  []string{`handler writes text: the answer 200 "OK" (<nil>) is no success for courier`, `handler writes nothing: the answer 200 "" (<nil>)`},
		},
		"text where JSON is wanted, from the gateway": {
			test:  courierTest(picky{newCourier(), acceptsJSON}, midhooktest.PayMongoRetries()),
			cases: allCasesBut("methods", "samples", "subjects", "garbage"),
			says:  []string{`delivery of one event: the answer 200 "already handled\n" (<nil>) is no success for courier`},
		},
		"accepts too much": {
			test: courierTest(picky{newCourier(func(c *courier) { c.answer = answerJSON }), func(_ int, body []byte) bool { return len(body) > 0 }},
				midhooktest.PayMongoRetries()),
			cases: []string{"handled"},
			says:  []string{`handler writes text: the answer 200 "OK" (<nil>) is no success for courier`, `handler writes broken: `},
		},
	}
}
