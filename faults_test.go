package midhook_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strconv"
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

// fate is what one run of the handler does.
type fate struct {
	Takes time.Duration
	Heeds bool   // it gives up when its context ends
	Ends  string // "" is success by 200
}

// mischief is what happens to the merchant's process at a time.
type mischief struct {
	At   time.Duration
	Kill bool // otherwise it is shut down, and its handlers may end
}

// ordeal is the life of one transaction with a fault at any step of any delivery.
type ordeal struct {
	Life      []lives.Change
	Protocol  string
	Detached  bool
	Acquires  []string // what becomes of each call of the store, by storeFaults
	Finishes  []string
	Releases  []string
	API       []trouble
	Lags      []time.Duration // by which the API knows of each event late
	Fates     []fate
	Visits    []visit
	Retries   time.Duration // between the attempts
	Mischiefs []mischief
}

func drawOrdeal(t *rapid.T) (o ordeal) {
	duration := func(label string, choices ...time.Duration) time.Duration {
		return rapid.SampledFrom(choices).Draw(t, label)
	}
	fault := rapid.SampledFrom([]string{"", "lost request", "lost answer", "slow", "stall", "hang", "panic", "late panic"})
	acquireFault := rapid.OneOf(fault, rapid.Just("stale read"))
	o.Life = slices.Clone(rapid.SampledFrom(lives.All).Draw(t, "life"))
	for i := range o.Life {
		o.Life[i].After = duration("after", 4*time.Minute, 3*time.Second, 50*time.Millisecond)
		o.Lags = append(o.Lags, duration("lag", 0, 0, 2*time.Second, time.Minute))
	}
	o.Protocol = rapid.SampledFrom([]string{"HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/2.0"}).Draw(t, "protocol")
	o.Detached = rapid.IntRange(0, 3).Draw(t, "detached") == 3
	o.Acquires = rapid.SliceOfN(acquireFault, 0, 8).Draw(t, "acquires")
	o.Finishes = rapid.SliceOfN(fault, 0, 3).Draw(t, "finishes")
	o.Releases = rapid.SliceOfN(fault, 0, 3).Draw(t, "releases")
	o.API = rapid.SliceOfN(rapid.SampledFrom([]trouble{"", "429", "500", "garbage", "redirect", "not found", "wrong key", "contradicts", "stall", "breaks"}), 0, 8).Draw(t, "api")
	for range rapid.IntRange(0, 5).Draw(t, "fates") {
		o.Fates = append(o.Fates, fate{
			Takes: duration("takes", 0, time.Second, 5*time.Second, 8*time.Second, 31*time.Second, 70*time.Second),
			Heeds: rapid.Bool().Draw(t, "heeds"),
			Ends:  rapid.SampledFrom([]string{"", "silence", "error", "permanent", "500", "302", "404", "panic", "abort", "Goexit", "200, then panic", "200, then error"}).Draw(t, "ends"),
		})
	}
	for range rapid.IntRange(0, 6).Draw(t, "visits") {
		o.Visits = append(o.Visits, visit{
			Pieces: rapid.SampledFrom([]int{1, 2, 20}).Draw(t, "pieces"),
			Pace:   duration("pace", 0, 50*time.Millisecond, time.Second),
			Gone:   rapid.SampledFrom([]string{"", "", "request", "wait", "answer"}).Draw(t, "gone"),
			Reach:  rapid.IntRange(0, 1000).Draw(t, "reach"),
			Stays:  duration("stays", 0, time.Second, 5*time.Second, 40*time.Second),
			Deaf:   rapid.IntRange(0, 4).Draw(t, "deaf") == 4,
		})
	}
	o.Retries = duration("retries", 35*time.Second, 4*time.Minute, 200*time.Millisecond)
	for range rapid.IntRange(0, 2).Draw(t, "mischiefs") {
		o.Mischiefs = append(o.Mischiefs, mischief{
			At:   time.Duration(rapid.IntRange(0, 600).Draw(t, "tenths")) * 100 * time.Millisecond,
			Kill: rapid.Bool().Draw(t, "kill"),
		})
	}
	return o
}

// process is one of the merchant's, with a server and a way to the store of its own.
type process struct {
	*mortal
	server *http.Server
	client *http.Client
	runs   map[*run]bool // that have not ended
	stops  bool          // or is dead: its clients may find no server
	gone   bool          // Shutdown has returned
}

// run is one call of the handler.
type run struct {
	n     *midhook.Notification
	claim midhook.Claim
}

// attempt is one request and all that is known of it.
type attempt struct {
	visit   visit
	process *process
	began   time.Time // in the handler; zero: it never got there
	took    time.Duration
	got     reply
	events  []midhook.Event
}

