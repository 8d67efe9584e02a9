// Package echohook puts midhook into an echo route, so that the route's own
// handler gets the notification:
//
//	e.POST("/payments/notification", func(c *echo.Context) error {
//		n, _ := echohook.FromContext(c)
//		return c.JSON(http.StatusOK, map[string]string{"order": n.OrderID})
//	}, echohook.New(hook))
//
// echo.WrapMiddleware will not do: what the handler returns passes midhook by,
// which then takes an error for a success and tells Midtrans so.
package echohook

import (
	"errors"
	"net/http"
	"sync"

	"github.com/labstack/echo/v5"

	"github.com/midhook/midhook"
)

// New returns echo middleware that hands verified notifications on to the
// handler behind it, and answers all others itself. Put it behind logging and
// recovery, and before anything that could answer in its place.
//
// The handler's answer decides as it does under [midhook.Middleware.Handler]. An
// error that it returns becomes its status (echo.StatusCode, 500 if it has none
// or one below 400) and no more: whatever the echo's HTTPErrorHandler makes of
// errors, 200 perhaps, is nothing that Midtrans must hear. The error goes to
// c.Logger. If something was written before, that stands, as it does without
// midhook: return the error first.
//
// A handler that is past the budget may use c until it returns. What middleware
// outside has registered with [echo.Response.Before] runs when midhook answers,
// and so at the budget on another goroutine, beside the handler.
//
// With [midhook.WithDetachedHandler] New waits for the handler all the same,
// for c belongs to the request: leave that option out.
//
// New panics if hook is nil.
func New(hook *midhook.Middleware) echo.MiddlewareFunc {
	if hook == nil {
		panic("echohook: nil hook")
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			var (
				using sync.Mutex // c: the handler, or whoever comes after it
				left  bool
			)
			// midhook answers through the response that middleware outside
			// knows, so that it is right about status and size; the handler's
			// is another one.
			w := &closing{ResponseWriter: c.Response(), closes: c.Request().ProtoMajor == 1}
			hook.Handler(http.HandlerFunc(func(buffered http.ResponseWriter, r *http.Request) {
				using.Lock()
				defer using.Unlock()
				if left {
					buffered.WriteHeader(http.StatusServiceUnavailable) // c is gone
					return
				}
				w.busy.Store(true)
				defer w.busy.Store(false)
				handle(c, next, buffered, r)
			})).ServeHTTP(w, c.Request())

			using.Lock() // a detached handler may still be at it
			left = true
			using.Unlock()
			return nil
		}
	}
}

// handle runs next on midhook's writer and request.
func handle(c *echo.Context, next echo.HandlerFunc, w http.ResponseWriter, r *http.Request) {
	request, response := c.Request(), c.Response()
	defer func() { // after a panic, too: recovery outside answers
		c.SetRequest(request)
		c.SetResponse(response)
	}()
	own := echo.NewResponse(w, c.Logger())
	c.SetRequest(r)
	c.SetResponse(own)

	err := next(c)
	if err == nil || own.Committed && errors.Is(err, http.ErrHandlerTimeout) {
		return // c.JSON past the budget: too late for the answer, not for the event
	}
	c.Logger().ErrorContext(r.Context(), "notification handler failed", "error", err)
	if own.Committed {
		return
	}
	status := echo.StatusCode(err)
	if status < http.StatusBadRequest {
		status = http.StatusInternalServerError
	}
	http.Error(own, http.StatusText(status), status)
}

// FromContext returns the notification that a handler behind [New] is to handle.
func FromContext(c *echo.Context) (*midhook.Notification, bool) {
	return midhook.FromContext(c.Request().Context())
}
