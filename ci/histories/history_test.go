package histories

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/lives"
	"github.com/midhook/midhook/midhooktest"
)

// ordeal is a history of some transactions whose notifications meet faults.
type ordeal struct {
	Transactions  [][]lives.Change
	Transactional bool // the effect commits with the mark
	Fates         []fate
	Networks      [2][]networkFault
	Mischiefs     []mischief
	Visits        []visit
}

// visit is how the sender comes.
type visit struct {
	To       int           // the process
	Patience time.Duration // then it hangs up
	Again    time.Duration // after it was not acknowledged
}

func drawOrdeal(t *rapid.T, b backend) (o ordeal) {
	duration := func(label string, millis ...int) time.Duration {
		return time.Duration(rapid.SampledFrom(millis).Draw(t, label)) * time.Millisecond
	}
	for range rapid.IntRange(1, 2).Draw(t, "transactions") {
		life := slices.Clone(rapid.SampledFrom(lives.All).Draw(t, "life"))
		for i := range life {
			life[i].After = duration("after", 0, 20, 200)
		}
		o.Transactions = append(o.Transactions, life)
	}
	ends := []string{"", "", "", "", "error", "500", "panic", "Goexit", "dies before its effect", "dies after its effect"}
	if b.driver != "" {
		if o.Transactional = rapid.Bool().Draw(t, "transactional"); o.Transactional {
			ends = append(ends, "dies before its commit")
		}
	}
	for range rapid.IntRange(0, 6).Draw(t, "fates") {
		o.Fates = append(o.Fates, fate{
			Takes: duration("takes", 0, 0, 20, 150, 1300, 3300),
			Heeds: rapid.Bool().Draw(t, "heeds"),
			Ends:  rapid.SampledFrom(ends).Draw(t, "ends"),
		})
	}
	if b.start != nil {
		for i := range o.Networks {
			for range rapid.IntRange(0, 4).Draw(t, "network faults") {
				o.Networks[i] = append(o.Networks[i], networkFault{
					After: rapid.IntRange(0, 12).Draw(t, "messages"),
					What:  rapid.SampledFrom(networkFaults).Draw(t, "network fault"),
					For:   duration("stall", 20, 200, 1300, 3300),
				})
			}
		}
	}
	for range rapid.IntRange(0, 2).Draw(t, "mischiefs") {
		o.Mischiefs = append(o.Mischiefs, mischief{
			At:   time.Duration(rapid.IntRange(0, 800).Draw(t, "at")) * time.Millisecond,
			What: rapid.SampledFrom(b.mischiefs()).Draw(t, "mischief"),
			Of:   rapid.IntRange(0, 1).Draw(t, "process"),
			For:  duration("for", 0, 50, 300, 1000, 3300),
		})
	}
	for range rapid.IntRange(2, 10).Draw(t, "visits") {
		o.Visits = append(o.Visits, visit{
			To:       rapid.IntRange(0, 1).Draw(t, "to"),
			Patience: duration("patience", 2000, 2000, 2000, 100),
			Again:    duration("again", 10, 100, 400),
		})
	}
	return o
}

// trial plays an ordeal on a lane.
type trial struct {
	ordeal
	*lane
	client *http.Client
	events [][]*midhook.Notification // of each transaction

	mu     sync.Mutex
	visits int
	acked  []*midhook.Notification
}

// attemptsOfEvent is how often the sender comes while there is trouble.
const attemptsOfEvent = 4

// play lets it all happen, and returns what was wrong with it.
func (l *lane) play(ctx context.Context, o ordeal) []string {
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	defer transport.CloseIdleConnections()
	tr := &trial{ordeal: o, lane: l, client: &http.Client{Transport: transport}}
	l.played++
	l.ledger.open(o)
	for i, life := range o.Transactions {
		var events []*midhook.Notification
		id := fmt.Sprintf("%d-%d", l.played, i)
		for _, c := range life {
			events = append(events, c.Notification("A-"+id, "T-"+id))
		}
		tr.events = append(tr.events, events)
	}
	for i, p := range l.proxies {
		p.suffer(o.Networks[i])
	}
	var all sync.WaitGroup
	for i, events := range tr.events {
		var at time.Duration
		for j, n := range events {
			at += o.Transactions[i][j].After
			when := at
			all.Go(func() {
				time.Sleep(when)
				tr.deliver(ctx, n, attemptsOfEvent)
			})
		}
	}
	began := time.Now()
	mischiefs := slices.Clone(o.Mischiefs)
	slices.SortFunc(mischiefs, func(a, b mischief) int { return int(a.At - b.At) })
	for _, ofProcess := range []bool{false, true} {
		all.Go(func() {
			for _, m := range mischiefs {
				if strings.HasPrefix(m.What, "a process") != ofProcess {
					continue
				}
				time.Sleep(time.Until(began.Add(m.At)))
				if err := l.do(m); err != nil {
					tr.problem("%s: %v", m.What, err)
				}
			}
		})
	}
	all.Wait()
	l.heal()
	tr.judgeRows(ctx)
	tr.healed(ctx)
	tr.judgeRows(ctx)
	l.ledger.mu.Lock()
	defer l.ledger.mu.Unlock()
	return l.ledger.problems
}

func (tr *trial) problem(format string, args ...any) {
	tr.ledger.mu.Lock()
	defer tr.ledger.mu.Unlock()
	tr.ledger.problem(format, args...)
}

// deliver has the sender come with an event until it is acknowledged. It reports
// whether it was.
func (tr *trial) deliver(ctx context.Context, n *midhook.Notification, times int) bool {
	for range times {
		tr.mu.Lock()
		v := tr.Visits[tr.visits%len(tr.Visits)]
		tr.visits++
		tr.mu.Unlock()
		if tr.attempt(ctx, n, v) {
			return true
		}
		time.Sleep(v.Again)
	}
	return false
}

