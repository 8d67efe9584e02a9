package suite

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// runMain is set for a process that is to be the example program.
const runMain = "MIDHOOK_EXAMPLE_MAIN"

// Main is an example's TestMain. The test binary is also the example program, so
// that Program can run it.
func Main(m *testing.M, main func()) {
	if os.Getenv(runMain) != "" {
		main()
		return
	}
	// Frameworks log each request.
	log.SetOutput(io.Discard)
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// Program runs the example program as its users do, delivers to it, and stops it.
func Program(t *testing.T) {
	addr := freeAddress(t)
	cmd := exec.Command(os.Args[0], "-addr", addr)
	cmd.Env = append(os.Environ(), runMain+"=1", "MIDTRANS_SERVER_KEY="+key)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop := sync.OnceValue(func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			return err
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			<-ended
			return fmt.Errorf("the program did not end within %v of SIGTERM", patience)
		}
	})
	t.Cleanup(func() { _ = stop() })

	s := &server{client: &http.Client{Timeout: patience}, url: "http://" + addr}
	t.Cleanup(s.client.CloseIdleConnections)
	for deadline := time.Now().Add(patience); ; time.Sleep(pause) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			break
		}
		require.True(t, time.Now().Before(deadline), "the program does not listen: %v", err)
	}
	body := notification("A-1", "")
	const path = "/payments/notification"
	require.Equal(t, http.StatusOK, s.post(t, path, body).status)
	require.Equal(t, "already handled\n", s.post(t, path, body).body)
	forged := midhooktest.Body(midhooktest.Sample("gopay"), "SB-Mid-server-other-key-0001")
	require.Equal(t, http.StatusForbidden, s.post(t, path, forged).status)
	s.client.CloseIdleConnections()
	require.NoError(t, stop(), said.String())
	require.Contains(t, said.String(), "ship order A-1")
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// RequireTimeouts checks that a server neither waits for ever nor hangs up before
// midhook has answered.
func RequireTimeouts(t *testing.T, s *http.Server) {
	const budget = 5 * time.Second
	assert.Greater(t, s.ReadTimeout, budget)
	assert.Greater(t, s.WriteTimeout, budget)
	assert.Positive(t, s.IdleTimeout)
}

// Ship is the merchant's own function that ships an order.
type Ship = func(ctx context.Context, orderID string) error

// nextKey is a second server key that the hooks accept.
const nextKey = "SB-Mid-server-test-key-0002"

// Hook is a Middleware that says nothing.
func Hook(t *testing.T, opts ...midhook.Option) *midhook.Middleware {
	t.Helper()
	hook, err := midhook.New(key, append([]midhook.Option{
		midhook.WithServerKey("next", nextKey),
		midhook.WithLogger(slog.New(slog.DiscardHandler)),
	}, opts...)...)
	require.NoError(t, err)
	return hook
}

// Scenarios plays midhooktest's scenarios against an example's routes, which ship by
// the function they are given.
func Scenarios(t *testing.T, routes func(*midhook.Middleware, Ship) http.Handler) {
	midhooktest.TestHandler(t, func(t *testing.T) midhooktest.Subject {
		d := NewDock()
		return midhooktest.Subject{
			Engine:    &midhooktest.Engine{Handler: routes(Hook(t), d.Ship), URL: "https://shop.example/payments/notification", Secret: key},
			Fulfilled: d.Shipped,
			Mishap:    &d.Mishap,
			NextKey:   nextKey,
		}
	})
}

// Dock counts what leaves the shop.
type Dock struct {
	Mishap midhooktest.Mishap
	mu     sync.Mutex
	count  map[string]int
}

func NewDock() *Dock { return &Dock{count: map[string]int{}} }

// Ship is a Ship.
func (d *Dock) Ship(ctx context.Context, orderID string) error {
	if err := d.Mishap.Happen(ctx); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count[orderID]++
	return nil
}

// Shipped is how often an order was shipped.
func (d *Dock) Shipped(orderID string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count[orderID]
}
