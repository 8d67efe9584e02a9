package midhooktest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
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

	// Sensitive has texts of the sender's samples that nobody may see: names,
	// tokens, card numbers.
	Sensitive []string

	// Unsigned says that bodies prove nothing, and the sender's API does. What a
	// stranger changes in them is then not known of every gateway: see Forgeries.
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
//				hook, err := midhook.NewGateway(gateway, opts...)
//				…
//				return hook
//			},
//		})
//	}
func TestGateway(t *testing.T, g GatewayTest) {
	t.Helper()
	if g.New == nil || g.Secret == "" || g.Sender.Sign == nil || g.Sender.Event == nil {
		t.Fatal("midhooktest: GatewayTest needs New, Secret, and a Sender with Sign and Event")
	}
	for _, c := range gatewayCases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := &gatewayTrial{GatewayTest: g, t: t}
				c.check(tr)
				tr.secrets()
				if t.Failed() {
					t.Logf("The rule: %s", c.rule)
				}
			})
		})
	}
}

// FuzzGateway fuzzes header and body of a delivery: nothing panics, and nothing is
// handed on but what the sender signed.
//
//	func FuzzGateway(f *testing.F) { midhooktest.FuzzGateway(f, gatewayTest) }
func FuzzGateway(f *testing.F, g GatewayTest) {
	f.Helper()
	at := time.Now()
	var names []string // of the headers that prove a body
	seed := func(body []byte) {
		header, body := g.Sender.Sign(body, g.Secret, at)
		names = slices.Sorted(maps.Keys(header))
		var values [2]string
		for i, name := range names[:min(len(names), len(values))] {
			values[i] = strings.Join(header[name], ",")
		}
		f.Add(values[0], values[1], body)
	}
	bodies := [][]byte{g.Sender.Event(0), g.Sender.Event(1)}
	for _, sample := range g.Sender.Samples() {
		bodies = append(bodies, g.Sender.Body(sample))
	}
	for _, body := range bodies {
		seed(body)
	}
	var ran bool
	hook := g.New(f, midhook.WithLogger(slog.New(slog.DiscardHandler)), midhook.WithTestNotifications(), midhook.WithSuperseded())
	handler := hook.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		ran = true
		w.WriteHeader(http.StatusInternalServerError) // so that nothing counts as handled
	}))
	f.Fuzz(func(t *testing.T, first, second string, body []byte) {
		header := requestHeader()
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
		if ran && !g.Unsigned && !g.signed(bodies, len(names) > 0, body) {
			t.Errorf("handed on, though the sender did not sign it:\n%q %q\n%q", first, second, body)
		}
	})
}

// signed reports whether the sender may have signed a body that was let in: nobody
// finds a signature by chance.
func (g GatewayTest) signed(bodies [][]byte, inHeader bool, body []byte) bool {
	if inHeader {
		return slices.ContainsFunc(bodies, func(b []byte) bool { return bytes.Equal(b, body) })
	}
	_, again := g.Sender.Sign(body, g.Secret, time.Now())
	canonical := func(b []byte) string { return strings.ToLower(string(decodeObject(b).encode())) }
	return canonical(again) == canonical(body)
}

// gatewayTrial is one case of TestGateway being checked.
type gatewayTrial struct {
	GatewayTest
	t *testing.T

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
func (tr *gatewayTrial) endpoint(next http.HandlerFunc, opts ...midhook.Option) *Gateway {
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
	return &Gateway{Handler: hook.Handler(next), Sender: &tr.Sender, ServerKey: tr.Secret, Policy: &once}
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
		}
	}
	return header, signed
}

// send delivers an event once.
func (tr *gatewayTrial) send(g *Gateway, nr int) Attempt {
	return tr.sendBody(g, tr.Sender.Event(nr))
}

func (tr *gatewayTrial) sendBody(g *Gateway, body []byte) Attempt {
	header, signed := tr.sign(body, tr.Secret)
	return tr.sendRequest(g, header, signed)
}

func (tr *gatewayTrial) sendRequest(g *Gateway, header http.Header, body []byte) Attempt {
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
	return a.Err == nil && tr.Sender.Policy.succeeded(a.Status, []byte(a.Answer))
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
			tr.t.Errorf("%s came out: …%s", what, strings.Replace(seen[max(0, i-100):i+len(text)], text, "HERE", 1))
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
		search("sensitive data", text)
	}
}
