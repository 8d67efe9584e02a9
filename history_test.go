package midhook_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/lives"
	"github.com/midhook/midhook/midhooktest"
)

// The histories of one order: what Midtrans lets happen to its transactions, what a
// merchant's handler and processes do, and what a stranger does who holds every body
// that Midtrans has signed.

// lot is what one run of the handler does.
type lot struct {
	Takes time.Duration
	Fails bool
	Dies  bool // its process reaches the store no more
}

// forgery is a body that the stranger sends: of a genuine event, edited.
type forgery struct {
	At     time.Duration
	Of     int
	Status midhook.TransactionStatus
	Field  string // a further field that is edited
	Value  string
}

type history struct {
	Transactions [][]lives.Change
	Lots         []lot
	Forgeries    []forgery
}

func drawHistory(t *rapid.T, strangers bool) (h history) {
	seconds := func(label string, most int) time.Duration {
		return time.Duration(rapid.IntRange(0, most*1000).Draw(t, label)) * time.Millisecond
	}
	for range rapid.IntRange(1, 3).Draw(t, "transactions") {
		life := slices.Clone(rapid.SampledFrom(lives.All).Draw(t, "life"))
		for i := range life {
			life[i].After = rapid.SampledFrom([]time.Duration{50 * time.Millisecond, 3 * time.Second, 4 * time.Minute}).Draw(t, "after")
			life[i].Delay = seconds("delay", 5)
		}
		h.Transactions = append(h.Transactions, life)
	}
	for range rapid.IntRange(0, 6).Draw(t, "lots") {
		h.Lots = append(h.Lots, lot{
			Takes: rapid.SampledFrom([]time.Duration{0, time.Second, 8 * time.Second, 28 * time.Second}).Draw(t, "takes"),
			Fails: rapid.Bool().Draw(t, "fails"),
			Dies:  rapid.IntRange(0, 3).Draw(t, "dies") == 0,
		})
	}
	if !strangers {
		return h
	}
	for range rapid.IntRange(0, 8).Draw(t, "forgeries") {
		h.Forgeries = append(h.Forgeries, forgery{
			At:     seconds("at", 600),
			Of:     rapid.IntRange(0, 20).Draw(t, "of"),
			Status: rapid.SampledFrom([]midhook.TransactionStatus{"pending", "authorize", "capture", "settlement", "deny", "cancel", "expire", "failure", "refund", "partial_refund", "chargeback", "something_new"}).Draw(t, "status"),
			Field:  rapid.SampledFrom([]string{"payment_type", "fraud_status", "refund_key", "transaction_id", "currency"}).Draw(t, "field"),
			Value:  rapid.SampledFrom([]string{"accept", "deny", "challenge", "x", "T-0", "T-1", "IDR", "dana"}).Draw(t, "value"),
		})
	}
	return h
}

// mortal is a shared store as a process sees it that may die.
type mortal struct {
	midhook.Store
	mu   sync.Mutex
	dead bool
}

func (s *mortal) alive() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return errors.New("this process is dead")
	}
	return nil
}

func (s *mortal) Acquire(ctx context.Context, c midhook.Claim) (midhook.ClaimState, error) {
	if err := s.alive(); err != nil {
		return 0, err
	}
	return s.Store.Acquire(ctx, c)
}

func (s *mortal) Finish(ctx context.Context, c midhook.Claim, keep time.Duration) error {
	if err := s.alive(); err != nil {
		return err
	}
	return s.Store.Finish(ctx, c, keep)
}

func (s *mortal) Release(ctx context.Context, c midhook.Claim) error {
	if err := s.alive(); err != nil {
		return err
	}
	return s.Store.Release(ctx, c)
}

// world plays one history and holds what happened against the truth.
type world struct {
	history history
	api     *midhooktest.StatusServer // nil: no status check
	asks    http.RoundTripper         // of the status check; nil: the api itself
	shared  midhook.Store

	mu       sync.Mutex
	truth    map[string]lives.Change // of each transaction, by now
	running  map[string]int
	runs     []*midhook.Notification // that succeeded, in the order of their ends
	lots     []lot
	problems []string
}

func (w *world) problem(format string, args ...any) {
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

func transactionID(i int) string { return fmt.Sprintf("T-%d", i) }

// process is one of the merchant's processes, until it dies.
func (w *world) process() (http.Handler, *mortal) {
	store := &mortal{Store: w.shared}
	hook := w.middleware(store, midhook.WithLogger(discard))
	return hook.HandlerFunc(func(ctx context.Context, n *midhook.Notification) error { return w.handle(ctx, n, store) }), store
}

// middleware is that of a process which sees the shared store as store.
func (w *world) middleware(store midhook.Store, opts ...midhook.Option) *midhook.Middleware {
	opts = append(opts, midhook.WithStore(store))
	if w.api != nil {
		asks := w.asks
		if asks == nil {
			asks = roundTrip(w.askAPI)
		}
		opts = append(opts, midhook.WithStatusCheck(w.api.Client(midhook.WithHTTPClient(&http.Client{Transport: asks}))))
	}
	hook, err := midhook.New(testKey, opts...)
	if err != nil {
		panic(err)
	}
	return hook
}

// askAPI is a request to the API without a socket.
func (w *world) askAPI(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, r)
	return rec.Result(), nil
}

