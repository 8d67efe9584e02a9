package midhook_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// What can go wrong at each step of a delivery: in the store, in the status API, in the
// client. faults_test.go has it go wrong.

// errStale is the fault of a store whose answer to an Acquire is one of a moment ago,
// when somebody else held the event.
var errStale = errors.New("stale read")

var storeFaults = map[string]midhooktest.StoreFault{
	"":             nil,
	"lost request": midhooktest.LostRequest,
	"lost answer":  midhooktest.LostAnswer,
	"slow":         midhooktest.Delayed(2 * time.Second),
	"stall":        midhooktest.Delayed(time.Minute),
	"hang":         midhooktest.Hanging(7 * time.Second),
	"panic":        func(context.Context, func(context.Context) error) error { panic("store: nil pointer") },
	"late panic": func(ctx context.Context, operation func(context.Context) error) error {
		_ = operation(ctx)
		panic("store: nil pointer")
	},
	"stale read": func(context.Context, func(context.Context) error) error { return errStale },
}

// ledger is the shared store itself, and the book of who holds a claim in it.
type ledger struct {
	midhook.Store
	mu    sync.Mutex
	calls int
	held  map[string]*holding // by owner
}

// holding is what an owner was given.
type holding struct {
	key       string
	holdEnds  time.Time
	leaseEnds time.Time
}

// book returns how many calls there were, and who holds a claim.
func (l *ledger) book() (calls int, owners []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls, slices.Collect(maps.Keys(l.held))
}

func (l *ledger) Acquire(ctx context.Context, c midhook.Claim) (midhook.ClaimState, error) {
	state, err := l.Store.Acquire(ctx, c)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	if state == midhook.Acquired {
		ends := time.Now().Add(c.Lease)
		h := l.held[c.Owner]
		if h == nil {
			h = &holding{holdEnds: ends}
			l.held[c.Owner] = h
		}
		h.key, h.leaseEnds = c.Key, ends
	}
	return state, err
}

func (l *ledger) Finish(ctx context.Context, c midhook.Claim, keep time.Duration) error {
	return l.end(c, l.Store.Finish(ctx, c, keep))
}

func (l *ledger) Release(ctx context.Context, c midhook.Claim) error {
	return l.end(c, l.Store.Release(ctx, c))
}

func (l *ledger) end(c midhook.Claim, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	if h := l.held[c.Owner]; err == nil && h != nil && h.key == c.Key {
		delete(l.held, c.Owner)
	}
	return err
}

func (l *ledger) holdingOf(owner string) holding {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.held[owner]; h != nil {
		return *h
	}
	return holding{}
}

// network is how a process reaches the shared store, and remembers the owners whose
// calls went wrong: the claims of those need not end as they should.
type network struct {
	midhook.Store
	mu      sync.Mutex
	harmed  map[string]bool
	anybody map[string]bool
}

func (n *network) note(owner string, began time.Time, harmed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.anybody[owner] = true
	if harmed || time.Since(began) > 0 {
		n.harmed[owner] = true
	}
}

func (n *network) Acquire(ctx context.Context, c midhook.Claim) (state midhook.ClaimState, err error) {
	began, harmed := time.Now(), true
	defer func() { n.note(c.Owner, began, harmed) }()
	if state, err = n.Store.Acquire(ctx, c); errors.Is(err, errStale) {
		return midhook.InFlight, nil
	}
	harmed = err != nil
	return state, err
}

func (n *network) Finish(ctx context.Context, c midhook.Claim, keep time.Duration) (err error) {
	began, harmed := time.Now(), true
	defer func() { n.note(c.Owner, began, harmed) }()
	err = n.Store.Finish(ctx, c, keep)
	harmed = err != nil
	return err
}

func (n *network) Release(ctx context.Context, c midhook.Claim) (err error) {
	began, harmed := time.Now(), true
	defer func() { n.note(c.Owner, began, harmed) }()
	err = n.Store.Release(ctx, c)
	harmed = err != nil
	return err
}

func (n *network) isHarmed(owner string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.harmed[owner]
}

// trouble is what becomes of one question to the status API.
type trouble string

var apiTroubles = map[trouble]midhooktest.Trouble{
	"":            midhooktest.NoTrouble,
	"429":         midhooktest.TooManyRequests,
	"500":         midhooktest.Failing,
	"garbage":     midhooktest.Garbage,
	"redirect":    midhooktest.Redirecting,
	"not found":   midhooktest.NothingFound,
	"wrong key":   midhooktest.WrongKey,
	"contradicts": midhooktest.NoTrouble,
}