// trial plays an ordeal.
type trial struct {
	ordeal
	*world
	t        *testing.T
	ledger   *ledger
	network  *network
	faulty   *midhooktest.FaultyStore
	troubled *troubledAPI
	log      *recorder

	process  *process // under the world's mutex, as what follows
	fates    []fate
	visits   []visit
	attempts []*attempt
	said     strings.Builder // answers and events, to be searched
	lapsed   bool            // a hold was: then runs of different events may overlap
}

func newTrial(t *testing.T, o ordeal, w *world) *trial {
	tr := &trial{ordeal: o, world: w, t: t, fates: o.Fates, visits: o.Visits, log: &recorder{}}
	w.truth = map[string]lives.Change{}
	w.shared = midhook.NewLRUStore(1000) // by the bubble's clock
	tr.ledger = &ledger{Store: w.shared, held: map[string]*holding{}}
	tr.faulty = midhooktest.NewFaultyStore(tr.ledger)
	for script, faults := range map[*[]string]func(...midhooktest.StoreFault){&o.Acquires: tr.faulty.OnAcquire, &o.Finishes: tr.faulty.OnFinish, &o.Releases: tr.faulty.OnRelease} {
		for _, name := range *script {
			faults(storeFaults[name])
		}
	}
	tr.network = &network{Store: tr.faulty, harmed: map[string]bool{}, anybody: map[string]bool{}}
	tr.troubled = &troubledAPI{world: w, next: o.API}
	w.asks = tr.troubled
	tr.start()
	return tr
}

type attemptKey struct{}

// start begins a process, the first or the next.
func (tr *trial) start() {
	p := &process{mortal: &mortal{Store: tr.network}, runs: map[*run]bool{}}
	opts := []midhook.Option{
		midhook.WithLogger(slog.New(slog.NewTextHandler(tr.log, &slog.HandlerOptions{Level: slog.LevelDebug}))),
		midhook.WithObserver(func(ctx context.Context, e midhook.Event) { tr.observe(ctx, p, e) }),
	}
	if tr.Detached {
		opts = append(opts, midhook.WithDetachedHandler())
	}
	hook := tr.middleware(p.mortal, opts...)
	receiver := hook.HandlerWithError(func(w http.ResponseWriter, r *http.Request) error { return tr.handle(p, w, r) })
	p.server, p.client = bubble(tr.t, tr.Protocol, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := strconv.Atoi(r.Header.Get(attemptHeader))
		tr.mu.Lock()
		a := tr.attempts[id]
		a.began = time.Now()
		tr.mu.Unlock()
		receiver.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), attemptKey{}, a)))
	}))
	tr.process = p
}

func (tr *trial) observe(ctx context.Context, p *process, e midhook.Event) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	marshalled, err := json.Marshal(e)
	if err != nil {
		tr.problem("an event cannot be printed: %v", err)
	}
	fmt.Fprintf(&tr.said, "%+v %s\n", e, marshalled)
	if a, ok := ctx.Value(attemptKey{}).(*attempt); ok {
		a.events = append(a.events, e)
	} else {
		tr.problem("an event has lost the request's values: %v", e)
	}
}

// begin checks that a run may begin: the runs of a transaction take turns.
func (tr *trial) begin(p *process, ctx context.Context) (*run, fate) {
	n, _ := midhook.FromContext(ctx)
	claim, _ := midhook.ClaimFromContext(ctx)
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for other := range p.runs {
		held := tr.ledger.holdingOf(other.claim.Owner)
		now := time.Now()
		switch {
		case other.claim.Key == claim.Key && !(tr.network.isHarmed(other.claim.Owner) && !now.Before(held.leaseEnds)):
			tr.problem("two runs of %s at once", n.TransactionStatus)
		case other.claim.Key != claim.Key && now.Before(held.holdEnds):
			tr.problem("%s runs beside %s, whose hold has not ended", n.TransactionStatus, other.n.TransactionStatus)
		}
		tr.lapsed = true
	}
	r := &run{n, claim}
	p.runs[r] = true
	var f fate
	if len(tr.fates) > 0 {
		f, tr.fates = tr.fates[0], tr.fates[1:]
	}
	return r, f
}

// end is where a run is over, and counts as one that succeeded or not.
func (tr *trial) end(p *process, r *run, succeeded bool) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if !p.runs[r] {
		return // its process is dead, or the run is over
	}
	delete(p.runs, r)
	if p.gone && !tr.Detached && tr.Protocol == "HTTP/1.1" { // over HTTP/2 it does not wait for a stream whose client has gone
		tr.problem("a handler outlived the Shutdown of its server")
	}
	if succeeded {
		tr.runs = append(tr.runs, r.n)
	}
}

