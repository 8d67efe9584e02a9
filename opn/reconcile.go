package opn

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/midhook/midhook"
)

// maxErrors is how many events' errors Reconcile returns, of each kind.
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
// that returned nil, or an error whose [ReconcileError.Complete] is true. A zero
// from is refused.
//
// Only hook's store tells what was handled, and only for as long as
// [midhook.WithKeep] says. So no run goes further back than that, less a margin of
// a 24th: 23 hours by default. What happened before is left out, whatever from is,
// and the error says from when on events were looked at. After an outage that was
// longer, look yourself for what happened until then ([Client.Events]); to hand that
// on needs a unique index over [Event.IdempotencyKey] beside the effect. So does a
// store in this process' memory, which forgets everything at a restart: next then
// runs again for the events since from.
//
// One event that fails does not keep the others from being handled, nor does a next
// that panics. Each may take as long as budget and grace: give ctx a deadline. What
// was not handled is told by a [ReconcileError]. Each event that can be read is also
// in hook's log, and goes to its observer, like a delivery.
func (c *Client) Reconcile(ctx context.Context, hook *midhook.Middleware, from time.Time, next http.Handler) error {
	if hook == nil || next == nil {
		return errors.New("opn: reconcile: neither the middleware nor the handler may be nil")
	}
	var result ReconcileError
	started := time.Now()
	if oldest := ceil(started.Add(margin(hook) - hook.Keep())); !from.IsZero() && from.Before(oldest) {
		from, result.Since = oldest, oldest
		if from.After(started) { // all of a keep shorter than the API's seconds is forgotten
			from = started
		}
	}
	result.Ended = c.each(ctx, from, started, func(e *Event, err error) bool {
		switch {
		case err != nil:
			result.UnreadableCount++
			if len(result.Unreadable) < maxErrors {
				result.Unreadable = append(result.Unreadable, err)
			}
			return true
		case isForgotten(hook, e):
			result.Skipped++
			return true
		}
		if err := handle(ctx, hook, e, next); err != nil {
			result.FailedCount++
			if len(result.Failed) < maxErrors {
				result.Failed = append(result.Failed, err)
			}
		}
		return true
	})
	if result.isEmpty() {
		return nil
	}
	return &result
}

// margin is how much earlier than hook's store Reconcile takes an event to be
// forgotten: for a clock that differs from Opn's, and for the time of a run.
func margin(hook *midhook.Middleware) time.Duration { return hook.Keep() / 24 }

// isForgotten reports whether an event has become so old since the run began that
// hook's store may not remember that it was handled.
func isForgotten(hook *midhook.Middleware, e *Event) bool {
	return !e.CreatedAt.IsZero() && time.Since(e.CreatedAt) > hook.Keep()-margin(hook)/2
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

// ReconcileError is what [Client.Reconcile] returns where it did not handle every
// event since from. It is each of its errors ([errors.Is], [errors.As]).
type ReconcileError struct {
	// Failed are the errors of the first ten of the FailedCount events that were not
	// handled this time, each with a [midhook.OutcomeError], such as OutcomeInFlight
	// for an event that is being handled elsewhere for longer than the response budget.
	Failed      []error
	FailedCount int

	// Unreadable are the first ten of the UnreadableCount events that [Parse] refuses,
	// each an [UnreadableError]. Another run meets them again.
	Unreadable      []error
	UnreadableCount int

	// Since is where the run began, if that is later than it was asked to: the store
	// may have forgotten what was handled before. Skipped counts the events that
	// became as old while the run went on. No later run comes back to either.
	Since   time.Time
	Skipped int

	// Ended is what ended the run early: the context's error, or the API's, see
	// [Client.Events].
	Ended error
}

// Complete reports whether another run from the same time could do no better: every
// event that can be read, and that the store can tell from a handled one, was
// handled. The next run may then begin where it would after nil; what the error
// tells is for a person to look at.
func (e *ReconcileError) Complete() bool { return e.FailedCount == 0 && e.Ended == nil }

func (e *ReconcileError) isEmpty() bool {
	return e.Complete() && e.UnreadableCount == 0 && e.Skipped == 0 && e.Since.IsZero()
}

// Error has one line for each error. It quotes nothing of an event but its id.
func (e *ReconcileError) Error() string {
	return "opn: reconcile: " + errors.Join(e.Unwrap()...).Error()
}

// Unwrap returns all that is wrong.
func (e *ReconcileError) Unwrap() (errs []error) {
	errs = append(errs, e.Failed...)
	if more := e.FailedCount - len(e.Failed); more > 0 {
		errs = append(errs, fmt.Errorf("%d more events were not handled", more))
	}
	errs = append(errs, e.Unreadable...)
	if more := e.UnreadableCount - len(e.Unreadable); more > 0 {
		errs = append(errs, fmt.Errorf("%d more events cannot be read", more))
	}
	if !e.Since.IsZero() {
		errs = append(errs, fmt.Errorf("nothing before %s was looked at: the store may have forgotten what was handled then",
			e.Since.UTC().Format(time.RFC3339)))
	}
	if e.Skipped > 0 {
		errs = append(errs, fmt.Errorf("%d events were left out: the store may have forgotten that they were handled", e.Skipped))
	}
	if e.Ended != nil {
		errs = append(errs, e.Ended)
	}
	return errs
}

// Interface guards
var (
	_ error                         = (*ReconcileError)(nil)
	_ interface{ Unwrap() []error } = (*ReconcileError)(nil)
)
