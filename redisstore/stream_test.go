package redisstore_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// stream is what Midtrans sends a merchant: for two of three orders pending and
// then settlement, for the others the settlement first and the pending late.
// Three orders are five events to handle, and one to acknowledge.
type stream struct {
	orders int
	speed  float64 // 600 by default: a minute is a tenth of a second
	// progress is called when another order is through.
	progress func(orders int)

	attempts, unavailable, duplicates atomic.Int64
}

func (s *stream) late(order int) bool { return order%3 == 2 }

// events are to be handled; late ones are not.
func (s *stream) events() (handled, late []string) {
	for order := range s.orders {
		handled = append(handled, eventName(settled(order)))
		if s.late(order) {
			late = append(late, eventName(pending(order)))
		} else {
			handled = append(handled, eventName(pending(order)))
		}
	}
	return handled, late
}

func of(order int, code string, status midhook.TransactionStatus) *midhook.Notification {
	return midhooktest.Sample("bca-va",
		midhooktest.Order(fmt.Sprint("A-", order)),
		midhooktest.Transaction(fmt.Sprint("T-", order)),
		midhooktest.Status(code, status))
}

func pending(order int) *midhook.Notification { return of(order, "201", midhook.StatusPending) }
func settled(order int) *midhook.Notification { return of(order, "200", midhook.StatusSettlement) }

// send delivers everything to h, by Midtrans' retry policy but sped up, and fails
// the test for each notification that is lost.
func (s *stream) send(t *testing.T, h http.Handler) {
	t.Helper()
	gateway := &midhooktest.Engine{Handler: h, Secret: testKey, Speed: cmp.Or(s.speed, 600), OnAttempt: func(_ *midhook.Notification, a midhooktest.Attempt) {
		s.attempts.Add(1)
		if a.Status == http.StatusServiceUnavailable {
			s.unavailable.Add(1)
		}
	}}
	deliver := func(n *midhook.Notification) {
		d, err := gateway.Deliver(t.Context(), n)
		assert.NoError(t, err)
		assert.True(t, d.Delivered, "%s is lost:\n%v", eventName(n), d)
	}
	notify := func(n *midhook.Notification) {
		var both sync.WaitGroup
		if rand.IntN(4) == 0 { // twice at once
			s.duplicates.Add(1)
			both.Go(func() { deliver(n) })
		}
		deliver(n)
		both.Wait()
		if rand.IntN(8) == 0 { // and once more after it was handled
			s.duplicates.Add(1)
			deliver(n)
		}
	}
	var through atomic.Int64
	var senders sync.WaitGroup
	orders := make(chan int)
	for range 12 {
		senders.Go(func() {
			for order := range orders {
				first, second := pending(order), settled(order)
				if s.late(order) {
					first, second = second, first
				}
				notify(first)
				notify(second)
				if n := through.Add(1); s.progress != nil {
					s.progress(int(n))
				}
			}
		})
	}
	for order := range s.orders {
		orders <- order
	}
	close(orders)
	senders.Wait()
	gateway.Wait()
}
