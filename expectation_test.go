package midhook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

func TestExpectation(t *testing.T) {
	lookupFailed := errors.New("database is away")
	for name, tt := range map[string]struct {
		expect  midhook.Expectation
		err     error
		body    []byte
		code    int
		outcome midhook.Outcome
	}{
		"as expected":        {midhook.Expectation{Amount: 1_000_000, Currency: "IDR"}, nil, nil, 200, midhook.OutcomeHandled},
		"any currency":       {midhook.Expectation{Amount: 1_000_000}, nil, nil, 200, midhook.OutcomeHandled},
		"currency's letters": {midhook.Expectation{Amount: 1_000_000, Currency: "idr"}, nil, nil, 200, midhook.OutcomeHandled},
		"a hundredth more":   {midhook.Expectation{Amount: 1_000_001, Currency: "IDR"}, nil, nil, 409, midhook.OutcomeUnexpectedAmount},
		"a hundredth less":   {midhook.Expectation{Amount: 999_999, Currency: "IDR"}, nil, nil, 409, midhook.OutcomeUnexpectedAmount},
		"other currency":     {midhook.Expectation{Amount: 1_000_000, Currency: "USD"}, nil, nil, 409, midhook.OutcomeUnexpectedAmount},
		"zero expectation":   {midhook.Expectation{}, nil, nil, 409, midhook.OutcomeUnexpectedAmount},
		"a fee on top":       {midhook.Expectation{Amount: 600_000, Currency: "IDR", OrMore: true}, nil, nil, 200, midhook.OutcomeHandled},
		"or more, as much":   {midhook.Expectation{Amount: 1_000_000, OrMore: true}, nil, nil, 200, midhook.OutcomeHandled},
		"or more, but less":  {midhook.Expectation{Amount: 1_000_001, OrMore: true}, nil, nil, 409, midhook.OutcomeUnexpectedAmount},
		"or more, currency":  {midhook.Expectation{Amount: 1, Currency: "USD", OrMore: true}, nil, nil, 409, midhook.OutcomeUnexpectedAmount},
		"or more than int64": {midhook.Expectation{Amount: 1, OrMore: true}, nil, notify("gopay", midhooktest.Amount("99999999999999999999.00")), 409, midhook.OutcomeUnexpectedAmount},
		"unknown order":      {midhook.Expectation{}, fmt.Errorf("orders: %w", midhook.ErrUnknownOrder), nil, 404, midhook.OutcomeUnknownOrder},
		"look-up fails":      {midhook.Expectation{}, lookupFailed, nil, 503, midhook.OutcomeOrderUnavailable},
		"beyond an int64":    {midhook.Expectation{Amount: 1_000_000}, nil, notify("gopay", midhooktest.Amount("99999999999999999999.00")), 409, midhook.OutcomeUnexpectedAmount},
		"Pay Account":        {midhook.Expectation{}, lookupFailed, notify("pay-account-enabled"), 200, midhook.OutcomeHandled},
	} {
		t.Run(name, func(t *testing.T) {
			hook, rec := newHook(t, midhook.WithExpectation(func(_ context.Context, n *midhook.Notification) (midhook.Expectation, error) {
				assert.Equal(t, "A-1", n.OrderID)
				return tt.expect, tt.err
			}))
			next := &counter{}
			body := tt.body
			if body == nil {
				body = notify("gopay", midhooktest.Order("A-1"), midhooktest.Amount("10000.00"))
			} else if bytes.Contains(body, []byte("99999")) {
				body = notify("gopay", midhooktest.Order("A-1"), midhooktest.Amount("99999999999999999999.00"))
			}
			for range 2 { // a refusal gives the claim back
				w := httptest.NewRecorder()
				hook.Handler(next).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body)))
				assert.Equal(t, tt.code, w.Code)
				if tt.code == 200 {
					break
				}
				assert.Equal(t, tt.outcome, rec.last().Outcome)
				assert.NotContains(t, w.Body.String(), "database")
			}
			assert.Equal(t, tt.code == 200, next.runs.Load() == 1)
			if tt.err != nil && tt.code != 200 {
				assert.ErrorIs(t, rec.last().Err, tt.err)
			}
			if tt.code == 409 {
				assert.ErrorIs(t, rec.last().Err, midhook.ErrExpectation)
			}
		})
	}
}

// A look-up that is slower than the budget does not hold up the answer.
func TestSlowExpectation(t *testing.T) {
	for _, heedful := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var cause error
			hook, rec := newHook(t, midhook.WithExpectation(func(ctx context.Context, _ *midhook.Notification) (midhook.Expectation, error) {
				<-ctx.Done()
				cause = context.Cause(ctx)
				if !heedful {
					time.Sleep(time.Minute)
				}
				return midhook.Expectation{Amount: 1}, ctx.Err()
			}))
			next := &counter{}
			_, client := bubble(t, "HTTP/1.1", hook.Handler(next))
			start := time.Now()
			assert.Equal(t, 503, post(t, client, bubbleURL, notify("gopay")).StatusCode)
			assert.Equal(t, 5*time.Second, time.Since(start))
			pass(2 * time.Minute)
			assert.ErrorIs(t, cause, midhook.ErrBudgetExceeded)
			assert.Zero(t, next.runs.Load())
			assert.NotEqual(t, midhook.OutcomeHandled, rec.last().Outcome)
		})
	}
}

// With Automatic Fee Imposition, the total is the order's amount and a fee that
// depends on the method the customer picks.
func ExampleExpectation_fee() {
	amounts := map[string]int64{"ORDER-19": 1_000_000} // 10000.00, by the merchant's own record
	hook, err := midhook.New(testKey, midhook.WithExpectation(func(_ context.Context, n *midhook.Notification) (midhook.Expectation, error) {
		amount, known := amounts[n.OrderID]
		if !known {
			return midhook.Expectation{}, midhook.ErrUnknownOrder
		}
		return midhook.Expectation{Amount: amount, Currency: "IDR", OrMore: true}, nil
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	h := hook.HandlerFunc(func(_ context.Context, n *midhook.Notification) error {
		fmt.Println(n.OrderID, "paid", n.GrossAmount)
		return nil
	})
	for _, total := range []string{"14440.00", "9999.00"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("bca-va", midhooktest.Order("ORDER-19"), midhooktest.Transaction(total), midhooktest.Amount(total)), testKey))
		fmt.Println(w.Code)
	}
	// Output:
	// ORDER-19 paid 14440.00
	// 200
	// 409
}
