package midhooktest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// answers is a handler that gives one answer after another, the last for ever.
// 0 is a panic.
func answers(statuses ...int) http.HandlerFunc {
	next := 0
	return func(w http.ResponseWriter, _ *http.Request) {
		status := statuses[min(next, len(statuses)-1)]
		if next++; status == 0 {
			panic("crash")
		}
		w.WriteHeader(status)
	}
}

func statuses(d midhooktest.Delivery) (got []int) {
	for _, a := range d.Attempts {
		got = append(got, a.Status)
	}
	return got
}

// The number of attempts is 1 and the retries that Midtrans documents for the
// answer. Where answers differ, the latest decides, whatever the others were.
func TestRetriesByTheAnswer(t *testing.T) {
	for _, c := range []struct {
		answers   []int
		attempts  int
		delivered bool
		reason    string
	}{
		{[]int{200}, 1, true, "200: delivered"},
		{[]int{204}, 1, true, "204: delivered"},
		{[]int{299}, 1, true, "299: delivered"},
		{[]int{301}, 1, false, "301: no retry follows, lost"},
		{[]int{302}, 1, false, "302: no retry follows, lost"},
		{[]int{303}, 1, false, "303: no retry follows, lost"},
		{[]int{500}, 2, false, "500: no more than 1 retry, lost"},
		{[]int{400}, 3, false, "400: no more than 2 retries, lost"},
		{[]int{404}, 3, false, "404: no more than 2 retries, lost"},
		{[]int{503}, 5, false, "503: no more than 4 retries, lost"},
		{[]int{300}, 6, false, "300: no more than 5 retries, lost"},
		{[]int{304}, 6, false, "304: no more than 5 retries, lost"},
		{[]int{401}, 6, false, "401: no more than 5 retries, lost"},
		{[]int{403}, 6, false, "403: no more than 5 retries, lost"},
		{[]int{429}, 6, false, "429: no more than 5 retries, lost"},
		{[]int{502}, 6, false, "502: no more than 5 retries, lost"},
		{[]int{504}, 6, false, "504: no more than 5 retries, lost"},
		{[]int{101}, 6, false, "101: no more than 5 retries, lost"},
		{[]int{0}, 6, false, "handler panicked: crash: no more than 5 retries, lost"},

		{[]int{503, 200}, 2, true, "200: delivered"},
		{[]int{503, 503, 503, 503, 200}, 5, true, "200: delivered"},
		{[]int{0, 0, 0, 0, 0, 200}, 6, true, "200: delivered"},
		{[]int{503, 503, 500}, 3, false, "500: no more than 1 retry, lost"},
		{[]int{500, 503}, 5, false, "503: no more than 4 retries, lost"},
		{[]int{503, 500}, 2, false, "500: no more than 1 retry, lost"},
		{[]int{0, 0, 0, 404}, 4, false, "404: no more than 2 retries, lost"},
		{[]int{503, 302}, 2, false, "302: no retry follows, lost"},
		{[]int{503, 503, 503, 503, 403}, 6, false, "403: no more than 5 retries, lost"},
	} {
		t.Run(fmt.Sprint(c.answers), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &midhooktest.Engine{Handler: answers(c.answers...), Secret: key}
				d, err := g.Deliver(t.Context(), midhooktest.Sample("gopay"))
				require.NoError(t, err)
				assert.Len(t, d.Attempts, c.attempts)
				assert.Equal(t, c.delivered, d.Delivered)
				assert.Equal(t, c.reason, d.Reason)
				assert.Zero(t, d.Attempts[len(d.Attempts)-1].Next)
			})
		})
	}
}

