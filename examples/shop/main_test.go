package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/servers"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/sqlstore"
)

const (
	key   = "SB-Mid-server-test-key-0001"
	price = "25000.00"
)

// TestMain is also the main function of the shop's processes that the tests start.
func TestMain(m *testing.M) {
	if os.Getenv(runMain) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// testShop is a shop in this process, with a database and a status API of its own.
type testShop struct {
	*shop
	t      *testing.T
	url    string // of the database
	status *midhooktest.StatusServer
	hook   *midhook.Middleware
	routes http.Handler
}

func startShop(t *testing.T) *testShop {
	t.Helper()
	url := servers.For(t, servers.PostgreSQL).URL
	slog.SetDefault(slog.New(slog.DiscardHandler))
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { db.Close() })
	store, err := sqlstore.New(db, sqlstore.PostgreSQL)
	require.NoError(t, err)
	require.NoError(t, store.Migrate(t.Context()))
	require.NoError(t, migrate(t.Context(), pool))
	require.NoError(t, migrate(t.Context(), pool), "each start migrates")
	require.NoError(t, store.Check(t.Context()))

	status := midhooktest.NewStatusServer(key)
	t.Cleanup(status.Close)
	s := &testShop{shop: &shop{pool: pool, store: store}, t: t, url: url, status: status}
	s.hook, err = newHook(config{serverKey: key, statusURL: status.URL, statusCheck: true}, s.shop)
	require.NoError(t, err)
	s.routes = routes(s.shop, s.hook.HandlerFunc(s.notified))
	return s
}

// value is what a query of one value returns.
func value[T any](s *testShop, query string, args ...any) T {
	var v T
	assert.NoError(s.t, s.pool.QueryRow(context.Background(), query, args...).Scan(&v))
	return v
}

func (s *testShop) order() string {
	amount, err := midhook.ParseAmount(price)
	assert.NoError(s.t, err)
	id, err := s.place(context.Background(), amount)
	assert.NoError(s.t, err)
	return id
}

func (s *testShop) parcels(orderID string) int {
	return value[int](s, "SELECT count(*) FROM parcels WHERE order_id = $1", orderID)
}

func (s *testShop) refunded(orderID string) int64 {
	return value[int64](s, "SELECT coalesce(sum(refunded), 0)::bigint FROM payments WHERE order_id = $1", orderID)
}

func (s *testShop) reversed(orderID string) bool {
	return value[bool](s, "SELECT coalesce(bool_or(reversed), false) FROM payments WHERE order_id = $1", orderID)
}

// engine delivers to a handler, or to a URL, an hour a second.
func engine(handler http.Handler, url string) *midhooktest.Engine {
	return &midhooktest.Engine{Handler: handler, URL: url, Secret: key, Speed: 3600}
}

// Rule: the shop stands what happens to every merchant. The scenarios are played by
// the clock there is, and not in a bubble, because the database is a real one.
func TestScenarios(t *testing.T) {
	s := startShop(t)
	for _, scenario := range midhooktest.Scenarios() {
		t.Run(scenario.Name, func(t *testing.T) {
			e := engine(s.routes, "https://shop.example/payments/notification")
			if scenario.Name == midhooktest.Burst.Name {
				e.Speed = 60 // a thousand payments take a busy machine a while, and Midtrans has hours
			} else {
				t.Parallel() // after the thousand
			}
			_, err := scenario.Play(t.Context(), midhooktest.Subject{
				Engine:    e,
				Fulfilled: s.parcels,
				Refunded:  s.refunded,
				Reversed:  s.reversed,
				Place:     func(string) string { return s.order() },
				Status:    s.status.Put,
			})
			if errors.Is(err, errors.ErrUnsupported) {
				t.Skip(err)
			}
			require.NoError(t, err)
		})
	}
}

// Rule: an order whose notification was lost is delivered once Midtrans is asked, and
// not again when the notification comes after all.
func TestReconcile(t *testing.T) {
	s := startShop(t)
	notifications := s.hook.HandlerFunc(s.notified)
	old, unpaid, recent := s.order(), s.order(), s.order()
	_, err := s.pool.Exec(t.Context(), "UPDATE orders SET placed_at = $2 WHERE id = any($1)", []string{old, unpaid}, time.Now().Add(-time.Hour))
	require.NoError(t, err)
	var lost *midhook.Notification
	for _, id := range []string{old, recent} {
		n := midhooktest.Sample("gopay", midhooktest.Order(id), midhooktest.Transaction("transaction-of-"+id), midhooktest.Amount(price))
		s.status.Put(n)
		if id == old {
			lost = n
		}
	}
	for range 2 {
		require.NoError(t, s.reconcile(t.Context(), s.hook, notifications))
		require.Equal(t, 1, s.parcels(old))
	}
	require.Zero(t, s.parcels(unpaid), "Midtrans knows nothing of it")
	require.Zero(t, s.parcels(recent), "its notification may be on its way")

	d, err := engine(s.routes, "https://shop.example/payments/notification").Deliver(t.Context(), lost)
	require.NoError(t, err)
	require.True(t, d.Delivered, d)
	require.Equal(t, 1, s.parcels(old))
}

// Rule: a customer who pays an order twice gets one parcel, and both payments are in
// the books.
func TestPaidTwice(t *testing.T) {
	s := startShop(t)
	id := s.order()
	for _, transaction := range []string{"first", "second"} {
		n := midhooktest.Sample("gopay", midhooktest.Order(id), midhooktest.Transaction(transaction+id), midhooktest.Amount(price))
		s.status.Put(n)
		d, err := engine(s.routes, "https://shop.example/payments/notification").Deliver(t.Context(), n)
		require.NoError(t, err)
		require.True(t, d.Delivered, d)
	}
	require.Equal(t, 1, s.parcels(id))
	require.Equal(t, 2, value[int](s, "SELECT count(*) FROM payments WHERE order_id = $1 AND paid", id))
}

// Rule: a payment of an order that the shop does not know is refused, and not booked.
func TestUnknownOrder(t *testing.T) {
	s := startShop(t)
	n := midhooktest.Sample("gopay", midhooktest.Order("nobody's"))
	s.status.Put(n)
	d, err := engine(s.routes, "https://shop.example/payments/notification").Deliver(t.Context(), n)
	require.NoError(t, err)
	require.False(t, d.Delivered, d)
	require.Equal(t, http.StatusNotFound, d.Attempts[0].Status)
	require.Zero(t, value[int](s, "SELECT count(*) FROM payments"))
}

// Rule: a shop that cannot work says why and ends, so that whoever started it notices.
func TestRunFails(t *testing.T) {
	s := startShop(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	good := config{addr: taken.Addr().String(), databaseURL: s.url, serverKey: key, statusURL: s.status.URL, statusCheck: true, reconcileEvery: time.Hour}
	for what, spoil := range map[string]func(*config){
		"address already in use":  func(*config) {},
		"DATABASE_URL is not set": func(c *config) { c.databaseURL = "" },
		"failed to connect":       func(c *config) { c.databaseURL = "postgres://127.0.0.1:1/none" },
		"server key":              func(c *config) { c.serverKey = "" },
	} {
		c := good
		spoil(&c)
		require.ErrorContains(t, run(t.Context(), c), what)
	}
}
