// Package option applies functional options.
package option

import (
	"errors"
	"fmt"
)

// Apply applies all options, whatever is wrong with some of them, and returns all
// that is.
func Apply[T any, O ~func(T) error](target T, opts []O) error {
	var errs []error
	for i, opt := range opts {
		if opt == nil {
			errs = append(errs, fmt.Errorf("option %d is nil", i+1))
			continue
		}
		errs = append(errs, opt(target))
	}
	return errors.Join(errs...)
}
