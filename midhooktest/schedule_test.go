package midhooktest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
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

// PayMongo: up to twelve retries, over 136.5 minutes at the most.
func TestPayMongoRetries(t *testing.T) {
	p := midhooktest.PayMongoRetries()
	var sum time.Duration
	for _, wait := range p.Waits {
		assert.Positive(t, wait)
		sum += wait
	}
	assert.Len(t, p.Waits, 12)
	assert.Equal(t, 8190*time.Second, sum)
	assert.Equal(t, 136*time.Minute+30*time.Second, sum)
	p.Waits[0] = 0
	assert.Equal(t, 2*time.Second, midhooktest.PayMongoRetries().Waits[0], "it is nobody's to change")
}

// reply is a handler's answer.
func reply(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // for 204 an error
	}
}

// PayMongo takes a status from 200 to 209 with a JSON body for a success, and comes
// again after anything else.
func TestPayMongoSuccesses(t *testing.T) {
	long := strings.Repeat("x", 2000)
	for _, c := range []struct {
		name      string
		handler   http.HandlerFunc
		delivered bool
		reason    string
	}{
		{"200 JSON", reply(200, `{"ok":true}`), true, "200: delivered"},
		{"200 JSON with white space", reply(200, " {}\n"), true, "200: delivered"},
		{"200 JSON, no object", reply(200, `"OK"`), true, "200: delivered"},
		{"201 JSON", reply(201, `{}`), true, "201: delivered"},
		{"209 JSON", reply(209, `{}`), true, "209: delivered"},
		{"200 long JSON", reply(200, `{"text":"`+long+`"}`), true, "200: delivered"},
		{"200 JSON that ends with the kilobyte", reply(200, `"`+long[:1022]+`"`), true, "200: delivered"},

		{"200 text", reply(200, "OK"), false, "200 is no success without JSON: no more than 12 retries, lost"},
		{"200 nothing", reply(200, ""), false, "200 is no success without JSON: no more than 12 retries, lost"},
		{"200 half", reply(200, `{"ok":`), false, "200 is no success without JSON: no more than 12 retries, lost"},
		{"200 two", reply(200, `{}{}`), false, "200 is no success without JSON: no more than 12 retries, lost"},
		{"200 long page", reply(200, "<!DOCTYPE html>"+long), false, "200 is no success without JSON: no more than 12 retries, lost"},
		{"200 long text after JSON", reply(200, `{} `+long), false, "200 is no success without JSON: no more than 12 retries, lost"},
		{"200 a kilobyte of text", reply(200, long[:1024]), false, "200 is no success without JSON: no more than 12 retries, lost"},
		{"204", reply(204, ""), false, "204 is no success without JSON: no more than 12 retries, lost"},
		{"210 JSON", reply(210, `{}`), false, "210 is no success: no more than 12 retries, lost"},
		{"210 text", reply(210, `OK`), false, "210 is no success: no more than 12 retries, lost"},
		{"226 JSON", reply(226, `{}`), false, "226 is no success: no more than 12 retries, lost"},
		{"302", reply(302, `{}`), false, "302: no more than 12 retries, lost"},
		{"307", reply(307, `{}`), false, "307: no more than 12 retries, lost"},
		{"400", reply(400, `{}`), false, "400: no more than 12 retries, lost"},
		{"503", reply(503, `{}`), false, "503: no more than 12 retries, lost"},
		{"panic", answers(0), false, "handler panicked: crash: no more than 12 retries, lost"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				d := payMongo(t, c.handler)
				assert.Equal(t, c.delivered, d.Delivered)
				assert.Equal(t, c.reason, d.Reason)
				if c.delivered {
					assert.Len(t, d.Attempts, 1)
					assert.Zero(t, time.Since(start))
				} else {
					require.Len(t, d.Attempts, 13)
					assert.Equal(t, 8190*time.Second, time.Since(start))
					assert.Equal(t, 8190*time.Second, d.Attempts[12].Elapsed)
				}
			})
		})
	}
}

// payMongo delivers an event of PayMongo's.
func payMongo(t *testing.T, h http.Handler) midhooktest.Delivery {
	t.Helper()
	sender := midhooktest.PayMongoSender()
	g := &midhooktest.Engine{Handler: h, Sender: &sender, Secret: "whsk_test"}
	defer g.Wait()
	d, err := g.DeliverSigned(t.Context(), sender.Event(0))
	require.NoError(t, err)
	return d
}

