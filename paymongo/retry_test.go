package paymongo_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/paymongo"
)

// The inferred schedule has the documented number and total.
func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
		deliveries := engine{handler: down}.deliver("evt_1")
		assert.Len(t, deliveries, 13)
		assert.Equal(t, 8190*time.Second, deliveries[12].at)
		assert.Equal(t, 2046*time.Second, deliveries[10].at)
		assert.False(t, deliveries[12].delivered)
	})
}

// Rule: what fails for twenty minutes loses no event, whatever fails, and whether
// or not a retry is signed anew: none uses up its retries, each is handled once.
func TestOutageHeals(t *testing.T) {
	const outage = 20 * time.Minute
	for name, fails := range map[string]func(*midhooktest.FaultyStore, *atomic.Bool, bool){
		"store":   func(s *midhooktest.FaultyStore, _ *atomic.Bool, down bool) { s.SetDown(down) },
		"handler": func(_ *midhooktest.FaultyStore, b *atomic.Bool, down bool) { b.Store(down) },
	} {
		for _, keepsT := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, keeps t %t", name, keepsT), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := midhooktest.NewFaultyStore(midhook.NewLRUStore(1000))
					var broken atomic.Bool
					var mu sync.Mutex
					handled := map[string]int{}
					hook, _ := newHook(t, newGateway(t), midhook.WithStore(store))
					e := engine{keepsT: keepsT, handler: midhook.HandleValue(hook, func(_ context.Context, e *paymongo.Event) error {
						if broken.Load() {
							return errors.New("the database is away")
						}
						mu.Lock()
						defer mu.Unlock()
						handled[e.ID]++
						return nil
					})}

					fails(store, &broken, true)
					var all sync.WaitGroup
					const events = 40
					for i := range events { // one every 30 s of it
						all.Go(func() {
							time.Sleep(time.Duration(i) * 30 * time.Second)
							deliveries := e.deliver(fmt.Sprint("evt_", i))
							last := deliveries[len(deliveries)-1]
							assert.True(t, last.delivered, "%v", deliveries)
							assert.LessOrEqual(t, len(deliveries), 11)
							for _, d := range deliveries[:len(deliveries)-1] {
								assert.Equal(t, 503, d.status)
							}
						})
					}
					time.Sleep(outage)
					fails(store, &broken, false)
					all.Wait()
					assert.Len(t, handled, events)
					for id, n := range handled {
						assert.Equal(t, 1, n, id)
					}
				})
			})
		}
	}
}

// Rule: the early retries come while a slow handler is at work. They are refused
// without a second run, and once it has succeeded the event is delivered.
func TestEarlyRetriesOfSlowHandler(t *testing.T) {
	for _, took := range []time.Duration{4 * time.Second, 6 * time.Second, 29 * time.Second} {
		t.Run(took.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hook, seen := newHook(t, newGateway(t))
				var runs atomic.Int32
				handler := midhook.HandleValue(hook, func(context.Context, *paymongo.Event) error {
					runs.Add(1)
					time.Sleep(took)
					return nil
				})
				deliveries := engine{handler: handler}.deliver("evt_1")
				last := deliveries[len(deliveries)-1]
				assert.True(t, last.delivered)
				assert.Equal(t, int32(1), runs.Load())
				if took < 5*time.Second {
					assert.Len(t, deliveries, 1)
					return
				}
				assert.JSONEq(t, `{"outcome":"budget_exceeded"}`, deliveries[0].body)
				for _, d := range deliveries[1 : len(deliveries)-1] {
					assert.JSONEq(t, `{"outcome":"in_flight"}`, d.body)
				}
				assert.JSONEq(t, `{"outcome":"duplicate"}`, last.body)
				assert.Equal(t, midhook.OutcomeDuplicate, seen.last().Outcome)
				assert.LessOrEqual(t, len(deliveries), 6)
			})
		})
	}
}

// Rule: a slow handler that fails at the end is run again, never twice at once.
func TestSlowHandlerThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook, _ := newHook(t, newGateway(t))
		var runs, running atomic.Int32
		handler := midhook.HandleValue(hook, func(context.Context, *paymongo.Event) error {
			assert.Equal(t, int32(1), running.Add(1))
			defer running.Add(-1)
			time.Sleep(20 * time.Second)
			if runs.Add(1) < 3 {
				return errors.New("not yet")
			}
			return nil
		})
		deliveries := engine{handler: handler}.deliver("evt_1")
		assert.True(t, deliveries[len(deliveries)-1].delivered)
		assert.Equal(t, int32(3), runs.Load())
	})
}

// Rule: an event that the handler can never use is acknowledged if the handler
// says so, and uses up its retries if it does not.
func TestPoisonEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		notOurs := errors.New("not an order of ours")
		for _, c := range []struct {
			err        error
			deliveries int
			delivered  bool
		}{
			{nil, 1, true},
			{midhook.Permanent(notOurs), 1, true},
			{notOurs, 13, false},
		} {
			hook, _ := newHook(t, newGateway(t))
			deliveries := engine{handler: midhook.HandleValue(hook, func(context.Context, *paymongo.Event) error { return c.err })}.deliver("evt_1")
			assert.Len(t, deliveries, c.deliveries)
			assert.Equal(t, c.delivered, deliveries[len(deliveries)-1].delivered)
		}
	})
}

// Rule: why there is no clock tolerance by default. If a retry keeps its first
// time, five minutes lose what an outage of twenty held up; three hours do not.
func TestToleranceAndOutage(t *testing.T) {
	for _, c := range []struct {
		tolerance time.Duration
		keepsT    bool
		delivered bool
	}{
		{5 * time.Minute, true, false},
		{5 * time.Minute, false, true},
		{3 * time.Hour, true, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			hook, _ := newHook(t, newGateway(t, paymongo.WithTolerance(c.tolerance)))
			handler := midhook.HandleValue(hook, func(context.Context, *paymongo.Event) error {
				if time.Since(start) < 20*time.Minute {
					return errors.New("the database is away")
				}
				return nil
			})
			deliveries := engine{handler: handler, keepsT: c.keepsT}.deliver("evt_1")
			assert.Equal(t, c.delivered, deliveries[len(deliveries)-1].delivered, "%v", c)
		})
	}
}
