package midhooktest_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// A merchant with midhook is safe in every scenario, whichever way it is used.
func TestMidhookPassesEveryScenario(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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

// A Mishap that the handler's code never meets makes a scenario say so: what did
// not happen was not tested.
func TestScenarioSaysThatItsMishapWasNotMet(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
	enough := errors.New("enough")
	for _, s := range midhooktest.Scenarios() {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(10*time.Second, func() { cancel(enough) })
			start := time.Now()
			h := sound()
			h.background = false
			ds, err := s.Play(ctx, h.subject(h))
			if errors.Is(err, errors.ErrUnsupported) {
				return
			}
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
		midhooktest.Outage, midhooktest.RedirectTrap, midhooktest.KeyRotation, midhooktest.Tampering, midhooktest.Challenge,
		midhooktest.AbandonedAttempt, midhooktest.EditedStatus, midhooktest.LookAlikeNames,
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
	t.Parallel()
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