func (w *world) handle(ctx context.Context, n *midhook.Notification, store *mortal) error {
	w.mu.Lock()
	tx := n.TransactionID
	if w.running[tx]++; w.running[tx] > 1 {
		w.problem("two runs of %s at once", tx)
	}
	if now := w.truth[tx]; w.api != nil && n.Paid() && !slices.Contains([]midhook.TransactionStatus{"settlement", "capture", "partial_refund"}, now.Status) {
		w.problem("a paid run of %s, which the API calls %s", tx, now.Status)
	}
	var lot lot
	if len(w.lots) > 0 {
		lot, w.lots = w.lots[0], w.lots[1:]
	}
	w.mu.Unlock()

	time.Sleep(lot.Takes)

	w.mu.Lock()
	defer w.mu.Unlock()
	w.running[tx]--
	if lot.Dies {
		store.mu.Lock()
		store.dead = true
		store.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	if lot.Fails {
		return errors.New("database away")
	}
	w.runs = append(w.runs, n)
	return nil
}

// play lets the history happen, and returns what was wrong with it.
func (w *world) play(ctx context.Context) []string {
	w.truth, w.running, w.lots = map[string]lives.Change{}, map[string]int{}, w.history.Lots
	current, store := w.process()
	var procs sync.Mutex
	endpoint := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		procs.Lock()
		if store.alive() != nil {
			current, store = w.process() // it is started again
		}
		h := current
		procs.Unlock()
		h.ServeHTTP(rw, r)
	})
	engine := &midhooktest.Engine{Handler: endpoint, Secret: testKey}
	var all sync.WaitGroup
	var signed []*midhook.Notification
	var delivered sync.Map // of each genuine event
	for i, life := range w.history.Transactions {
		var at time.Duration
		for _, c := range life {
			at += c.After
			when, n := at, c.Notification("A-1", transactionID(i))
			signed = append(signed, n)
			all.Go(func() {
				time.Sleep(when)
				w.mu.Lock()
				w.truth[transactionID(i)] = c
				w.mu.Unlock()
				if w.api != nil {
					w.api.Put(n)
				}
				time.Sleep(c.Delay)
				d, err := engine.Deliver(ctx, n)
				if err == nil && d.Delivered {
					delivered.Store(n, true)
				}
			})
		}
	}
	for _, f := range w.history.Forgeries {
		all.Go(func() {
			time.Sleep(f.At)
			genuine := signed[f.Of%len(signed)]
			edited := midhooktest.Sample("gopay", midhooktest.Order("A-1"), midhooktest.Transaction(genuine.TransactionID),
				midhooktest.Status(genuine.StatusCode, f.Status), midhooktest.Fraud(genuine.FraudStatus), midhooktest.Field(f.Field, f.Value))
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(string(midhooktest.Body(edited, testKey))))
			defer func() { _ = recover() }() // a handler's panic
			endpoint.ServeHTTP(httptest.NewRecorder(), r)
		})
	}
	all.Wait()
	engine.Wait()
	for i, life := range w.history.Transactions {
		w.hold(transactionID(i), life, i, &delivered, signed)
	}
	return w.problems
}

// runsOf are the runs of a transaction that succeeded.
func (w *world) runsOf(tx string) (runs []*midhook.Notification) {
	for _, n := range w.runs {
		if n.TransactionID == tx {
			runs = append(runs, n)
		}
	}
	return runs
}

// isDone reports whether a run of the first of these events has succeeded, or one of a
// later event that makes it void.
func (w *world) isDone(events []*midhook.Notification) bool {
	n := events[0]
	return slices.ContainsFunc(w.runsOf(n.TransactionID), func(run *midhook.Notification) bool {
		if lives.IsVoid(n, run) {
			return true
		}
		return w.api != nil && slices.ContainsFunc(events, func(l *midhook.Notification) bool { return l.IdempotencyKey() == run.IdempotencyKey() })
	})
}

// hold compares what the handler has seen of a transaction with what is true.
func (w *world) hold(tx string, life []lives.Change, i int, delivered *sync.Map, signed []*midhook.Notification) {
	var events []*midhook.Notification
	for _, n := range signed {
		if n.TransactionID == tx {
			events = append(events, n)
		}
	}
	for at, n := range events {
		if _, ok := delivered.Load(n); ok && !w.isDone(events[at:]) {
			w.problem("%s of %s was acknowledged without a successful run of it or of a later one", n.TransactionStatus, tx)
		}
	}
	last, seen := life[len(life)-1], w.runsOf(tx)
	if w.api == nil || len(seen) == 0 || strings.HasPrefix(string(last.Status), "partial_") {
		return
	}
	if _, ok := delivered.Load(events[len(events)-1]); ok && seen[len(seen)-1].TransactionStatus != last.Status {
		w.problem("the last status that the handler saw of %s is %s, and %s is true", tx, seen[len(seen)-1].TransactionStatus, last.Status)
	}
}

// Rule: whatever the order of deliveries, the handler, its processes and strangers do,
// no genuine event is acknowledged without a successful run of it or of a later one, no
// two runs of a transaction are at once, and under a status check no run says paid that
// the API denies, and the last status that the handler sees is the true one.
func TestHistoriesOfAnOrder(t *testing.T) {
	for _, checked := range []bool{false, true} {
		t.Run(fmt.Sprintf("status check %v", checked), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				w := &world{history: drawHistory(rt, checked)}
				if checked {
					w.api = midhooktest.NewStatusServer(testKey)
					defer w.api.Close()
				}
				var problems []string
				synctest.Test(t, func(t *testing.T) {
					w.shared = midhook.NewLRUStore(1000) // by the bubble's clock
					problems = w.play(t.Context())
				})
				for _, p := range problems {
					rt.Error(p)
				}
			})
		})
	}
}
