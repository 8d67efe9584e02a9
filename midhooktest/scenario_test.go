package midhooktest_test

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
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

const nextKey = "SB-Mid-server-test-next"

// shop is a merchant's test double of what is behind the handler. Once is its
// unique index: an order is fulfilled once whoever asks how often.
type shop struct {
	mishap midhooktest.Mishap
	once   bool

	mu    sync.Mutex
	count map[string]int
}

func newShop(once bool) *shop { return &shop{once: once, count: map[string]int{}} }

func (s *shop) fulfil(ctx context.Context, order string) error {
	if s.once && s.fulfilled(order) > 0 {
		return nil
	}
	if err := s.mishap.Happen(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.once || s.count[order] == 0 {
		s.count[order]++
	}
	return nil
}

func (s *shop) fulfilled(order string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count[order]
}

func (s *shop) subject(h http.Handler) midhooktest.Subject {
	return midhooktest.Subject{
		Engine:    &midhooktest.Engine{Handler: h, URL: "https://shop.example/midtrans", Secret: key},
		Fulfilled: s.fulfilled,
		Mishap:    &s.mishap,
		NextKey:   nextKey,
	}
}

func newHook(t testing.TB, opts ...midhook.Option) *midhook.Middleware {
	t.Helper()
	hook, err := midhook.New(key, append([]midhook.Option{
		midhook.WithServerKey("next", nextKey),
		midhook.WithLogger(slog.New(slog.DiscardHandler)),
	}, opts...)...)
	require.NoError(t, err)
	return hook
}

// A merchant with midhook is safe in every scenario, whichever way it is used.
func TestMidhookPassesEveryScenario(t *testing.T) {
	notified := func(s *shop) func(context.Context, *midhook.Notification) error {
		return func(ctx context.Context, n *midhook.Notification) error {
			if !n.Paid() {
				return nil
			}
			return s.fulfil(ctx, n.OrderID)
		}
	}
	t.Run("HandlerFunc", func(t *testing.T) {
		midhooktest.TestHandler(t, func(t *testing.T) midhooktest.Subject {
			s := newShop(true)
			return s.subject(newHook(t).HandlerFunc(notified(s)))
		})
	})
	t.Run("Handler", func(t *testing.T) {
		midhooktest.TestHandler(t, func(t *testing.T) midhooktest.Subject {
			s := newShop(true)
			return s.subject(newHook(t).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n, _ := midhook.FromContext(r.Context())
				if notified(s)(r.Context(), n) != nil {
					w.WriteHeader(http.StatusInternalServerError)
				}
			})))
		})
	})
	t.Run("detached", func(t *testing.T) {
		midhooktest.TestHandler(t, func(t *testing.T) midhooktest.Subject {
			s := newShop(true)
			return s.subject(newHook(t, midhook.WithDetachedHandler()).HandlerFunc(notified(s)))
		})
	})
	t.Run("with records of orders and the status API", func(t *testing.T) {
		api := midhooktest.NewStatusServer(key) // outside of the bubbles, for its socket
		defer api.Close()
		midhooktest.TestHandler(t, func(t *testing.T) midhooktest.Subject {
			s, placed := newShop(true), map[string]string{}
			status, err := midhook.NewStatusClient(key, midhook.WithBaseURL("https://api.example"),
				midhook.WithHTTPClient(&http.Client{Transport: roundTripHandler{api}}))
			require.NoError(t, err)
			subject := s.subject(newHook(t, midhook.WithStatusCheck(status),
				midhook.WithExpectation(func(_ context.Context, n *midhook.Notification) (midhook.Expectation, error) {
					amount, known := placed[n.OrderID]
					if !known {
						return midhook.Expectation{}, midhook.ErrUnknownOrder
					}
					want, err := midhook.ParseAmount(amount)
					return midhook.Expectation{Amount: want, Currency: "IDR"}, err
				})).HandlerFunc(notified(s)))
			subject.Status = api.Put
			subject.Place = func(amount string) string {
				order := "order/" + t.Name() + "#" + string(rune('A'+len(placed)%26)) + strings.Repeat("x", len(placed)/26)
				placed[order] = amount
				return order
			}
			return subject
		})
	})
}

type roundTripHandler struct{ http.Handler }

func (h roundTripHandler) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec.Result(), nil
}

