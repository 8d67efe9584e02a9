package sqlstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

type sqlState string

func (e sqlState) Error() string    { return "state " + string(e) }
func (e sqlState) SQLState() string { return string(e) }

type numbered struct{ Number uint16 }

func (e *numbered) Error() string { return fmt.Sprint("number ", e.Number) }

type errNo int

type coded struct{ Code errNo }

func (e coded) Error() string { return fmt.Sprint("code ", e.Code) }

type codeMethod int

func (e codeMethod) Error() string { return fmt.Sprint("code ", int(e)) }
func (e codeMethod) Code() int     { return int(e) }

// Only what passes by itself may be tried again and answered as in flight; a wrong
// password must not. The errors have the shapes of several drivers'.
func TestContention(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{
		{sqlState("40001"), true},
		{sqlState("40P01"), true},
		{sqlState("55P03"), true},
		{sqlState("28P01"), false}, // wrong password
		{sqlState("57014"), false}, // cancelled
		{&numbered{1213}, true},
		{&numbered{3572}, true},
		{&numbered{1045}, false}, // access denied
		{coded{5}, true},
		{coded{1}, false},
		{codeMethod(5 | 2<<8), true},   // SQLITE_BUSY_SNAPSHOT
		{codeMethod(10 | 5<<8), false}, // I/O error
		{errors.New("40001"), false},
		{context.DeadlineExceeded, false},
		{nil, false},
	} {
		if got := isContention(test.err); got != test.want {
			t.Errorf("isContention(%v) is %t", test.err, got)
		}
		if test.err == nil {
			continue
		}
		if got := isContention(fmt.Errorf("wrapped: %w", test.err)); got != test.want {
			t.Errorf("isContention(wrapped %v) is %t", test.err, got)
		}
	}
}

// An operation is repeated while others are in its way: for its patience where they have
// changed what it wants to write, for five seconds where the database has failed it, three
// times at least, and not beyond its context.
func TestPersist(t *testing.T) {
	refused, deadlock := errors.New("refused"), error(sqlState("40P01"))
	for name, test := range map[string]struct {
		takes  time.Duration // each try
		again  bool
		err    error
		passes int // the number of the try that nobody is in the way of
		within time.Duration
		want   error
		tries  [2]int // at least and at most
		lasts  [2]time.Duration
	}{
		"nobody is there":          {tries: [2]int{1, 1}},
		"another error":            {err: refused, want: refused, tries: [2]int{1, 1}},
		"others pass":              {again: true, passes: 5, tries: [2]int{5, 5}, lasts: [2]time.Duration{0, time.Second}},
		"others stay":              {again: true, tries: [2]int{10, 1000}, lasts: [2]time.Duration{time.Second, 1200 * time.Millisecond}},
		"a deadlock passes":        {err: deadlock, passes: 30, tries: [2]int{30, 30}, lasts: [2]time.Duration{time.Second, 5 * time.Second}},
		"deadlocks stay":           {err: deadlock, want: deadlock, tries: [2]int{10, 1000}, lasts: [2]time.Duration{5 * time.Second, 5200 * time.Millisecond}},
		"each try waits for a row": {takes: 10 * time.Second, again: true, tries: [2]int{3, 3}, lasts: [2]time.Duration{30 * time.Second, 31 * time.Second}},
		"the context ends":         {again: true, within: 100 * time.Millisecond, want: context.DeadlineExceeded, tries: [2]int{2, 100}, lasts: [2]time.Duration{100 * time.Millisecond, 100 * time.Millisecond}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), cmp.Or(test.within, time.Minute))
				defer cancel()
				began, tries := time.Now(), 0
				err := persist(ctx, time.Second, func() (bool, error) {
					time.Sleep(test.takes)
					if tries++; tries == test.passes {
						return false, nil
					}
					return test.again, test.err
				})
				if err != test.want {
					t.Errorf("the error is %v", err)
				}
				if tries < test.tries[0] || tries > test.tries[1] {
					t.Errorf("%d tries", tries)
				}
				if lasted := time.Since(began); lasted < test.lasts[0] || lasted > test.lasts[1] {
					t.Errorf("it lasted %v", lasted)
				}
			})
		})
	}
}
