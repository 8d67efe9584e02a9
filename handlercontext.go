package midhook

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// contextKey is the type of the key under which a handler's context carries its
// delivery.
type contextKey struct{ name string }

func (k *contextKey) String() string { return "midhook " + k.name }

var deliveryKey = &contextKey{"delivery"}

// handlerContext is what a handler's context is made from. It knows the delivery.
type handlerContext struct {
	context.Context
	delivery *delivery
}

func (c *handlerContext) Value(key any) any {
	if key == deliveryKey {
		return c.delivery
	}
	return c.Context.Value(key)
}

// String shows no more than what the context is for.
func (c *handlerContext) String() string {
	return fmt.Sprint(c.Context) + ".WithValue(" + deliveryKey.String() + ")"
}

// beginHandler returns the handler's context, which ends at budget and grace, or when
// the handler is through, with end.
func (d *delivery) beginHandler() (ctx context.Context, end context.CancelFunc) {
	if d.timer == nil { // nothing happens at the budget
		return context.WithDeadlineCause(&d.handlerCtx.handlerContext, d.graceEnds(), ErrGraceExceeded)
	}
	d.handlerCtx.begin()
	return &d.handlerCtx, d.handlerCtx.endHandler
}

// graceContext does what a context of [context.WithDeadlineCause] does whose parent never
// ends, but has its timer from the budget on only. Almost every handler is through by
// then, and that context takes longer to make and end than a signature to verify.
//
// What is made from it ends through AfterFunc, a method that package context looks for.
type graceContext struct {
	handlerContext

	mu      sync.Mutex
	running bool            // the handler
	overdue bool            // the budget is spent
	timer   *time.Timer     // not nil once both are
	end     context.Context // not nil once this one has ended: one that has ended in the same way
	done    chan struct{}   // nil until somebody asks for it
	after   []*func()       // to be called at the end
}

// The two ways in which a handler's context ends. Who derives from it learns the cause
// from them.
var (
	graceExceeded, _ = context.WithDeadlineCause(context.Background(), time.Time{}, ErrGraceExceeded)
	handlerReturned  = func() context.Context {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		return ctx
	}()
)

func (c *graceContext) Deadline() (time.Time, bool) { return c.delivery.graceEnds(), true }

func (c *graceContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.end != nil {
			close(c.done)
		}
	}
	return c.done
}

func (c *graceContext) Err() error {
	if end := c.ended(); end != nil {
		return end.Err()
	}
	return nil
}

// Value gives [context.Cause] what it looks for.
func (c *graceContext) Value(key any) any {
	if key == deliveryKey {
		return c.delivery
	}
	if end := c.ended(); end != nil {
		if cause := end.Value(key); cause != nil {
			return cause
		}
	}
	return c.Context.Value(key)
}

func (c *graceContext) ended() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end
}

// AfterFunc is [context.AfterFunc] for package context, whose functions return at once.
func (c *graceContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end != nil {
		go f() // the caller may hold a lock that f takes
		return func() bool { return false }
	}
	c.after = append(c.after, &f)
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		i := slices.Index(c.after, &f)
		if i >= 0 {
			c.after = slices.Delete(c.after, i, i+1)
		}
		return i >= 0
	}
}

func (c *graceContext) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = true
	c.startTimer()
}

func (c *graceContext) budgetSpent() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.overdue = true
	c.startTimer()
}

func (c *graceContext) startTimer() {
	if c.running && c.overdue && c.end == nil {
		c.timer = time.AfterFunc(time.Until(c.delivery.graceEnds()), func() { c.endAs(graceExceeded) })
	}
}

func (c *graceContext) endHandler() { c.endAs(handlerReturned) }

func (c *graceContext) endAs(end context.Context) {
	c.mu.Lock()
	if c.end != nil {
		c.mu.Unlock()
		return
	}
	c.end = end
	if c.done != nil {
		close(c.done)
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	after := c.after
	c.after = nil
	c.mu.Unlock()
	for _, f := range after {
		(*f)()
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