// Without a Mishap, scenarios happen in front of the handler or are left out.
func TestScenariosWithoutAMishap(t *testing.T) {
	midhooktest.TestHandler(t, func(t *testing.T) midhooktest.Subject {
		s := newShop(true)
		subject := s.subject(newHook(t).HandlerFunc(func(ctx context.Context, n *midhook.Notification) error {
			if n.Paid() {
				return s.fulfil(ctx, n.OrderID)
			}
			return nil
		}))
		subject.Mishap, subject.NextKey = nil, ""
		return subject
	})
	s := newShop(true)
	for _, scenario := range []midhooktest.Scenario{midhooktest.SlowHandler, midhooktest.KeyRotation} {
		subject := s.subject(http.NotFoundHandler())
		subject.Mishap, subject.NextKey = nil, ""
		ds, err := scenario.Play(t.Context(), subject)
		assert.ErrorIs(t, err, errors.ErrUnsupported, scenario.Name)
		assert.Empty(t, ds, scenario.Name)
	}
}

// naive is a handler as it is found in the field, with its mistakes to choose.
type naive struct {
	*shop
	unverified    bool                // any signature will do
	oneKey        bool                // NextKey is not among the keys
	statusOnly    bool                // paid is what says settlement
	seen          func(b body) string // what a duplicate is recognised by; nil: nothing is one
	seenAtTheEnd  bool                // ... when the order is fulfilled, else before
	failure       int                 // the answer to an error
	login         bool                // a session is required
	slash         bool                // a slash at the end is redirected to
	background    bool                // the work goes on when Midtrans has hung up
	refusesRepeat bool                // a duplicate is an error

	seenMu sync.Mutex
	was    map[string]bool
}

type body struct {
	OrderID     string `json:"order_id"`
	Transaction string `json:"transaction_id"`
	Status      string `json:"transaction_status"`
	Code        string `json:"status_code"`
	Amount      string `json:"gross_amount"`
	Signature   string `json:"signature_key"`
	Fraud       string `json:"fraud_status"`
}

func byOrder(b body) string { return b.OrderID }
func byEvent(b body) string { return b.OrderID + b.Transaction + b.Status }

func (h *naive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case h.login && r.Header.Get("Cookie") == "":
		http.Redirect(w, r, "/login", http.StatusFound)
		return
	case h.slash && !strings.HasSuffix(r.URL.Path, "/"):
		http.Redirect(w, r, r.URL.Path+"/", http.StatusMovedPermanently)
		return
	}
	text, _ := io.ReadAll(r.Body)
	var b body
	if json.Unmarshal(text, &b) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	signedBy := func(key string) bool {
		sum := sha512.Sum512([]byte(b.OrderID + b.Code + b.Amount + key))
		return hex.EncodeToString(sum[:]) == b.Signature
	}
	if !h.unverified && !signedBy(key) && (h.oneKey || !signedBy(nextKey)) {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if h.seen != nil {
		h.seenMu.Lock()
		duplicate := h.was[h.seen(b)]
		if !h.seenAtTheEnd {
			h.was[h.seen(b)] = true
		}
		h.seenMu.Unlock()
		if duplicate && h.refusesRepeat {
			w.WriteHeader(http.StatusConflict)
		}
		if duplicate {
			return
		}
	}
	ctx := r.Context()
	if h.background {
		ctx = context.WithoutCancel(ctx)
	}
	paid := (b.Status == "settlement" || b.Status == "capture") && b.Fraud != "deny" && (h.statusOnly || b.Code == "200")
	if paid && h.fulfil(ctx, b.OrderID) != nil {
		w.WriteHeader(h.failure)
		return
	}
	if h.seen != nil && h.seenAtTheEnd {
		h.seenMu.Lock()
		h.was[h.seen(b)] = true
		h.seenMu.Unlock()
	}
}

// sound is a naive handler without any of the mistakes the scenarios look for,
// for the others to be made of.
func sound() *naive {
	return &naive{shop: newShop(true), was: map[string]bool{}, failure: http.StatusServiceUnavailable, background: true}
}

