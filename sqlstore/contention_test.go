package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"testing"
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
