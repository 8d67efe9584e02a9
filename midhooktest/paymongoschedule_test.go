package midhooktest_test

import (
	"bytes"
	"context"
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

	"github.com/midhook/midhook/midhooktest"
)

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