// Each scenario lets the sound handler through, and names the rule that the others
// break: a scenario that nothing fails guards nothing.
func TestScenariosFailNaiveHandlers(t *testing.T) {
	type mistake func(*naive)
	noDedupe := func(h *naive) { h.once = false }
	unverified := func(h *naive) { h.unverified = true }
	dedupe := func(by func(body) string, atTheEnd bool) mistake {
		return func(h *naive) { h.once, h.seen, h.seenAtTheEnd = false, by, atTheEnd }
	}
	for _, c := range []struct {
		handler  string
		mistake  mistake
		scenario midhooktest.Scenario
		says     string // besides the rule
	}{
		{"no dedupe", noDedupe, midhooktest.DuplicateStorm, "fulfilled 35 times, want once"},
		{"checks, works and then marks", dedupe(byEvent, true), midhooktest.DuplicateStorm, "fulfilled 32 times, want once"},
		{"refuses duplicates", func(h *naive) { h.seen, h.refusesRepeat = byEvent, true }, midhooktest.DuplicateStorm, "34 of 35 notifications were lost"},
		{"dedupe by order_id", dedupe(byOrder, false), midhooktest.OutOfOrder, "fulfilled never, want once"},
		{"no dedupe", noDedupe, midhooktest.CaptureThenSettlement, "fulfilled 2 times, want once"},
		{"dedupe by event", dedupe(byEvent, false), midhooktest.CaptureThenSettlement, "fulfilled 2 times, want once"},
		{"slow without a budget", noDedupe, midhooktest.SlowHandler, "fulfilled 6 times, want once"},
		{"slow, marks when through", dedupe(byEvent, true), midhooktest.SlowHandler, "fulfilled 2 times, want once"},
		{"gives up when Midtrans hangs up", func(h *naive) { h.background = false }, midhooktest.SlowHandler, "notifications were lost"},
		{"marks before success", dedupe(byEvent, false), midhooktest.Crash, "fulfilled never, want once"},
		{"marks before success", dedupe(byEvent, false), midhooktest.Outage, "fulfilled never, want once"},
		{"answers 500", func(h *naive) { h.failure = http.StatusInternalServerError }, midhooktest.Outage, "500: no more than 1 retry, lost"},
		{"answers 200 to errors", func(h *naive) { h.failure = http.StatusOK }, midhooktest.Outage, "fulfilled never, want once"},
		{"no dedupe, no budget", noDedupe, midhooktest.Burst, "fulfilled 2 times, want once"},
		{"redirects to a login", func(h *naive) { h.login = true }, midhooktest.RedirectTrap, "302: no retry follows, lost"},
		{"redirects to a slash", func(h *naive) { h.slash = true }, midhooktest.RedirectTrap, "301: no retry follows, lost"},
		{"knows one key", func(h *naive) { h.oneKey = true }, midhooktest.KeyRotation, "6 of 12 notifications were lost"},
		{"no dedupe", noDedupe, midhooktest.KeyRotation, "fulfilled 3 times, want once"},
		{"verifies nothing", unverified, midhooktest.Tampering, "order_id was changed after it was signed: check the signature"},
		{"verifies nothing", unverified, midhooktest.Tampering, "status_code was changed after it was signed: check the signature"},
		{"verifies nothing", unverified, midhooktest.Tampering, "gross_amount was changed after it was signed: check the signature"},
		{"trusts transaction_status", func(h *naive) { h.statusOnly = true }, midhooktest.Tampering, "transaction_status is not signed, status_code is"},
	} {
		t.Run(c.scenario.Name+"/"+c.handler, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := sound()
				ds, err := c.scenario.Play(t.Context(), h.subject(h))
				require.NoError(t, err, "the sound handler")
				assert.NotEmpty(t, ds)

				h = sound()
				c.mistake(h)
				_, err = c.scenario.Play(t.Context(), h.subject(h))
				require.ErrorContains(t, err, c.says)
				if c.scenario.Name != midhooktest.Tampering.Name { // whose cases have rules of their own
					require.ErrorContains(t, err, c.scenario.Name+": "+c.scenario.Rule)
				}
				for line := range strings.Lines(err.Error()) {
					assert.NotContains(t, line, key)
				}
			})
		})
	}
}

// A Mishap that the handler's code never meets makes a scenario say so: what did
// not happen was not tested.
func TestScenarioSaysThatItsMishapWasNotMet(t *testing.T) {
	for _, s := range []midhooktest.Scenario{
		midhooktest.DuplicateStorm, midhooktest.SlowHandler, midhooktest.Crash, midhooktest.Outage, midhooktest.Burst,
	} {
		synctest.Test(t, func(t *testing.T) {
			h := sound()
			subject := h.subject(h)
			subject.Mishap = new(midhooktest.Mishap)
			_, err := s.Play(t.Context(), subject)
			assert.ErrorContains(t, err, "nothing called Subject.Mishap.Happen", s.Name)
		})
	}
}

func TestPlayRefusesWhatItCannotPlay(t *testing.T) {
	h := sound()
	for says, c := range map[string]struct {
		scenario midhooktest.Scenario
		engine   *midhooktest.Engine
	}{
		"none of Scenarios":  {midhooktest.Scenario{Name: "mine"}, h.subject(h).Engine},
		"are required":       {midhooktest.Crash, nil},
		"its Secret":         {midhooktest.Crash, &midhooktest.Engine{Handler: h}},
		"a Handler or a URL": {midhooktest.Tampering, &midhooktest.Engine{Secret: key}},
	} {
		_, err := c.scenario.Play(t.Context(), midhooktest.Subject{Engine: c.engine})
		require.ErrorContains(t, err, says)
		assert.Equal(t, 1, strings.Count(err.Error(), says), "once is enough")
	}
}

