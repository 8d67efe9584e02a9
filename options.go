package midhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"golang.org/x/time/rate"

	"github.com/midhook/midhook/internal/option"
)

// Option changes a default of [New] or [NewFor].
type Option func(*settings) error

// settings is what New and NewFor decide, once.
type settings struct {
	midtrans         *midtransSettings // nil for another gateway
	budget           time.Duration
	grace            time.Duration
	detached         bool
	maxBodyBytes     int64
	store            Store
	keep             time.Duration
	limiter          *rate.Limiter // nil: no limit
	handOnSuperseded bool
	handOnTests      bool
	passThrough      bool
	observers        []func(context.Context, Event)
	traces           []Trace
	namespace        string
	logger           *slog.Logger
}

const (
	midtransWaits = 15 * time.Second // for an answer; it asks for one within 5 s
	maxGrace      = 24 * time.Hour   // long after the last retry
)

func defaultSettings() settings {
	return settings{
		budget:       5 * time.Second,
		grace:        25 * time.Second,
		maxBodyBytes: 64 << 10,
		keep:         24 * time.Hour,
	}
}

// Options is several options as one: for a package that offers what belongs together.
func Options(opts ...Option) Option {
	return func(s *settings) error { return option.Apply(s, opts) }
}

// apply applies all options, whatever is wrong with some of them.
func (s *settings) apply(opts []Option) error {
	err := option.Apply(s, opts)
	if s.store == nil {
		s.store = NewLRUStore(65536)
	}
	if s.logger == nil {
		s.logger = slog.Default()
	}
	return err
}

// WithBudget sets within which time after its arrival a request is answered.
// The default is 5 s, for which Midtrans asks; it must be above 0 and below the
// 15 s after which Midtrans hangs up, for every sender. It covers reading the body,
// the store, and the handler. When it is spent, the answer is 503 and the handler goes on, see
// [WithGrace].
//
// The server's own ReadTimeout and WriteTimeout must be longer.
func WithBudget(d time.Duration) Option {
	return func(s *settings) error {
		s.budget = d
		if d <= 0 || d >= midtransWaits {
			return fmt.Errorf("budget %v: it must be above 0 and below %v", d, midtransWaits)
		}
		return nil
	}
}

// WithGrace sets how long the handler may go on after the budget: its context
// ends at budget and grace with the cause [ErrGraceExceeded]. The default is
// 25 s, so that with the default budget the handler is through before Midtrans'
// earliest retry, 33 s after the answer. A retry that comes before gets 503.
//
// The claim is leased for 32 s at most and renewed while the handler runs, so that a
// process that dies costs a retry and not the payment, whatever the grace.
//
// It must not be above 24 h. A handler that ignores its context keeps its claim
// for as long as it runs.
func WithGrace(d time.Duration) Option {
	return func(s *settings) error {
		s.grace = d
		if d < 0 || d > maxGrace {
			return fmt.Errorf("grace %v: it must not be negative or above %v", d, maxGrace)
		}
		return nil
	}
}

// WithDetachedHandler runs the handler on a goroutine of its own, and returns
// to the server at the budget even while the handler runs on. It is for servers
// that send nothing before that: Lambda and fasthttp adaptors, and HTTP/2
// clients that wait for the end of the body. The default runs the handler on the
// request's goroutine, which costs less and has none of these dangers:
//
// After the budget the handler outlives its request. It must not use what a
// framework takes back when a request ends (the contexts of chi, gin, echo and
// fiber), and [net/http.Server.Shutdown] does not wait for it.
func WithDetachedHandler() Option {
	return func(s *settings) error { s.detached = true; return nil }
}

// WithMaxBodyBytes sets how large a body may be, 64 KiB by default. Midtrans'
// are below 2 KB. A larger one is answered 413 and not read to its end.
func WithMaxBodyBytes(n int64) Option {
	return func(s *settings) error {
		s.maxBodyBytes = n
		if n <= 0 {
			return fmt.Errorf("max body bytes %d: it must be positive", n)
		}
		return nil
	}
}

