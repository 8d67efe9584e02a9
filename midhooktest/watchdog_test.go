package midhooktest_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook/midhooktest"
)

const standingStill = "MIDHOOKTEST_STANDING_STILL"

// guardedShop holds a lock over its work.
type guardedShop struct {
	*shop
	lock   func()
	unlock func()
}

func (s *guardedShop) fulfilGuarded(ctx context.Context, order string) error {
	s.lock()
	defer s.unlock()
	return s.fulfil(ctx, order)
}

// TestOfABubbleThatStandsStill is run by TestWatchdog, in a process of its own.
func TestOfABubbleThatStandsStill(t *testing.T) {
	if os.Getenv(standingStill) == "" {
		t.Skip("it is TestWatchdog that runs this")
	}
	for name, newLock := range map[string]func() (lock, unlock func()){
		"Mutex": func() (func(), func()) {
			var mu sync.Mutex
			return mu.Lock, mu.Unlock
		},
		"RWMutex": func() (func(), func()) {
			var mu sync.RWMutex
			return mu.Lock, mu.Unlock
		},
		"channel": func() (func(), func()) {
			room := make(chan struct{}, 1)
			return func() { room <- struct{}{} }, func() { <-room }
		},
	} {
		t.Run(name, func(t *testing.T) {
			midhooktest.DuplicateStorm.Test(t, func(t *testing.T) midhooktest.Subject {
				s := &guardedShop{shop: newShop(true)}
				s.lock, s.unlock = newLock()
				return s.subject(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if s.fulfilGuarded(context.WithoutCancel(r.Context()), "duplicate-storm-1") != nil {
						w.WriteHeader(http.StatusServiceUnavailable)
					}
				}))
			})
		})
	}
}

// Rule: a shop that holds a mutex over its work fails within seconds, by the name of
// the function that waits, and the tests after it run.
func TestWatchdog(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOfABubbleThatStandsStill$", "-test.v", "-test.timeout=120s")
	cmd.Env = append(os.Environ(), standingStill+"=1")
	text, err := cmd.CombinedOutput()
	out := string(text)
	exit, failed := errors.AsType[*exec.ExitError](err)
	require.True(t, failed && exit.ExitCode() == 1, "%v\n%s", err, out)
	require.NotContains(t, out, "panic: ")
	for _, want := range []string{
		"--- FAIL: TestOfABubbleThatStandsStill/Mutex",
		"--- FAIL: TestOfABubbleThatStandsStill/RWMutex",
		"--- PASS: TestOfABubbleThatStandsStill/channel",
		"a mutex is held over work that takes its time",
		"(sync.Mutex.Lock)",
		"(*guardedShop).fulfilGuarded",
		"is meanwhile in github.com/midhook/midhook/midhooktest_test.(*shop).fulfil",
	} {
		assert.Contains(t, out, want)
	}
}