func (tr *trial) handle(p *process, w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	run, f := tr.begin(p, ctx)
	defer tr.end(p, run, false)
	timer := time.NewTimer(f.Takes)
	defer timer.Stop()
	if f.Heeds {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	} else {
		<-timer.C
	}
	if code, err := strconv.Atoi(f.Ends); err == nil {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(code)
		return nil
	}
	switch f.Ends {
	case "panic":
		panic("handler: nil pointer")
	case "abort":
		panic(http.ErrAbortHandler)
	case "Goexit":
		runtime.Goexit()
	case "error":
		return errors.New("database away")
	case "200, then panic":
		fmt.Fprint(w, "done")
		panic("handler: nil pointer")
	case "permanent":
		tr.end(p, run, true)
		return midhook.Permanent(errors.New("unknown goods"))
	case "silence":
		tr.end(p, run, ctx.Err() == nil)
		return nil
	}
	_, err := fmt.Fprint(w, "done") // fails after the budget, which is no failure of the handler
	tr.end(p, run, true)
	if err == nil && f.Ends == "200, then error" {
		return errors.New("the receipt could not be printed")
	}
	return nil
}

// deliver has the sender come with an event until it is acknowledged. It reports
// whether it was.
func (tr *trial) deliver(ctx context.Context, events []*midhook.Notification, times int) bool {
	body := midhooktest.Body(events[0], testKey)
	for range times {
		tr.mu.Lock()
		v := visit{Pieces: 1}
		if len(tr.visits) > 0 {
			v, tr.visits = tr.visits[0], tr.visits[1:]
		}
		v.Protocol = tr.Protocol
		a := &attempt{visit: v, process: tr.process}
		tr.attempts = append(tr.attempts, a)
		id := len(tr.attempts) - 1
		tr.mu.Unlock()

		got := v.attempt(ctx, a.process.client, id, body)

		tr.mu.Lock()
		a.got, a.took = got, time.Since(a.began)
		fmt.Fprintln(&tr.said, got)
		done := tr.isDone(events)
		if got.status/100 == 2 && !done {
			tr.problem("%s was acknowledged without a successful run of it or of a later one", events[0].TransactionStatus)
		}
		tr.mu.Unlock()
		if got.status/100 == 2 {
			return true
		}
		time.Sleep(tr.Retries)
	}
	return false
}

// happen is a mischief: the process ends in one way or the other, and the next begins.
func (tr *trial) happen(m mischief) {
	time.Sleep(m.At)
	tr.mu.Lock()
	p := tr.process
	p.stops = true
	tr.start()
	if m.Kill {
		p.runs = map[*run]bool{}
		p.mortal.mu.Lock()
		p.dead = true
		p.mortal.mu.Unlock()
	}
	tr.mu.Unlock()
	if m.Kill {
		_ = p.server.Close()
		return
	}
	ctx, cancel := context.WithTimeout(tr.t.Context(), 3*time.Minute)
	defer cancel()
	err := p.server.Shutdown(ctx)
	if err != nil && tr.Protocol == "HTTP/2.0" { // net/http overlooks a connection that has just come
		return
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	p.gone = true
	if err != nil {
		tr.problem("Shutdown waits for what has an end: %v", err)
	}
}

// play lets it all happen, and returns what was wrong with it.
func (tr *trial) play() []string {
	ctx := tr.t.Context()
	var all sync.WaitGroup
	var events []*midhook.Notification
	for _, c := range tr.Life {
		events = append(events, c.Notification("A-1", transactionID(0)))
	}
	var at time.Duration
	known := 0 // to the API
	for i, c := range tr.Life {
		at += c.After
		when := at
		all.Go(func() {
			time.Sleep(when)
			tr.deliver(ctx, events[i:], 6)
		})
		if tr.api != nil {
			all.Go(func() {
				time.Sleep(when + tr.Lags[i])
				tr.mu.Lock()
				defer tr.mu.Unlock()
				if i >= known { // the API does not go back
					known = i
					tr.api.Put(events[i])
				}
			})
		}
	}
	for _, m := range tr.Mischiefs {
		all.Go(func() { tr.happen(m) })
	}
	all.Wait()
	time.Sleep(5 * time.Minute) // every handler has ended, and every lease
	tr.judgeClaims()
	tr.heal(ctx, events)
	tr.judgeAttempts()
	tr.judgeWords(events)
	return tr.problems
}

// judgeClaims checks that no claim is left, unless its process or the store's network
// has kept it from being settled, and that nothing goes on.
func (tr *trial) judgeClaims() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	calls, owners := tr.ledger.book()
	for _, owner := range owners {
		if !tr.network.isHarmed(owner) && !slices.ContainsFunc(tr.Mischiefs, func(m mischief) bool { return m.Kill }) {
			tr.problem("a claim has not ended")
		}
	}
	if len(tr.process.runs) > 0 {
		tr.problem("a handler has not ended")
	}
	tr.mu.Unlock()
	time.Sleep(time.Hour)
	tr.mu.Lock()
	if later, _ := tr.ledger.book(); later != calls {
		tr.problem("the store is called when nothing is to be done")
	}
}

