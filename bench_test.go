package midhook_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/baseline"
	"github.com/midhook/midhook/midhooktest"
)

const testKey = "SB-Mid-server-test"

func BenchmarkVerify(b *testing.B) {
	n, err := midhook.Parse(notify("gopay"))
	if err != nil {
		b.Fatal(err)
	}
	fields := (*baseline.Fields)(n)
	b.Run("midhook", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if midhook.Verify(n, testKey) != nil {
				b.Fatal("does not verify")
			}
		}
	})
	b.Run("by_hand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !baseline.VerifyByHand(fields, testKey) {
				b.Fatal("does not verify")
			}
		}
	})
}

func BenchmarkParseAndVerify(b *testing.B) {
	for _, sample := range []string{"gopay", "credit-card", "bni-va"} {
		body := notify(sample)
		b.Run(sample+"/midhook", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				n, err := midhook.Parse(body)
				if err != nil || midhook.Verify(n, testKey) != nil {
					b.Fatal("does not verify")
				}
			}
		})
		b.Run(sample+"/by_hand", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var n baseline.Fields
				if json.Unmarshal(body, &n) != nil || !baseline.VerifyByHand(&n, testKey) {
					b.Fatal("does not verify")
				}
			}
		})
	}
}

// BenchmarkDelivery is a whole delivery in-process: a new event each time, and a
// handler that does nothing.
func BenchmarkDelivery(b *testing.B) {
	const events = 20_000
	bodies := make([][]byte, events)
	for i := range bodies {
		bodies[i] = notify("gopay", midhooktest.Order("Order-"+strconv.Itoa(i)))
	}
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	for _, bm := range []struct {
		name string
		wrap func() http.Handler
	}{
		{"empty", func() http.Handler { return next }},
		{"midhook", func() http.Handler {
			hook, err := midhook.New(testKey, midhook.WithLogger(discard))
			if err != nil {
				b.Fatal(err)
			}
			return hook.Handler(next)
		}},
		{"by_hand", func() http.Handler { return baseline.ByHand(testKey, next) }},
		{"floor", func() http.Handler { return baseline.Floor(testKey, next) }},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			w := &fakeWriter{http.Header{}}
			var h http.Handler
			for i := 0; b.Loop(); i++ {
				if i%events == 0 {
					h = bm.wrap() // forgets what it has seen
				}
				body := bodies[i%events]
				clear(w.header)
				h.ServeHTTP(w, asMidtransSends(body))
			}
		})
	}
}

// asMidtransSends is a request that costs little to make.
func asMidtransSends(body []byte) *http.Request {
	return &http.Request{
		Method: http.MethodPost, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		URL: &url.URL{Path: "/"}, Header: http.Header{"Content-Type": {"application/json"}},
		ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
	}
}

// BenchmarkConfirmed is a delivery whose status is asked for, over a loopback socket,
// beside the question alone and a delivery without it, at one and at 64 at a time.
// conns/1000 is how many connections a thousand of them open.
func BenchmarkConfirmed(b *testing.B) {
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	type asked struct {
		n       *midhook.Notification
		request *http.Request
	}
	deliver := func(opts ...midhook.Option) func(*testing.B, asked) {
		hook, err := midhook.New(testKey, append(opts, midhook.WithLogger(discard))...)
		if err != nil {
			b.Fatal(err)
		}
		h := hook.Handler(next)
		return func(_ *testing.B, a asked) { h.ServeHTTP(&fakeWriter{http.Header{}}, a.request) }
	}
	for _, atOnce := range []int{1, 64} {
		for _, name := range []string{"delivery", "question", "both"} {
			b.Run(name+"/"+strconv.Itoa(atOnce), func(b *testing.B) {
				s := newStatusServer(b)
				client := s.Client()
				run := map[string]func(*testing.B, asked){
					"delivery": deliver(),
					"question": func(b *testing.B, a asked) {
						if _, err := client.Get(b.Context(), a.n.TransactionID); err != nil {
							b.Error(err)
						}
					},
					"both": deliver(midhook.WithStatusCheck(client)),
				}[name]
				all := make([]asked, b.N)
				for i := range all {
					n := midhooktest.Sample("gopay", midhooktest.Order(strconv.Itoa(i)), midhooktest.Transaction("tx-"+strconv.Itoa(i)))
					s.Put(n)
					all[i] = asked{n, midhooktest.NewRequest(n, testKey)}
				}
				b.ReportAllocs()
				b.ResetTimer()
				var at atomic.Int64
				var workers sync.WaitGroup
				for range atOnce {
					workers.Go(func() {
						for i := at.Add(1) - 1; i < int64(b.N); i = at.Add(1) - 1 {
							run(b, all[i])
						}
					})
				}
				workers.Wait()
				b.ReportMetric(float64(s.Connections())*1000/float64(b.N), "conns/1000")
			})
		}
	}
}

// fakeWriter costs nothing, so that the figure is the middleware's own.
type fakeWriter struct{ header http.Header }

func (w *fakeWriter) Header() http.Header         { return w.header }
func (w *fakeWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *fakeWriter) WriteHeader(int)             {}
