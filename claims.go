package midhook

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"slices"
	"time"
)

// waiting is a context for what may keep a delivery waiting: a store elsewhere,
// a check, the handler rate. Where nothing does, there is no timer to pay for.
func (d *delivery) waiting(ctx context.Context, deadline time.Time, cause error) (context.Context, context.CancelFunc) {
	if _, instant := d.store.(*lruStore); instant && !d.patient && d.limiter == nil && d.checks == nil {
		return ctx, func() {}
	}
	return context.WithDeadlineCause(ctx, deadline, cause)
}

// acquire claims the event. Nothing runs unclaimed. What may not come again is
// not sent away before it must be.
func (d *delivery) acquire(ctx context.Context) (Outcome, error) {
	d.claiming = true
	msg := d.message.Load()
	claim := Claim{
		Key:     msg.Key,
		Subject: msg.Subject,
		Stage:   msg.Stage,
		Owner:   rand.Text(),
		Lease:   d.lease,
	}
	outcome, err := d.claim(ctx, claim)
	for pause := minPause; d.patient && (outcome == OutcomeInFlight || outcome == OutcomeStoreUnavailable); pause = min(2*pause, maxPause) {
		if !d.pause(ctx, pause) {
			break
		}
		outcome, err = d.claim(ctx, claim)
	}
	return outcome, err
}

const (
	minPause = 10 * time.Millisecond // between two tries to claim an event
	maxPause = 200 * time.Millisecond
)

// pause waits, and reports whether there is time left in the budget after it.
func (d *delivery) pause(ctx context.Context, pause time.Duration) bool {
	pause += mathrand.N(pause) // of those who wait for one event, not all ask at once
	pause = min(pause, time.Until(d.deadline)-minPause)
	if pause <= 0 {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// claim tries once.
func (d *delivery) claim(ctx context.Context, claim Claim) (Outcome, error) {
	state, err := d.store.Acquire(ctx, claim)
	if err == nil && state == Superseded && d.handOnSuperseded {
		claim.Stage = 0
		state, err = d.store.Acquire(ctx, claim)
	}
	d.hold(claim, err != nil || state == Acquired) // after an error perhaps: the store's answer may be lost
	switch {
	case err != nil:
		return OutcomeStoreUnavailable, err
	case state == Acquired:
		return proceed, nil
	case state == InFlight:
		return OutcomeInFlight, nil
	case state == Done:
		return OutcomeDuplicate, nil
	case state == Superseded:
		return OutcomeSuperseded, nil
	default:
		return OutcomeStoreUnavailable, fmt.Errorf("store answered a claim with ClaimState(%d)", int(state))
	}
}

// hold remembers a claim that is to be settled, or forgets one that is not held.
func (d *delivery) hold(claim Claim, held bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.claims = slices.DeleteFunc(d.claims, func(c Claim) bool { return c.Owner == claim.Owner })
	if held {
		d.claims = append(d.claims, claim)
	}
}

// renew keeps the claims of a handler that runs on after the budget, even one
// that ignores the end of its context: its retry must not run beside it.
func (d *delivery) renew() {
	defer d.survive("the response budget")
	d.mu.Lock()
	claims, done := slices.Clone(d.claims), make(chan struct{})
	d.renewing = done
	d.mu.Unlock()
	defer close(done)
	if len(claims) == 0 {
		return
	}
	next := d.lease / 2
	ctx, cancel := context.WithTimeout(d.values, storeTimeout)
	defer cancel()
	for _, claim := range claims {
		switch state, err := d.store.Acquire(ctx, claim); {
		case err != nil:
			next = leaseMargin / 2 // there may still be time
		case state != Acquired:
			d.logger.ErrorContext(d.values, "midhook: a running handler has lost its claim", slog.Any("notification", shown(d.message.Load().Value)))
		}
	}
	d.renewal.Store(time.AfterFunc(next, d.renew))
}

// settle finishes the claims, or gives them back for a retry.
func (d *delivery) settle(outcome Outcome) error {
	d.mu.Lock()
	claims, renewing := d.claims, d.renewing
	d.claims = nil // from here on they are not renewed
	d.mu.Unlock()
	if t := d.renewal.Load(); t != nil {
		t.Stop()
	}
	if len(claims) == 0 {
		return nil
	}
	if renewing != nil {
		<-renewing
	}
	ctx, cancel := d.waiting(d.values, time.Now().Add(storeTimeout), context.DeadlineExceeded)
	defer cancel()
	var errs []error
	for _, claim := range claims {
		if outcome.final() {
			if err := d.finish(ctx, claim); err != nil {
				errs = append(errs, fmt.Errorf("finishing the claim: %w", err))
			}
			continue
		}
		err := d.store.Release(ctx, claim)
		if err != nil && outcome != OutcomeStoreUnavailable { // where there may have been no claim
			errs = append(errs, fmt.Errorf("releasing the claim: %w", err))
		}
	}
	return errors.Join(errs...)
}

// finish marks an event as handled. Where nobody comes again, someone will ask the
// sender's API what there was, and what is not marked runs once more.
func (d *delivery) finish(ctx context.Context, claim Claim) error {
	err := d.store.Finish(ctx, claim, d.keep)
	for pause := minPause; d.patient && err != nil && !errors.Is(err, ErrNotOwner) && d.pause(ctx, pause); pause = min(2*pause, maxPause) {
		err = d.store.Finish(ctx, claim, d.keep)
	}
	return err
}

// ClaimFromContext returns the claim under which a handler runs. It is for a [Store]
// that can finish the claim in the transaction that has the handler's effects. There
// is none outside of a running handler.
func ClaimFromContext(ctx context.Context) (Claim, bool) {
	d, ok := ctx.Value(deliveryKey).(*delivery)
	if !ok {
		return Claim{}, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.claims) == 0 {
		return Claim{}, false
	}
	return d.claims[len(d.claims)-1], true
}
