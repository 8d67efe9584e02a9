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
	"github.com/midhook/midhook/internal/secret"
)

// Option changes a default of [New] or [NewGateway].
type Option func(*settings) error

// settings is what New and NewGateway decide, once.
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
	observer         func(context.Context, Event)
	logger           *slog.Logger
}

// midtransSettings are of the options that speak of Midtrans' notifications.
type midtransSettings struct {
	keys   secret.List
	status *StatusClient // nil: signatures are enough
	expect check         // nil: any order and amount
}

// forMidtrans is an option that [NewGateway] refuses.
func forMidtrans(name string, set func(*midtransSettings) error) Option {
	return func(s *settings) error {
		if s.midtrans == nil {
			return fmt.Errorf("%s: the option is for Midtrans' notifications, of New", name)
		}
		return set(s.midtrans)
	}
}

// checks are in the order in which they take place.
func (s *midtransSettings) checks() (checks []check) {
	if s != nil && s.status != nil {
		checks = append(checks, s.status.confirm)
	}
	if s != nil && s.expect != nil {
		checks = append(checks, s.expect)
	}
	return checks
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

// WithServerKey adds one more accepted key: the next one during a rotation,
// sandbox beside production, another merchant's. The label of the key that
// matched is [Event].KeyLabel; the key of [New] has the label "default".
//
// Each key can sign every notification: take a retired key out, and never
// accept a sandbox key where goods are shipped, for a sandbox payment is free.
func WithServerKey(label, key string) Option {
	return forMidtrans("server key", func(s *midtransSettings) error {
		return s.keys.Add("server key", label, key, checkServerKey)
	})
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
// several machines need a shared store.
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

// WithStatusCheck asks Midtrans' status API about each verified notification,
// before the handler sees it. Midtrans' signature covers order_id, status_code
// and gross_amount only: whoever has one signed body of yours can turn a refund
// or a cancellation into a settlement that verifies. With this option the handler
// gets the API's facts ([Notification.Confirmed]), and what contradicts them is
// answered 403.
//
// If the API says something later than the notification did (settlement for a
// capture), the handler runs for the later one, and not again when its own
// notification comes. If the API cannot be asked, or does not know the
// transaction, the answer is 503 and Midtrans comes again: with this option you
// depend on its API, and on the environment and merchant of the client's key:
// what another key signed (see [WithServerKey]) is not found there. It is off by
// default. Pay Account and the dashboard's test
// notifications have no status to ask for, and go through as they are.
func WithStatusCheck(c *StatusClient) Option {
	return forMidtrans("status check", func(s *midtransSettings) error {
		s.status = c
		if c == nil {
			return errors.New("status check: the client must not be nil")
		}
		return nil
	})
}

// WithExpectation compares each payment, before the handler sees it, with what
// fn says that the order costs: the merchant's own record, not anything that came
// from the customer's browser. Another amount or currency is answered 409, an
// order for which fn returns [ErrUnknownOrder] 404, of which Midtrans retries two,
// for the record that is committed a moment later. Any other error is answered
// 503. It is off by default.
//
// gross_amount is the total the customer pays, with a fee that you add for a
// payment method: return the total that you asked Midtrans for. The currency is
// covered by no signature, only by [WithStatusCheck]. The context ends with the
// response budget. fn must be safe for concurrent use.
func WithExpectation(fn func(context.Context, *Notification) (Expectation, error)) Option {
	return forMidtrans("expectation", func(s *midtransSettings) error {
		if fn == nil {
			return errors.New("expectation: it must not be nil")
		}
		s.expect = expectation(fn)
		return nil
	})
}

// WithSuperseded hands on notifications that come after a later status of the
// same transaction: a pending after the settlement. By default they are
// acknowledged and the handler does not see them. With this option the handler
// must not take a status for the present one.
func WithSuperseded() Option {
	return func(s *settings) error { s.handOnSuperseded = true; return nil }
}

// WithTestNotifications hands on the notification that the dashboard sends on
// demand, whose order_id begins with payment_notif_test_. By default it is
// acknowledged and the handler does not see it: it speaks of no order.
func WithTestNotifications() Option {
	return func(s *settings) error { s.handOnTests = true; return nil }
}

// WithPassThrough sends the handler's own status, whatever it is. By default a
// 5xx becomes 503, which Midtrans retries four times instead of once, and 301,
// 302 and 303 become 503, because Midtrans drops a notification that is
// redirected: with this option a login page can lose a payment for ever.
func WithPassThrough() Option {
	return func(s *settings) error { s.passThrough = true; return nil }
}

// WithObserver has fn called for each delivery, see [Event]: for metrics,
// alerts and audit. It is called on the request's goroutine or a timer's, at
// once from many, with the values of the request's context; it must return soon,
// because the answer may leave only after it.
func WithObserver(fn func(context.Context, Event)) Option {
	return func(s *settings) error {
		s.observer = fn
		if fn == nil {
			return errors.New("observer: it must not be nil")
		}
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