func (tr *trial) attempt(ctx context.Context, n *midhook.Notification, v visit) bool {
	ctx, cancel := context.WithTimeout(ctx, v.Patience)
	defer cancel()
	id := int(tr.attempts.Add(1))
	a := &attempt{event: n, sent: time.Now()}
	tr.ledger.mu.Lock()
	tr.ledger.attempts[id] = a
	tr.ledger.mu.Unlock()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, tr.processes[v.To].url(), bytes.NewReader(midhooktest.Body(n, testKey)))
	if err != nil {
		return false // nobody listens
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(attemptHeader, fmt.Sprint(id))
	status, said := tr.post(r)
	tr.ledger.search(said)
	tr.ledger.mu.Lock()
	defer tr.ledger.mu.Unlock()
	a.answer = said
	if status/100 != 2 {
		return false
	}
	a.acked = time.Now()
	if !tr.Transactional && !tr.ledger.isDone(n) {
		tr.ledger.problem("%s of %s was acknowledged without a successful run of it or of a later one", n.TransactionStatus, n.TransactionID)
	}
	tr.acked = append(tr.acked, n)
	return true
}

// post returns the status of a whole answer, otherwise 0, and what was said.
func (tr *trial) post(r *http.Request) (status int, said string) {
	res, err := tr.client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, fmt.Sprint(res.StatusCode, res.Header, string(text))
}

// patience is how long a busy machine may take.
const patience = time.Minute

// healed delivers everything.
func (tr *trial) healed(ctx context.Context) {
	tr.mu.Lock()
	tr.Visits, tr.visits = []visit{{To: 0, Patience: 10 * time.Second, Again: 100 * time.Millisecond}, {To: 1, Patience: 10 * time.Second, Again: 100 * time.Millisecond}}, 0
	tr.mu.Unlock()
	var all sync.WaitGroup
	for _, events := range tr.events {
		for _, n := range events {
			all.Go(func() {
				for deadline := time.Now().Add(tr.patience); !tr.deliver(ctx, n, 1); {
					if time.Now().After(deadline) {
						tr.problem("%s of %s cannot be delivered when all trouble is over: %s", n.TransactionStatus, n.TransactionID, tr.last(n))
						return
					}
				}
			})
		}
	}
	all.Wait()
}

// last is what became of the last attempts of an event.
func (tr *trial) last(n *midhook.Notification) string {
	tr.ledger.mu.Lock()
	defer tr.ledger.mu.Unlock()
	var told []string
	for id := int(tr.attempts.Load()); id > 0 && len(told) < 3; id-- {
		if a := tr.ledger.attempts[id]; a != nil && a.event == n {
			told = append(told, fmt.Sprintf("answered %q, told %q %q", a.answer, a.outcome, a.err))
		}
	}
	return strings.Join(told, "; ")
}

// judgeRows compares the effects that were committed with what was acknowledged.
func (tr *trial) judgeRows(ctx context.Context) {
	if !tr.Transactional {
		return
	}
	for _, events := range tr.events {
		rows, err := tr.effects(ctx, events[0].TransactionID)
		if err != nil {
			tr.problem("the effects cannot be read: %v", err)
			return
		}
		for _, n := range events {
			key := n.IdempotencyKey()
			if rows[key] > 1 {
				tr.problem("%s of %s has %d effects", n.TransactionStatus, n.TransactionID, rows[key])
			}
			void := slices.ContainsFunc(events, func(other *midhook.Notification) bool {
				return rows[other.IdempotencyKey()] > 0 && lives.IsVoid(n, other)
			})
			if !void && slices.Contains(tr.acked, n) {
				tr.problem("%s of %s was acknowledged without an effect of it or of a later one", n.TransactionStatus, n.TransactionID)
			}
		}
	}
}

// effects counts the rows of each event, when the server answers again.
func (tr *trial) effects(ctx context.Context, transaction string) (map[string]int, error) {
	var last error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		counts, err := tr.countEffects(ctx, transaction)
		if err == nil {
			return counts, nil
		}
		last = err
	}
	return nil, last
}

func (tr *trial) countEffects(ctx context.Context, transaction string) (map[string]int, error) {
	rows, err := tr.direct.db.QueryContext(ctx, tr.backend.query("SELECT event FROM effects WHERE transaction_id = ?"), transaction)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	counts := map[string]int{}
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return nil, err
		}
		counts[key]++
	}
	return counts, rows.Err()
}

// Rule: whatever happens to the networks, the servers and the processes, nothing is
// acknowledged without a successful run of it or of a later one that makes it void; the
// runs of a transaction take turns while their leases last; what was marked is not run
// again; an effect that commits with its mark is had once; when all trouble is over
// everything can be delivered; a process that shuts down keeps no goroutine; and no
// secret comes out. What a fail-over loses is not held against the store.
func TestFaultHistories(t *testing.T) {
	if testing.Short() {
		t.Skip("histories with servers are not short")
	}
	onBackends(t, func(t *testing.T, b backend) {
		t.Parallel()
		for i := range *lanes {
			t.Run(fmt.Sprint("lane ", i), func(t *testing.T) {
				t.Parallel()
				l := startLane(t, b)
				rapid.Check(t, func(rt *rapid.T) {
					o := drawOrdeal(rt, b)
					for _, p := range l.play(t.Context(), o) {
						t.Logf("%s, in %+v", p, o)
						rt.Error(p)
					}
				})
			})
		}
	})
}
