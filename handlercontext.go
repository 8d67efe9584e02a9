package midhook

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// contextKey is the type of the key under which a handler's context carries its
// delivery.
type contextKey struct{ name string }

func (k *contextKey) String() string { return "midhook " + k.name }

var deliveryKey = &contextKey{"delivery"}

// handlerContext is a handler's context. It has the values of the delivery's and knows the
// delivery. It ends at budget and grace, and with the handler, as a context does that
// [context.WithDeadlineCause] makes: it has one made when somebody asks for the end. To
// make one takes longer than to verify a signature, and a handler that only hands a
// payment on to a queue in memory, or writes it to a file, never asks.
type handlerContext struct {
	context.Context // the delivery's
	delivery        *delivery

	mu       sync.Mutex
	end      context.Context // nil until somebody asks
	cancel   context.CancelFunc
	returned bool // the handler has
}

func (c *handlerContext) Deadline() (time.Time, bool) {
	ends := c.delivery.graceEnds()
	if earlier, ok := c.Context.Deadline(); ok && earlier.Before(ends) {
		return earlier, true
	}
	return ends, true
}

func (c *handlerContext) Done() <-chan struct{} { return c.askForEnd().Done() }

func (c *handlerContext) Err() error {
	if end, returned := c.state(); end == nil && !returned && c.Context.Err() == nil && time.Now().Before(c.delivery.graceEnds()) {
		return nil
	}
	return c.askForEnd().Err()
}

// Value also gives package context what it looks for in a parent: whoever derives from
// this context, even by way of others, asks for its end first.
func (c *handlerContext) Value(key any) any {
	if key == deliveryKey {
		return c.delivery
	}
	if end, _ := c.state(); end != nil {
		return end.Value(key)
	}
	return c.Context.Value(key)
}

// String shows no more than what the context is for.
func (c *handlerContext) String() string {
	return fmt.Sprint(c.Context) + ".WithValue(" + deliveryKey.String() + ")"
}

func (c *handlerContext) state() (end context.Context, returned bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end, c.returned
}

func (c *handlerContext) askForEnd() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.end != nil:
	case c.returned:
		c.end, c.cancel = context.WithCancel(c.Context)
		c.cancel()
	default:
		c.end, c.cancel = context.WithDeadlineCause(c.Context, c.delivery.graceEnds(), ErrGraceExceeded)
	}
	return c.end
}

// handlerReturned ends the context, also for who asks later.
func (c *handlerContext) handlerReturned() {
	c.mu.Lock()
	c.returned = true
	cancel := c.cancel
	c.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// Value is [FromContext] for any sender: it returns the [Message].Value that a
// handler is to handle, if that is a T.
func Value[T any](ctx context.Context) (value T, ok bool) {
	if d, found := ctx.Value(deliveryKey).(*delivery); found {
		value, ok = d.message.Load().Value.(T)
	}
	return value, ok
}
