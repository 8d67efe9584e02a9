package midhooktest_test

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"testing"

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
