package opn

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

// Events lists the account's events between from and to, both included to the
// second, in the order in which they happened. A zero to is now; a zero from, and
// one after to, is an error. The API is asked for a hundred at a time, while they
// are read.
//
// An event that cannot be read comes as an [UnreadableError], which is
// [github.com/midhook/midhook.ErrMalformed], and the next ones follow. Any other
// error is the last: [ErrUnauthorized], [ErrRateLimited], [ErrUnavailable], or that
// of ctx. None holds the key.
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

// UnreadableError is of an event that the API lists and [Parse] refuses. No later
// request can mend that: someone has to look at it.
type UnreadableError struct {
	raw string
	err error
}

func (e *UnreadableError) Error() string { return "a listed event: " + e.err.Error() }

func (e *UnreadableError) Unwrap() error { return e.err }

// Raw is what the API listed. It may hold a customer's data: keep it out of logs.
func (e *UnreadableError) Raw() []byte { return []byte(e.raw) }

// Format prints what Error says, whatever the verb.
func (e *UnreadableError) Format(f fmt.State, _ rune) { fmt.Fprint(f, e.Error()) }

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
				err = &UnreadableError{raw: id, err: err}
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

// Interface guards
var (
	_ error         = (*UnreadableError)(nil)
	_ fmt.Formatter = (*UnreadableError)(nil)
)
