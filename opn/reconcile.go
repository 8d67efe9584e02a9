package opn

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"time"

	"github.com/midhook/midhook"
)

// Events lists the account's events between from and to, both included to the
// second, in the order in which they happened. A zero to is now; a zero from, and
// one after to, is an error. The API is asked for a hundred at a time, while they
// are read.
//
// An event that cannot be read comes as an error that is [midhook.ErrMalformed],
// and the next ones follow. Any other error is the last: [ErrUnauthorized],
// [ErrRateLimited], [ErrUnavailable], or that of ctx. None holds the key.
//
// The events can be trusted, for the API was asked with the secret key; but their
// Raw holds more than was delivered, such as webhook_deliveries.
func (c *Client) Events(ctx context.Context, from, to time.Time) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		if to.IsZero() {
			to = time.Now()
		}
		err := c.each(ctx, from, to, func(e *Event, err error) bool {
			if err != nil {
				err = fmt.Errorf("opn: %w", err)
			}
			return yield(e, err)
		})
		if err != nil {
			yield(nil, fmt.Errorf("opn: %w", err))
		}
	}
}

// ceil is the next full second: the API knows no fractions.
func ceil(t time.Time) time.Time {
	if s := t.Truncate(time.Second); s.Before(t) {
		return s.Add(time.Second)
	}
	return t
}

// slack is how far outside of the time that was asked for an event may be.
const slack = time.Minute

// each yields until there is nothing more, or nobody wants more, and returns what
// else ends it. from and to are the same for each page, or offsets would shift.
func (c *Client) each(ctx context.Context, from, to time.Time, yield func(*Event, error) bool) error {
	switch {
	case from.IsZero():
		return errors.New("from must not be zero: it would be all that the account has ever done")
	case from.After(to):
		return errors.New("from must not be after to")
	}
	to = ceil(to)
	seen := map[string]bool{}
	for offset, total := 0, 0; ; {
		part, err := c.get(ctx, from, to, offset)
		if err != nil {
			return err
		}
		if offset == 0 {
			total = *part.Total // what is added meanwhile is for the next run, so that there is an end
		}
		fresh := false
		for _, item := range part.Data {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			e, err := Parse(item)
			id := string(item)
			if err == nil {
				id = e.ID
			} else {
				err = fmt.Errorf("a listed event: %w", err)
			}
			if err == nil && !e.CreatedAt.IsZero() && (e.CreatedAt.Before(from.Add(-slack)) || e.CreatedAt.After(to.Add(slack))) {
				return fmt.Errorf("%w: it lists events from before or after what was asked for", ErrUnavailable) // years of them, perhaps
			}
			if seen[id] {
				continue
			}
			seen[id], fresh = true, true
			if !yield(e, err) {
				return nil
			}
		}
		switch offset += len(part.Data); {
		case len(part.Data) > 0 && offset > *part.Total:
			return fmt.Errorf("%w: it lists more events than its total", ErrUnavailable)
		case offset >= total:
			return nil
		case !fresh:
			return fmt.Errorf("%w: it lists fewer events than its total, or the same ones again", ErrUnavailable)
		}
	}
}

// maxErrors is how many events' errors Reconcile returns.
const maxErrors = 10

// Reconcile asks the events API for what has happened since from, and hands each
// event to next as if it had been delivered: once, whether a delivery comes before,
// after or at the same time. hook is the middleware that receives the deliveries,
// or another one with the same store, and next the merchant's own handler, or what
// hook's Handler or HandleValue made of it. next's request has the event's
// [Event.Raw] for a body.
//
// Opn does not guarantee to deliver an event again, so run this every few minutes
// (in one process will do), with a from one hour before the start of the last run
// that returned nil, but never further back than [midhook.WithKeep]. Only hook's
// store tells what was handled: next runs again for what it has forgotten. A store
// in this process's memory forgets everything at a restart, and every restart would
// then run next again for the last hour's events, unless next tells them by their
// [Event.IdempotencyKey]: use a store that lasts. A zero from is refused.
//
// One event that fails does not keep the others from being handled, nor does a next
// that panics. Each may take as long as budget and grace: give ctx a deadline. The
// error tells of the first ten and how many more there are, with a
// [midhook.OutcomeError] for each, such as OutcomeInFlight for an event that is
// being handled elsewhere for longer than the response budget, or with
// [midhook.ErrMalformed] for one that cannot be read; and of what has ended the run
// early, see [Client.Events]. Each event that can be read is also in hook's log,
// and goes to its observer, like a delivery.
func (c *Client) Reconcile(ctx context.Context, hook *midhook.Middleware, from time.Time, next http.Handler) error {
	if hook == nil || next == nil {
		return errors.New("opn: reconcile: neither the middleware nor the handler may be nil")
	}
	var failed []error
	more := 0
	end := c.each(ctx, from, time.Now(), func(e *Event, err error) bool {
		if err == nil {
			err = handle(ctx, hook, e, next)
		}
		switch {
		case err != nil && len(failed) < maxErrors:
			failed = append(failed, err)
		case err != nil:
			more++
		}
		return true
	})
	if more > 0 {
		failed = append(failed, fmt.Errorf("%d more events were not handled", more))
	}
	if err := errors.Join(append(failed, end)...); err != nil {
		return fmt.Errorf("opn: reconcile: %w", err)
	}
	return nil
}

// handle hands one event on. A panic would end the program here, where there is no
// server that recovers it, and again on the next run; its stack is in hook's log.
func handle(ctx context.Context, hook *midhook.Middleware, e *Event, next http.Handler) (err error) {
	defer func() {
		if recover() != nil {
			err = &midhook.OutcomeError{Outcome: midhook.OutcomeHandlerPanicked}
		}
		if err != nil {
			err = fmt.Errorf("event %q: %w", e.ID, err)
		}
	}()
	return hook.HandleMessage(ctx, e.Message(""), e.Raw(), next)
}
