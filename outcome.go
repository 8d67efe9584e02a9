package midhook

import (
	"fmt"
	"log/slog"
	"net/http"
)

// Outcome is what became of a delivery.
type Outcome int

// proceed is the zero Outcome: the delivery goes on.
const proceed Outcome = 0

const (
	OutcomeHandled           Outcome = iota + 1 // the handler answered 2xx
	OutcomeHandledPermanent                     // the handler returned a Permanent error: answered 200, look at Err
	OutcomeDuplicate                            // already handled
	OutcomeSuperseded                           // a later status was handled before
	OutcomeTest                                 // the dashboard's test notification
	OutcomeMethodNotAllowed                     // not a POST
	OutcomeBodyTooLarge                         // more than WithMaxBodyBytes
	OutcomeBodyIncomplete                       // the body did not arrive, or not within the budget
	OutcomeMalformed                            // not a notification
	OutcomeForged                               // no key signed it
	OutcomeUnconfirmed                          // authentic, but edited: it claims more than was signed or confirmed
	OutcomeInFlight                             // another delivery of the event, or another event of the transaction, is being handled
	OutcomeStoreUnavailable                     // the store failed; nothing runs unclaimed
	OutcomeStatusUnavailable                    // the status API failed, or does not know the transaction
	OutcomeContradicted                         // the status API says something else: edited, or not true yet
	OutcomeUnknownOrder                         // WithExpectation does not know the order
	OutcomeOrderUnavailable                     // WithExpectation failed
	OutcomeUnexpectedAmount                     // WithExpectation expects another amount or currency
	OutcomeRateLimited                          // over WithHandlerRate for longer than the budget
	OutcomeHandlerFailed                        // the handler answered neither 2xx nor a redirect, or returned an error
	OutcomeHandlerRedirected                    // the handler answered a redirect, by which a notification is lost
	OutcomeHandlerPanicked                      // the handler panicked or called runtime.Goexit
	OutcomeBudgetExceeded                       // answered 503 at the budget, see Event
	OutcomeLateHandled                          // the handler succeeded after the budget: the retry gets a cheap 200
	OutcomeLateFailed                           // the handler failed after the budget: the retry runs it again
	outcomeCount
)

// outcomes says of each outcome what is answered and what is logged.
var outcomes = [outcomeCount]struct {
	name    string
	status  int
	line    string // the answer's body
	level   slog.Level
	limited bool // so that a flood from outside cannot flood the log
}{
	OutcomeHandled:           {"handled", http.StatusOK, "handled", slog.LevelInfo, false},
	OutcomeHandledPermanent:  {"handled_permanent", http.StatusOK, "handled", slog.LevelError, false},
	OutcomeDuplicate:         {"duplicate", http.StatusOK, "already handled", slog.LevelInfo, true},
	OutcomeSuperseded:        {"superseded", http.StatusOK, "superseded by a later status", slog.LevelInfo, true},
	OutcomeTest:              {"test", http.StatusOK, "test notification received", slog.LevelInfo, true},
	OutcomeMethodNotAllowed:  {"method_not_allowed", http.StatusMethodNotAllowed, "only POST is allowed", slog.LevelWarn, true},
	OutcomeBodyTooLarge:      {"body_too_large", http.StatusRequestEntityTooLarge, "body too large", slog.LevelWarn, true},
	OutcomeBodyIncomplete:    {"body_incomplete", http.StatusRequestTimeout, "body did not arrive", slog.LevelWarn, true},
	OutcomeMalformed:         {"malformed", http.StatusBadRequest, "malformed notification", slog.LevelWarn, true},
	OutcomeForged:            {"forged", http.StatusForbidden, "signature does not match", slog.LevelWarn, true},
	OutcomeUnconfirmed:       {"unconfirmed", http.StatusForbidden, "notification claims more than was signed or confirmed", slog.LevelError, true},
	OutcomeInFlight:          {"in_flight", http.StatusServiceUnavailable, "already being handled", slog.LevelInfo, true},
	OutcomeStoreUnavailable:  {"store_unavailable", http.StatusServiceUnavailable, "temporarily unavailable", slog.LevelError, true},
	OutcomeStatusUnavailable: {"status_unavailable", http.StatusServiceUnavailable, "temporarily unavailable", slog.LevelError, true},
	OutcomeContradicted:      {"contradicted", http.StatusForbidden, "notification claims more than was signed or confirmed", slog.LevelError, true},
	OutcomeUnknownOrder:      {"unknown_order", http.StatusNotFound, "unknown order", slog.LevelWarn, true},
	OutcomeOrderUnavailable:  {"order_unavailable", http.StatusServiceUnavailable, "temporarily unavailable", slog.LevelError, true},
	OutcomeUnexpectedAmount:  {"unexpected_amount", http.StatusConflict, "amount or currency is not the order's", slog.LevelError, true},
	OutcomeRateLimited:       {"rate_limited", http.StatusServiceUnavailable, "busy", slog.LevelWarn, true},
	OutcomeHandlerFailed:     {"handler_failed", http.StatusServiceUnavailable, "handler failed", slog.LevelError, false},
	OutcomeHandlerRedirected: {"handler_redirected", http.StatusServiceUnavailable, "handler redirected", slog.LevelError, false},
	OutcomeHandlerPanicked:   {"handler_panicked", http.StatusInternalServerError, "handler failed", slog.LevelError, false},
	OutcomeBudgetExceeded:    {"budget_exceeded", http.StatusServiceUnavailable, "still being handled", slog.LevelWarn, false},
	OutcomeLateHandled:       {"late_handled", http.StatusServiceUnavailable, "still being handled", slog.LevelWarn, false},
	OutcomeLateFailed:        {"late_failed", http.StatusServiceUnavailable, "still being handled", slog.LevelError, false},
}

// isFinal reports whether the event needs no further delivery.
func (o Outcome) isFinal() bool {
	switch o {
	case OutcomeHandled, OutcomeHandledPermanent, OutcomeDuplicate, OutcomeSuperseded:
		return true
	}
	return false
}

func (o Outcome) valid() bool { return o > proceed && o < outcomeCount }

// String is the outcome's name, fit for a metric's label: handled, duplicate,
// forged and so on.
func (o Outcome) String() string {
	if !o.valid() {
		return fmt.Sprintf("Outcome(%d)", int(o))
	}
	return outcomes[o].name
}

// MarshalText gives the outcome's name.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// plain is the status and the one line that tell a sender of the outcome.
func (o Outcome) plain() (status int, line string) { return outcomes[o].status, outcomes[o].line }

// PlainAnswer is what Midtrans is answered: the statuses of its own retry engine,
// where 503 asks for a retry, and one plain line. Most senders understand it.
//
// Midtrans takes a 2xx as the end, comes twice again after 400 and 404, once after
// 500, four times after 503 and five times after anything else, but never after
// 301, 302 and 303; first after about two minutes, for the last time within
// six hours. (Midtrans, "Best Practices to Handle Notification")
func PlainAnswer(o Outcome) (status int, contentType, body string) {
	status, line := o.plain()
	return status, "text/plain; charset=utf-8", line + "\n"
}
