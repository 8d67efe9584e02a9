package midhook_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/bindtest"
)

// duringHandler runs do in a handler, and then after, when the handler has returned.
func duringHandler(t *testing.T, do, after func(ctx context.Context), opts ...midhook.Option) {
	t.Helper()
	hook, _ := newHook(t, opts...)
	var ctx context.Context
	next := &counter{do: func(_ http.ResponseWriter, r *http.Request) {
		ctx = r.Context()
		do(ctx)
	}}
	hand(hook.Handler(next), string(notify("gopay")))
	assert.EqualValues(t, 1, next.runs.Load())
	after(ctx)
}

// state is all that can be seen of a context.
type state struct {
	err, cause error
	done       bool
	deadline   time.Time
	bounded    bool
}

func stateOf(ctx context.Context) (s state) {
	s.err, s.cause = ctx.Err(), context.Cause(ctx)
	s.deadline, s.bounded = ctx.Deadline()
	select {
	case <-ctx.Done():
		s.done = true
	default:
	}
	return s
}

// Rule: a handler's context, and every context that is made from it, is at every moment
// as one of package context's with the same deadline, cause and end.
func TestHandlersContextIsAsPackageContexts(t *testing.T) {
	type maker struct {
		name string
		make func(context.Context) (context.Context, context.CancelFunc)
	}
	nothing := func() {}
	makers := []maker{
		{"itself", func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, nothing }},
		{"WithCancel", context.WithCancel},
		{"WithCancelCause", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			return ctx, func() { cancel(assert.AnError) }
		}},
		{"an earlier WithTimeout", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}},
		{"a later WithTimeout", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Hour)
		}},
		{"WithValue", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithValue(ctx, contextKey{}, "x"), nothing
		}},
		{"WithoutCancel", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithoutCancel(ctx), nothing
		}},
	}
	for _, outer := range makers {
		makers = append(makers, maker{"WithCancel of " + outer.name, func(ctx context.Context) (context.Context, context.CancelFunc) {
			outer, cancelOuter := outer.make(ctx)
			inner, cancelInner := context.WithCancel(outer)
			return inner, func() { cancelOuter(); cancelInner() }
		}})
	}
	for name, lasts := range map[string]time.Duration{"within the budget": 2 * time.Second, "within the grace": 7 * time.Second, "beyond": 20 * time.Second} {
		for _, how := range makers {
			for _, cancelled := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					var like context.Context
					var endLike context.CancelFunc
					var got, want []state
					var cancels []context.CancelFunc
					look := func(ctx, like context.Context) {
						synctest.Wait()
						got, want = append(got, stateOf(ctx)), append(want, stateOf(like))
					}
					derive := func(ctx context.Context) (derived, derivedLike context.Context) {
						derived, cancel := how.make(ctx)
						derivedLike, cancelLike := how.make(like)
						cancels = append(cancels, cancel, cancelLike)
						return derived, derivedLike
					}
					var derived, derivedLike context.Context
					duringHandler(t, func(ctx context.Context) {
						deadline, _ := ctx.Deadline()
						like, endLike = context.WithDeadlineCause(context.WithoutCancel(ctx), deadline, midhook.ErrGraceExceeded)
						derived, derivedLike = derive(ctx)
						look(derived, derivedLike)
						if cancelled {
							cancels[0]()
							cancels[1]()
							look(derived, derivedLike)
						}
						time.Sleep(lasts)
						look(derived, derivedLike)
						look(derive(ctx)) // made later
					}, func(ctx context.Context) {
						endLike()
						look(derived, derivedLike)
						look(derive(ctx))
					}, midhook.WithGrace(5*time.Second))
					assert.Equal(t, want, got, "%s, handler ends %s, cancelled: %t", how.name, name, cancelled)
					for _, cancel := range cancels {
						cancel()
					}
				})
			}
		}
	}
}

// Rule: a function that waits for the end of a handler's context is called once, at the
// end, or at once after it, and never if it was stopped before.
func TestAfterFuncOfHandlersContext(t *testing.T) {
	for name, afterFunc := range map[string]func(ctx context.Context, f func()) func() bool{
		"context.AfterFunc": context.AfterFunc,
		"its own": func(ctx context.Context, f func()) func() bool {
			return ctx.(interface{ AfterFunc(func()) func() bool }).AfterFunc(f)
		},
	} {
		for end, lasts := range map[string]time.Duration{"returned": 0, "grace": time.Minute} {
			t.Run(name+"/"+end, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					calls := map[string]*atomic.Int64{}
					stops := map[string]func() bool{}
					wait := func(ctx context.Context, who string) {
						n := new(atomic.Int64)
						calls[who] = n
						stops[who] = afterFunc(ctx, func() { n.Add(1) })
					}
					duringHandler(t, func(ctx context.Context) {
						for _, who := range []string{"stopped", "a", "b", "stopped, too", "c"} {
							wait(ctx, who)
						}
						for _, who := range []string{"stopped", "stopped, too"} {
							assert.True(t, stops[who](), who)
							assert.False(t, stops[who](), "again")
						}
						synctest.Wait()
						assert.Zero(t, calls["a"].Load(), "before the end")
						time.Sleep(lasts)
					}, func(ctx context.Context) {
						wait(ctx, "late")
						synctest.Wait()
						for who, want := range map[string]int64{"a": 1, "b": 1, "c": 1, "late": 1, "stopped": 0, "stopped, too": 0} {
							assert.Equal(t, want, calls[who].Load(), who)
							assert.False(t, stops[who](), who)
						}
					})
				})
			})
		}
	}
}

// Rule: who asks for the first time when a handler's context has ended learns that it has.
func TestHandlersContextThatNobodyLookedAt(t *testing.T) {
	duringHandler(t, func(context.Context) {}, func(ctx context.Context) {
		<-ctx.Done()
		assert.Equal(t, context.Canceled, ctx.Err())
	})
}

// BenchmarkHandlersContext is a delivery whose handler makes contexts of its own, one
// after the other, as a handler does that asks a database.
func BenchmarkHandlersContext(b *testing.B) {
	for _, n := range []int{0, 1, 2, 4} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			hook, err := midhook.New(testKey, midhook.WithLogger(discard), midhook.WithStore(bindtest.Forgetful{}))
			if err != nil {
				b.Fatal(err)
			}
			h := hook.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				for range n {
					ctx, cancel := context.WithCancel(r.Context())
					_ = ctx.Done()
					cancel()
				}
			}))
			w, body := &fakeWriter{http.Header{}}, notify("gopay")
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, &http.Request{
					Method: http.MethodPost, Header: http.Header{"Content-Type": {"application/json"}},
					ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
				})
			}
		})
	}
}
