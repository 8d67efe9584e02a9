package midhooktest

import (
	"bytes"
	"errors"
	"net/http"
	"testing"
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
// every sender: that it lets nobody else in, answers every [midhook.Outcome] so that the
// sender comes again when it should and not when it need not, keeps events apart that
// have nothing to do with each other, hands on what it does not know, has lost no
// method to a wrapper, and tells no secret. Each case is a subtest in a bubble of testing/synctest; one that fails
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
			testInBubble(t, func(t *testing.T) {
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

// anotherSecret is another one even where it is decoded from base64.
func (g GatewayTest) anotherSecret() string { return "A" + g.Secret + "AAA" }
