package midhook

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"github.com/midhook/midhook/internal/identity"
)

const (
	// maxLease bounds how long a claim outlives a process that has died: by default
	// it is over before Midtrans' earliest retry, 33 s after the answer.
	maxLease = 30 * time.Second
	// leaseMargin is what a lease lasts beyond budget and grace: time to finish
	// the claim.
	leaseMargin = 2 * time.Second
	// storeTimeout bounds a store call that the budget must not cut short.
	storeTimeout = 5 * time.Second

	minPause = 10 * time.Millisecond // between two tries to claim an event
	maxPause = 200 * time.Millisecond
)

// claims is a delivery's claim on its event: acquired before the handler runs,
// renewed while it runs past the budget, and settled after it. A store that panics
// has failed.
type claims struct {
	*pipeline

	mu       sync.Mutex // not held while the store is at work
	claim    Claim
	held     bool // claim is, or may be, in the store
	settled  bool // from here on it is not renewed
	renewal  *time.Timer
	renewing chan struct{} // if not nil: closed when a renewal has ended
}

// ClaimFromContext returns the claim under which a handler runs. It is for a [Store]
// that can finish the claim in the transaction that has the handler's effects. There
// is none outside of a running handler.
func ClaimFromContext(ctx context.Context) (Claim, bool) {
	d, ok := ctx.Value(deliveryKey).(*delivery)
	if !ok {
		return Claim{}, false
	}
	return d.claim.current()
}

func (c *claims) current() (Claim, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.held {
		return Claim{}, false
	}
	return c.claim, true
}

// newClaim is a claim on what a message says, in the namespace of its Middleware.
func (p *pipeline) newClaim(msg Message) Claim {
	claim := Claim{Key: msg.Key, Subject: msg.Subject, Stage: msg.Stage, Alternates: msg.Alternates, Lease: p.lease}
	if p.namespace != "" {
		claim.Key = identity.Digest("namespace", p.namespace, claim.Key)
		if claim.Subject != "" {
			claim.Subject = identity.Digest("namespace", p.namespace, claim.Subject)
		}
	}
	return claim
}

// errSubjectBusy is the merchant's own doing, or Midtrans' disorder.
var errSubjectBusy = errors.New("another event of the same transaction is being handled")

// acquire claims an event. Nothing runs unclaimed. It waits within the budget while
// another event of the same subject is handled: the events of one transaction run one
// after the other. What is not sent again is not refused either before it must be.
func (c *claims) acquire(ctx context.Context, claim Claim, deadline time.Time) result {
	claim.Owner = rand.Text()
	return c.acquireFor(ctx, claim, deadline)
}

// moveTo claims what turned out to be another event than was notified, in place of
// that one, which leaves no trace: its own notification is on its way.
func (c *claims) moveTo(ctx context.Context, claim Claim, deadline time.Time) result {
	before, _ := c.current()
	claim.Owner = before.Owner
	if claim.Key == before.Key && claim.Subject == before.Subject {
		c.remember(claim) // with the stage that was confirmed
		return result{}
	}
	res := c.acquireFor(ctx, claim, deadline)
	// A store of the contract has moved the claim, unless its answer was another one.
	releasing, cancel := c.storeContext(ctx)
	defer cancel()
	if err := c.callRelease(releasing, before); err != nil && !errors.Is(err, ErrNotOwner) {
		res.err = errors.Join(res.err, fmt.Errorf("releasing the claim on what was notified: %w", err))
	}
	return res
}

// acquireFor asks until the answer is one that waiting does not change.
func (c *claims) acquireFor(ctx context.Context, claim Claim, deadline time.Time) result {
	res, wait := c.tryAcquire(ctx, claim)
	for pause := minPause; wait && pauseWithin(ctx, pause, deadline); pause = min(2*pause, maxPause) {
		res, wait = c.tryAcquire(ctx, claim)
	}
	return res
}

// tryAcquire asks once, and reports whether to wait may change the answer.
func (c *claims) tryAcquire(ctx context.Context, claim Claim) (res result, wait bool) {
	state, err := c.callAcquire(ctx, claim)
	if err == nil && state == Superseded && c.handOnSuperseded {
		claim.Stage = 0
		state, err = c.callAcquire(ctx, claim)
	}
	if err != nil || state == Acquired { // after an error perhaps: the store's answer may be lost
		c.remember(claim)
	} else {
		c.forget()
	}
	switch {
	case err != nil:
		return result{outcome: OutcomeStoreUnavailable, err: err}, c.senderNeverRetries
	case state == Acquired:
		return result{}, false
	case state == InFlight:
		return result{outcome: OutcomeInFlight}, c.senderNeverRetries
	case state == Busy:
		return result{outcome: OutcomeInFlight, err: errSubjectBusy}, true
	case state == Done:
		return result{outcome: OutcomeDuplicate}, false
	case state == Superseded:
		return result{outcome: OutcomeSuperseded}, false
	default:
		return result{outcome: OutcomeStoreUnavailable, err: fmt.Errorf("store answered a claim with %v", state)}, false
	}
}

// pauseWithin waits, and reports whether there is time left in the budget after it.
func pauseWithin(ctx context.Context, pause time.Duration, deadline time.Time) bool {
	pause += mathrand.N(pause) // of those who wait for one subject, not all ask at once
	pause = min(pause, time.Until(deadline)-minPause)
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

// remember keeps a claim that is to be renewed and settled.
func (c *claims) remember(claim Claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.claim, c.held = claim, true
}

// forget says that there is no claim to settle.
func (c *claims) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = false
}

