package midhooktest

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
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
	{"methods", "A gateway that wraps another one must have its Authenticate, Accepts and Retries, too.", (*gatewayTrial).methods},
	{"answers", "Every outcome's answer is one that the sender understands: the end where nothing is left to do, and otherwise one after which it comes again.", (*gatewayTrial).everyAnswer},
	{"samples", "Every body of the sender is handed on, test or not.", (*gatewayTrial).everySample},
	{"by-default", "Without WithTestNotifications and WithSuperseded, all of the sender's bodies are handed on, those of one payment in their order and those of others beside them: only a test may be kept from the handler, and no live event may be taken for one.", (*gatewayTrial).byDefault},
	{"unknown", "Senders add fields and types at any time: what is signed is handed on.", (*gatewayTrial).unknownField},
	{"duplicate", "The same event is handled once, however often it comes; another one is handled.", (*gatewayTrial).duplicate},
	{"subjects", "Events that have nothing to do with each other have no name and no subject in common: one would be lost as a duplicate of the other, or as superseded by it.", (*gatewayTrial).subjects},
	{"shared-store", "Gateways and machines may share a store: all machines name an event alike, and no other gateway's event is named so.", (*gatewayTrial).sharedStore},
	{"at-once", "An event that comes many times at once has one run at a time, and one success.", (*gatewayTrial).atOnce},
	{"failure", "What failed is not handled: the sender must come again, and then it is.", (*gatewayTrial).failure},
	{"panic", "A panic and runtime.Goexit give the claim back, and go on up the stack.", (*gatewayTrial).panics},
	{"store", "Nothing runs unclaimed: while the store is away the sender is sent away, or waits where nobody comes again.", (*gatewayTrial).storeAway},
	{"budget", "The answer comes at the response budget; a retry meanwhile runs nothing, and one after the late success neither.", (*gatewayTrial).budget},
	{"late-failure", "A handler that fails after the budget has failed: the next delivery runs it again.", (*gatewayTrial).lateFailure},
	{"hang-up", "A sender that hangs up must not undo what the handler does.", (*gatewayTrial).hangUp},
	{"retries", "With the sender's own retries, a handler that fails twice loses nothing, and neither does one that fails until the last retry.", (*gatewayTrial).retries},
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
