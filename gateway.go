package midhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"

	"github.com/midhook/midhook/internal/expose"
)

// ErrUnconfirmed marks an authentic notification that claims more than was
// signed, or something else than the sender's API confirms: someone edited it.
var ErrUnconfirmed = errors.New("notification claims more than was signed or confirmed")

// Gateway is one sender of webhooks: how to tell that a body is authentic, and
// which answers the sender understands. The rest of a delivery's life is the
// same for all senders, see [NewFor]. Its methods are called at once from
// many goroutines.
//
// A Gateway may have the methods of [Authenticator], [Acceptor], [Retrier] and
// [Named], too.
type Gateway interface {
	// Open reads a body and checks that it is authentic, without I/O and without
	// changing header or body, which it may keep. An empty body comes here, too.
	//
	// It returns the message, or an error that is [ErrSignature] or [ErrMalformed]; any
	// other error counts as ErrMalformed. It returns both a message and an error that is
	// [ErrUnconfirmed] for what is authentic but must not be handled. The text of an
	// error goes to the log: it must hold nothing of the body or the key.
	Open(header http.Header, body []byte) (Message, error)

	// Answer is the response to an outcome, asked for once, by [NewFor]: a
	// status that the sender takes as the end where nothing is left to do, and one
	// after which it comes again where something is. [PlainAnswer] will often do.
	// It must not redirect, must be a 2xx for [OutcomeHandled], and must not be one for
	// what is not handled. A status of 0 means PlainAnswer's: later versions may have
	// outcomes that a gateway of someone's own does not know.
	Answer(Outcome) (status int, contentType, body string)
}

// Message is an authentic notification as the pipeline sees it.
type Message struct {
	// Value is what the handler gets, see [Value]: a [*Notification] for Midtrans'
	// payments. It is logged if it is an [log/slog.LogValuer], which must leave
	// out what nobody may see, and otherwise is not. An observer may print it: if it
	// holds a customer's data, give its type a Format and a MarshalJSON, too.
	//
	// If it has a method Attention() string, the log line says what that returns, at
	// level WARN or higher: something that the merchant should look at, "" for nothing.
	// If it has a method Raw() []byte, that is the handler's r.Body where a check has
	// replaced what was received by it.
	Value any

	Key        string // names what is to be handled once, see [Claim]; required, and never one that another gateway could give
	Subject    string // what events in an order have in common; "" for none
	Stage      int    // place in that order; 0 for none
	Alternates bool   // the event comes again after others of its Subject, see [Claim]
	KeyLabel   string // of the key that matched
	Test       bool   // sent by hand from the sender's dashboard, see WithTestNotifications
}

// Authenticator is a [Gateway] whose bodies prove nothing by themselves: only the
// sender's API tells whether they are true.
//
// Its Open leaves [Message].Key empty, and Authenticate sets it. A Message without a
// Key never runs, so that a struct that embeds the Gateway as an interface, and so
// loses Authenticate unnoticed, refuses every body instead of handing on what nobody
// has proved. Embed the gateway's own type, or pass Authenticate on.
type Authenticator interface {
	// Authenticate asks about what Open has read, and returns what is true instead.
	// It is called before anything is claimed, for anyone can send such a body, and
	// it must limit its own rate. It runs on the request's goroutine, also with
	// WithDetachedHandler, and must heed ctx, which ends at the response budget.
	//
	// An error that is [ErrUnconfirmed] or [ErrSignature] is answered as what
	// someone has made up, [ErrMalformed] as what cannot be read, [ErrRateLimited]
	// as too much at once, and any other as an API that cannot be asked.
	Authenticate(ctx context.Context, msg Message) (Message, error)
}

// Acceptor is a [Gateway] whose sender does not take every 2xx for a success.
type Acceptor interface {
	// Accepts reports whether the sender is content with a handler's own 2xx
	// answer. If not, Answer([OutcomeHandled]) is sent instead.
	Accepts(status int, header http.Header, body []byte) bool
}

// Retrier is a [Gateway] that says whether its sender comes again after a
// refusal. Without this method it is taken to.
type Retrier interface {
	// Retries reports that it does. If it does not, a delivery that meets another
	// one of its event, or a store that is away, waits for as long as the response
	// budget lasts, and is refused only then.
	Retries() bool
}

// Named is a [Gateway] that has a name, which [Event].Gateway, log lines and metrics
// show: "midtrans", "opn". A name is one word that stays the same: whatever counts by
// it has one series for each name.
type Named interface {
	Name() string
}

// TestGateway of package midhooktest judges all of a gateway's answers and methods.
func init() {
	expose.Gateway = func(middleware any) any { return middleware.(*Middleware).pipeline.gateway }
}

// NewFor returns the middleware for another sender's webhooks: everything
// that [New] says of Midtrans', but for what makes a body authentic and what the
// sender wants to hear, which is g's to say. A handler finds the notification with
// [Value], or the FromContext of g's package.
//
// The options that speak of Midtrans' notifications are refused: [WithServerKey],
// [WithStatusCheck] and [WithExpectation]. The error lists everything that is
// wrong.
func NewFor(g Gateway, opts ...Option) (*Middleware, error) {
	s := defaultSettings()
	err := s.apply(opts)
	if v := reflect.ValueOf(g); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		err = errors.Join(errors.New("gateway: it must not be nil"), err)
	}
	if err != nil {
		return nil, fmt.Errorf("midhook: %w", err)
	}
	return newMiddleware(g, s)
}

// checkAnswer refuses what no sender can take for an answer.
func checkAnswer(o Outcome, status int) error {
	switch {
	case status < 200 || status > 599 || status/100 == 3:
		return fmt.Errorf("its answer to %s is %d: 200 to 599 and no redirect is required", o, status)
	case o == OutcomeHandled && status/100 != 2:
		return fmt.Errorf("its answer to %s is %d: a 2xx is required", o, status)
	case status/100 == 2 && !o.isFinal() && o != OutcomeTest && o != OutcomeLateHandled:
		return fmt.Errorf("its answer to %s is %d: a 2xx would lose what is not handled yet", o, status)
	}
	return nil
}
