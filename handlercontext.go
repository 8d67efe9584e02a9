package midhook

import (
	"context"
	"fmt"
)

// contextKey is the type of the key under which a handler's context carries its
// delivery.
type contextKey struct{ name string }

func (k *contextKey) String() string { return "midhook " + k.name }

var deliveryKey = &contextKey{"delivery"}

// handlerContext is the context of a handler, which knows its delivery.
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

// Value is [FromContext] for any sender: it returns the [Message].Value that a
// handler is to handle, if that is a T.
func Value[T any](ctx context.Context) (value T, ok bool) {
	if d, found := ctx.Value(deliveryKey).(*delivery); found {
		value, ok = d.message.Load().Value.(T)
	}
	return value, ok
}
