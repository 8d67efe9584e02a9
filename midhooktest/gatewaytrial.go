package midhooktest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midhook/midhook"
)

// gatewayTrial is one case of TestGateway being checked.
type gatewayTrial struct {
	GatewayTest
	t *testing.T

	endpoints []*Engine

	mu         sync.Mutex
	out        bytes.Buffer // all that anyone could see
	events     []midhook.Event
	signatures map[string]bool
}

func (tr *gatewayTrial) Write(p []byte) (int, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.out.Write(p)
}

func (tr *gatewayTrial) observe(_ context.Context, e midhook.Event) {
	text, err := json.Marshal(e)
	fmt.Fprintf(tr, "%v %+v %#v %s %s %v %+v\n", e, e, e, text, e.String(), e.Err, err)
	text, _ = json.Marshal(e.Value)
	fmt.Fprintf(tr, "%v %+v %#v %s %q %s\n", e.Value, e.Value, e.Value, e.Value, e.Value, text)
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.events = append(tr.events, e)
}

// last is what became of the delivery that was told of last.
func (tr *gatewayTrial) last() midhook.Event {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if len(tr.events) == 0 {
		tr.t.Fatal("no event was told")
	}
	return tr.events[len(tr.events)-1]
}

const (
	trialBudget = 5 * time.Second
	trialGrace  = 25 * time.Second
)

// endpoint is the sender's way to a merchant's handler, without retries.
func (tr *gatewayTrial) endpoint(next http.HandlerFunc, opts ...midhook.Option) *Engine {
	tr.t.Helper()
	opts = append([]midhook.Option{
		midhook.WithObserver(tr.observe),
		midhook.WithLogger(slog.New(slog.NewJSONHandler(tr, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: withoutTimes}))),
		midhook.WithBudget(trialBudget),
		midhook.WithGrace(trialGrace),
	}, opts...)
	hook := tr.New(tr.t, opts...)
	if hook == nil {
		tr.t.Fatal("New returned nil")
	}
	once := tr.Sender.Policy.once()
	once.DisableAfter = 0
	g := &Engine{Handler: hook.Handler(next), Sender: &tr.Sender, Secret: tr.Secret, Policy: &once}
	tr.endpoints = append(tr.endpoints, g)
	return g
}

// wait lets the handlers end that a broken gateway has left running: the bubble
// would end the whole process for them.
func (tr *gatewayTrial) wait() {
	for _, g := range tr.endpoints {
		g.Wait()
	}
}

// sign signs as the sender, and remembers the signature as one not to be seen.
func (tr *gatewayTrial) sign(body []byte, secret string) (http.Header, []byte) {
	header, signed := tr.Sender.Sign(body, secret, time.Now())
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.signatures == nil {
		tr.signatures = map[string]bool{}
	}
	for _, values := range header {
		for _, value := range values {
			tr.signatures[value] = true
			for _, part := range longWord.FindAllString(value, -1) {
				tr.signatures[part] = true
			}
		}
	}
	if part := signatureInside(body, signed); part != "" {
		tr.signatures[part] = true
	}
	return header, signed
}

// longWord is what may be a signature, in hexadecimal or base64.
var longWord = regexp.MustCompile(`[0-9A-Za-z+/_-]{21,}`)

// signatureInside returns what a sender that signs inside of the body has put
// there, "" if it is none.
func signatureInside(body, signed []byte) string {
	for _, part := range longWord.FindAllString(string(signed), -1) {
		if !bytes.Contains(body, []byte(part)) {
			return part
		}
	}
	return ""
}

// send delivers an event once.
func (tr *gatewayTrial) send(g *Engine, nr int) Attempt {
	return tr.sendBody(g, tr.Sender.Event(nr))
}

func (tr *gatewayTrial) sendBody(g *Engine, body []byte) Attempt {
	header, signed := tr.sign(body, tr.Secret)
	return tr.sendRequest(g, header, signed)
}

func (tr *gatewayTrial) sendRequest(g *Engine, header http.Header, body []byte) Attempt {
	d, err := g.DeliverRequest(tr.t.Context(), header, body)
	if err != nil {
		tr.t.Errorf("delivering: %v", err)
		return Attempt{}
	}
	a := d.Attempts[0]
	fmt.Fprintf(tr, "%d %s\n", a.Status, a.Answer)
	return a
}

// ends reports whether the sender takes an answer for a success.
func (tr *gatewayTrial) ends(a Attempt) bool {
	return a.Err == nil && tr.Sender.Policy.Succeeds(a.Status, []byte(a.Answer))
}

// wantEnd requires that the sender does not come again because all is well.
func (tr *gatewayTrial) wantEnd(a Attempt, what string) {
	tr.t.Helper()
	if !tr.ends(a) {
		tr.t.Errorf("%s: the answer %d %q (%v) is no success for %s", what, a.Status, a.Answer, a.Err, tr.Sender.Name)
	}
}

// wantRetry requires that the sender comes again, if ever it does.
func (tr *gatewayTrial) wantRetry(a Attempt, what string) {
	tr.t.Helper()
	again, why := tr.Sender.Policy.judge(0, a.Status, []byte(a.Answer), a.Err)
	if tr.ends(a) || !again && len(tr.Sender.Policy.Waits) > 0 {
		tr.t.Errorf("%s: %s must come again: %s", what, tr.Sender.Name, why)
	}
}

// ofAStack are the numbers of a panic's stack, which differ from run to run, so that one
// of them may have a card's last digits in it.
var ofAStack = regexp.MustCompile(`0x[0-9a-f]+|goroutine \d+`)

func withoutAddresses(out string) string { return ofAStack.ReplaceAllString(out, "") }

// secrets searches for what nobody may see in all that came out.
func (tr *gatewayTrial) secrets() {
	tr.t.Helper()
	synctest.Wait()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	seen := withoutAddresses(tr.out.String())
	search := func(what, text string) {
		if text == "" {
			return
		}
		if i := strings.Index(seen, text); i >= 0 {
			tr.t.Errorf("%s came out, in the log, an answer, or what was told to the observer, as printed: …%s", what, strings.Replace(seen[max(0, i-100):i+len(text)], text, "HERE", 1))
		}
	}
	search("the secret", tr.Secret)
	search("the next secret", tr.NextSecret)
	for signature := range tr.signatures {
		if len(signature) > 20 { // a time is none
			search("a signature", signature)
		}
	}
	for _, text := range tr.Sensitive {
		search("sensitive data, by the Value's LogValue, Format or MarshalJSON,", text)
	}
}

// withoutTimes keeps times and durations out of the log that is searched: their digits
// may be those of an amount or a card.
func withoutTimes(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindTime, slog.KindDuration:
		return slog.Attr{}
	}
	return a
}
