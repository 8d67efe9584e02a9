package midhook

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var (
	// ErrNotOwner is what a [Store] returns to whoever finishes or releases a claim
	// that is not, or no longer, its own.
	ErrNotOwner = errors.New("claim is not held by this owner")

	// ErrUncommitted is what Finish returns where the handler has marked the event in
	// a transaction of its own (sqlstore's FinishTx) that was not committed: the
	// handler's effects do not exist, whatever it returned. Midhook then gives the
	// claim back and answers 503. Finish marks the event if it is called once more.
	ErrUncommitted = errors.New("the transaction in which the event was marked as handled was not committed")
)

// ClaimState is what a [Store] answers to a claim. The zero value is no answer.
type ClaimState int

const (
	Acquired   ClaimState = iota + 1 // the claim is the caller's: run the handler
	InFlight                         // another owner holds it
	Done                             // the event was handled
	Superseded                       // a later stage of the same subject was handled
	Busy                             // another owner handles another event of the same subject
)

// String is the state's name: acquired, in_flight, done, superseded or busy.
func (s ClaimState) String() string {
	switch s {
	case Acquired:
		return "acquired"
	case InFlight:
		return "in_flight"
	case Done:
		return "done"
	case Superseded:
		return "superseded"
	case Busy:
		return "busy"
	}
	return fmt.Sprintf("ClaimState(%d)", int(s))
}

// Claim is one delivery's claim on an event.
type Claim struct {
	Key        string        // names the event that is to be handled once; it has the same Subject in every claim
	Subject    string        // what events in an order have in common; "" for an event that stands alone
	Stage      int           // place in that order; 0 or less for none: never superseded, supersedes nothing
	Alternates bool          // the event comes again after others of its subject: linked, unlinked, linked
	Owner      string        // random for each delivery
	Lease      time.Duration // how long the claim holds unless it is renewed, finished or released
}

// Store remembers which events are in flight and which were handled. Each method
// is atomic. With a store that several machines share, the guarantees of
// [Middleware] hold for all of them together. An operation whose context is done
// returns an error and changes nothing. Key, Subject and Owner may hold any bytes.
//
// An owner who acquires an event also holds its subject, so that the events of one
// subject are handled one after the other. The hold lasts for the lease with which
// the event was first acquired, and ends with the claim: when it is finished,
// released or taken over. A renewal keeps the event and not the hold: a handler
// that hangs must not cost the other events of its subject. Events without a
// subject stand alone.
//
// midhooktest.TestStore checks a store against this contract.
type Store interface {
	// Acquire claims an event. A lease that has passed is anyone's. Acquire answers
	// with the first of these that applies:
	//
	//   - [Done]: the event was finished and is still kept.
	//   - [Acquired]: the same owner holds the event, and its lease begins anew. A
	//     lease that has passed is renewed, too, as long as nobody took the claim
	//     over; a hold that has passed is not.
	//   - [InFlight]: another owner's lease on the event lasts.
	//   - [Acquired]: the same owner holds another event of the subject. The claim
	//     moves to this one, with a new lease, and leaves no trace on the other. The
	//     hold moves with it and ends when it would have.
	//   - [Busy]: another owner holds the subject, by another event.
	//   - [Superseded]: a finished event of the subject had a higher stage.
	//   - [Acquired]: in every other case.
	Acquire(ctx context.Context, c Claim) (ClaimState, error)

	// Finish marks the event as handled and remembers it, with the highest stage of
	// its subject, for keep. A shorter keep shortens nothing that an earlier Finish
	// remembers. If the claim Alternates, the subject's other handled events and
	// their stages are forgotten, so that each can come again. Finish changes nothing
	// else of the subject: no other claim, mark or keep.
	//
	// Finish succeeds after the lease has passed, as long as nobody took the claim
	// over, and again, without any effect, for the owner that has finished the event.
	// Anyone else gets [ErrNotOwner] and changes nothing.
	Finish(ctx context.Context, c Claim, keep time.Duration) error

	// Release gives the claim back, for the next delivery to acquire, and changes
	// nothing else of the subject. Anyone but its owner gets [ErrNotOwner] and
	// changes nothing.
	Release(ctx context.Context, c Claim) error
}
