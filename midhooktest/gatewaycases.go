package midhooktest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/midhook/midhook"
)

// gatewayCases are what every gateway has to stand.
var gatewayCases = []struct {
	name, rule string
	check      func(*gatewayTrial)
}{
	{"handled", "What the sender signed is handed on, whole, and the sender told that it is done, whatever success the handler writes.", (*gatewayTrial).handled},
	{"samples", "Every body of the sender is handed on, test or not.", (*gatewayTrial).everySample},
	{"unknown", "Senders add fields and types at any time: what is signed is handed on.", (*gatewayTrial).unknownField},
	{"duplicate", "The same event is handled once, however often it comes; another one is handled.", (*gatewayTrial).duplicate},
	{"shared-store", "Gateways and machines may share a store: all machines name an event alike, and no other gateway's event is named so.", (*gatewayTrial).sharedStore},
	{"at-once", "An event that comes many times at once has one run at a time, and one success.", (*gatewayTrial).atOnce},
	{"failure", "What failed is not handled: the sender must come again, and then it is.", (*gatewayTrial).failure},
	{"panic", "A panic and runtime.Goexit give the claim back, and go on up the stack.", (*gatewayTrial).panics},
	{"store", "Nothing runs unclaimed: while the store is away the sender is sent away, or waits where nobody comes again.", (*gatewayTrial).storeAway},
	{"budget", "The answer comes at the response budget; a retry meanwhile runs nothing, and one after the late success neither.", (*gatewayTrial).budget},
	{"late-failure", "A handler that fails after the budget has failed: the next delivery runs it again.", (*gatewayTrial).lateFailure},
	{"hang-up", "A sender that hangs up must not undo what the handler does.", (*gatewayTrial).hangUp},
	{"retries", "With the sender's own retries, a handler that fails twice loses nothing.", (*gatewayTrial).retries},
	{"forgery", "What the sender did not sign reaches neither the handler nor the store, and is refused.", (*gatewayTrial).forgery},
	{"garbage", "What is no notification is refused, even when it is signed, and never panics.", (*gatewayTrial).garbage},
	{"rotation", "During a rotation both secrets are accepted, and the label tells which.", (*gatewayTrial).rotation},
}

// counted counts the runs of a handler.
func counted(runs *atomic.Int64, do http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		runs.Add(1)
		if do != nil {
			do(w, r)
		}
	}
}

func (tr *gatewayTrial) wantRuns(runs *atomic.Int64, want int64, what string) {
	tr.t.Helper()
	if got := runs.Load(); got != want {
		tr.t.Errorf("%s: runs of the handler: %d, want %d", what, got, want)
	}
}

func (tr *gatewayTrial) handled() {
	for name, do := range map[string]http.HandlerFunc{
		"nothing":   nil,
		"200":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) },
		"text":      func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "OK") },
		"202":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) },
		"204":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"226":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusIMUsed) },
		"JSON":      func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"ok":true}`) },
		"broken":    func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"ok":`) },
		"JSON, 201": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); _, _ = io.WriteString(w, `{}`) },
	} {
		var runs atomic.Int64
		_, signed := tr.sign(tr.Sender.Event(0), tr.Secret)
		g := tr.endpoint(counted(&runs, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil || !bytes.Equal(body, signed) {
				tr.t.Errorf("the handler cannot read the body as it came: %v", err)
			}
			if do != nil {
				do(w, r)
			}
		}))
		tr.wantEnd(tr.send(g, 0), "handler writes "+name)
		tr.wantRuns(&runs, 1, "handler writes "+name)
		if e := tr.last(); e.Outcome != midhook.OutcomeHandled || e.Value == nil {
			tr.t.Errorf("handler writes %s: the observer was told %v", name, e)
		}
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

func (tr *gatewayTrial) unknownField() {
	var runs atomic.Int64
	g := tr.endpoint(counted(&runs, nil))
	tr.wantEnd(tr.sendBody(g, withNewFields(tr.Sender.Event(0))), "with new fields")
	tr.wantRuns(&runs, 1, "with new fields")
}

// withNewFields adds a field to an object, and to every object in it.
func withNewFields(text json.RawMessage) json.RawMessage {
	if !bytes.HasPrefix(text, []byte("{")) {
		return text
	}
	o := decodeObject(text)
	for i := range o {
		o[i].value = withNewFields(o[i].value)
	}
	o.set("a_new_field", []byte(`{"of":[1,"kind",null]}`))
	return o.encode()
}

