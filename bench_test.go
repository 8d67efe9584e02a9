package midhook_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/midhook/midhook"
)

const testKey = "SB-Mid-server-test"

func signed(order, status, code string) string {
	amount := "154600.00"
	sum := sha512.Sum512([]byte(order + code + amount + testKey))
	return `{"transaction_time":"2021-06-15 18:45:13","transaction_status":"` + status + `","transaction_id":"513f1f01-c9da-474c-9fc9-d5c64364b709","status_message":"midtrans payment notification","status_code":"` + code + `","signature_key":"` + hex.EncodeToString(sum[:]) + `","settlement_time":"2021-06-15 18:45:28","payment_type":"gopay","order_id":"` + order + `","merchant_id":"G141532850","gross_amount":"` + amount + `","fraud_status":"accept","currency":"IDR"}`
}

type fakeWriter struct{ h http.Header }

func (f *fakeWriter) Header() http.Header         { return f.h }
func (f *fakeWriter) Write(p []byte) (int, error) { return len(p), nil }
func (f *fakeWriter) WriteHeader(int)             {}

// byHand is a careful hand-written handler.
func byHand(next http.Handler) http.Handler {
	type notification midhook.Notification // its fields, not its methods
	type key struct{}
	var mu sync.Mutex
	seen := map[string]bool{}
	return http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
		if err != nil {
			http.Error(w, "bad", 400)
			return
		}
		var n notification
		if err := json.Unmarshal(body, &n); err != nil {
			http.Error(w, "bad", 400)
			return
		}
		sum := sha512.Sum512([]byte(n.OrderID + n.StatusCode + n.GrossAmount + testKey))
		if hex.EncodeToString(sum[:]) != n.SignatureKey {
			http.Error(w, "bad", 403)
			return
		}
		k := n.OrderID + string(n.TransactionStatus)
		mu.Lock()
		dup := seen[k]
		seen[k] = true
		mu.Unlock()
		if dup {
			w.WriteHeader(200)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, &n)))
	}), 5*time.Second, "timeout")
}

// BenchmarkDelivery is a whole delivery in-process: each time a new event and a
// handler that does nothing.
func BenchmarkDelivery(b *testing.B) {
	const events = 20_000
	bodies := make([][]byte, events)
	for i := range bodies {
		bodies[i] = []byte(signed("Order-"+strconv.Itoa(i), "settlement", "200"))
	}
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusOK) })
	for _, bm := range []struct {
		name string
		wrap func() http.Handler
	}{
		{"empty", func() http.Handler { return next }},
		{"midhook", func() http.Handler {
			hook, err := midhook.New(testKey, midhook.WithLogger(slog.New(slog.DiscardHandler)))
			if err != nil {
				b.Fatal(err)
			}
			return hook.Handler(next)
		}},
		{"by_hand", func() http.Handler { return byHand(next) }},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			var h http.Handler
			w := &fakeWriter{http.Header{}}
			for i := 0; b.Loop(); i++ {
				if i%events == 0 {
					h = bm.wrap()
				}
				body := bodies[i%events]
				r := &http.Request{Method: http.MethodPost, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
					URL: &url.URL{Path: "/"}, Header: http.Header{}, ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body))}
				clear(w.h)
				h.ServeHTTP(w, r)
			}
		})
	}
}

func BenchmarkPieces(b *testing.B) {
	body := []byte(signed("Order-1", "settlement", "200"))
	b.Run("parse", func(b *testing.B) {
		for b.Loop() {
			midhook.Parse(body)
		}
	})
	n, _ := midhook.Parse(body)
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			midhook.Verify(n, testKey)
		}
	})
	b.Run("idem", func(b *testing.B) {
		for b.Loop() {
			n.IdempotencyKey()
		}
	})
	b.Run("timer", func(b *testing.B) {
		for b.Loop() {
			time.AfterFunc(time.Second, func() {}).Stop()
		}
	})
	b.Run("ctx", func(b *testing.B) {
		for b.Loop() {
			_, c := context.WithDeadlineCause(context.WithoutCancel(context.Background()), time.Now().Add(time.Second), io.EOF)
			c()
		}
	})
	b.Run("owner", func(b *testing.B) {
		for b.Loop() {
			rand.Text()
		}
	})
	s := midhook.NewLRUStore(65536)
	b.Run("store", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			k := strconv.Itoa(i)
			i++
			c := midhook.Claim{Event: k, Subject: k, Owner: "a", Stage: 40, Lease: time.Second}
			s.Acquire(b.Context(), c)
			s.Finish(b.Context(), c, time.Hour)
		}
	})
}
