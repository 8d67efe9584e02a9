// Package compare measures midhook beside what people pick instead: the receivers of
// other senders' libraries, a framework's idempotency middleware, and Midtrans' own
// client, each with a body of the same size, in a module of its own so that nobody who
// uses midhook inherits them.
//
// None of them does all that midhook does: the table in docs/benchmarks.md says what
// each leaves out.
package compare

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/go-playground/webhooks/v6/github"
	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/idempotency"
	"github.com/midtrans/midtrans-go"
	"github.com/midtrans/midtrans-go/coreapi"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stripe/stripe-go/v83"
	"github.com/stripe/stripe-go/v83/webhook"
	"github.com/valyala/fasthttp"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

const (
	key    = "SB-Mid-server-test-key-0001"
	secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	events = 10_000 // of each receiver that tells them apart, before it starts anew
)

// delivery is one request: its body and what its headers say.
type delivery struct {
	body   []byte
	header http.Header
}

// sized is a JSON object of the size of Midtrans' own body, by a text in the place of
// the %s of format.
func sized(format string) []byte {
	want := len(notification(0))
	return fmt.Appendf(nil, format, bytes.Repeat([]byte("x"), max(0, want-len(format)+len("%s"))))
}

func notification(i int) []byte {
	return midhooktest.Body(midhooktest.Sample("gopay", midhooktest.Order("Order-"+strconv.Itoa(10_000+i)), midhooktest.Transaction("tx-"+strconv.Itoa(i))), key)
}

// writer keeps the status alone.
type writer struct {
	header http.Header
	status int
}

func (w *writer) Header() http.Header         { return w.header }
func (w *writer) Write(p []byte) (int, error) { return len(p), nil }
func (w *writer) WriteHeader(status int)      { w.status = status }

func request(d delivery) *http.Request {
	return &http.Request{
		Method: http.MethodPost, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, URL: &url.URL{Path: "/"},
		Header: d.header, ContentLength: int64(len(d.body)), Body: io.NopCloser(bytes.NewReader(d.body)),
	}
}

// measure reports the CPU time of a delivery beside its wall time, which a shared
// machine changes more.
func measure(b *testing.B, deliver func(i int)) {
	b.ReportAllocs()
	before, i := cpuTime(), 0
	for b.Loop() {
		deliver(i)
		i++
	}
	b.ReportMetric(float64(cpuTime()-before)/float64(i), "cpu-ns/op")
}

func cpuTime() int64 {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		panic(err)
	}
	return use.Utime.Nano() + use.Stime.Nano()
}

// serve measures a net/http handler, of which make returns a fresh one.
func serve(b *testing.B, all []delivery, makeHandler func() http.Handler) {
	var h http.Handler
	measure(b, func(i int) {
		if i%len(all) == 0 {
			h = makeHandler()
		}
		w := &writer{http.Header{}, http.StatusOK}
		h.ServeHTTP(w, request(all[i%len(all)]))
		if w.status != http.StatusOK {
			b.Fatal("answered ", w.status)
		}
	})
}

// receiver is a handler of a library that verifies and parses, and no more.
func receiver(receive func(*http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := receive(r); err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
}

func BenchmarkMidhook(b *testing.B) {
	all := make([]delivery, events)
	for i := range all {
		all[i] = delivery{notification(i), http.Header{}}
	}
	serve(b, all, func() http.Handler {
		hook, err := midhook.New(key, midhook.WithLogger(slog.New(slog.DiscardHandler)))
		if err != nil {
			b.Fatal(err)
		}
		return hook.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	})
}

func BenchmarkStripe(b *testing.B) {
	body := sized(`{"id":"evt_1","object":"event","api_version":"` + stripe.APIVersion + `","type":"charge.succeeded","created":1739418924,"livemode":false,"pending_webhooks":1,"data":{"object":{"id":"ch_1","object":"charge","amount":15460000,"currency":"idr","status":"succeeded","description":"%s"}}}`)
	signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: secret, Timestamp: time.Now()})
	serve(b, []delivery{{body, http.Header{"Stripe-Signature": {signed.Header}}}}, func() http.Handler {
		return receiver(func(r *http.Request) error {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			_, err = webhook.ConstructEvent(body, r.Header.Get("Stripe-Signature"), secret)
			return err
		})
	})
}

