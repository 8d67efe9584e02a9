package midhooktest

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/midhook/midhook"
)

// Engine plays Midtrans' notification engine, or another [Sender]'s: it delivers a
// notification to a handler or a URL, and again after each answer that asks for it,
// by the times and numbers of [MidtransRetries], or of the sender's own.
//
//	e := &midhooktest.Engine{Handler: mux, URL: "https://shop.example/midtrans", Secret: key}
//	d, err := e.Deliver(ctx, midhooktest.Sample("gopay"))
//
// It takes its time from package time. In a bubble of testing/synctest the whole
// 342 minutes pass in a moment; a real socket inside a bubble never makes progress,
// so there it must be a Handler. Elsewhere, Speed makes them shorter.
//
// The handler runs in this process, on a goroutine of its own for each request,
// much as under net/http's server: its request's context ends when Midtrans hangs
// up, and its answer counts as soon as it is complete, which is when the handler
// returns, or when it has flushed as many bytes as its Content-Length says, even
// while it runs on ([Engine.Wait]). A panic, runtime.Goexit and too few bytes are a
// broken connection.
//
// An Engine is safe for concurrent use; its fields must not be changed after the
// first delivery, and it must not be copied.
type Engine struct {
	Handler http.Handler // to deliver to; nil to deliver to URL
	URL     string       // the notification URL; with a Handler what it sees of it, https://merchant.example/ by default
	Client  *http.Client // for a URL; one that offers TLS 1.2 at most, as Midtrans does, by default
	Secret  string       // to sign with; for another sender its own secret
	Sender  *Sender      // MidtransSender() by default
	Policy  *RetryPolicy // the sender's by default

	// Speed divides the waits between attempts: at 3600 an hour is a second, and
	// at 0, the default, an hour. It does not shorten what the handler takes, nor
	// the time that an attempt may take, for a real handler is not faster for it. So
	// by the clock of a slow handler retries come early: it should be through in
	// less than 33 s / Speed.
	Speed float64

	// Seed and the body decide how early each retry comes.
	Seed uint64

	// OnAttempt, if set, is called after each attempt, at once from several
	// deliveries. The notification is nil for a body that is none.
	OnAttempt func(*midhook.Notification, Attempt)

	mu      sync.Mutex
	lost    int           // events in a row
	running int           // handlers
	idle    chan struct{} // closed when there are none, if someone waits
}

// Deliver signs n with Secret, delivers it, and returns when it is delivered
// or lost. A lost notification is not an error: one is returned if the Engine
// cannot work as it is set up, as with another Sender than Midtrans, and if ctx ends
// before, then with the attempts so far.
func (e *Engine) Deliver(ctx context.Context, n *midhook.Notification) (Delivery, error) {
	switch {
	case n == nil:
		return Delivery{}, errors.New("midhooktest: nil notification")
	case e.Secret == "":
		return Delivery{}, errNoKey
	}
	return e.deliver(ctx, shipment{n: n, body: Body(n, e.Secret)})
}

var errNoKey = errors.New("midhooktest: the engine needs a Secret to sign with")

// DeliverSigned signs a body with Secret as the Sender does, delivers it, and
// returns as Deliver does. All attempts have the same signature.
func (e *Engine) DeliverSigned(ctx context.Context, body []byte) (Delivery, error) {
	switch {
	case e.Secret == "":
		return Delivery{}, errNoKey
	case e.sender().Sign == nil:
		return Delivery{}, fmt.Errorf("midhooktest: the sender %q needs a Sign", e.sender().Name)
	}
	header, body := e.sender().Sign(body, e.Secret, time.Now())
	return e.DeliverRequest(ctx, header, body)
}

// DeliverBody delivers a body as it is: one that was edited after it was signed,
// or is no notification at all.
func (e *Engine) DeliverBody(ctx context.Context, body []byte) (Delivery, error) {
	return e.DeliverRequest(ctx, nil, body)
}

// DeliverRequest is DeliverBody with a header, besides the one that Midtrans sends.
func (e *Engine) DeliverRequest(ctx context.Context, header http.Header, body []byte) (Delivery, error) {
	n, err := midhook.Parse(body)
	if err != nil || e.sender().Name != MidtransSender().Name {
		n = nil
	}
	return e.deliver(ctx, shipment{n: n, header: header.Clone(), body: slices.Clone(body)})
}

func (e *Engine) sender() Sender {
	if e.Sender == nil {
		return MidtransSender()
	}
	return *e.Sender
}

// Wait returns when no handler runs that this Engine has called. A handler may
// go on after its answer is complete, and after Midtrans has hung up; in a bubble,
// whose time stops with its test, it must not go on then. For a URL there is
// nothing to wait for.
func (e *Engine) Wait() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.running > 0 {
		if e.idle == nil {
			e.idle = make(chan struct{})
		}
		idle := e.idle
		e.mu.Unlock()
		<-idle
		e.mu.Lock()
	}
}

