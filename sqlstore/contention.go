package sqlstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"time"
)

// isContention tells errors that mean no more than that someone else was there at
// the same time. It knows the drivers' errors by their methods and fields, so that
// nobody inherits a driver that he does not use.
func isContention(err error) bool {
	if err == nil {
		return false
	}
	if e, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err); ok { // pgx, lib/pq
		return slices.Contains([]string{
			"40001", // serialization_failure
			"40P01", // deadlock_detected
			"55P03", // lock_not_available
		}, e.SQLState())
	}
	for ; err != nil; err = errors.Unwrap(err) {
		if n, ok := integer(err, "Number"); ok { // go-sql-driver/mysql
			return slices.Contains([]int64{
				1020, // MariaDB: the record has changed since the transaction read it
				1062, // duplicate entry: another INSERT was first
				1205, // lock wait timeout; in MariaDB also NOWAIT
				1213, // deadlock
				3572, // NOWAIT
			}, n)
		}
		if n, ok := integer(err, "Code"); ok { // modernc.org/sqlite, mattn/go-sqlite3, ncruces/go-sqlite3
			return slices.Contains([]int64{
				5,  // SQLITE_BUSY
				6,  // SQLITE_LOCKED
				19, // SQLITE_CONSTRAINT: another INSERT was first
			}, n&0xff) // the rest is the extended code
		}
	}
	return false
}

// integer returns an error's number, be it a field or a method.
func integer(err error, name string) (int64, bool) {
	v := reflect.ValueOf(err)
	if m := v.MethodByName(name); m.IsValid() && m.Type().NumIn() == 0 && m.Type().NumOut() == 1 {
		v = m.Call(nil)[0]
	} else {
		v = reflect.Indirect(v)
		if v.Kind() != reflect.Struct {
			return 0, false
		}
		v = v.FieldByName(name)
	}
	switch {
	case v.IsValid() && v.CanInt():
		return v.Int(), true
	case v.IsValid() && v.CanUint():
		return int64(v.Uint()), true
	}
	return 0, false
}

// persist repeats an operation while it meets contention, and returns the last
// error. Patience is how long it repeats one that another's lock or change has kept
// from its work; errors, which pass sooner, it bears for settlePatience at least. An operation
// that has itself waited that long is tried three times all the same: the row that
// was changed meanwhile has to be looked at again. The pauses are random, so that
// those who met do not meet again.
func persist(ctx context.Context, patience time.Duration, operation func() (again bool, err error)) error {
	began := time.Now()
	pause := 2 * time.Millisecond
	for tries := 1; ; tries++ {
		again, err := operation()
		limit := patience
		if isContention(err) {
			again, limit = true, max(patience, settlePatience)
		} else if err != nil {
			return err
		}
		if !again || tries >= 3 && time.Since(began) > limit {
			return err
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
			pause = min(2*pause, 100*time.Millisecond)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
