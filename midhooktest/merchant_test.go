package midhooktest_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// merchant is a shop behind midhook that keeps books. Instead, if it is set, has a
// mistake of its own for some notifications, and reports which.
type merchant struct {
	*shop
	instead func(ctx context.Context, m *merchant, n *midhook.Notification) (made bool, err error)

	booksMu  sync.Mutex
	paidBy   map[string]string // the transaction, by order
	refunds  map[string]int64
	reverses map[string]bool
}

func newMerchant() *merchant {
	return &merchant{shop: newShop(true), paidBy: map[string]string{}, refunds: map[string]int64{}, reverses: map[string]bool{}}
}

func (m *merchant) refunded(order string) int64 {
	m.booksMu.Lock()
	defer m.booksMu.Unlock()
	return m.refunds[order]
}

func (m *merchant) reversed(order string) bool {
	m.booksMu.Lock()
	defer m.booksMu.Unlock()
	return m.reverses[order]
}

// unfulfil is what a mistaken merchant does to an order.
func (m *merchant) unfulfil(order string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count[order] = 0
}

func (m *merchant) notified(ctx context.Context, n *midhook.Notification) error {
	if m.instead != nil {
		if made, err := m.instead(ctx, m, n); made {
			return err
		}
	}
	if n.Paid() {
		if err := m.fulfil(ctx, n.OrderID); err != nil {
			return err
		}
	}
	m.booksMu.Lock()
	defer m.booksMu.Unlock()
	switch status := n.TransactionStatus; {
	case n.Paid():
		m.paidBy[n.OrderID] = n.TransactionID
	case status == midhook.StatusRefund || status == midhook.StatusPartialRefund:
		amount, err := midhook.ParseAmount(n.RefundAmount)
		m.refunds[n.OrderID] = max(m.refunds[n.OrderID], amount)
		return err
	case status == midhook.StatusChargeback,
		(status == midhook.StatusDeny || status == midhook.StatusCancel) && m.paidBy[n.OrderID] == n.TransactionID:
		m.reverses[n.OrderID] = true
	}
	return nil
}

func (m *merchant) subject(h http.Handler) midhooktest.Subject {
	s := m.shop.subject(h)
	s.Refunded, s.Reversed = m.refunded, m.reversed
	return s
}

// mustCost is an option for orders of one price.
func mustCost(price int64) midhook.Option {
	return midhook.WithExpectation(func(context.Context, *midhook.Notification) (midhook.Expectation, error) {
		return midhook.Expectation{Amount: price, Currency: "IDR"}, nil
	})
}

// Rule: a merchant who keeps books passes whatever it states, and whatever its orders
// cost.
func TestMerchantPassesEveryScenario(t *testing.T) {
	t.Parallel()
	for price, hundredths := range map[string]int64{"25000.00": 25000_00, "1.00": 1_00, "333.33": 333_33} {
		t.Run(price, func(t *testing.T) {
			midhooktest.TestHandler(t, func(t *testing.T) midhooktest.Subject {
				m := newMerchant()
				subject := m.subject(newHook(t, mustCost(hundredths)).HandlerFunc(m.notified))
				subject.Price = price
				return subject
			})
		})
	}
}

// is reports whether a notification has one of these statuses.
func is(n *midhook.Notification, statuses ...midhook.TransactionStatus) bool {
	for _, s := range statuses {
		if n.TransactionStatus == s {
			return true
		}
	}
	return false
}

// shipsOn is the mistake of a merchant who fulfils an order for a notification.
func shipsOn(mistaken func(*midhook.Notification) bool) func(context.Context, *merchant, *midhook.Notification) (bool, error) {
	return func(ctx context.Context, m *merchant, n *midhook.Notification) (bool, error) {
		if !mistaken(n) {
			return false, nil
		}
		return true, m.fulfil(ctx, n.OrderID)
	}
}

// refuses is the mistake of a merchant who cannot be told something.
func refuses(statuses ...midhook.TransactionStatus) func(context.Context, *merchant, *midhook.Notification) (bool, error) {
	return func(_ context.Context, _ *merchant, n *midhook.Notification) (bool, error) {
		return is(n, statuses...), errors.New("no such case")
	}
}