// troubledAPI is the status API behind a bad network.
type troubledAPI struct {
	world *world
	mu    sync.Mutex // not held while anything waits
	next  []trouble
}

func (a *troubledAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var t trouble
	if len(a.next) > 0 {
		t, a.next = a.next[0], a.next[1:]
	}
	switch t {
	case "stall":
		a.mu.Unlock()
		defer a.mu.Lock()
		<-r.Context().Done()
		return nil, context.Cause(r.Context())
	case "breaks":
		return nil, io.ErrUnexpectedEOF
	}
	a.world.api.Be(apiTroubles[t])
	defer a.world.api.Be(midhooktest.NoTrouble)
	res, err := a.world.askAPI(r)
	if err == nil && t == "contradicts" {
		body, _ := io.ReadAll(res.Body)
		res.Body = io.NopCloser(strings.NewReader(strings.Replace(string(body), `"gross_amount":"`, `"gross_amount":"1`, 1)))
	}
	return res, err
}

// visit is how a client behaves in one attempt.
type visit struct {
	Protocol string
	Pieces   int           // in which the request is sent
	Pace     time.Duration // between two of them
	Gone     string        // "": it reads the answer to its end; "request": it goes after Reach of the request; "wait": after it; "answer": after Reach of the answer
	Reach    int           // in thousandths
	Stays    time.Duration // before it goes
	Deaf     bool          // it never reads
}

// isFaithful reports whether the client does all that a client should.
func (v visit) isFaithful() bool { return v.Gone == "" && !v.Deaf && v.Pace == 0 }

// reply is what a client has got: a status if the answer was whole, otherwise 0.
type reply struct {
	status int
	text   string
}

// request is the bytes of an attempt.
func request(id int, body []byte) []byte {
	return fmt.Appendf(nil, "POST /notification HTTP/1.1\r\nHost: merchant.example\r\nContent-Type: application/json\r\n%s: %d\r\nContent-Length: %d\r\n\r\n%s", attemptHeader, id, len(body), body)
}

const attemptHeader = "X-Attempt"

// attempt is one visit over a connection of its own.
func (v visit) attempt(ctx context.Context, client *http.Client, id int, body []byte) reply {
	if v.Protocol == "HTTP/2.0" {
		return v.attemptHTTP2(ctx, client, id, body)
	}
	conn, err := client.Transport.(*http.Transport).DialContext(ctx, "pipe", "merchant")
	if err != nil {
		return reply{}
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Minute))
	raw := request(id, body)
	if v.Gone == "request" {
		raw = raw[:len(raw)*v.Reach/1000]
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		v.send(conn, raw)
	}()
	defer func() { <-sent }()
	defer conn.Close() // ends the sending, too
	switch {
	case v.Deaf, v.Gone == "request", v.Gone == "wait":
		<-sent
		time.Sleep(v.Stays)
		return reply{}
	case v.Gone == "answer":
		_, _ = io.CopyN(io.Discard, conn, int64(v.Reach)/5)
		return reply{}
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodPost})
	if err != nil {
		return reply{}
	}
	return wholeReply(res)
}

func (v visit) send(conn net.Conn, raw []byte) {
	for piece := range v.Pieces {
		from, to := len(raw)*piece/v.Pieces, len(raw)*(piece+1)/v.Pieces
		if _, err := conn.Write(raw[from:to]); err != nil {
			return
		}
		time.Sleep(v.Pace)
	}
}

func wholeReply(res *http.Response) reply {
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return reply{}
	}
	return reply{res.StatusCode, fmt.Sprint(res.Header, string(text))}
}

// attemptHTTP2 is a visit over a connection that others may share.
func (v visit) attemptHTTP2(ctx context.Context, client *http.Client, id int, body []byte) reply {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if v.Gone != "" || v.Deaf {
		time.AfterFunc(v.Stays, cancel)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, bubbleURL, strings.NewReader(string(body)))
	if err != nil {
		panic(err)
	}
	r.Header.Set(attemptHeader, fmt.Sprint(id))
	res, err := client.Do(r)
	if err != nil {
		return reply{}
	}
	return wholeReply(res)
}