// WithStore sets where claims and handled events are remembered. The default is
// [NewLRUStore](65536), which other processes don't see and a restart empties:
// several machines need a shared store. All that share a store share its events: where
// these are several merchants', each needs a [WithNamespace].
func WithStore(store Store) Option {
	return func(s *settings) error {
		s.store = store
		if v := reflect.ValueOf(store); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
			return errors.New("store: it must not be nil")
		}
		if lru, ok := store.(*lruStore); ok && lru.size < 1 {
			return fmt.Errorf("LRU store: size %d must be positive", lru.size)
		}
		return nil
	}
}

// WithNamespace says whose events these are, where several merchants, or sandbox and
// production, share one [Store]. A platform that has a Middleware for each merchant
// needs one namespace for each: without it a merchant who knows another's order could
// sign that order's events with a key of his own, and the other's genuine ones would
// be taken for duplicates. Each namespace has its own events and subjects in the
// store; [Notification.IdempotencyKey] does not change. There is none by default.
//
// Use what never changes, such as the merchant's id in your own database: with another
// namespace every event that was handled is new.
func WithNamespace(ns string) Option {
	return func(s *settings) error {
		s.namespace = ns
		if ns == "" {
			return errors.New("namespace: it must not be empty")
		}
		return nil
	}
}

// WithKeep sets how long a handled event is remembered, 24 h by default.
// Midtrans retries for 342 minutes: below that, a retry can run the handler
// again. So can anyone who replays a body after that time, for Midtrans'
// signatures do not expire.
func WithKeep(d time.Duration) Option {
	return func(s *settings) error {
		s.keep = d
		if d <= 0 {
			return fmt.Errorf("keep %v: it must be positive", d)
		}
		return nil
	}
}

// WithHandlerRate limits how many verified notifications are handed on per
// second, to spare a database when Midtrans delivers what an outage held up.
// The others wait, within the budget; whoever would wait longer is answered 503
// and comes again. There is no limit by default.
func WithHandlerRate(limit rate.Limit, burst int) Option {
	return func(s *settings) error {
		if !(limit > 0) || burst < 1 { // NaN, too
			return fmt.Errorf("handler rate %v with burst %d: both must be positive", float64(limit), burst)
		}
		s.limiter = rate.NewLimiter(limit, burst)
		return nil
	}
}

// WithSuperseded hands on notifications that come after a later status of the
// same transaction: a pending after the settlement. By default they are
// acknowledged and the handler does not see them. With this option the handler
// must not take a status for the present one.
func WithSuperseded() Option {
	return func(s *settings) error { s.handOnSuperseded = true; return nil }
}

// WithPassThrough sends the handler's own status, whatever it is. By default a
// 5xx becomes 503, which Midtrans retries four times instead of once, and a redirect
// becomes 503, too: Midtrans drops a notification that is answered 301, 302 or 303, and
// follows a 307 or 308 to whatever answers there. With this option a login page can
// lose a payment for ever.
func WithPassThrough() Option {
	return func(s *settings) error { s.passThrough = true; return nil }
}

// WithObserver has fn called for each delivery, see [Event]: for metrics,
// alerts and audit. It is called on the request's goroutine or a timer's, at
// once from many, with the values of the request's context; it must return soon,
// because the answer may leave only after it. Given several times, each is called.
func WithObserver(fn func(context.Context, Event)) Option {
	return func(s *settings) error {
		if fn == nil {
			return errors.New("observer: it must not be nil")
		}
		s.observers = append(s.observers, fn)
		return nil
	}
}

// WithLogger sets the logger, [slog.Default] as it is when New is called by
// default. Refusals are limited to ten lines and then one in ten seconds for
// each outcome; each line says how many were suppressed before it.
func WithLogger(logger *slog.Logger) Option {
	return func(s *settings) error {
		s.logger = logger
		if logger == nil {
			return errors.New("logger: it must not be nil")
		}
		return nil
	}
}