func (e *Engine) started() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.running++
}

func (e *Engine) ended() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.running--
	if e.running == 0 && e.idle != nil {
		close(e.idle)
		e.idle = nil
	}
}

// shipment is what is delivered, and how other than the engine's fields say.
type shipment struct {
	n      *midhook.Notification
	header http.Header // besides what each of the sender's requests has
	body   []byte
	url    string       // the engine's if empty
	policy *RetryPolicy // the engine's if nil
	speed  float64      // the engine's if 0
	// between, if set, stands between Midtrans and the merchant.
	between func(attempt int, send func() answer) answer
}

func (e *Engine) deliver(ctx context.Context, s shipment) (Delivery, error) {
	d := Delivery{Notification: s.n}
	target, send, err := e.route(s.url)
	if err != nil {
		return d, fmt.Errorf("midhooktest: %w", err)
	}
	if sender := e.sender().Name; s.n != nil && sender != MidtransSender().Name {
		return d, fmt.Errorf("midhooktest: %s does not send Midtrans' notifications: its own go out by DeliverSigned", sender)
	}
	if ctx.Err() != nil {
		return d, context.Cause(ctx)
	}
	policy, speed := e.policy(), e.speed()
	if s.policy != nil {
		policy = *s.policy
	}
	if s.speed != 0 {
		speed = s.speed
	}
	sum := fnv.New64a()
	_, _ = sum.Write(s.body)
	random := rand.New(rand.NewPCG(e.Seed, sum.Sum64()))

	for elapsed := time.Duration(0); ; {
		s.header = e.sender().requestHeader(s.header)
		if e.disabled(policy) {
			d.Reason = fmt.Sprintf("the endpoint is disabled: %d events in a row were lost", policy.DisableAfter)
			return d, nil
		}
		made := len(d.Attempts)
		a := Attempt{Number: made + 1, At: time.Now(), Elapsed: elapsed}
		a.request(ctx, policy, target, s, send)
		a.Duration = time.Since(a.At)
		if a.Err != nil && ctx.Err() != nil {
			return d, context.Cause(ctx) // the caller hung up, not Midtrans
		}
		var again bool
		again, a.Why = policy.judge(made, a.Status, []byte(a.Answer), a.Err)
		if again {
			a.Next = policy.wait(made, random)
		}
		d.Attempts = append(d.Attempts, a)
		d.Delivered = a.Err == nil && policy.Succeeds(a.Status, []byte(a.Answer))
		d.Reason = a.Why
		if e.OnAttempt != nil {
			e.OnAttempt(s.n, a)
		}
		if !again {
			e.ends(policy, d.Delivered)
			return d, nil
		}
		if err := sleep(ctx, a.Next, speed); err != nil {
			return d, err
		}
		elapsed += a.Duration + a.Next
	}
}

// disabled reports whether the sender has given the endpoint up.
func (e *Engine) disabled(policy RetryPolicy) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return policy.disables(e.lost)
}

// ends counts the events that were lost in a row. What was on its way when the
// endpoint was disabled does not enable it again.
func (e *Engine) ends(policy RetryPolicy, delivered bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case !delivered:
		e.lost++
	case !policy.disables(e.lost):
		e.lost = 0
	}
}

// request makes an attempt, with the redirects it is led on by.
func (a *Attempt) request(ctx context.Context, policy RetryPolicy, u *url.URL, s shipment, send sender) {
	if policy.Timeout > 0 {
		limited, cancel := context.WithTimeoutCause(ctx, policy.Timeout, timeoutError(policy.Timeout))
		defer cancel()
		ctx = limited
	}
	for {
		one := func() answer { return send(ctx, u, s.header, s.body) }
		var ans answer
		if s.between != nil {
			ans = s.between(a.Number, one)
		} else {
			ans = one()
		}
		a.Status, a.Answer, a.Err = ans.status, string(ans.body), ans.err
		if a.Err != nil || !slices.Contains(policy.Follow, a.Status) {
			return
		}
		next, err := u.Parse(ans.header.Get("Location"))
		switch {
		case err != nil || ans.header.Get("Location") == "" || next.Host == "":
			a.Err = fmt.Errorf("%d without a Location to follow", a.Status)
			return
		case !policy.Follows(a.Status, len(a.Redirects)):
			a.Err = fmt.Errorf("%d after %d redirects", a.Status, policy.Redirects)
			return
		}
		a.Redirects = append(a.Redirects, next.String())
		u = next
	}
}

func (e *Engine) policy() RetryPolicy {
	if e.Policy == nil {
		return e.sender().Policy
	}
	return *e.Policy
}

func (e *Engine) speed() float64 {
	if e.Speed == 0 {
		return 1
	}
	return e.Speed
}
