// Package ginhook puts midhook into a gin route, so that the route's own
// handler gets the notification:
//
//	r.POST("/payments/notification", ginhook.New(hook), func(c *gin.Context) {
//		n, _ := ginhook.FromContext(c)
//		c.JSON(http.StatusOK, gin.H{"order": n.OrderID})
//	})
package ginhook

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/midhook/midhook"
)

// New returns gin middleware that hands verified notifications on to the
// handlers behind it; all others it answers and aborts. Put it behind logging
// and recovery, and before anything that could answer in its place or that
// reads the body.
//
// The handlers' answer decides as it does under [midhook.Middleware.Handler]:
// c.JSON, c.Status and c.AbortWithStatus with a 2xx end the matter, anything
// else has Midtrans retry. A handler that adds to c.Errors, and neither writes
// nor sets a status, has failed: middleware outside that turns c.Errors into an
// answer would come too late. What no retry can mend is said by
// c.Error(midhook.Permanent(err)) without a 2xx: it is answered 200 and reported. The
// errors stay in c.Errors for the log.
//
// A handler that is past the budget may use c until it returns. Behind
// middleware that puts a writer of its own into c.Writer it must not call c.Copy:
// the answer at the budget goes through that writer, and changes what Copy reads.
//
// gin uses c again for another request as soon as this one has ended, so New leaves
// [midhook.WithDetachedHandler] out: it returns when the handlers have.
//
// New panics if hook is nil.
func New(hook *midhook.Middleware) gin.HandlerFunc {
	if hook == nil {
		panic("ginhook: nil hook")
	}
	hook = hook.Attached()
	return func(c *gin.Context) {
		ran := false
		w := newOuter(c)
		defer w.record() // after a panic: recovery outside must know that there is an answer
		hook.HandlerWithError(func(buffered http.ResponseWriter, r *http.Request) error {
			ran = true
			w.busy.Store(true)
			defer w.busy.Store(false)
			return next(c, buffered, r)
		}).ServeHTTP(w, c.Request)

		w.record()
		// gin holds a status back until a body comes. Where there is none,
		// middleware outside could still make a 200 of it.
		c.Writer.WriteHeaderNow()
		if !ran {
			c.Abort()
		}
	}
}

// next runs the handlers behind on midhook's writer and request. It returns what
// they added to c.Errors, unless they answered with a success.
func next(c *gin.Context, w http.ResponseWriter, r *http.Request) error {
	writer, request, errs := c.Writer, c.Request, len(c.Errors)
	defer func() { c.Writer, c.Request = writer, request }() // a panic, too: recovery outside answers

	buffered := &buffered{ResponseWriter: w, size: unwritten, status: http.StatusOK}
	c.Writer, c.Request = buffered, r
	c.Next()

	if !buffered.Written() && buffered.decided { // c.Status alone: gin writes that when the route ends
		buffered.WriteHeaderNow()
	}
	if buffered.Written() && buffered.Status()/100 == 2 {
		return nil
	}
	var added []error
	for _, e := range c.Errors[min(errs, len(c.Errors)):] {
		added = append(added, e.Err)
	}
	return errors.Join(added...)
}

// FromContext returns the notification that a handler behind [New] is to handle.
func FromContext(c *gin.Context) (*midhook.Notification, bool) {
	return midhook.FromContext(c.Request.Context())
}
