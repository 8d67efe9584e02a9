package midhook_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/bindtest"
	"github.com/midhook/midhook/midhooktest"
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

// handMessage hands an event on that was not delivered.
func handMessage(ctx context.Context, m *midhook.Middleware, next http.Handler) {
	n := midhooktest.Sample("gopay")
	_ = m.HandleMessage(ctx, n.Message(""), midhooktest.Body(n, testKey), next)
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

// Rule: a handler's context, and every context that is made from it, is as one of package
// context's with the same deadline, cause and end: before the end, after it, and after
// the handler.
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
	for end, lasts := range map[string]time.Duration{"returned": 0, "grace": time.Minute} {
		t.Run(end, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := map[string]*atomic.Int64{}
				stops := map[string]func() bool{}
				wait := func(ctx context.Context, who string) {
					n := new(atomic.Int64)
					calls[who] = n
					stops[who] = context.AfterFunc(ctx, func() { n.Add(1) })
				}
				duringHandler(t, func(ctx context.Context) {
					for _, who := range []string{"stopped", "a", "b", "stopped, too"} {
						wait(ctx, who)
					}
					assert.True(t, stops["stopped"]())
					assert.True(t, stops["stopped, too"]())
					synctest.Wait()
					assert.Zero(t, calls["a"].Load(), "before the end")
					time.Sleep(lasts)
				}, func(ctx context.Context) {
					wait(ctx, "late")
					synctest.Wait()
					for who, want := range map[string]int64{"a": 1, "b": 1, "late": 1, "stopped": 0, "stopped, too": 0} {
						assert.Equal(t, want, calls[who].Load(), who)
						assert.False(t, stops[who](), who)
					}
				})
			})
		})
	}
}

// Rule: who asks a handler's context for its end for the first time late learns what is
// so: in the grace that it has not come, beyond it that the grace is exceeded, and after
// the handler that it is through.
func TestHandlersContextThatIsAskedLate(t *testing.T) {
	asked := map[string]func(context.Context) state{
		"all":  stateOf,
		"Err":  func(ctx context.Context) state { return state{err: ctx.Err()} },
		"Done": func(ctx context.Context) state { s := stateOf(ctx); return state{done: s.done} },
		"a child's": func(ctx context.Context) state {
			child, cancel := context.WithCancel(context.WithValue(ctx, contextKey{}, "x"))
			defer cancel()
			return stateOf(child)
		},
	}
	for name, when := range map[string]struct {
		lasts time.Duration
		after bool
		want  state
	}{
		"at once":           {0, false, state{}},
		"in the grace":      {7 * time.Second, false, state{}},
		"beyond":            {20 * time.Second, false, state{err: context.DeadlineExceeded, cause: midhook.ErrGraceExceeded, done: true}},
		"after the handler": {0, true, state{err: context.Canceled, cause: context.Canceled, done: true}},
	} {
		for what, ask := range asked {
			synctest.Test(t, func(t *testing.T) {
				var got state
				duringHandler(t, func(ctx context.Context) {
					time.Sleep(when.lasts)
					if !when.after {
						got = ask(ctx)
					}
				}, func(ctx context.Context) {
					if when.after {
						got = ask(ctx)
					}
				}, midhook.WithGrace(5*time.Second))
				want := when.want
				switch what {
				case "Err":
					want = state{err: want.err}
				case "Done":
					want = state{done: want.done}
				default:
					want.deadline, want.bounded = got.deadline, true
				}
				assert.Equal(t, want, got, "%s asked %s", what, name)
			})
		}
	}
}

