// Package stubs is what the pages' fragments take for granted: the merchant's
// own functions and values. Each fragment is compiled with a copy of this file,
// less the names that the fragment declares itself.
package stubs

//lint:file-ignore U1000 the fragments of the pages use them

import (
	"context"
	"database/sql"
	"net/http"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/gofiber/fiber/v3"
	"github.com/labstack/echo/v5"
	"github.com/midhook/midhook"
	"github.com/midhook/midhook/sqlstore"
)

// What a program has made before.
var (
	ctx     context.Context
	hook    *midhook.Middleware
	mux     *http.ServeMux
	handler http.Handler
	h       http.Handler
	key     string
	db      *sql.DB
	store   *sqlstore.Store
	r       *chi.Mux
	router  *gin.Engine
	e       *echo.Echo
	app     *fiber.App
	t       *testing.T
)

// An order of the merchant's.
type order struct {
	ID       string
	Total    int64
	Currency string
	Paid     bool
}

type orderTable struct{}

// Find returns sql.ErrNoRows for an order that is not the merchant's.
func (orderTable) Find(ctx context.Context, id string) (order, error) { return order{}, nil }

// PendingSince returns the orders that were placed since and are not paid.
func (orderTable) PendingSince(since time.Time) []order { return nil }

var orders orderTable

// notified is the merchant's handler.
func notified(ctx context.Context, n *midhook.Notification) error { return nil }

// fulfil ships an order, once.
func fulfil(ctx context.Context, orderID string) error { return nil }

type payoutBooks struct{}

func (payoutBooks) Paid(ctx context.Context, reference string, at time.Time) error     { return nil }
func (payoutBooks) Returned(ctx context.Context, reference string, at time.Time) error { return nil }

var books payoutBooks

// extend prolongs a subscription, once for each transaction.
func extend(ctx context.Context, subscription, transaction string) error { return nil }

// testShop is the merchant's server in a test.
type testShop struct{ http.Handler }

func (testShop) timesFulfilled(orderID string) int { return 0 }

func newShop(t *testing.T) testShop { return testShop{} }
