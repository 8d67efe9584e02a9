package main

import (
	"crypto/sha512"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/ci/loadkit"
	"github.com/midhook/midhook/midhooktest"
)

var (
	// most is the number of new events, which are made before, so that the client costs
	// little. A measurement ends early when it has sent all of them.
	most = 100_000
	// known is how many of them are delivered before a measurement, for duplicates.
	known = 1000
)

const (
	forgedMade   = 1000
	strangersKey = "SB-Mid-server-test-key-0002"
)

// The kinds of requests.
const (
	newEvents  = "new events"
	duplicates = "duplicates"
	forgeries  = "forgeries"
	mixed      = "a mix"
)

// mix is of what kinds ten requests are.
var mix = []string{
	newEvents, forgeries, newEvents, duplicates, newEvents,
	duplicates, newEvents, forgeries, newEvents, duplicates,
}

// request is one that is ready to be sent.
type request struct {
	http1  []byte // the whole of it over HTTP/1.1
	body   []byte // its end
	forged bool
}

func bodies(n int) [][]byte { return signed("Order-", n, key) }

// signed are notifications of different orders, as Midtrans sends them. One is made, and
// the others are copies of it with another order and signature: thousands of the kit's
// own take seconds.
func signed(prefix string, n int, key string) [][]byte {
	const order = "the-order"
	sample := midhooktest.Sample("gopay", midhooktest.Order(order), midhooktest.Transaction("tx-"+order))
	template := string(midhooktest.Body(sample, key))
	parsed, err := midhook.Parse([]byte(template))
	fatal(err)
	all := make([][]byte, n)
	for i := range all {
		name := prefix + strconv.Itoa(i)
		sum := sha512.Sum512([]byte(name + parsed.StatusCode + parsed.GrossAmount + key))
		all[i] = []byte(strings.NewReplacer(order, name, parsed.SignatureKey, hex.EncodeToString(sum[:])).Replace(template))
	}
	return all
}

// prepared are made once.
var prepared = sync.OnceValues(func() (genuine, forged []request) {
	return requestsOf(bodies(most), false), requestsOf(signed("Forged-", forgedMade, strangersKey), true)
})

func requestsOf(bodies [][]byte, forged bool) []request {
	all := make([]request, len(bodies))
	for i, body := range bodies {
		whole := append(loadkit.RequestHead(len(body)), body...)
		all[i] = request{whole, whole[len(whole)-len(body):], forged}
	}
	return all
}

// traffic hands out requests of one kind to all connections of a measurement.
type traffic struct {
	kind                         string
	sent, fresh, repeats, forged atomic.Int64
}

// next is the next request, or false when no new event is left.
func (t *traffic) next() (request, bool) {
	kind := t.kind
	if kind == mixed {
		kind = mix[(t.sent.Add(1)-1)%int64(len(mix))]
	}
	genuine, forged := prepared()
	switch kind {
	case duplicates:
		return genuine[(t.repeats.Add(1)-1)%int64(known)], true
	case forgeries:
		return forged[(t.forged.Add(1)-1)%forgedMade], true
	}
	return t.nextNew(most)
}

// nextNew is the next new event of those before limit.
func (t *traffic) nextNew(limit int) (request, bool) {
	genuine, _ := prepared()
	if i := t.fresh.Add(1) - 1; i < int64(limit) {
		return genuine[i], true
	}
	return request{}, false
}