// heal ends all trouble: then every event is acknowledged at the next attempt.
func (tr *trial) heal(ctx context.Context, events []*midhook.Notification) {
	tr.faulty.Heal()
	tr.troubled.next = nil
	tr.mu.Lock()
	tr.fates, tr.visits = nil, nil
	if tr.api != nil {
		tr.api.Put(events[len(events)-1])
	}
	tr.mu.Unlock()
	for i := range events {
		if !tr.deliver(ctx, events[i:], 1) {
			tr.problem("%s cannot be delivered when all trouble is over: %v", events[i].TransactionStatus, tr.attempts[len(tr.attempts)-1].events)
		}
	}
}

// judgeAttempts compares what the observer was told with what each client saw.
func (tr *trial) judgeAttempts() {
	for id, a := range tr.attempts {
		if a.process.mortal.alive() != nil {
			continue
		}
		if p := tr.inconsistency(a); p != "" {
			tr.problem("attempt %d, %+v, %d after %v: %s: %v", id, a.visit, a.got.status, a.took, p, a.events)
		}
	}
}

func (tr *trial) inconsistency(a *attempt) string {
	if a.began.IsZero() {
		if a.visit.isFaithful() && !a.process.stops {
			return "it never got to the handler"
		}
		return ""
	}
	if len(a.events) == 0 || len(a.events) > 2 {
		return "not one event, or two"
	}
	first := a.events[0]
	isLate := func(e midhook.Event) bool {
		return e.Outcome == midhook.OutcomeLateHandled || e.Outcome == midhook.OutcomeLateFailed
	}
	switch {
	case isLate(first):
		return "the late event comes first"
	case len(a.events) == 2 && (!isLate(a.events[1]) || first.Outcome != midhook.OutcomeBudgetExceeded || a.events[1].StatusCode != first.StatusCode):
		return "the second event does not follow from the first"
	case a.got.status != 0 && a.got.status != first.StatusCode:
		return "the event tells another answer"
	case first.Outcome == midhook.OutcomeHandlerPanicked && first.StatusCode != 0:
		return "the event tells of an answer that nobody gave"
	case a.got.status == 0 && a.visit.isFaithful() && first.StatusCode != 0 && !tr.tearsStreams(a):
		return "a client that did all it should got no answer"
	case a.visit.isFaithful() && a.got.status != 0 && a.took > 5*time.Second && (tr.Detached || tr.Protocol == "HTTP/1.1"):
		return "the answer came after the budget"
	}
	return ""
}

// tearsStreams reports whether HTTP/2 may leave an answer without its end: a stream ends
// with its handler, and a late panic tears it. So does a server that is shut down.
func (tr *trial) tearsStreams(a *attempt) bool {
	return tr.Protocol == "HTTP/2.0" && (a.process.stops || a.events[0].Outcome == midhook.OutcomeBudgetExceeded && !tr.Detached)
}

// judgeWords searches all that was said for what must stay hidden.
func (tr *trial) judgeWords(events []*midhook.Notification) {
	all := tr.said.String() + tr.log.logged()
	hidden := []string{testKey, base64.StdEncoding.EncodeToString([]byte(testKey + ":")), lives.Personal}
	for _, n := range events {
		hidden = append(hidden, midhooktest.Sign(n, testKey)[:16])
	}
	for _, secret := range hidden {
		if strings.Contains(all, secret) {
			tr.problem("%q came out", secret)
		}
	}
}

// Rule: whatever fails, wherever and whenever, nothing is acknowledged without a
// successful run of it or of a later one that makes it void; the runs of a transaction
// take turns; each claim, handler and timer ends; when all trouble is over everything can
// be delivered; the observer is told what the client saw; and no secret comes out.
func TestFaultsAtEveryStep(t *testing.T) {
	for _, checked := range []bool{false, true} {
		t.Run(fmt.Sprintf("status check %v", checked), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				o := drawOrdeal(rt)
				w := &world{}
				if checked {
					w.api = midhooktest.NewStatusServer(testKey)
					defer w.api.Close()
				}
				var problems []string
				synctest.Test(t, func(t *testing.T) { problems = newTrial(t, o, w).play() })
				for _, p := range problems {
					rt.Error(p)
				}
			})
		})
	}
}
