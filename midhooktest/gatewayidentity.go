package midhooktest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/midhook/midhook"
)

// namingStore keeps the names of events.
type namingStore struct {
	midhook.Store
	names  []string
	claims []midhook.Claim
}

func (s *namingStore) Acquire(ctx context.Context, c midhook.Claim) (midhook.ClaimState, error) {
	s.names = append(s.names, c.Key)
	s.claims = append(s.claims, c)
	return s.Store.Acquire(ctx, c)
}

func (tr *gatewayTrial) sharedStore() {
	var runs atomic.Int64
	store := &namingStore{Store: midhook.NewLRUStore(64)}
	for range 2 {
		tr.wantEnd(tr.send(tr.endpoint(counted(&runs, nil), midhook.WithStore(store)), 0), "one event on two machines")
	}
	tr.wantRuns(&runs, 1, "one event on two machines")
	decoder := json.NewDecoder(bytes.NewReader(tr.Sender.Event(0)))
	decoder.UseNumber()
	for token, err := decoder.Token(); err == nil; token, err = decoder.Token() {
		if slices.Contains(store.names, fmt.Sprint(token)) {
			tr.t.Errorf("the event is named %v, as in the body: the gateway's name must be in it, too", token)
		}
	}
}

// unrelated are the numbers of events whose names may be cut short, or read as
// numbers, to the same.
var unrelated = []int{0, 1, 2, 3, 10, 11, 100, 101, 1000, 10_000, 100_000, 1_000_000}

func (tr *gatewayTrial) subjects() {
	store := &namingStore{Store: midhook.NewLRUStore(64)}
	g := tr.endpoint(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, midhook.WithStore(store))
	keys, subjects := map[string]int{}, map[string]int{}
	for _, nr := range unrelated {
		store.claims = nil
		tr.send(g, nr)
		if len(store.claims) == 0 {
			continue // an API may not know of it
		}
		c := store.claims[0]
		if other, taken := keys[c.Key]; taken {
			tr.t.Errorf("the events %d and %d of the sender have one Key: one of them would be lost as a duplicate", other, nr)
		}
		keys[c.Key] = nr
		if other, taken := subjects[c.Subject]; taken && c.Subject != "" {
			tr.t.Errorf("the events %d and %d of the sender have one Subject, and nothing to do with each other: "+
				"one must wait for the other, and is lost if it has a lower Stage; leave Subject empty where events stand alone", other, nr)
		}
		subjects[c.Subject] = nr
	}
	if len(keys) < 2 {
		tr.t.Errorf("only %d of %d events came as far as the store", len(keys), len(unrelated))
	}
}

func (tr *gatewayTrial) everySample() {
	var runs atomic.Int64
	g := tr.endpoint(counted(&runs, nil), midhook.WithTestNotifications(), midhook.WithSuperseded())
	for i, sample := range tr.Sender.Samples() {
		tr.wantEnd(tr.sendBody(g, tr.Sender.Body(sample)), sample)
		if !tr.Unsigned { // several bodies may stand for what is one event by the API
			tr.wantRuns(&runs, int64(i+1), sample)
		}
	}
}

// byDefault sends the samples, and their twins of live mode, as a merchant gets them.
func (tr *gatewayTrial) byDefault() {
	for _, sample := range tr.Sender.Samples() {
		body := tr.Sender.Body(sample)
		tr.byDefaultOne(tr.endpoint(succeeds), sample, body, strings.Contains(sample, "test") || saysTest(body))
		tr.byDefaultOne(tr.endpoint(succeeds), sample+", of live mode", liveTwin(body), strings.Contains(sample, "test"))
	}
	event := tr.Sender.Event(0)
	tr.byDefaultOne(tr.endpoint(succeeds), "an event", event, saysTest(event))
	tr.byDefaultOne(tr.endpoint(succeeds), "an event of live mode", liveTwin(event), false)
	if tr.Unsigned {
		return // several bodies may stand for what is one event by the API
	}
	// Those of one payment in their order, and those of different payments in any.
	all := tr.endpoint(succeeds)
	continued := map[string]bool{}
	for _, sequence := range tr.Sender.sequences {
		for _, sample := range sequence {
			continued[sample] = true
			tr.byDefaultOne(all, sample+", in its order", tr.Sender.Body(sample), false)
		}
	}
	for _, sample := range tr.Sender.Samples() {
		if body := tr.Sender.Body(sample); !continued[sample] {
			tr.byDefaultOne(all, sample+", after samples of other payments", body, strings.Contains(sample, "test") || saysTest(body))
		}
	}
}

// saysTest reports whether a body says of itself that it is a test.
func saysTest(body []byte) bool { return !bytes.Equal(liveTwin(body), decodeObject(body).encode()) }

func (tr *gatewayTrial) byDefaultOne(g *Engine, what string, body []byte, mayBeTest bool) {
	tr.wantEnd(tr.sendBody(g, body), what)
	switch outcome := tr.last().Outcome; {
	case outcome == midhook.OutcomeHandled, outcome == midhook.OutcomeTest && mayBeTest:
	case outcome == midhook.OutcomeTest:
		tr.t.Errorf("%s: it is taken for a test, and so not handed on: it is lost", what)
	default:
		tr.t.Errorf("%s: it is told as %v, and not handed on: it is lost", what, outcome)
	}
}

// succeeds is a handler to which every event is welcome.
func succeeds(http.ResponseWriter, *http.Request) {}

// liveTwin is a body with whatever says that it is a test saying that it is not.
func liveTwin(text json.RawMessage) json.RawMessage {
	if items := decodeArray(text); items != nil {
		for i := range items {
			items[i] = liveTwin(items[i])
		}
		return marshal(items)
	}
	if !bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		return text
	}
	o := decodeObject(text)
	for i, m := range o {
		switch name, value := strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(m.name)), string(m.value); {
		case (name == "live" || name == "livemode" || name == "islive") && value == "false":
			o[i].value = json.RawMessage("true")
		case (name == "test" || name == "testmode" || name == "istest" || name == "sandbox") && value == "true":
			o[i].value = json.RawMessage("false")
		default:
			o[i].value = liveTwin(m.value)
		}
	}
	return o.encode()
}
