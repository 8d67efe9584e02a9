// Package ginhook puts midhook into a gin route, so that the route's own
// handler gets the notification:
//
//	r.POST("/payments/notification", ginhook.New(hook), func(c *gin.Context) {
//		n, _ := ginhook.FromContext(c)
//		c.JSON(http.StatusOK, gin.H{"order": n.OrderID})
//	})
package ginhook

import (
	"net/http"
	"sync"

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
// answer would come too late. The errors stay in c.Errors for the log.
//
// A handler that is past the budget may use c until it returns. Behind
// middleware that puts a writer of its own into c.Writer it must not call c.Copy:
// the answer at the budget goes through that writer, and changes what Copy reads.
//
// With [midhook.WithDetachedHandler] New waits for the handler all the same,
// for c belongs to the request: leave that option out.
//
// New panics if hook is nil.
func New(hook *midhook.Middleware) gin.HandlerFunc {
	if hook == nil {
		panic("ginhook: nil hook")
	}
	return func(c *gin.Context) {
		var (
			using     sync.Mutex // c: the handlers, or whoever comes after them
			ran, left bool
		)
		w := newOuter(c)
		defer w.record() // after a panic: recovery outside must know that there is an answer
		hook.Handler(http.HandlerFunc(func(buffered http.ResponseWriter, r *http.Request) {
			using.Lock()
			defer using.Unlock()
			if left {
				buffered.WriteHeader(http.StatusServiceUnavailable) // c is gone
				return
			}
			ran = true
			w.busy.Store(true)
			defer w.busy.Store(false)
			next(c, buffered, r)
		})).ServeHTTP(w, c.Request)

		using.Lock() // a detached handler may still be at it
		left = true
		using.Unlock()
		w.record()
		// gin holds a status back until a body comes. Where there is none,
		// middleware outside could still make a 200 of it.
		c.Writer.WriteHeaderNow()
		if !ran {
			c.Abort()
		}
	}
}

// next runs the handlers behind on midhook's writer and request.
func next(c *gin.Context, w http.ResponseWriter, r *http.Request) {
	writer, request, errs := c.Writer, c.Request, len(c.Errors)
	defer func() { c.Writer, c.Request = writer, request }() // a panic, too: recovery outside answers

	buffered := &buffered{ResponseWriter: w, size: unwritten, status: http.StatusOK}
	c.Writer, c.Request = buffered, r
	c.Next()

	switch {
	case buffered.Written():
	case buffered.decided: // c.Status alone: gin writes that when the route ends
		buffered.WriteHeaderNow()
	case len(c.Errors) > errs:
		w.WriteHeader(http.StatusInternalServerError)
	}
}

// FromContext returns the notification that a handler behind [New] is to handle.
func FromContext(c *gin.Context) (*midhook.Notification, bool) {
	return midhook.FromContext(c.Request.Context())
}