// Retry k comes at most 2, 10, 30, 90 and 210 minutes after the attempt before,
// the first no sooner than 33 s, and all within 342 minutes.
func TestWaits(t *testing.T) {
	longest := []time.Duration{2 * time.Minute, 10 * time.Minute, 30 * time.Minute, 90 * time.Minute, 210 * time.Minute}
	synctest.Test(t, func(t *testing.T) {
		early, late := 2*time.Minute, time.Duration(0) // of the first retry
		for seed := range uint64(200) {
			g := &midhooktest.Engine{Handler: answers(403), Secret: key, Seed: seed}
			start := time.Now()
			d, err := g.Deliver(t.Context(), midhooktest.Sample("gopay"))
			require.NoError(t, err)
			require.LessOrEqual(t, time.Since(start), 342*time.Minute)
			for i, a := range d.Attempts[:5] {
				require.LessOrEqual(t, a.Next, longest[i])
				require.GreaterOrEqual(t, float64(a.Next), 33.0/120*float64(longest[i]))
				next := d.Attempts[i+1]
				require.Equal(t, a.At.Add(a.Next), next.At, "by the clock of the bubble")
				require.Equal(t, a.Elapsed+a.Next, next.Elapsed)
			}
			early, late = min(early, d.Attempts[0].Next), max(late, d.Attempts[0].Next)
		}
		assert.Less(t, early, 36*time.Second, "33 s must occur")
		assert.Greater(t, late, 117*time.Second, "two minutes must occur")
	})
}

// The wait begins when the attempt has failed, not when it began.
func TestWaitsBeginAtTheEndOfAnAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &midhooktest.Engine{Secret: key, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(10 * time.Second)
			w.WriteHeader(500)
		})}
		d, err := g.Deliver(t.Context(), midhooktest.Sample("gopay"))
		require.NoError(t, err)
		require.Len(t, d.Attempts, 2)
		assert.Equal(t, 10*time.Second, d.Attempts[0].Duration)
		assert.Equal(t, 10*time.Second+d.Attempts[0].Next, d.Attempts[1].Elapsed)
	})
}

// The same seed and body give the same waits, another seed or body others: a run
// can be repeated, and a thousand deliveries do not march in step.
func TestSeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := func(seed uint64, order string) (waits []time.Duration) {
			g := &midhooktest.Engine{Handler: answers(403), Secret: key, Seed: seed}
			d, err := g.Deliver(t.Context(), midhooktest.Sample("gopay", midhooktest.Order(order)))
			require.NoError(t, err)
			for _, a := range d.Attempts {
				waits = append(waits, a.Next)
			}
			return waits
		}
		assert.Equal(t, waits(1, "A"), waits(1, "A"))
		assert.NotEqual(t, waits(1, "A"), waits(2, "A"))
		assert.NotEqual(t, waits(1, "A"), waits(1, "B"))
	})
}

// Speed divides the waits, and nothing else: not the 15 s, not the Elapsed times.
func TestSpeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		play := func(speed float64) (midhooktest.Delivery, time.Duration) {
			start := time.Now()
			g := &midhooktest.Engine{Secret: key, Speed: speed, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				<-r.Context().Done()
			})}
			d, err := g.Deliver(t.Context(), midhooktest.Sample("gopay"))
			require.NoError(t, err)
			return d, time.Since(start)
		}
		usual, took := play(0)
		fast, tookLess := play(3600)
		const attempts = 6 * 15 * time.Second
		assert.InDelta(t, float64(took-attempts)/3600, float64(tookLess-attempts), float64(time.Microsecond))
		for i, a := range fast.Attempts {
			assert.Equal(t, 15*time.Second, a.Duration)
			assert.Equal(t, usual.Attempts[i].Elapsed, a.Elapsed)
			assert.Equal(t, usual.Attempts[i].Next, a.Next)
		}
	})
}

