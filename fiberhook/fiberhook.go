// Package fiberhook puts midhook into a fiber route, so that the route's own
// handler gets the notification:
//
//	app.Post("/payments/notification", fiberhook.New(hook), func(c fiber.Ctx) error {
//		n, _ := fiberhook.FromContext(c)
//		return c.JSON(fiber.Map{"order": n.OrderID})
//	})
//
// fiber's adaptor will not do: its HTTPMiddleware runs the handler when the
// middleware has already answered, and so Midtrans would hear of a success that
// has not happened; and the request of its HTTPHandler lives in memory that
// fasthttp uses again, while a handler of midhook's may outlive its request.
//
// # The budget
//
// fasthttp sends an answer when the handler has returned. Behind [New] a handler
// that is past midhook's budget is therefore answered 503 when it returns, and
// Midtrans, which hangs up after 15 s, retries either way. [Handler] with
// [midhook.WithDetachedHandler] answers at the budget.
package fiberhook

import (
	"errors"
	"net/http"
	"sync"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/log"

	"github.com/midhook/midhook"
)

// New returns fiber middleware that hands verified notifications on to the
// handlers behind it, and answers all others itself. Put it behind logging and
// recovery (fasthttp has none of its own: without it a panic ends the process),
// and before anything that could answer in its place.
//
// The handlers' answer decides as it does under [midhook.Middleware.Handler]. An
// error that they return becomes its status ([fiber.Error], 500 for any other
// error and for one below 400) and no more: whatever the app's ErrorHandler makes
// of errors, 200 perhaps, is nothing that Midtrans must hear. The error goes to
// fiber's log.
//
// With [midhook.WithDetachedHandler] New waits for the handler all the same, for
// fiber uses c again for another request: leave that option to [Handler].
//
// New panics if hook is nil.
func New(hook *midhook.Middleware) fiber.Handler {
	if hook == nil {
		panic("fiberhook: nil hook")
	}
	return func(c fiber.Ctx) error {
		outer := c.Response()
		before := snapshot(outer) // what middleware outside has set
		defer before.release()
		var (
			using sync.Mutex // c: the handlers, or whoever comes after them
			left  bool
		)
		w := newRecorder(c)
		hook.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			using.Lock()
			defer using.Unlock()
			if left {
				w.WriteHeader(http.StatusServiceUnavailable) // c is gone
				return
			}
			handle(c, w, r)
		})).ServeHTTP(w, newRequest(c))

		using.Lock() // a detached handler may still be at it
		left = true
		using.Unlock()
		before.restore(outer)
		w.send(outer)
		return nil
	}
}

// Handler returns a fiber handler for one of midhook's:
//
//	app.Post("/payments/notification", fiberhook.Handler(hook.HandlerFunc(shop.Notified)))
//
// h gets no fiber.Ctx, and a request that shares no memory with fasthttp's. That
// makes it the place for [midhook.WithDetachedHandler], with which the answer is
// out at the budget, however long h goes on. The request's context is
// c.Context().
//
// Handler panics if h is nil.
func Handler(h http.Handler) fiber.Handler {
	if h == nil {
		panic("fiberhook: nil handler")
	}
	return func(c fiber.Ctx) error {
		w := newRecorder(c)
		h.ServeHTTP(w, newRequest(c))
		w.send(c.Response())
		return nil
	}
}

// handle runs the handlers behind, and tells midhook what they answered.
func handle(c fiber.Ctx, w http.ResponseWriter, r *http.Request) {
	ctx := c.Context()
	defer c.SetContext(ctx)
	c.SetContext(r.Context())
	restoreBody(c, r)

	if err := c.Next(); err != nil {
		log.WithContext(r.Context()).Errorw("notification handler failed", "error", err)
		status := http.StatusInternalServerError
		if e, ok := errors.AsType[*fiber.Error](err); ok && e.Code >= http.StatusBadRequest {
			status = e.Code
		}
		http.Error(w, http.StatusText(status), status)
		return
	}
	if untouched(c.Response()) && r.Context().Err() != nil {
		return // gave up without an answer: not a success
	}
	copyResponse(w, c.Response())
}

// FromContext returns the notification that a handler behind [New] is to handle.
func FromContext(c fiber.Ctx) (*midhook.Notification, bool) {
	return midhook.FromContext(c.Context())
}
