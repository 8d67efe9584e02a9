package midhooktest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/midhook/midhook"
)

func (tr *gatewayTrial) atOnce() {
	var runs, running, most atomic.Int64
	g := tr.endpoint(counted(&runs, func(http.ResponseWriter, *http.Request) {
		if now := running.Add(1); now > most.Load() {
			most.Store(now)
		}
		time.Sleep(time.Second)
		running.Add(-1)
	}))
	attempts := make([]Attempt, 32)
	var all sync.WaitGroup
	for i := range attempts {
		all.Go(func() { attempts[i] = tr.send(g, 0) })
	}
	all.Wait()
	tr.wantRuns(&runs, 1, "deliveries at once")
	if n := most.Load(); n > 1 {
		tr.t.Errorf("%d runs at once", n)
	}
	done := 0
	for _, a := range attempts {
		if tr.ends(a) {
			if done++; a.Duration < time.Second {
				tr.t.Errorf("answered %d before the handler was through: if it fails, the event is lost", a.Status)
			}
			continue
		}
		tr.wantRetry(a, "while another delivery runs")
	}
	switch {
	case len(tr.Sender.Policy.Waits) == 0 && done != len(attempts):
		tr.t.Errorf("%d of %d deliveries were sent away, and nobody comes again: they must wait", len(attempts)-done, len(attempts))
	case done == 0:
		tr.t.Error("no delivery was a success")
	}
}

func (tr *gatewayTrial) failure() {
	for _, status := range []int{301, 302, 303, 400, 404, 409, 410, 429, 500, 502, 503, 599} {
		var runs atomic.Int64
		fail := true
		g := tr.endpoint(counted(&runs, func(w http.ResponseWriter, _ *http.Request) {
			if fail {
				w.Header().Set("Location", "/login")
				w.WriteHeader(status)
			}
		}))
		a := tr.send(g, 0)
		if a.Status/100 == 3 {
			tr.t.Errorf("a redirect went out: %d", a.Status)
		}
		what := fmt.Sprint("handler answers ", status)
		tr.wantRetry(a, what)
		fail = false
		tr.wantEnd(tr.send(g, 0), "after "+what)
		tr.wantRuns(&runs, 2, "after "+what)
	}
}

func (tr *gatewayTrial) panics() {
	for what, do := range map[string]func(){"panic": func() { panic(errMishap) }, "Goexit": runtime.Goexit} {
		var runs atomic.Int64
		fail := true
		g := tr.endpoint(counted(&runs, func(http.ResponseWriter, *http.Request) {
			if fail {
				do()
			}
		}))
		a := tr.send(g, 0)
		if a.Err == nil {
			tr.t.Errorf("%s: it did not go on up the stack", what)
		}
		tr.wantRetry(a, what)
		fail = false
		tr.wantEnd(tr.send(g, 0), "after "+what)
		tr.wantRuns(&runs, 2, "after "+what)
	}
}

// strictStore is a Store that is away for a while.
type strictStore struct {
	midhook.Store
	back  time.Time
	calls atomic.Int64
}

func (s *strictStore) Acquire(ctx context.Context, c midhook.Claim) (midhook.ClaimState, error) {
	s.calls.Add(1)
	if time.Now().Before(s.back) {
		return 0, errors.New("the store is away")
	}
	return s.Store.Acquire(ctx, c)
}

func (tr *gatewayTrial) storeAway() {
	for _, away := range []time.Duration{2 * time.Second, time.Minute} {
		var runs atomic.Int64
		g := tr.endpoint(counted(&runs, nil),
			midhook.WithStore(&strictStore{Store: midhook.NewLRUStore(64), back: time.Now().Add(away)}))
		a := tr.send(g, 0)
		if len(tr.Sender.Policy.Waits) == 0 && away < trialBudget {
			tr.wantEnd(a, "a store that was back within the budget")
			tr.wantRuns(&runs, 1, "a store that was back within the budget")
			continue
		}
		tr.wantRetry(a, "store away")
		if a.Duration > trialBudget {
			tr.t.Errorf("the answer took %v, more than the budget", a.Duration)
		}
		tr.wantRuns(&runs, 0, "store away")
		time.Sleep(away)
		tr.wantEnd(tr.send(g, 0), "store back")
		tr.wantRuns(&runs, 1, "store back")
	}
}