func BenchmarkStandardWebhooks(b *testing.B) {
	hook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		b.Fatal(err)
	}
	body, now := notification(0), time.Now()
	signature, err := hook.Sign("msg_1", now, body)
	if err != nil {
		b.Fatal(err)
	}
	header := http.Header{}
	header.Set("webhook-id", "msg_1")
	header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	header.Set("webhook-signature", signature)
	serve(b, []delivery{{body, header}}, func() http.Handler {
		return receiver(func(r *http.Request) error {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			if err := hook.Verify(body, r.Header); err != nil {
				return err
			}
			type fields midhook.Notification
			return json.Unmarshal(body, new(fields))
		})
	})
}

func BenchmarkGitHub(b *testing.B) {
	hook, err := github.New(github.Options.Secret(secret))
	if err != nil {
		b.Fatal(err)
	}
	body := sized(`{"ref":"refs/heads/main","before":"0000000000000000000000000000000000000001","after":"0000000000000000000000000000000000000002","created":false,"deleted":false,"forced":false,"base_ref":null,"compare":"%s","commits":[],"repository":{"id":1,"name":"shop","full_name":"merchant/shop"}}`)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	header := http.Header{}
	header.Set("X-GitHub-Event", "push")
	header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	serve(b, []delivery{{body, header}}, func() http.Handler {
		return receiver(func(r *http.Request) error {
			_, err := hook.Parse(r, github.PushEvent)
			return err
		})
	})
}

// BenchmarkFiberIdempotency is a middleware that tells deliveries apart by a header,
// and verifies and parses nothing.
func BenchmarkFiberIdempotency(b *testing.B) {
	body := notification(0)
	var handle fasthttp.RequestHandler
	measure(b, func(i int) {
		if i%events == 0 {
			app := fiber.New()
			app.Use(idempotency.New())
			app.Post("/", func(c fiber.Ctx) error { return c.SendStatus(http.StatusOK) })
			handle = app.Handler()
		}
		var ctx fasthttp.RequestCtx
		ctx.Request.Header.SetMethod(http.MethodPost)
		ctx.Request.SetRequestURI("/")
		ctx.Request.Header.Set("X-Idempotency-Key", fmt.Sprintf("%036d", i))
		ctx.Request.SetBodyRaw(body)
		handle(&ctx)
		if ctx.Response.StatusCode() != http.StatusOK {
			b.Fatal("answered ", ctx.Response.StatusCode())
		}
	})
}

// toServer sends every request to a status server on this machine, over connections
// that are kept as midhook keeps its own.
type toServer struct {
	host string
	http.RoundTripper
}

func (t toServer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", t.host
	return t.RoundTripper.RoundTrip(r)
}

// BenchmarkStatusCheck asks a status server on this machine about each notification:
// as the README of Midtrans' client does, which verifies nothing else, and as midhook
// does under WithStatusCheck.
func BenchmarkStatusCheck(b *testing.B) {
	const orders = 500
	s := midhooktest.NewStatusServer(key)
	defer s.Close()
	all := make([]delivery, orders)
	for i := range all {
		all[i] = delivery{notification(i), http.Header{}}
		n, err := midhook.Parse(all[i].body)
		if err != nil {
			b.Fatal(err)
		}
		s.Put(n)
	}
	b.Run("midhook", func(b *testing.B) {
		serve(b, all, func() http.Handler {
			hook, err := midhook.New(key, midhook.WithStatusCheck(s.Client()), midhook.WithLogger(slog.New(slog.DiscardHandler)))
			if err != nil {
				b.Fatal(err)
			}
			return hook.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		})
	})
	b.Run("midtrans-go", func(b *testing.B) {
		at, err := url.Parse(s.URL)
		if err != nil {
			b.Fatal(err)
		}
		var client coreapi.Client
		client.New(key, midtrans.Sandbox)
		client.HttpClient = &midtrans.HttpClientImplementation{
			HttpClient: &http.Client{Transport: toServer{at.Host, http.DefaultTransport}},
			Logger:     midtrans.GetDefaultLogger(midtrans.Production),
		}
		serve(b, all, func() http.Handler {
			return receiver(func(r *http.Request) error {
				var payload map[string]any
				if err := json.NewDecoder(r.Body).Decode(&payload); err != nil {
					return err
				}
				order, _ := payload["order_id"].(string)
				status, failed := client.CheckTransaction(order)
				switch {
				case failed != nil:
					return failed
				case status.TransactionStatus != "settlement":
					return fmt.Errorf("the status is %s", status.TransactionStatus)
				}
				return nil
			})
		})
	})
}
