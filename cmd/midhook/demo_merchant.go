package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/midhook/midhook"
)

// The merchant's server key, and the one before it, which it still accepts.
const (
	serverKey = "SB-Mid-server-test"
	oldKey    = "SB-Mid-server-old-key-0001"
)

// merchant is the example: an HTTP server with midhook in front of a handler.
type merchant struct {
	url    string
	server http.Server
	ended  chan error

	mu     sync.Mutex
	paid   map[string]bool // by order
	failed map[string]bool // by order
	did    string          // what the handler did last, in words
}

// openMerchant serves on l until close. protection is what midhook is to check
// beyond the signature.
func openMerchant(l net.Listener, budget time.Duration, logger *slog.Logger, observer func(context.Context, midhook.Event), protection ...midhook.Option) (*merchant, error) {
	hook, err := midhook.New(serverKey, append(protection,
		midhook.WithServerKey("old", oldKey),
		midhook.WithBudget(budget),
		midhook.WithLogger(logger),
		midhook.WithObserver(observer),
	)...)
	if err != nil {
		return nil, err
	}
	m := &merchant{
		url:    "http://" + reachable(l.Addr()),
		ended:  make(chan error, 1),
		paid:   map[string]bool{},
		failed: map[string]bool{},
	}
	mux := http.NewServeMux()
	mux.Handle("/midtrans", hook.HandlerFunc(m.notified))
	mux.Handle("/midtrans/failing", hook.HandlerFunc(m.failing))
	mux.Handle("/midtrans/slow", hook.HandlerFunc(m.slow(2*budget)))
	mux.Handle("/midtrans/login", hook.Handler(http.HandlerFunc(m.login)))
	m.server = http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      15 * time.Second, // as long as Midtrans waits
		IdleTimeout:       time.Minute,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	go func() { m.ended <- m.server.Serve(l) }()
	return m, nil
}

// reachable is where a client on this machine finds a listener.
func reachable(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return fmt.Sprintf("127.0.0.1:%d", tcp.Port)
	}
	return addr.String()
}

// close lets running handlers come to their end.
func (m *merchant) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	err := m.server.Shutdown(ctx)
	if ended := <-m.ended; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

// notified is the handler. A real one would write to its database what this one
// keeps in memory.
func (m *merchant) notified(_ context.Context, n *midhook.Notification) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case n.Kind() == midhook.PayAccount && n.AccountStatus == "ENABLED":
		m.did = "account linked"
	case n.Kind() == midhook.PayAccount:
		m.did = "account unlinked"
	case n.Paid() && m.paid[n.OrderID]: // a card's capture and settlement are two events of one payment
		m.did = "nothing: paid before"
	case n.Paid():
		m.did = fmt.Sprintf("paid (%s)", n.TransactionStatus)
		m.paid[n.OrderID] = true
	case n.FraudStatus == midhook.FraudChallenge:
		m.did = "on hold"
	case n.TransactionStatus == midhook.StatusPartialRefund:
		m.did = "refunded " + n.RefundAmount
	case n.TransactionStatus == midhook.StatusDeny && m.paid[n.OrderID]:
		m.did = "payment undone"
		delete(m.paid, n.OrderID)
	default:
		m.did = "not paid"
	}
	return nil
}

// failing is a handler whose database is down when an order comes first.
func (m *merchant) failing(ctx context.Context, n *midhook.Notification) error {
	m.mu.Lock()
	again := m.failed[n.OrderID]
	m.failed[n.OrderID] = true
	m.did = "database down"
	m.mu.Unlock()
	if !again {
		return errors.New("the database is down")
	}
	return m.notified(ctx, n)
}

// slow is a handler that takes a while.
func (m *merchant) slow(while time.Duration) func(context.Context, *midhook.Notification) error {
	return func(ctx context.Context, n *midhook.Notification) error {
		m.mu.Lock()
		m.did = "not done yet"
		m.mu.Unlock()
		select {
		case <-time.After(while):
			return m.notified(ctx, n)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// login is a handler behind a session check that nobody exempted Midtrans from.
func (m *merchant) login(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	m.did = "302 to /login"
	m.mu.Unlock()
	http.Redirect(w, r, "/login", http.StatusFound)
}

// lately returns what the handler has done since the last call, "" for nothing.
func (m *merchant) lately() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	did := m.did
	m.did = ""
	return did
}
