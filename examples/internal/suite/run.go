package suite

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// Run runs all of it.
func Run(t *testing.T, f Framework) {
	t.Run("handled and refused", f.handledAndRefused)
	t.Run("failures", f.failures)
	t.Run("recovery", f.recovery)
	t.Run("late", func(t *testing.T) { f.late(t) })
	if !f.Pooled {
		t.Run("late, detached handler", func(t *testing.T) { f.late(t, midhook.WithDetachedHandler()) })
	}
	t.Run("late panic", f.latePanic)
	t.Run("late failure", f.lateFailure)
	t.Run("traps", f.traps)
	t.Run("slashes", f.slashes)
	t.Run("behind nginx", f.behindNginx)
}

// A verified notification reaches the native handler, whose own answer goes out;
// nothing else does, whatever error handler the framework has.
func (f Framework) handledAndRefused(t *testing.T) {
	s := f.start(t, Nothing)
	valid := notification("A-1", Answer)
	requireHandled(t, s.post(t, "/notification/acme", valid), "A-1", "acme")
	require.Equal(t, "A-1", s.boundTo("A-1"), "the native handler must be able to bind the body")

	for _, refused := range []struct {
		name   string
		body   []byte
		status int
		answer string
	}{
		{"duplicate", valid, 200, "already handled\n"},
		{"forged", midhooktest.Body(midhooktest.Sample("gopay", midhooktest.Order("A-2")), "SB-Mid-server-other"), 403, "signature does not match\n"},
		{"edited", bytes.Replace(notification("A-2", Answer, midhooktest.Status("201", midhook.StatusPending)), []byte(`"pending"`), []byte(`"settlement"`), 1), 403, "notification claims more than was signed or confirmed\n"},
		{"malformed", []byte(`{"order_id": "A-2"`), 400, "malformed notification\n"},
		{"empty", nil, 400, "malformed notification\n"},
		{"oversized", notification("A-2", Answer, midhooktest.Field("custom_field2", strings.Repeat("x", 64<<10))), 413, "body too large\n"},
	} {
		t.Run(refused.name, func(t *testing.T) {
			a := s.post(t, "/notification/acme", refused.body)
			require.Equal(t, refused.status, a.status, a.body)
			require.Equal(t, refused.answer, a.body)
			require.Equal(t, "text/plain; charset=utf-8", a.header.Get("Content-Type"))
			require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
		})
	}
	require.Equal(t, 1, s.Runs("A-1"))
	require.Zero(t, s.Runs("A-2"), "the handler must not see what is not authentic")

	a, err := s.try(s.url+"/notification/acme", io.MultiReader(bytes.NewReader(notification("A-2", Answer)), strings.NewReader(strings.Repeat(" ", 65<<10))))
	require.NoError(t, err)
	require.Equal(t, http.StatusRequestEntityTooLarge, a.status, "a body of unknown length is limited, too")
}

// What the framework has for failures becomes what Midtrans' retry engine is to
// hear, and gives the claim back: the retry runs the handler again.
func (f Framework) failures(t *testing.T) {
	s := f.start(t, Nothing)
	for _, failure := range []struct {
		do     string
		status int
		answer string // "" for any
	}{
		{Fail, 503, "handler failed\n"},
		{Error, 503, "handler failed\n"},
		{Redirect, 503, "handler redirected\n"},
		{Refuse, 409, ""},
		{NotFound, 404, ""},
	} {
		t.Run(failure.do, func(t *testing.T) {
			body := notification(failure.do, failure.do)
			a := s.post(t, "/notification/acme", body)
			require.Equal(t, failure.status, a.status, a.body)
			if failure.answer != "" {
				require.Equal(t, failure.answer, a.body)
				require.NotEmpty(t, a.header.Get("Retry-After"))
				require.Empty(t, a.header.Get("Location"), "nothing of the handler's answer may be left")
			}
			require.NotContains(t, a.body, "secret", "an error's text must not leave")

			requireHandled(t, s.post(t, "/notification/acme", body), failure.do, "acme")
			require.Equal(t, 2, s.Runs(failure.do))
		})
	}
}

