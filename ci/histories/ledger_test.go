package histories

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/lives"
)

// ledger is told of every run and attempt, outside of every process that can be killed.
type ledger struct {
	server *httptest.Server

	mu            sync.Mutex
	transactional bool
	fates         []fate
	attempts      map[int]*attempt
	running       map[int]*run
	done          []*run      // that succeeded
	forgets       []time.Time // when the store may have forgotten what was written before
	begins        int
	problems      []string
}

// attempt is one request and what is known of it.
type attempt struct {
	event   *midhook.Notification
	sent    time.Time
	acked   time.Time // zero: it was not acknowledged
	answer  string    // that the sender saw
	outcome string    // "": nobody has told
	err     string
}

// run is one call of the handler.
type run struct {
	n     *midhook.Notification
	sent  time.Time // its claim is not older
	began time.Time
	pid   int
}

func startLedger(t *testing.T) *ledger {
	t.Helper()
	l := &ledger{}
	mux := http.NewServeMux()
	mux.HandleFunc("/begin", l.begin)
	mux.HandleFunc("/end", l.end)
	mux.HandleFunc("/event", l.event)
	l.server = httptest.NewServer(mux)
	t.Cleanup(l.server.Close)
	return l
}

// open begins a new history.
func (l *ledger) open(o ordeal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.transactional, l.fates = o.Transactional, o.Fates
	l.attempts, l.running, l.done, l.forgets, l.problems = map[int]*attempt{}, map[int]*run{}, nil, nil, nil
}

func (l *ledger) problem(format string, args ...any) {
	l.problems = append(l.problems, fmt.Sprintf(format, args...))
}

func read(r *http.Request) (t telling) {
	_ = json.NewDecoder(r.Body).Decode(&t)
	return t
}

func (l *ledger) begin(w http.ResponseWriter, r *http.Request) {
	t := read(r)
	n, err := midhook.Parse(t.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.attempts[t.Attempt]
	if a == nil {
		http.Error(w, "of a history that is over", http.StatusGone)
		return
	}
	this := &run{n: n, sent: a.sent, began: time.Now(), pid: t.PID}
	for _, other := range l.running {
		if other.n.TransactionID == n.TransactionID && l.leased(other, this.began) && l.leased(this, this.began) {
			l.problem("%s and %s of %s run at once, %v after the first attempt was sent", other.n.TransactionStatus, n.TransactionStatus, n.TransactionID, this.began.Sub(other.sent))
		}
	}
	for _, other := range l.attempts {
		if other.event.IdempotencyKey() == n.IdempotencyKey() && other.isMarked() && other.acked.Before(this.sent) && !l.forgotSince(other.sent) {
			l.problem("%s of %s runs again after it was marked and acknowledged", n.TransactionStatus, n.TransactionID)
		}
	}
	l.begins++
	l.running[l.begins] = this
	b := begun{Run: l.begins, Transactional: l.transactional}
	if len(l.fates) > 0 {
		b.Fate, l.fates = l.fates[0], l.fates[1:]
	}
	_ = json.NewEncoder(w).Encode(b)
}

// leased reports whether a run's claim was surely held at a time. A process that was
// paused may begin a run when its lease is over.
func (l *ledger) leased(r *run, now time.Time) bool {
	return now.Before(r.sent.Add(lease)) && !l.forgotSince(r.sent)
}

// forgotSince reports whether a server took over since then that may lack what was
// written.
func (l *ledger) forgotSince(since time.Time) bool {
	return len(l.forgets) > 0 && l.forgets[len(l.forgets)-1].After(since)
}

// isMarked reports whether the process told of a success that nothing was wrong with.
func (a *attempt) isMarked() bool {
	return !a.acked.IsZero() && a.outcome == midhook.OutcomeHandled.String() && a.err == ""
}

func (l *ledger) end(_ http.ResponseWriter, r *http.Request) {
	t := read(r)
	l.mu.Lock()
	defer l.mu.Unlock()
	run := l.running[t.Run]
	if run == nil {
		return // it has told that before it died
	}
	delete(l.running, t.Run)
	if t.Done {
		l.done = append(l.done, run)
	}
}

func (l *ledger) event(_ http.ResponseWriter, r *http.Request) {
	t := read(r)
	l.search(t.Printed + t.Err)
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.attempts[t.Attempt]; a != nil {
		if t.Outcome == midhook.OutcomeHandled.String() || a.outcome == "" {
			a.outcome = t.Outcome
		}
		a.err += t.Err
	}
}

// search looks for what must stay hidden in what came out.
func (l *ledger) search(text string) {
	for _, secret := range []string{testKey, storePassword, lives.Personal, "signature_key"} {
		if strings.Contains(text, secret) {
			l.mu.Lock()
			l.problem("%q came out: %s", secret, text)
			l.mu.Unlock()
		}
	}
}

// begun counts the runs of all histories.
func (l *ledger) begun() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.begins
}

// died ends the runs of a process that is gone.
func (l *ledger) died(pid int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, r := range l.running {
		if r.pid == pid {
			delete(l.running, id)
		}
	}
}

// forget is when a server takes over that may lack what was written before.
func (l *ledger) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forgets = append(l.forgets, time.Now())
}

// isDone reports whether a run has succeeded that makes n void.
func (l *ledger) isDone(n *midhook.Notification) bool {
	for _, r := range l.done {
		if lives.IsVoid(n, r.n) {
			return true
		}
	}
	return false
}
