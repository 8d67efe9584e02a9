package midhook

import "strings"

// Confirm returns what is true of the status that was notified, where n is the
// status API's answer about the same transaction or Pay Account: for a [Gateway] of
// one's own that asks by itself. It compares status and refunds, and nothing else.
//
// Its error is [ErrUnconfirmed] where the API says less than was notified, or
// another status of the same step: its answer lags, or someone edited the body, and
// a retry finds out which. Where the API is ahead the notification is only late, and
// the result is n. A settlement or an accepted capture is not made void by a partial
// refund or chargeback, which has a notification of its own: where the API says that
// of it, the result is n with the status that was notified.
func (n *Notification) Confirm(notified *Notification) (*Notification, error) {
	switch {
	case n.Kind() == PayAccount && n.accountDiffers(notified):
		return nil, unconfirmed("account_status")
	case n.Kind() == PayAccount:
		return n, nil
	case n.isBehind(notified):
		return nil, unconfirmed("transaction_status")
	}
	partly := n.is(StatusPartialRefund) || n.is(StatusPartialChargeback)
	paid := notified.is(StatusSettlement) || notified.is(StatusCapture) && notified.fraudAccepted()
	if !partly || !paid || !n.fraudAccepted() {
		return n, nil
	}
	stands := *n
	stands.TransactionStatus = notified.status()
	stands.RefundAmount, stands.RefundChargebackAmount, stands.RefundKey, stands.Refunds = "", "", "", nil
	if notified.raw != "" {
		stands.raw, stands.SignatureKey = notified.raw, notified.SignatureKey
	}
	return &stands, nil
}

// The steps of a transaction, in the order in which Midtrans takes them. They are
// not the stages by which one event supersedes another: there a partial refund does
// not make a settlement void, and the signed status_code counts.
const (
	stepUnknown = iota
	stepPending
	stepAuthorized
	stepChallenged
	stepCaptured
	stepEnded // settled, or never to be
	stepPartlyReversed
	stepReversed
)

func (n *Notification) step() int {
	switch n.status() {
	case StatusPending:
		return stepPending
	case StatusAuthorize:
		return stepAuthorized
	case StatusCapture:
		if n.fraud(FraudChallenge) {
			return stepChallenged
		}
		return stepCaptured
	case StatusSettlement, StatusDeny, StatusCancel, StatusExpire, StatusFailure:
		return stepEnded
	case StatusPartialRefund, StatusPartialChargeback:
		return stepPartlyReversed
	case StatusRefund, StatusChargeback:
		return stepReversed
	}
	return stepUnknown
}

// isBehind reports whether the API does not say yet, or says no more, what was
// notified.
func (n *Notification) isBehind(notified *Notification) bool {
	switch {
	case n.step() != notified.step():
		return n.step() != stepUnknown && n.step() < notified.step()
	case n.status() != notified.status():
		reversal := notified.is(StatusSettlement) && n.is(StatusDeny) // by the bank
		return !reversal
	}
	return lessThan(n.RefundAmount, notified.RefundAmount) && n.reverses() ||
		lessThan(n.RefundChargebackAmount, notified.RefundChargebackAmount) && n.reverses() ||
		len(n.Refunds) > 0 && n.bankConfirmed() < notified.bankConfirmed()
}

// lessThan reports whether the API names a smaller sum than was notified. Sums only
// grow.
func lessThan(now, then string) bool {
	a, err1 := ParseAmount(now)
	b, err2 := ParseAmount(then)
	return err1 == nil && err2 == nil && a < b
}

// bankConfirmed counts the refunds that the bank has confirmed.
func (n *Notification) bankConfirmed() (count int) {
	for _, r := range n.Refunds {
		if r.BankConfirmedAt != "" {
			count++
		}
	}
	return count
}

// accountDiffers reports whether the API says another status of an account than was
// notified. Linked and unlinked alternate, so that either may be the later one; only
// what is pending comes before all others.
func (n *Notification) accountDiffers(notified *Notification) bool {
	return !strings.EqualFold(n.AccountStatus, notified.AccountStatus) && !strings.EqualFold(notified.AccountStatus, "PENDING")
}