// A play that is called off ends, and its handlers with it.
func TestPlayEndsWithItsContext(t *testing.T) {
	enough := errors.New("enough")
	for _, s := range midhooktest.Scenarios() {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(10*time.Second, func() { cancel(enough) })
			start := time.Now()
			h := sound()
			h.background = false
			ds, err := s.Play(ctx, h.subject(h))
			if err == nil {
				assert.Less(t, time.Since(start), 10*time.Second, "%s was over before", s.Name)
				return
			}
			assert.ErrorIs(t, err, enough, s.Name)
			assert.NotEmpty(t, ds, s.Name)
			assert.Equal(t, 10*time.Second, time.Since(start), s.Name)

			ds, err = s.Play(ctx, h.subject(h))
			assert.ErrorIs(t, err, enough, s.Name)
			assert.Empty(t, ds, s.Name)
		})
	}
}

// Over a real socket, at a speed of its own, a scenario finds the same.
func TestScenariosOverASocket(t *testing.T) {
	play := func(s midhooktest.Scenario, speed float64, mistake func(*naive)) error {
		h := sound()
		mistake(h)
		server := httptest.NewUnstartedServer(h)
		server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0) // the crash's
		server.Start()
		defer server.Close()
		subject := h.subject(nil)
		subject.Engine = &midhooktest.Engine{URL: server.URL + "/midtrans", Secret: key, Speed: speed}
		_, err := s.Play(t.Context(), subject)
		return err
	}
	for _, s := range []midhooktest.Scenario{
		midhooktest.DuplicateStorm, midhooktest.OutOfOrder, midhooktest.CaptureThenSettlement, midhooktest.Crash,
		midhooktest.Outage, midhooktest.RedirectTrap, midhooktest.KeyRotation, midhooktest.Tampering,
	} {
		speed := 36000.0
		if s.Name == midhooktest.Outage.Name {
			speed = 3600 // a delivery must not use up its retries while another is kept waiting for the processor
		}
		assert.NoError(t, play(s, speed, func(*naive) {}), s.Name)
	}
	assert.ErrorContains(t, play(midhooktest.RedirectTrap, 36000, func(h *naive) { h.login = true }), midhooktest.RedirectTrap.Rule)
	assert.ErrorContains(t, play(midhooktest.Outage, 3600, func(h *naive) { h.failure = 500 }), midhooktest.Outage.Rule)
}

// TestHandler fails and skips as a test does. It is run in a process of its own,
// for a failing test cannot be caught.
func TestTestHandlerFails(t *testing.T) {
	if os.Getenv("MIDHOOKTEST_NAIVE") != "" {
		midhooktest.TestHandler(t, func(*testing.T) midhooktest.Subject {
			h := sound()
			h.once = false
			subject := h.subject(h)
			subject.NextKey = ""
			return subject
		})
		t.Run("no Fulfilled", func(t *testing.T) {
			midhooktest.Crash.Test(t, func(*testing.T) midhooktest.Subject {
				return midhooktest.Subject{Engine: &midhooktest.Engine{Handler: sound(), Secret: key}}
			})
		})
		t.Run("no Handler", func(t *testing.T) {
			midhooktest.Crash.Test(t, func(*testing.T) midhooktest.Subject {
				return midhooktest.Subject{Engine: &midhooktest.Engine{URL: "http://127.0.0.1/", Secret: key}}
			})
		})
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTestHandlerFails$", "-test.v", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), "MIDHOOKTEST_NAIVE=1")
	out, err := cmd.CombinedOutput()
	require.Error(t, err, "%s", out)
	for _, want := range []string{
		"--- FAIL: TestTestHandlerFails/duplicate-storm",
		"duplicate-storm: " + midhooktest.DuplicateStorm.Rule,
		"--- FAIL: TestTestHandlerFails/slow-handler",
		"--- PASS: TestTestHandlerFails/crash",
		"--- PASS: TestTestHandlerFails/tampering",
		"--- SKIP: TestTestHandlerFails/key-rotation",
		"key-rotation needs a NextKey",
		"Subject.Fulfilled is required",
		"a bubble has no network",
	} {
		assert.True(t, bytes.Contains(out, []byte(want)), "no %q in\n%s", want, out)
	}
}