// Another sender is another policy: PayMongo's, and Opn's, who may never retry.
func TestOtherPolicies(t *testing.T) {
	payMongo := midhooktest.RetryPolicy{Timeout: 30 * time.Second, Otherwise: 12}
	for range 12 {
		payMongo.Waits = append(payMongo.Waits, 136*time.Minute/12)
	}
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			policy   midhooktest.RetryPolicy
			status   int
			attempts int
		}{
			{payMongo, 503, 13},
			{payMongo, 302, 13},
			{payMongo, 307, 13}, // not among those to follow
			{payMongo, 200, 1},
			{midhooktest.RetryPolicy{}, 500, 1},
			{midhooktest.RetryPolicy{Otherwise: 3}, 500, 1}, // no waits, no retries
		} {
			g := &midhooktest.Engine{Handler: answers(c.status), Policy: &c.policy}
			start := time.Now()
			d, err := g.DeliverBody(t.Context(), []byte(`{}`))
			require.NoError(t, err)
			assert.Len(t, d.Attempts, c.attempts, "%v", c.status)
			assert.Equal(t, time.Duration(c.attempts-1)*(136*time.Minute/12), time.Since(start))
		}
	})
}

func TestMidtransRetriesIsNobodysToChange(t *testing.T) {
	midhooktest.MidtransRetries().Retries[503] = 0
	midhooktest.MidtransRetries().Waits[0] = 0
	p := midhooktest.MidtransRetries()
	assert.Equal(t, 4, p.Retries[503])
	assert.Equal(t, 2*time.Minute, p.Waits[0])
}

// The caller's context ends a delivery: while it waits, and in an attempt.
func TestDeliverEndsWithItsContext(t *testing.T) {
	enough := errors.New("enough")
	for name, c := range map[string]struct {
		after    time.Duration
		attempts int
	}{
		"in the first attempt": {5 * time.Second, 0},
		"between two":          {30 * time.Second, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(c.after, func() { cancel(enough) })
				hungUp := time.Duration(0)
				start := time.Now()
				g := &midhooktest.Engine{Secret: key, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					<-r.Context().Done()
					hungUp = time.Since(start)
				})}
				d, err := g.Deliver(ctx, midhooktest.Sample("gopay"))
				assert.ErrorIs(t, err, enough)
				assert.Len(t, d.Attempts, c.attempts)
				assert.False(t, d.Delivered)
				assert.Equal(t, c.after, time.Since(start))
				g.Wait()
				assert.Equal(t, min(c.after, 15*time.Second), hungUp)
			})
		})
	}
}

func TestAttemptsInWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		g := &midhooktest.Engine{Handler: answers(503, 200), Secret: key, OnAttempt: func(n *midhook.Notification, a midhooktest.Attempt) {
			told = append(told, n.OrderID+" "+a.String())
		}}
		d, err := g.Deliver(t.Context(), midhooktest.Sample("gopay"))
		require.NoError(t, err)
		wait := d.Attempts[0].Next.Round(time.Second).String()
		lines := []string{"attempt 1 at 0s: 503: retry 1 of 4 follows in " + wait, "attempt 2 at " + wait + ": 200: delivered"}
		assert.Equal(t, strings.Join(lines, "\n"), d.String())
		assert.Equal(t, []string{"gopay-01 " + lines[0], "gopay-01 " + lines[1]}, told)
	})
}

// A sender without retries comes once, whatever the answer.
func TestNoRetries(t *testing.T) {
	for _, status := range []int{200, 204, 299, 302, 400, 404, 500, 503, 0} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			sender := midhooktest.OpnSender()
			g := &midhooktest.Engine{Handler: answers(status), Sender: &sender, Secret: "b21pc2Utd2ViaG9vay1zZWNyZXQ="}
			d, err := g.DeliverSigned(t.Context(), sender.Event(0))
			require.NoError(t, err)
			require.Len(t, d.Attempts, 1)
			assert.Equal(t, status/100 == 2, d.Delivered)
			assert.Zero(t, d.Attempts[0].Next)
			assert.Zero(t, time.Since(start))
			if !d.Delivered && status != 0 {
				assert.Equal(t, fmt.Sprint(status, ": no retry follows, lost"), d.Reason)
			}
		})
	}
	assert.Equal(t, 15*time.Second, midhooktest.NoRetries().Timeout)
	assert.Empty(t, midhooktest.NoRetries().Waits)
}