// keepRenewing renews the claim of a handler that runs on after the budget, first
// after the given time, even of a handler that ignores the end of its context: its
// retry must not run beside it.
func (c *claims) keepRenewing(ctx context.Context, after time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.settled {
		c.renewal = time.AfterFunc(after, func() { c.renew(ctx) })
	}
}

func (c *claims) renew(ctx context.Context) {
	defer c.observation.recoverFrom(ctx, "the renewal of a claim")
	c.mu.Lock()
	claim, renewing := c.claim, make(chan struct{})
	if c.settled || !c.held {
		c.mu.Unlock()
		return
	}
	c.renewing = renewing
	c.mu.Unlock()

	state, err := func() (ClaimState, error) {
		defer close(renewing)
		ctx, cancel := c.storeContext(ctx)
		defer cancel()
		return c.callAcquire(ctx, claim)
	}()
	next := c.lease / 2
	switch {
	case err != nil:
		c.observation.logError(ctx, "midhook: the claim of a running handler could not be renewed, and will be tried again", "error", err.Error())
		next = leaseMargin / 2 // there may still be time
	case state != Acquired && state != Done: // done: the handler has finished it in a transaction of its own
		c.observation.logError(ctx, "midhook: a running handler has lost its claim, so that a retry may run beside it")
	}
	c.keepRenewing(ctx, next)
}

// settle finishes the claim, or gives it back for a retry. It reports whether the
// handler's own transaction with the claim was not committed: then it gives it back.
func (c *claims) settle(ctx context.Context, outcome Outcome) (uncommitted bool, err error) {
	c.mu.Lock()
	claim, held, renewing := c.claim, c.held, c.renewing
	c.held, c.settled = false, true
	if c.renewal != nil {
		c.renewal.Stop()
	}
	c.mu.Unlock()
	if !held {
		return false, nil
	}
	if renewing != nil {
		<-renewing
	}
	ctx, cancel := c.storeContext(ctx)
	defer cancel()
	if outcome.isFinal() {
		err = c.finish(ctx, claim)
		if errors.Is(err, ErrUncommitted) && outcome == OutcomeHandledPermanent {
			err = c.finish(ctx, claim) // the handler wants no retry, whatever it has rolled back
		}
		if err == nil {
			return false, nil
		}
		err = fmt.Errorf("finishing the claim: %w", err)
		if !errors.Is(err, ErrUncommitted) {
			return false, err
		}
		uncommitted = true
	}
	if release := c.callRelease(ctx, claim); release != nil && outcome != OutcomeStoreUnavailable { // where there may have been no claim
		err = errors.Join(err, fmt.Errorf("releasing the claim: %w", release))
	}
	return uncommitted, err
}

// finish marks an event as handled. Where nobody comes again, someone will ask the
// sender's API what there was, and what is not marked runs once more: there it tries
// for as long as ctx lasts.
func (c *claims) finish(ctx context.Context, claim Claim) error {
	err := c.callFinish(ctx, claim)
	deadline, bounded := ctx.Deadline()
	for pause := minPause; bounded && c.senderNeverRetries && err != nil && !errors.Is(err, ErrNotOwner) && !errors.Is(err, ErrUncommitted) &&
		pauseWithin(ctx, pause, deadline); pause = min(2*pause, maxPause) {
		err = c.callFinish(ctx, claim)
	}
	return err
}

// waitContext is for what may keep a delivery waiting within the budget: a store
// elsewhere, a check, the handler rate. Where nothing does, there is no timer to pay
// for.
func (d *delivery) waitContext() (context.Context, context.CancelFunc) {
	if !d.mayWait {
		return d.ctx, func() {}
	}
	return context.WithDeadlineCause(d.ctx, d.deadline(), ErrBudgetExceeded)
}

// storeContext is for a call that neither the client nor the budget cuts short.
func (p *pipeline) storeContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Done() != nil {
		ctx = context.WithoutCancel(ctx)
	}
	if !p.mayWait {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, storeTimeout)
}

// The calls of the store. A panic is an error: what the handler has done stays done.

func (p *pipeline) callAcquire(ctx context.Context, c Claim) (state ClaimState, err error) {
	began := p.now()
	defer func() {
		if storePanic("Acquire", recover(), &err); err != nil {
			state = 0
		}
		p.traceStore(ctx, "acquire", began, state, err)
	}()
	return p.store.Acquire(ctx, c)
}

func (p *pipeline) callFinish(ctx context.Context, c Claim) (err error) {
	began := p.now()
	defer func() {
		storePanic("Finish", recover(), &err)
		p.traceStore(ctx, "finish", began, 0, err)
	}()
	return p.store.Finish(ctx, c, p.keep)
}

func (p *pipeline) callRelease(ctx context.Context, c Claim) (err error) {
	began := p.now()
	defer func() {
		storePanic("Release", recover(), &err)
		p.traceStore(ctx, "release", began, 0, err)
	}()
	return p.store.Release(ctx, c)
}

func storePanic(call string, v any, err *error) {
	if v != nil {
		*err = fmt.Errorf("the store's %s panicked: %v", call, v)
	}
}
