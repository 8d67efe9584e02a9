package payout

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Hundredths is the amount, of a top-up gross_amount, in hundredths of the
// currency unit, exact: "10000", "10000.0" and "10000.00" are all 1000000. It
// fails for any other shape (a sign, an exponent, a third decimal that is not
// zero), where there is no amount, and for what exceeds an int64. The error quotes
// nothing.
func (n *Notification) Hundredths() (int64, error) {
	field, amount := "amount", n.Amount
	if n.Kind() == TopUp {
		field, amount = "gross_amount", n.GrossAmount
	}
	v, err := hundredths(amount)
	if err != nil {
		return 0, fmt.Errorf("payout: %s %w", field, err)
	}
	return v, nil
}

func hundredths(s string) (int64, error) {
	units, decimals, pointed := strings.Cut(s, ".")
	cents := strings.TrimRight(decimals, "0")
	switch {
	case s == "":
		return 0, errors.New("is missing, or neither string nor number")
	case !isDigits(units) || units[0] == '0' && units != "0" || pointed && !isDigits(decimals):
		return 0, errors.New("must be a decimal number without sign or exponent")
	case len(cents) > 2:
		return 0, errors.New("must have no more than two decimals")
	}
	v, err := strconv.ParseInt(units+(cents + "00")[:2], 10, 64)
	if err != nil {
		return 0, errors.New("is out of range")
	}
	return v, nil
}

// isDigits reports whether s is one decimal digit or more.
func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
