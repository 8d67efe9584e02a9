package recurring

import "github.com/midhook/midhook"

// Verify reports whether one of serverKeys signed a body: nil, or an error that is
// [midhook.ErrSignature] or [midhook.ErrMalformed]. Only payments with a
// subscription_id are signed; no other body verifies. The signature covers
// order_id, status_code and gross_amount, see [midhook.Verify], and so not to which
// subscription the payment belongs.
func Verify(body []byte, serverKeys ...string) error {
	n, err := Parse(body)
	switch {
	case err != nil:
		return err
	case !n.signed:
		return midhook.ErrSignature
	}
	return midhook.Verify(n.Transaction, serverKeys...)
}
