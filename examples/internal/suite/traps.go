package suite

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook/midhooktest"
)

// traps shows what middleware at the wrong place makes of a valid notification,
// and what midhook can do about it.
func (f Framework) traps(t *testing.T) {
	// In front, a login page is the end of a payment: 302, and nobody knows.
	// Behind midhook it is an error, and Midtrans comes again.
	t.Run(string(LoginOutside), func(t *testing.T) {
		s := f.start(t, LoginOutside)
		a := s.post(t, "/notification/acme", notification("A-1", Answer))
		require.Equal(t, http.StatusFound, a.status)
		require.Zero(t, s.Runs("A-1"))
	})
	t.Run(string(LoginInside), func(t *testing.T) {
		s := f.start(t, LoginInside)
		for range 2 { // the claim is given back
			a := s.post(t, "/notification/acme", notification("A-1", Answer))
			require.Equal(t, http.StatusServiceUnavailable, a.status)
			require.Equal(t, "handler redirected\n", a.body)
			require.Empty(t, a.header.Get("Location"))
		}
		require.Zero(t, s.Runs("A-1"))
	})
	// A body limit in front is harmless if it lets a notification through.
	t.Run(string(BodyLimit), func(t *testing.T) {
		s := f.start(t, BodyLimit)
		requireHandled(t, s.post(t, "/notification/acme", notification("A-1", Answer)), "A-1", "acme")
		large := notification("A-2", Answer, midhooktest.Field("custom_field2", strings.Repeat("x", Limit)))
		require.Equal(t, http.StatusRequestEntityTooLarge, s.post(t, "/notification/acme", large).status)
		a, err := s.try(s.url+"/notification/acme", io.MultiReader(bytes.NewReader(large))) // of unknown length
		require.NoError(t, err)
		require.Equal(t, f.Traps[BodyLimit], a.status)
		require.Zero(t, s.Runs("A-2"))
	})
	// A time limit in front may answer before midhook does. What the handler
	// does counts all the same.
	if want, exists := f.Traps[Timeout]; exists {
		t.Run(string(Timeout), func(t *testing.T) {
			s := f.start(t, Timeout)
			body := notification("late", Late)
			first := s.later(t, s.url+"/notification/acme", body)
			<-s.begin
			preempts := want != http.StatusCreated
			if preempts {
				require.Equal(t, want, (<-first).status)
			}
			close(s.finish)
			close(s.goOn)
			if !preempts {
				requireHandled(t, <-first, "late", "acme")
			}
			require.Eventually(t, func() bool {
				a := s.post(t, "/notification/acme", body)
				return a.status == http.StatusOK && a.body == "already handled\n"
			}, patience, pause)
			require.Equal(t, 1, s.Runs("late"))
		})
	}
	// Midtrans has no CSRF token.
	t.Run(string(CSRF), func(t *testing.T) {
		s := f.start(t, CSRF)
		a := s.post(t, "/notification/acme", notification("A-1", Answer))
		require.Equal(t, f.Traps[CSRF], a.status)
		require.Equal(t, a.status == http.StatusCreated, s.Runs("A-1") == 1)
	})
}

// slashes shows what a router makes of a slash too many.
func (f Framework) slashes(t *testing.T) {
	s := f.start(t, Nothing)
	for path, status := range f.Slashes {
		t.Run(path, func(t *testing.T) {
			a := s.post(t, path, notification(path, Answer))
			require.Equal(t, status, a.status, a.body)
			require.Equal(t, status == http.StatusCreated, s.Runs(path) == 1)
		})
	}
}