// A panic gives the claim back, wherever it is recovered.
func (f Framework) recovery(t *testing.T) {
	for _, around := range []Around{RecoveryOutside, RecoveryInside} {
		t.Run(string(around), func(t *testing.T) {
			s := f.start(t, around)
			body := notification("A-1", Panic)
			want := f.Recovered
			if around == RecoveryInside {
				want = http.StatusServiceUnavailable
			}
			a := s.post(t, "/notification/acme", body)
			require.Equal(t, want, a.status, a.body)
			require.NotContains(t, a.body, "secret")

			requireHandled(t, s.post(t, "/notification/acme", body), "A-1", "acme")
			require.Equal(t, 2, s.Runs("A-1"))
		})
	}
}

// A handler that is past the budget ignores its context, writes, and reads its
// parameters and values beside 500 requests on contexts from the same pool.
func (f Framework) late(t *testing.T, slow ...midhook.Option) {
	s := f.start(t, Nothing, slow...)
	body := notification("late", Late)
	first := s.later(t, s.url+"/slow/acme", body)
	<-s.begin
	if f.Buffers {
		s.await(t, midhook.OutcomeBudgetExceeded)
	} else {
		requireTooSlow(t, <-first) // while the handler is held up
	}
	require.Equal(t, http.StatusServiceUnavailable, s.post(t, "/slow/acme", body).status, "it is still in flight")

	close(s.goOn)
	s.flood(t, "beside", 500)
	close(s.finish)
	s.await(t, midhook.OutcomeLateHandled)
	if f.Buffers {
		requireTooSlow(t, <-first)
	}
	a := s.post(t, "/slow/acme", body)
	require.Equal(t, http.StatusOK, a.status)
	require.Equal(t, "already handled\n", a.body, "the late success makes the retry cheap")
	require.Equal(t, 1, s.Runs("late"))
	require.Equal(t, []string{"acme acme"}, s.sights(), "the parameter and the value of its own request")
	s.flood(t, "after", 100)
}

func requireTooSlow(t *testing.T, a answer) {
	t.Helper()
	require.Equal(t, http.StatusServiceUnavailable, a.status, a.body)
	require.Equal(t, "still being handled\n", a.body)
	require.NotEmpty(t, a.header.Get("Retry-After"))
}

// flood delivers n notifications, each of which must get its own answer.
func (s *server) flood(t *testing.T, name string, n int) {
	t.Helper()
	const workers = 4
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for i := worker; i < n; i += workers {
				order, shop := fmt.Sprintf("%s-%d", name, i), fmt.Sprintf("shop-%d", i)
				a, err := s.try(s.url+"/notification/"+shop, bytes.NewReader(notification(order, Answer)))
				want := fmt.Sprintf(`{"order":%q,"shop":%q,"tenant":%q}`, order, shop, shop)
				if err != nil || a.status != http.StatusCreated || strings.TrimSpace(a.body) != want {
					t.Errorf("got %d %s %v, want %s", a.status, a.body, err, want)
					return
				}
			}
		})
	}
	group.Wait()
}

// A panic after the budget gives the claim back, and cannot spoil the answer.
func (f Framework) latePanic(t *testing.T) {
	s := f.start(t, RecoveryOutside)
	body := notification("late", LatePanic)
	first := s.later(t, s.url+"/slow/acme", body)
	<-s.begin
	if f.Buffers {
		s.await(t, midhook.OutcomeBudgetExceeded)
	} else {
		requireTooSlow(t, <-first)
	}
	close(s.finish)
	close(s.goOn)
	s.await(t, midhook.OutcomeLateFailed)
	if f.Buffers {
		require.Equal(t, f.Recovered, (<-first).status)
	}
	requireHandled(t, s.post(t, "/slow/acme", body), "late", "acme")
	s.flood(t, "after", 50)
}

// A handler that fails by the framework's means after the budget runs again.
func (f Framework) lateFailure(t *testing.T) {
	s := f.start(t, Nothing)
	body := notification("late", LateFailure)
	first := s.later(t, s.url+"/slow/acme", body)
	<-s.begin
	s.await(t, midhook.OutcomeBudgetExceeded)
	close(s.finish)
	close(s.goOn)
	requireTooSlow(t, <-first)
	s.await(t, midhook.OutcomeLateFailed)
	requireHandled(t, s.post(t, "/slow/acme", body), "late", "acme")
}
