package midhooktest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/midhook/midhook"
)

// Delivery is what became of one notification.
type Delivery struct {
	Notification *midhook.Notification // nil if the body is none
	Attempts     []Attempt
	Delivered    bool   // otherwise it is lost: Midtrans does not come again
	Reason       string // the Why of the last attempt
}

// String shows one attempt on each line.
func (d Delivery) String() string {
	lines := make([]string, len(d.Attempts))
	for i, a := range d.Attempts {
		lines[i] = a.String()
	}
	return strings.Join(lines, "\n")
}

// Attempt is one request and what it led to.
type Attempt struct {
	Number    int           // 1 is the first delivery, 2 the first retry
	At        time.Time     // when it began
	Elapsed   time.Duration // from the first attempt on, by Midtrans' clock: with waits as they are at Speed 1
	Duration  time.Duration // until the answer was complete, or there was none to wait for
	Redirects []string      // the URLs that were followed
	Status    int           // of the last answer; 0 if there was none
	Answer    string        // the first kilobyte of its body
	Err       error         // if there was no complete answer: a timeout is context.DeadlineExceeded, a panic a *PanicError
	Next      time.Duration // the wait until the next attempt, by Midtrans' clock; 0 if none follows
	Why       string        // what Midtrans does next and why, in words
}

// String is one line: when it was, why what follows, and when.
func (a Attempt) String() string {
	s := fmt.Sprintf("attempt %d at %v: %s", a.Number, a.Elapsed.Round(time.Second), a.Why)
	if a.Next > 0 {
		s += fmt.Sprintf(" in %v", a.Next.Round(time.Second))
	}
	return s
}

// PanicError is the [Attempt].Err of a handler that panicked.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("handler panicked: %v", e.Value) }

// timeoutError is a [context.DeadlineExceeded] that says how long the wait was.
type timeoutError time.Duration

func (e timeoutError) Error() string        { return fmt.Sprintf("no answer within %v", time.Duration(e)) }
func (e timeoutError) Timeout() bool        { return true }
func (e timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// answerSize is how much of an answer is kept.
const answerSize = 1024