func (tr *gatewayTrial) budget() {
	var runs atomic.Int64
	g := tr.endpoint(counted(&runs, func(http.ResponseWriter, *http.Request) { time.Sleep(trialBudget + 10*time.Second) }))
	a := tr.send(g, 0)
	if a.Duration != trialBudget || a.Status == 0 {
		tr.t.Errorf("answered %d after %v (%v), the budget is %v", a.Status, a.Duration, a.Err, trialBudget)
	}
	tr.wantRetry(a, "budget spent")
	tr.wantRetry(tr.send(g, 0), "in flight")
	g.Wait()
	tr.wantEnd(tr.send(g, 0), "after a late success")
	tr.wantRuns(&runs, 1, "a slow handler")
}

func (tr *gatewayTrial) lateFailure() {
	var runs atomic.Int64
	fail := true
	g := tr.endpoint(counted(&runs, func(w http.ResponseWriter, _ *http.Request) {
		if fail {
			time.Sleep(2 * trialBudget)
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	tr.wantRetry(tr.send(g, 0), "budget spent")
	g.Wait()
	fail = false
	tr.wantEnd(tr.send(g, 0), "after a late failure")
	tr.wantRuns(&runs, 2, "after a late failure")
}

func (tr *gatewayTrial) hangUp() {
	var runs atomic.Int64
	g := tr.endpoint(counted(&runs, func(_ http.ResponseWriter, r *http.Request) {
		time.Sleep(3 * time.Second)
		if r.Context().Err() != nil {
			tr.t.Errorf("the handler's context ended: %v", context.Cause(r.Context()))
		}
	}))
	g.Policy.Timeout = time.Second
	if a := tr.send(g, 0); a.Err == nil {
		tr.t.Error("the sender did not hang up")
	}
	g.Wait()
	tr.wantEnd(tr.send(g, 0), "after hanging up")
	tr.wantRuns(&runs, 1, "hung up on")
}

func (tr *gatewayTrial) retries() {
	policy := tr.Sender.Policy
	if len(policy.Waits) < 2 {
		return // nobody comes again
	}
	var runs atomic.Int64
	g := tr.endpoint(counted(&runs, func(w http.ResponseWriter, _ *http.Request) {
		if runs.Load() <= 2 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	g.Policy = &policy
	header, body := tr.sign(tr.Sender.Event(0), tr.Secret)
	d, err := g.DeliverRequest(tr.t.Context(), header, body)
	if err != nil || !d.Delivered || len(d.Attempts) != 3 {
		tr.t.Errorf("not delivered at the third attempt: %v\n%v", err, d)
	}
	tr.wantRuns(&runs, 3, "a handler that fails twice")

	g = tr.endpoint(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	g.Policy = &policy
	d, err = g.DeliverRequest(tr.t.Context(), header, body)
	attempts := int64(len(d.Attempts))
	if err != nil || d.Delivered {
		tr.t.Errorf("a handler that always fails: %v\n%v", err, d)
	}
	runs.Store(0)
	g = tr.endpoint(counted(&runs, func(w http.ResponseWriter, _ *http.Request) {
		if runs.Load() < attempts {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	g.Policy = &policy
	header, body = tr.sign(tr.Sender.Event(0), tr.Secret)
	if d, err = g.DeliverRequest(tr.t.Context(), header, body); err != nil || !d.Delivered {
		tr.t.Errorf("not delivered by the last retry: %v\n%v", err, d)
	}
	tr.wantRuns(&runs, attempts, "a handler that fails until the last retry")
}
