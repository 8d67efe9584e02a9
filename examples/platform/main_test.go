package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/examples/internal/suite"
	"github.com/midhook/midhook/midhooktest"
)

var keys = map[string]string{
	"kopi":  "SB-Mid-server-test-key-0001",
	"batik": "SB-Mid-server-test-key-0002",
}

const nextKey = "SB-Mid-server-test-key-0003"

func TestMain(m *testing.M) { suite.Main(m, main) }

// start opens a platform whose dock counts by merchant and order.
func start(t *testing.T) (http.Handler, *suite.Dock) {
	t.Helper()
	dock := suite.NewDock()
	p := newPlatform(midhook.NewLRUStore(1024), newLedger(func(ctx context.Context, p payment) error {
		return dock.Ship(ctx, p.merchant+"/"+p.orderID)
	}))
	for merchant, key := range keys {
		require.NoError(t, p.add(merchant, key, midhook.WithServerKey("next", nextKey), midhook.WithLogger(slog.New(slog.DiscardHandler))))
	}
	return p.routes(), dock
}

func deliver(handler http.Handler, merchant string, n *midhook.Notification, key string) (status int) {
	r := midhooktest.NewRequest(n, key)
	r.URL.Path = fmt.Sprintf("/merchants/%s/notification", merchant)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w.Code
}

// Rule: whatever happens to a merchant's notifications, the platform stands it for
// each of its merchants.
func TestScenarios(t *testing.T) {
	for merchant, key := range keys {
		t.Run(merchant, func(t *testing.T) {
			midhooktest.TestHandler(t, func(t *testing.T) midhooktest.Subject {
				handler, dock := start(t)
				return midhooktest.Subject{
					Engine: &midhooktest.Engine{
						Handler: handler,
						URL:     "https://platform.example/merchants/" + merchant + "/notification",
						Secret:  key,
					},
					Fulfilled: func(orderID string) int { return dock.Shipped(merchant + "/" + orderID) },
					Mishap:    &dock.Mishap,
					NextKey:   nextKey,
				}
			})
		})
	}
}

// Rule: one event of each of two merchants, the same in every field, is two events.
func TestMerchantsDoNotMeet(t *testing.T) {
	handler, dock := start(t)
	n := midhooktest.Sample("gopay", midhooktest.Order("1001"))
	for merchant, key := range keys {
		require.Equal(t, http.StatusOK, deliver(handler, merchant, n, key))
		require.Equal(t, http.StatusOK, deliver(handler, merchant, n, key))
	}
	for merchant := range keys {
		assert.Equal(t, 1, dock.Shipped(merchant+"/1001"), merchant)
	}
}

// Rule: a merchant's key signs nothing for another merchant, and leaves no mark.
func TestOneMerchantsKeyIsNotAnothers(t *testing.T) {
	handler, dock := start(t)
	n := midhooktest.Sample("gopay", midhooktest.Order("1001"))
	require.Equal(t, http.StatusForbidden, deliver(handler, "kopi", n, keys["batik"]))
	require.Zero(t, dock.Shipped("kopi/1001"))
	require.Equal(t, http.StatusOK, deliver(handler, "kopi", n, keys["kopi"]))
	require.Equal(t, 1, dock.Shipped("kopi/1001"))
}

func TestUnknownMerchant(t *testing.T) {
	handler, _ := start(t)
	require.Equal(t, http.StatusNotFound, deliver(handler, "nobody", midhooktest.Sample("gopay"), keys["kopi"]))
}

// Rule: a merchant who cannot be told from a mistake is not taken on, and the error
// says which one.
func TestMerchantWithoutKey(t *testing.T) {
	p := newPlatform(midhook.NewLRUStore(1024), newLedger(credit))
	require.ErrorContains(t, p.add("kopi", ""), "merchant kopi")
}
