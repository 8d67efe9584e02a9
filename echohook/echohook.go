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

	"github.com/labstack/echo/v5"

	"github.com/midhook/midhook"
)

// New returns echo middleware that hands verified notifications on to the
// handler behind it, and answers all others itself. Put it behind logging and
// recovery, and before anything that could answer in its place.
//
// The handler's answer decides as it does under [midhook.Middleware.Handler]. An
// error that it returns becomes its status (echo.StatusCode, 503 if it has none
// or one below 400) and no more: whatever the echo's HTTPErrorHandler makes of
// errors, 200 perhaps, is nothing that Midtrans must hear. The error goes to
// c.Logger, and to midhook's log and observers. What no retry can mend is said by
// returning midhook.Permanent(err): it is answered 200 and reported. If something was
// written before, that stands, as it does without midhook: return the error first.
//
// A handler that is past the budget may use c until it returns. What middleware
// outside has registered with [echo.Response.Before] runs when midhook answers,
// and so at the budget on another goroutine, beside the handler.
//
// echo uses c again for another request as soon as this one has ended, so New leaves
// [midhook.WithDetachedHandler] out: it returns when the handler has.
//
// New panics if hook is nil.
func New(hook *midhook.Middleware) echo.MiddlewareFunc {
	if hook == nil {
		panic("echohook: nil hook")
	}
	hook = hook.Attached()
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			// midhook answers through the response that middleware outside knows, so
			// that it is right about status and size; the handler's is another one.
			hook.HandlerWithError(func(w http.ResponseWriter, r *http.Request) error {
				return handle(c, next, w, r)
			}).ServeHTTP(c.Response(), c.Request())
			return nil
		}
	}
}

// handle runs next on midhook's writer and request. It returns next's error, unless
// next has answered with a success.
func handle(c *echo.Context, next echo.HandlerFunc, w http.ResponseWriter, r *http.Request) error {
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
		return nil // c.JSON past the budget: too late for the answer, not for the event
	}
	c.Logger().ErrorContext(r.Context(), "notification handler failed", "error", err)
	switch status := echo.StatusCode(err); {
	case own.Committed && own.Status/100 == 2:
		return nil
	case !own.Committed && status >= http.StatusBadRequest:
		http.Error(own, http.StatusText(status), status)
	}
	return err
}

// FromContext returns the notification that a handler behind [New] is to handle.
func FromContext(c *echo.Context) (*midhook.Notification, bool) {
	return midhook.FromContext(c.Request().Context())
}
