package midhooktest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midhook/midhook"
)

// GatewayTest is what [TestGateway] has to know of a [midhook.Gateway].
type GatewayTest struct {
	Sender Sender

	// Secret is what requests are signed with, and NextSecret, if it is not empty,
	// another one that is accepted under another label.
	Secret, NextSecret string

	// New returns the middleware under test, with opts and a memory of its own: what
	// another one has handled it has not. It is called in a bubble of
	// testing/synctest, where a real socket stands still.
	New func(t testing.TB, opts ...midhook.Option) *midhook.Middleware

	// Forgeries make, by the name of the mistake that accepts them, requests out of
	// a body that must not be taken for the sender's: signed with a secret that is
	// not decoded, without the time, over the body as it would be written again.
	// Some are known of every gateway and need not be here.
	Forgeries map[string]func(body []byte, at time.Time) (http.Header, []byte)

	// Sensitive has texts of the sender's samples that nobody may see, in the log,
	// in an answer, or in the [midhook.Message].Value, however it is printed: names,
	// tokens, card numbers.
	Sensitive []string

	// Unsigned says that bodies prove nothing, and the sender's API does. What a
	// stranger changes in them is then not known of every gateway, and there must be
	// Forgeries.
	Unsigned bool
}

// TestGateway tests that a [midhook.Gateway] does what the middleware promises of
// every sender: that it lets nobody else in, answers so that the sender comes again
// when it should and not when it need not, hands on what it does not know, and tells
// no secret. Each case is a subtest in a bubble of testing/synctest; one that fails
// says which rule is broken.
//
//	func TestGateway(t *testing.T) {
//		midhooktest.TestGateway(t, midhooktest.GatewayTest{
//			Sender: midhooktest.PayMongoSender(),
//			Secret: "whsk_test",
//			New: func(t testing.TB, opts ...midhook.Option) *midhook.Middleware {
//				gateway, err := paymongo.New("whsk_test")
//				…
//				hook, err := midhook.NewFor(gateway, opts...)
//				…
//				return hook
//			},
//		})
//	}
func TestGateway(t *testing.T, g GatewayTest) {
	t.Helper()
	if err := g.lacks(); err != nil {
		t.Fatal(err)
	}
	for _, c := range gatewayCases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := &gatewayTrial{GatewayTest: g, t: t}
				defer func() { // New may have ended the test
					tr.wait()
					tr.secrets()
					if t.Failed() {
						t.Logf("The rule: %s", c.rule)
					}
				}()
				c.check(tr)
			})
		})
	}
}

// lacks says what a test of a gateway cannot do without.
func (g GatewayTest) lacks() error {
	switch {
	case g.New == nil || g.Secret == "" || g.Sender.Sign == nil || g.Sender.Event == nil:
		return errors.New("midhooktest: GatewayTest needs New, Secret, and a Sender with Sign and Event")
	case bytes.Equal(g.Sender.Event(0), g.Sender.Event(1)):
		return errors.New("midhooktest: Sender.Event must make another body for each number")
	case g.Unsigned && len(g.Forgeries) == 0:
		return errors.New("midhooktest: GatewayTest needs Forgeries where bodies are Unsigned: nothing else tests that strangers are kept out")
	}
	return nil
}

// FuzzGateway fuzzes header and body of a delivery: nothing panics, and nothing is
// handed on but what the sender signed. The seeds are signed once, at the beginning: a
// gateway that compares times takes none for genuine when it has run for longer than
// its tolerance, and after an hour one that does not is told to be broken.
//
//	func FuzzGateway(f *testing.F) { midhooktest.FuzzGateway(f, gatewayTest) }
func FuzzGateway(f *testing.F, g GatewayTest) {
	f.Helper()
	if err := g.lacks(); err != nil {
		f.Fatal(err)
	}
	at := time.Now()
	var names []string        // of the headers that prove a body
	sent := map[string]bool{} // bodies
	seed := func(event []byte) {
		header, body := g.Sender.Sign(event, g.Secret, at)
		names = slices.Sorted(maps.Keys(header))
		var values [2]string
		for i, name := range names[:min(len(names), len(values))] {
			values[i] = strings.Join(header[name], ",")
		}
		sent[string(body)] = true
		f.Add(values[0], values[1], body)
		f.Add(values[0], values[1], append(slices.Clone(body), ' '))
		f.Add("", "", event)
	}
	bodies := [][]byte{g.Sender.Event(0), g.Sender.Event(1)}
	for _, sample := range g.Sender.Samples() {
		bodies = append(bodies, g.Sender.Body(sample))
	}
	for _, body := range append(bodies, nil, []byte("null")) {
		seed(body)
	}
	var ran bool
	hook := g.New(f, midhook.WithLogger(slog.New(slog.DiscardHandler)), midhook.WithTestNotifications(), midhook.WithSuperseded())
	handler := hook.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		ran = true
		w.WriteHeader(http.StatusInternalServerError) // so that nothing counts as handled
	}))
	f.Fuzz(func(t *testing.T, first, second string, body []byte) {
		header := g.Sender.requestHeader(nil)
		for i, name := range names[:min(len(names), 2)] {
			header[name] = []string{[]string{first, second}[i]}
		}
		r := g.Sender.NewRequest(body, "")
		r.Header = header
		r.Body, r.ContentLength = http.NoBody, 0
		if len(body) > 0 {
			r.Body, r.ContentLength = &requestBody{r: bytes.NewReader(body), w: &responseWriter{}}, int64(len(body))
		}
		ran = false
		handler.ServeHTTP(&responseWriter{header: http.Header{}, length: -1, ended: make(chan struct{})}, r)
		if ran && !g.Unsigned && !g.signed(sent, len(names) > 0, first+" "+second, body) {
			t.Errorf("handed on, though the sender did not sign it:\n%q %q\n%q", first, second, body)
		}
	})
}

// signed reports whether the sender may have signed a body that was let in: nobody
// finds a signature by chance. A process that fuzzes gets the seeds of another, which
// signed them some time ago.
func (g GatewayTest) signed(sent map[string]bool, inHeader bool, header string, body []byte) bool {
	if inHeader {
		header = strings.ToLower(header)
		for ago := -time.Second; sent[string(body)] && ago < fuzzed; ago += time.Second {
			proof, _ := g.Sender.Sign(body, g.Secret, time.Now().Add(-ago))
			for _, values := range proof {
				for _, signature := range longWord.FindAllString(strings.ToLower(strings.Join(values, ",")), -1) {
					if strings.Contains(header, signature) {
						return true
					}
				}
			}
		}
		return false
	}
	now := time.Now()
	_, again := g.Sender.Sign(body, g.Secret, now)
	_, other := g.Sender.Sign(body, g.anotherSecret(), now)
	same := 0 // up to the signature
	for same < min(len(again), len(other)) && again[same] == other[same] {
		same++
	}
	signature := longWord.Find(again[same:])
	return signature != nil && bytes.Contains(bytes.ToLower(body), bytes.ToLower(signature))
}

// fuzzed is for how long seeds may be fuzzed.
const fuzzed = time.Hour

// anotherSecret is another one even where it is decoded from base64.
func (g GatewayTest) anotherSecret() string { return "A" + g.Secret + "AAA" }

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
		midhook.WithLogger(slog.New(slog.NewJSONHandler(tr, &slog.HandlerOptions{Level: slog.LevelDebug}))),
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

// secrets searches for what nobody may see in all that came out.
func (tr *gatewayTrial) secrets() {
	tr.t.Helper()
	synctest.Wait()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	seen := tr.out.String()
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
