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
//
// # Prefork
//
// With EnablePrefork fiber runs the app in a process for each core, and any of them
// may get any delivery of an event. That is what several machines are to midhook:
// the default store, in a process' memory, has an event handled in each of them, and
// a shared store is required, see [midhook.WithStore]. [New] logs a warning where it
// finds itself in such a process without one. Handler cannot tell, and logs nothing.
package fiberhook

import (
	"context"
	"errors"
	"net/http"

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
// error that they return becomes its status ([fiber.Error], 503 for any other
// error and for one below 400) and no more: whatever the app's ErrorHandler makes
// of errors, 200 perhaps, is nothing that Midtrans must hear. The error goes to
// fiber's log, and to midhook's log and observers. What no retry can mend is said by
// returning midhook.Permanent(err): it is answered 200 and reported.
//
// The handlers read the body that was confirmed, where midhook.WithStatusCheck has
// put the API's answer in the notified body's place. It is JSON to c.Bind and c.Body,
// whatever Content-Type and Content-Encoding, which are not signed, say. Bind with
// c.Bind().Body or JSON: c.Bind().All fills what the body leaves out from the query,
// headers and cookies, which are not signed either.
//
// fiber uses c again for another request as soon as this one has ended, so New leaves
// [midhook.WithDetachedHandler] out: it returns when the handlers have. That option
// is for [Handler].
//
// New panics if hook is nil.
func New(hook *midhook.Middleware) fiber.Handler {
	if hook == nil {
		panic("fiberhook: nil hook")
	}
	hook = hook.Attached()
	if fiber.IsChild() && hook.LocalStore() {
		log.Warn("midhook: fiber's prefork runs several processes, and the store is in the memory of each: " +
			"an event is handled once by each process it reaches. Use a shared store, see midhook.WithStore")
	}
	return func(c fiber.Ctx) error {
		outer := c.Response()
		before := snapshot(outer) // what middleware outside has set
		defer before.release()
		w := newRecorder(c)
		hook.HandlerWithError(func(w http.ResponseWriter, r *http.Request) error {
			return handle(c, w, r)
		}).ServeHTTP(w, newRequest(c))
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

// handle runs the handlers behind, and tells midhook what they answered. It returns
// their error.
func handle(c fiber.Ctx, w http.ResponseWriter, r *http.Request) error {
	ctx := c.Context()
	defer c.SetContext(ctx)
	c.SetContext(r.Context())
	defer replaceBody(c, r)()

	if err := c.Next(); err != nil {
		log.WithContext(r.Context()).Errorw("notification handler failed", "error", err)
		if e, ok := errors.AsType[*fiber.Error](err); ok && e.Code >= http.StatusBadRequest {
			http.Error(w, http.StatusText(e.Code), e.Code)
		}
		return err
	}
	if untouched(c.Response()) && r.Context().Err() != nil {
		return context.Cause(r.Context()) // gave up without an answer: not a success
	}
	return copyResponse(w, c.Response())
}

// FromContext returns the notification that a handler behind [New] is to handle.
func FromContext(c fiber.Ctx) (*midhook.Notification, bool) {
	return midhook.FromContext(c.Context())
}