// Rule: each mistake by which a merchant behind midhook gives goods or money away fails
// the scenario whose rule it breaks, which says the rule and what was seen.
func TestScenariosFindWhatMerchantsDoWrong(t *testing.T) {
	t.Parallel()
	const cannotBeTold = "notifications were lost"
	for name, c := range map[string]struct {
		instead  func(context.Context, *merchant, *midhook.Notification) (bool, error)
		scenario midhooktest.Scenario
		says     string
	}{
		"ships on challenge": {shipsOn(func(n *midhook.Notification) bool { return is(n, midhook.StatusCapture) }),
			midhooktest.Challenge, "order challenge-1 was fulfilled once, want never"},
		"ships on authorize": {shipsOn(func(n *midhook.Notification) bool { return is(n, midhook.StatusAuthorize) }),
			midhooktest.Authorize, "order authorize-1 was fulfilled once, want never"},
		"ships on every 200": {shipsOn(func(n *midhook.Notification) bool { return n.StatusCode == "200" }),
			midhooktest.Authorize, "was fulfilled once, want never"},
		"ships on a partial refund": {shipsOn(func(n *midhook.Notification) bool { return is(n, midhook.StatusPartialRefund) }),
			midhooktest.RefundFirst, "order refund-first-1 was fulfilled once, want never"},
		"ships on a partial chargeback": {shipsOn(func(n *midhook.Notification) bool { return is(n, midhook.StatusPartialChargeback) }),
			midhooktest.RefundFirst, "order refund-first-2 was fulfilled once, want never"},
		"ships on a refund": {shipsOn(func(n *midhook.Notification) bool { return is(n, midhook.StatusRefund) }),
			midhooktest.RefundFirst, "order refund-first-3 was fulfilled once, want never"},
		"ships on pending": {shipsOn(func(n *midhook.Notification) bool { return is(n, midhook.StatusPending) }),
			midhooktest.NeverPaid, "was fulfilled once, want never"},
		"ships on failure": {shipsOn(func(n *midhook.Notification) bool { return is(n, midhook.StatusFailure) }),
			midhooktest.NeverPaid, "was fulfilled once, want never"},
		"ships on status alone": {shipsOn(func(n *midhook.Notification) bool { return is(n, midhook.StatusCapture, midhook.StatusSettlement) }),
			midhooktest.Challenge, "was fulfilled once, want never"},
		"drops the accept after the challenge": {func() func(context.Context, *merchant, *midhook.Notification) (bool, error) {
			seen := map[string]bool{}
			return func(_ context.Context, m *merchant, n *midhook.Notification) (bool, error) {
				m.booksMu.Lock()
				defer m.booksMu.Unlock()
				key := n.OrderID + string(n.TransactionStatus)
				defer func() { seen[key] = true }()
				return seen[key], nil
			}
		}(), midhooktest.Challenge, "order challenge-1 was fulfilled never, want once"},
		"waits for the settlement of what is captured and no more": {func(_ context.Context, _ *merchant, n *midhook.Notification) (bool, error) {
			return is(n, midhook.StatusCapture) && n.Paid(), nil
		}, midhooktest.Challenge, "was fulfilled never, want once"},
		"fulfils each event": {func(ctx context.Context, m *merchant, n *midhook.Notification) (bool, error) {
			m.once = false
			return false, nil
		}, midhooktest.CaptureThenSettlement, "fulfilled 2 times, want once"},
		"fulfils what is confirmed again": {func(ctx context.Context, m *merchant, n *midhook.Notification) (bool, error) {
			m.once = !is(n, midhook.StatusSettlement)
			return false, nil
		}, midhooktest.Authorize, "fulfilled 2 times, want once"},
		"fulfils a refund once more": {func(ctx context.Context, m *merchant, n *midhook.Notification) (bool, error) {
			m.once = false
			return is(n, midhook.StatusPartialRefund), m.fulfil(ctx, n.OrderID)
		}, midhooktest.Refunds, "want once at most"},
		"wants fraud_status": {func(_ context.Context, _ *merchant, n *midhook.Notification) (bool, error) {
			return n.Paid() && n.FraudStatus == "", nil
		}, midhooktest.EveryMethod, "was fulfilled never, want once"},
		"refuses refunds":             {refuses(midhook.StatusRefund), midhooktest.Refunds, cannotBeTold},
		"refuses partial refunds":     {refuses(midhook.StatusPartialRefund), midhooktest.Refunds, cannotBeTold},
		"refuses chargebacks":         {refuses(midhook.StatusChargeback), midhooktest.TakenBack, cannotBeTold},
		"refuses partial chargebacks": {refuses(midhook.StatusPartialChargeback), midhooktest.TakenBack, cannotBeTold},
		"refuses cancels":             {refuses(midhook.StatusCancel), midhooktest.NeverPaid, cannotBeTold},
		"refuses expires":             {refuses(midhook.StatusExpire), midhooktest.NeverPaid, cannotBeTold},
		"refuses denies":              {refuses(midhook.StatusDeny), midhooktest.NeverPaid, cannotBeTold},
		"refuses failures":            {refuses(midhook.StatusFailure), midhooktest.NeverPaid, cannotBeTold},
		"refuses authorizations":      {refuses(midhook.StatusAuthorize), midhooktest.Authorize, cannotBeTold},
		"refuses reversals": {func(_ context.Context, m *merchant, n *midhook.Notification) (bool, error) {
			return is(n, midhook.StatusDeny) && m.fulfilled(n.OrderID) > 0, errors.New("it is paid")
		}, midhooktest.TakenBack, cannotBeTold},
		"refuses to cancel what was captured": {func(_ context.Context, m *merchant, n *midhook.Notification) (bool, error) {
			return is(n, midhook.StatusCancel) && m.fulfilled(n.OrderID) > 0, errors.New("it is paid")
		}, midhooktest.TakenBack, cannotBeTold},
		"overlooks reversals": {func(_ context.Context, _ *merchant, n *midhook.Notification) (bool, error) {
			return is(n, midhook.StatusDeny), nil
		}, midhooktest.TakenBack, "is reversed by Subject.Reversed: false, want true"},
		"takes another transaction's expire for the order's": {func(_ context.Context, m *merchant, n *midhook.Notification) (bool, error) {
			if is(n, midhook.StatusExpire) {
				m.unfulfil(n.OrderID)
			}
			return false, nil
		}, midhooktest.AbandonedAttempt, "order abandoned-attempt-2 was fulfilled never, want once"},
		"takes another transaction's deny for a reversal": {func(_ context.Context, m *merchant, n *midhook.Notification) (bool, error) {
			m.booksMu.Lock()
			defer m.booksMu.Unlock()
			if is(n, midhook.StatusDeny) {
				m.reverses[n.OrderID] = true
			}
			return false, nil
		}, midhooktest.AbandonedAttempt, "is reversed by Subject.Reversed: true, want false"},
		"gives an order up that expired": {func() func(context.Context, *merchant, *midhook.Notification) (bool, error) {
			expired := map[string]bool{}
			return func(_ context.Context, m *merchant, n *midhook.Notification) (bool, error) {
				m.booksMu.Lock()
				defer m.booksMu.Unlock()
				expired[n.OrderID] = expired[n.OrderID] || is(n, midhook.StatusExpire)
				return expired[n.OrderID], nil
			}
		}(), midhooktest.AbandonedAttempt, "order abandoned-attempt-1 was fulfilled never, want once"},
		"takes the latest refund for the present one": {func(_ context.Context, m *merchant, n *midhook.Notification) (bool, error) {
			m.booksMu.Lock()
			defer m.booksMu.Unlock()
			if is(n, midhook.StatusPartialRefund) {
				m.refunds[n.OrderID], _ = midhook.ParseAmount(n.RefundAmount)
				return true, nil
			}
			return false, nil
		}, midhooktest.Refunds, "of order refunds-3 500000 hundredths are refunded by Subject.Refunded, want 1250000"},
		"adds refunds up": {func(_ context.Context, m *merchant, n *midhook.Notification) (bool, error) {
			m.booksMu.Lock()
			defer m.booksMu.Unlock()
			if is(n, midhook.StatusPartialRefund) {
				amount, _ := midhook.ParseAmount(n.RefundAmount)
				m.refunds[n.OrderID] += amount
				return true, nil
			}
			return false, nil
		}, midhooktest.Refunds, "of order refunds-2 1750000 hundredths are refunded by Subject.Refunded, want 1250000"},
		"reads the list of refunds only": {func(_ context.Context, m *merchant, n *midhook.Notification) (bool, error) {
			return is(n, midhook.StatusPartialRefund) && len(n.Refunds) == 0, nil
		}, midhooktest.Refunds, "of order refunds-4 0 hundredths are refunded by Subject.Refunded, want 500000"},
		"ignores the amount": {nil, midhooktest.WrongAmount, "order wrong-amount-1 was fulfilled once, want never"},
		"compares whole units, without the point": {func(ctx context.Context, _ *merchant, n *midhook.Notification) (bool, error) {
			return n.GrossAmount != "25000.00" && n.GrossAmount != "250.00", nil
		}, midhooktest.WrongAmount, "order wrong-amount-5 was fulfilled once, want never"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMerchant()
				subject := m.subject(newHook(t, mustCost(25000_00)).HandlerFunc(m.notified))
				subject.Price = "25000.00"
				_, err := c.scenario.Play(t.Context(), subject)
				require.NoError(t, err, "the merchant without the mistake")

				m = newMerchant()
				m.instead = c.instead
				subject = m.subject(newHook(t).HandlerFunc(m.notified))
				subject.Price = "25000.00"
				_, err = c.scenario.Play(t.Context(), subject)
				require.ErrorContains(t, err, c.says)
				assert.ErrorContains(t, err, c.scenario.Name+": "+c.scenario.Rule)
			})
		})
	}
}