// Rule: a handler's context ends at budget and grace, with the cause, or with the handler,
// however the event came and however the handler ends.
func TestHandlersContextEndsHoweverTheEventCame(t *testing.T) {
	const budget, grace = 5 * time.Second, 10 * time.Second
	deliver := func(m *midhook.Middleware, next http.Handler) { hand(m.Handler(next), string(notify("gopay"))) }
	for way, of := range map[string]struct {
		deliver func(*midhook.Middleware, http.Handler)
		opts    []midhook.Option
	}{
		"delivery":          {deliver, nil},
		"detached delivery": {deliver, []midhook.Option{midhook.WithDetachedHandler()}},
		"HandleMessage": {func(m *midhook.Middleware, next http.Handler) {
			handMessage(context.Background(), m, next)
		}, nil},
	} {
		for end, do := range map[string]func(context.Context){
			"returns":     func(context.Context) {},
			"panics":      func(context.Context) { panic("out of stock") },
			"is too late": func(ctx context.Context) { <-ctx.Done() },
		} {
			t.Run(way+"/"+end, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					hook, _ := newHook(t, append(of.opts, midhook.WithBudget(budget), midhook.WithGrace(grace))...)
					start := time.Now()
					children := make(chan context.Context, 1)
					func() {
						defer func() { _ = recover() }()
						of.deliver(hook, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
							child, cancel := context.WithCancel(r.Context())
							t.Cleanup(cancel)
							children <- child
							do(r.Context())
						}))
					}()
					child := <-children
					<-child.Done()
					if end == "is too late" {
						assert.Equal(t, budget+grace, time.Since(start))
						assert.Equal(t, context.DeadlineExceeded, child.Err())
						assert.Equal(t, midhook.ErrGraceExceeded, context.Cause(child))
					} else {
						assert.Zero(t, time.Since(start))
						assert.Equal(t, context.Canceled, context.Cause(child))
					}
				})
			})
		}
	}
}

// Rule: the context of a handler that HandleMessage calls has that one's deadline, if it
// is earlier, and ends with it, also for who asks for nothing but Err.
func TestHandlersContextOfHandleMessage(t *testing.T) {
	hand := func(t *testing.T, ctx context.Context, do func(context.Context)) {
		hook, _ := newHook(t)
		next := &counter{do: func(_ http.ResponseWriter, r *http.Request) { do(r.Context()) }}
		handMessage(ctx, hook, next)
		assert.EqualValues(t, 1, next.runs.Load())
	}
	for name, timeout := range map[string]time.Duration{"earlier": time.Second, "later": time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			hand(t, ctx, func(ctx context.Context) {
				deadline, ok := ctx.Deadline()
				assert.True(t, ok, name)
				assert.Equal(t, min(timeout, 30*time.Second), time.Until(deadline), name)
				<-ctx.Done()
				assert.Zero(t, time.Until(deadline), name)
				assert.Equal(t, context.DeadlineExceeded, ctx.Err(), name)
			})
		})
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	hand(t, ctx, func(ctx context.Context) {
		cancel(assert.AnError) // before anybody has asked
		assert.Equal(t, context.Canceled, ctx.Err())
		assert.Equal(t, assert.AnError, context.Cause(ctx))
	})
}

// BenchmarkHandlersContext is a delivery whose handler makes contexts of its own, one
// after the other, as a handler does that asks a database: from its own context, or below
// a value, as a tracer's or a logger's.
func BenchmarkHandlersContext(b *testing.B) {
	own := func(ctx context.Context) context.Context { return ctx }
	value := func(ctx context.Context) context.Context { return context.WithValue(ctx, contextKey{}, "x") }
	for _, bm := range []struct {
		name string
		n    int
		from func(context.Context) context.Context
	}{{"none", 0, own}, {"1", 1, own}, {"4", 4, own}, {"1_below_a_value", 1, value}, {"4_below_a_value", 4, value}} {
		b.Run(bm.name, func(b *testing.B) {
			hook, err := midhook.New(testKey, midhook.WithLogger(discard), midhook.WithStore(bindtest.Forgetful{}))
			if err != nil {
				b.Fatal(err)
			}
			h := hook.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				ctx := bm.from(r.Context())
				for range bm.n {
					ctx, cancel := context.WithCancel(ctx)
					_ = ctx.Done()
					cancel()
				}
			}))
			w, body := &fakeWriter{http.Header{}}, notify("gopay")
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, asMidtransSends(body))
			}
		})
	}
}