// PayMongo waits 30 s for an answer, and one in between is enough.
func TestPayMongoTimeout(t *testing.T) {
	for _, c := range []struct {
		takes    time.Duration
		attempts int
		total    time.Duration
	}{
		{29 * time.Second, 1, 29 * time.Second},
		{31 * time.Second, 13, 8190*time.Second + 13*30*time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			d := payMongo(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				time.Sleep(c.takes)
				_, _ = io.WriteString(w, `{}`)
			}))
			require.Len(t, d.Attempts, c.attempts)
			last := d.Attempts[c.attempts-1]
			assert.Equal(t, c.total, last.At.Add(last.Duration).Sub(start))
			assert.Equal(t, c.attempts == 1, d.Delivered)
			if !d.Delivered {
				assert.ErrorIs(t, last.Err, context.DeadlineExceeded)
				assert.Equal(t, "no answer within 30s: no more than 12 retries, lost", d.Reason)
			}
		})
	}
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

// Three events in a row that were lost disable PayMongo's endpoint, and one that is
// delivered in between begins the count anew.
func TestDisabledEndpoint(t *testing.T) {
	const disabled = "the endpoint is disabled: 3 events in a row were lost"
	for _, c := range []struct {
		answers  []bool // whether the handler succeeds, event by event
		disabled []bool
	}{
		{[]bool{false, false, false, true}, []bool{false, false, false, true}},
		{[]bool{false, false, true, false, false, true}, []bool{false, false, false, false, false, false}},
		{[]bool{false, true, false, false, false, true, true}, []bool{false, false, false, false, false, true, true}},
		{[]bool{true, true, true, true}, []bool{false, false, false, false}},
	} {
		synctest.Test(t, func(t *testing.T) {
			sender, succeeds, runs := midhooktest.PayMongoSender(), false, 0
			g := &midhooktest.Engine{Sender: &sender, Secret: "whsk_test", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				runs++
				if succeeds {
					_, _ = io.WriteString(w, `{}`)
				}
			})}
			for i := range c.answers {
				succeeds, runs = c.answers[i], 0
				d, err := g.DeliverSigned(t.Context(), sender.Event(i))
				require.NoError(t, err)
				if c.disabled[i] {
					assert.Equal(t, disabled, d.Reason)
					assert.Empty(t, d.Attempts)
					assert.False(t, d.Delivered)
					assert.Zero(t, runs)
				} else {
					assert.NotEqual(t, disabled, d.Reason)
					assert.Equal(t, succeeds, d.Delivered)
				}
			}
		})
	}
}

// What is on its way when the endpoint is disabled ends, and does not enable it.
func TestDisabledWhileOthersAreOnTheirWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sender := midhooktest.PayMongoSender()
		policy := midhooktest.RetryPolicy{Waits: []time.Duration{time.Minute, time.Minute}, Otherwise: 2, DisableAfter: 3}
		g := &midhooktest.Engine{Sender: &sender, Policy: &policy, Secret: "whsk_test", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if bytes.Contains(body, []byte("evt_9")) {
				time.Sleep(3 * time.Minute) // it succeeds when the others are lost
				return
			}
			w.WriteHeader(503)
		})}
		var all sync.WaitGroup
		deliveries := make(chan midhooktest.Delivery, 5)
		deliver := func(nr int, after time.Duration) {
			all.Go(func() {
				time.Sleep(after)
				d, err := g.DeliverSigned(t.Context(), sender.Event(nr))
				assert.NoError(t, err)
				deliveries <- d
			})
		}
		for nr := range 3 {
			deliver(nr, 0)
		}
		deliver(3, 90*time.Second) // between its attempts when the endpoint is disabled
		deliver(9, 0)
		all.Wait()
		close(deliveries)
		ends := map[string]int{}
		for d := range deliveries {
			ends[fmt.Sprint(len(d.Attempts), " ", d.Reason)]++
		}
		assert.Equal(t, map[string]int{
			"3 503: no more than 2 retries, lost":                     3,
			"1 the endpoint is disabled: 3 events in a row were lost": 1,
			"1 200: delivered": 1,
		}, ends)
		d, err := g.DeliverSigned(t.Context(), sender.Event(4))
		require.NoError(t, err)
		assert.Empty(t, d.Attempts)
		assert.Contains(t, d.Reason, "disabled")
	})
}
