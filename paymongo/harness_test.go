package paymongo_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/paymongo"
)

const (
	testSecret  = "whsk_test"
	otherSecret = "whsk_other"
)

// The example of the signature.
const (
	vectorTime   = "1496734173"
	vectorBody   = `{"data":{"id":"evt_test_1","type":"event","attributes":{"type":"payment.paid","livemode":false}}}`
	vectorDigest = "f9d4675b21a53bec1618af471aec9936446f60dd778c784328544681bed11a4f"
)

// paid is the body of a payment.paid event, with a customer in it.
func paid(id string, livemode bool) []byte {
	return fmt.Appendf(nil, `{"data":{"id":%q,"type":"event","attributes":{"type":"payment.paid","livemode":%t,"created_at":1700000000,"updated_at":1700000001,`+
		`"data":{"id":"pay_1","type":"payment","attributes":{"amount":10000,"currency":"PHP","status":"paid","fee":250,`+
		`"billing":{"name":"Juana SECRETNAME","email":"secret@example.com","phone":"+63SECRETPHONE"},"source":{"id":"card_SECRETCARD","type":"card","last4":"SECRETLAST4"}}},`+
		`"previous_data":{},"pending_webhooks":1}}}`, id, livemode)
}

// sign is hex(HMAC-SHA256(key, text)).
func sign[T string | []byte](key string, text T) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// headerOf is the header with which PayMongo sends body.
func headerOf(secret, t string, body []byte, livemode bool) string {
	digest := sign(secret, t+"."+string(body))
	if livemode {
		return "t=" + t + ",te=,li=" + digest
	}
	return "t=" + t + ",te=" + digest + ",li="
}

// request is a delivery.
func request(ctx context.Context, header string, body []byte) *http.Request {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/paymongo", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if header != "" {
		r.Header.Set("Paymongo-Signature", header)
	}
	return r
}

// live is a delivery of a live payment.paid event, signed with testSecret.
func live(id string) *http.Request {
	body := paid(id, true)
	return request(context.Background(), headerOf(testSecret, vectorTime, body, true), body)
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func newGateway(t testing.TB, opts ...paymongo.Option) *paymongo.Gateway {
	t.Helper()
	g, err := paymongo.New(testSecret, opts...)
	require.NoError(t, err)
	return g
}

// newHook returns a middleware that logs nothing and says what it observed.
func newHook(t testing.TB, g *paymongo.Gateway, opts ...midhook.Option) (*midhook.Middleware, *observed) {
	t.Helper()
	seen := &observed{}
	opts = append([]midhook.Option{
		midhook.WithLogger(slog.New(slog.DiscardHandler)),
		midhook.WithObserver(seen.observe),
	}, opts...)
	hook, err := midhook.NewFor(g, opts...)
	require.NoError(t, err)
	return hook, seen
}

type observed struct {
	mu     sync.Mutex
	events []midhook.Event
}

func (o *observed) observe(_ context.Context, e midhook.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, e)
}

func (o *observed) last() midhook.Event {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.events[len(o.events)-1]
}

// engine plays PayMongo's deliveries, in the bubble of a test: 12 retries after
// waits that double from 2 s on.
type engine struct {
	handler http.Handler
	keepsT  bool // a retry is signed with the time of the first delivery
}

const (
	retries     = 12
	firstWait   = 2 * time.Second
	paymongoCap = 30 * time.Second // it waits no longer for an answer
)

type delivery struct {
	at        time.Duration // after the first one
	status    int           // 0: no answer in time
	body      string
	delivered bool
}

// deliver returns all deliveries of an event. The last one says whether it was
// delivered.
func (e engine) deliver(id string) (deliveries []delivery) {
	body := paid(id, true)
	start := time.Now()
	signed := start
	wait := firstWait
	for range 1 + retries {
		if len(deliveries) > 0 {
			time.Sleep(wait)
			wait *= 2
		}
		if !e.keepsT {
			signed = time.Now()
		}
		at := time.Since(start)
		d := e.once(request(context.Background(), headerOf(testSecret, fmt.Sprint(signed.Unix()), body, true), body))
		d.at = at
		deliveries = append(deliveries, d)
		if d.delivered {
			break
		}
	}
	return deliveries
}

// once delivers, and looks at the answer as soon as it is flushed, or the handler
// has returned.
func (e engine) once(r *http.Request) delivery {
	ctx, hangUp := context.WithCancel(context.Background())
	defer hangUp()
	w := &flushed{ResponseRecorder: httptest.NewRecorder(), done: make(chan struct{})}
	go func() {
		defer w.Flush()
		e.handler.ServeHTTP(w, r.WithContext(ctx))
	}()
	select {
	case <-w.done:
	case <-time.After(paymongoCap):
		return delivery{}
	}
	d := delivery{status: w.Code, body: w.Body.String()}
	d.delivered = d.status >= 200 && d.status <= 209 && json.Valid([]byte(d.body)) &&
		w.Result().Header.Get("Content-Type") == "application/json"
	return d
}

// flushed is a response that is complete at its first flush.
type flushed struct {
	*httptest.ResponseRecorder
	once sync.Once
	done chan struct{}
}

func (f *flushed) Flush() { f.once.Do(func() { close(f.done) }) }