func (tr *gatewayTrial) duplicate() {
	var runs atomic.Int64
	g := tr.endpoint(counted(&runs, nil))
	for i := range 3 {
		tr.wantEnd(tr.send(g, 0), "delivery of one event")
		tr.wantRuns(&runs, 1, "one event")
		time.Sleep(time.Duration(i) * time.Minute)
	}
	if e := tr.last(); e.Outcome != midhook.OutcomeDuplicate {
		tr.t.Errorf("a duplicate was told as %v", e)
	}
	for nr := range 5 {
		tr.wantEnd(tr.send(g, nr), "delivery of another event")
		tr.wantRuns(&runs, int64(nr+1), "other events")
	}
}

// namingStore keeps the names of events.
type namingStore struct {
	midhook.Store
	names []string
}

func (s *namingStore) Acquire(ctx context.Context, c midhook.Claim) (midhook.ClaimState, error) {
	s.names = append(s.names, c.Key)
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

func (tr *gatewayTrial) atOnce() {
	var runs, running, most atomic.Int64
	g := tr.endpoint(counted(&runs, func(http.ResponseWriter, *http.Request) {
		if now := running.Add(1); now > most.Load() {
			most.Store(now)
		}
		time.Sleep(time.Second)
		running.Add(-1)
	}))
	attempts := make([]Attempt, 32)
	var all sync.WaitGroup
	for i := range attempts {
		all.Go(func() { attempts[i] = tr.send(g, 0) })
	}
	all.Wait()
	tr.wantRuns(&runs, 1, "deliveries at once")
	if n := most.Load(); n > 1 {
		tr.t.Errorf("%d runs at once", n)
	}
	done := 0
	for _, a := range attempts {
		if tr.ends(a) {
			if done++; a.Duration < time.Second {
				tr.t.Errorf("answered %d before the handler was through: if it fails, the event is lost", a.Status)
			}
			continue
		}
		tr.wantRetry(a, "while another delivery runs")
	}
	switch {
	case len(tr.Sender.Policy.Waits) == 0 && done != len(attempts):
		tr.t.Errorf("%d of %d deliveries were sent away, and nobody comes again: they must wait", len(attempts)-done, len(attempts))
	case done == 0:
		tr.t.Error("no delivery was a success")
	}
}

func (tr *gatewayTrial) failure() {
	for _, status := range []int{301, 302, 303, 400, 404, 409, 410, 429, 500, 502, 503, 599} {
		var runs atomic.Int64
		fail := true
		g := tr.endpoint(counted(&runs, func(w http.ResponseWriter, _ *http.Request) {
			if fail {
				w.Header().Set("Location", "/login")
				w.WriteHeader(status)
			}
		}))
		a := tr.send(g, 0)
		if a.Status/100 == 3 {
			tr.t.Errorf("a redirect went out: %d", a.Status)
		}
		what := fmt.Sprint("handler answers ", status)
		tr.wantRetry(a, what)
		fail = false
		tr.wantEnd(tr.send(g, 0), "after "+what)
		tr.wantRuns(&runs, 2, "after "+what)
	}
}

func (tr *gatewayTrial) panics() {
	for what, do := range map[string]func(){"panic": func() { panic(errMishap) }, "Goexit": runtime.Goexit} {
		var runs atomic.Int64
		fail := true
		g := tr.endpoint(counted(&runs, func(http.ResponseWriter, *http.Request) {
			if fail {
				do()
			}
		}))
		a := tr.send(g, 0)
		if a.Err == nil {
			tr.t.Errorf("%s: it did not go on up the stack", what)
		}
		tr.wantRetry(a, what)
		fail = false
		tr.wantEnd(tr.send(g, 0), "after "+what)
		tr.wantRuns(&runs, 2, "after "+what)
	}
}

// strictStore is a Store that is away for a while.
type strictStore struct {
	midhook.Store
	back  time.Time
	calls atomic.Int64
}

func (s *strictStore) Acquire(ctx context.Context, c midhook.Claim) (midhook.ClaimState, error) {
	s.calls.Add(1)
	if time.Now().Before(s.back) {
		return 0, errors.New("the store is away")
	}
	return s.Store.Acquire(ctx, c)
}

func (tr *gatewayTrial) storeAway() {
	for _, away := range []time.Duration{2 * time.Second, time.Minute} {
		var runs atomic.Int64
		g := tr.endpoint(counted(&runs, nil),
			midhook.WithStore(&strictStore{Store: midhook.NewLRUStore(64), back: time.Now().Add(away)}))
		a := tr.send(g, 0)
		if len(tr.Sender.Policy.Waits) == 0 && away < trialBudget {
			tr.wantEnd(a, "a store that was back within the budget")
			tr.wantRuns(&runs, 1, "a store that was back within the budget")
			continue
		}
		tr.wantRetry(a, "store away")
		if a.Duration > trialBudget {
			tr.t.Errorf("the answer took %v, more than the budget", a.Duration)
		}
		tr.wantRuns(&runs, 0, "store away")
		time.Sleep(away)
		tr.wantEnd(tr.send(g, 0), "store back")
		tr.wantRuns(&runs, 1, "store back")
	}
}

func (tr *gatewayTrial) budget() {
	var runs atomic.Int64
	g := tr.endpoint(counted(&runs, func(http.ResponseWriter, *http.Request) { time.Sleep(trialBudget + 10*time.Second) }))
	a := tr.send(g, 0)
	if a.Duration != trialBudget || a.Status == 0 {
		tr.t.Errorf("answered %d after %v (%v), the budget is %v", a.Status, a.Duration, a.Err, trialBudget)
	}
	tr.wantRetry(a, "budget spent")
	tr.wantRetry(tr.send(g, 0), "in flight")
	g.Wait()
	tr.wantEnd(tr.send(g, 0), "after a late success")
	tr.wantRuns(&runs, 1, "a slow handler")
}

func (tr *gatewayTrial) lateFailure() {
	var runs atomic.Int64
	fail := true
	g := tr.endpoint(counted(&runs, func(w http.ResponseWriter, _ *http.Request) {
		if fail {
			time.Sleep(2 * trialBudget)
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	tr.wantRetry(tr.send(g, 0), "budget spent")
	g.Wait()
	fail = false
	tr.wantEnd(tr.send(g, 0), "after a late failure")
	tr.wantRuns(&runs, 2, "after a late failure")
}

func (tr *gatewayTrial) hangUp() {
	var runs atomic.Int64
	g := tr.endpoint(counted(&runs, func(_ http.ResponseWriter, r *http.Request) {
		time.Sleep(3 * time.Second)
		if r.Context().Err() != nil {
			tr.t.Errorf("the handler's context ended: %v", context.Cause(r.Context()))
		}
	}))
	g.Policy.Timeout = time.Second
	if a := tr.send(g, 0); a.Err == nil {
		tr.t.Error("the sender did not hang up")
	}
	g.Wait()
	tr.wantEnd(tr.send(g, 0), "after hanging up")
	tr.wantRuns(&runs, 1, "hung up on")
}

func (tr *gatewayTrial) retries() {
	policy := tr.Sender.Policy
	if len(policy.Waits) < 2 {
		return // nobody comes again
	}
	var runs atomic.Int64
	g := tr.endpoint(counted(&runs, func(w http.ResponseWriter, _ *http.Request) {
		if runs.Load() <= 2 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	g.Policy = &policy
	header, body := tr.sign(tr.Sender.Event(0), tr.Secret)
	d, err := g.DeliverRequest(tr.t.Context(), header, body)
	if err != nil || !d.Delivered || len(d.Attempts) != 3 {
		tr.t.Errorf("not delivered at the third attempt: %v\n%v", err, d)
	}
	tr.wantRuns(&runs, 3, "a handler that fails twice")
}

func (tr *gatewayTrial) rotation() {
	if tr.NextSecret == "" {
		return
	}
	var runs atomic.Int64
	g := tr.endpoint(counted(&runs, nil))
	labels := map[string]bool{}
	for nr, secret := range []string{tr.Secret, tr.NextSecret} {
		header, body := tr.sign(tr.Sender.Event(nr), secret)
		tr.wantEnd(tr.sendRequest(g, header, body), "secret "+string('1'+rune(nr)))
		labels[tr.last().KeyLabel] = true
	}
	tr.wantRuns(&runs, 2, "two secrets")
	if len(labels) != 2 || labels[""] {
		tr.t.Errorf("the labels of two secrets are %v", slices.Sorted(maps.Keys(labels)))
	}
}
