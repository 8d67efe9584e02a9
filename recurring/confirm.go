package recurring

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/api"
	"github.com/midhook/midhook/internal/object"
)

// Authenticate asks Midtrans' API about what [Gateway.Open] has read, and returns
// what the API says instead. Where the API knows no such subscription, does not
// list the transaction as the subscription's, or says something else or less of the
// transaction than was notified, the error is [midhook.ErrUnconfirmed]. Over the
// rate, one's own or Midtrans', it is [midhook.ErrRateLimited]. Any other error says
// that the API cannot be asked.
func (g *Gateway) Authenticate(ctx context.Context, msg midhook.Message) (midhook.Message, error) {
	claimed, ok := msg.Value.(*Notification)
	if !ok || claimed == nil || claimed.kind == 0 || claimed.Confirmed() || !plausible(claimed.Subscription.ID) {
		return midhook.Message{}, malformed(errors.New("it is not what Open returned"))
	}
	n := &Notification{kind: claimed.kind, raw: claimed.raw, notified: claimed}
	if len(g.accounts) == 0 {
		return midhook.Message{}, errors.New("recurring: the gateway was not made by New")
	}
	a, err := g.subscription(ctx, msg.KeyLabel, n)
	if err != nil {
		return midhook.Message{}, fmt.Errorf("subscription: %w", err)
	}
	if n.kind == Charged {
		if n.Transaction, err = g.transaction(ctx, a, n); err != nil {
			return midhook.Message{}, fmt.Errorf("transaction: %w", err)
		}
	}
	return n.message(a.label), nil
}

// subscription asks for n's subscription with the key of that label, or the one
// that did last, and with the next where the API refuses that. It returns the one
// that did.
func (g *Gateway) subscription(ctx context.Context, label string, n *Notification) (*account, error) {
	first := slices.IndexFunc(g.accounts, func(a *account) bool { return a.label == label })
	if first < 0 {
		first = int(g.current.Load())
	}
	var err error
	for i := range g.accounts {
		which := (first + i) % len(g.accounts)
		a := g.accounts[which]
		n.Subscription, n.answer, err = a.asker(n.notified.signed).subscription(ctx, n.notified.Subscription.ID)
		if err == nil {
			g.current.Store(int64(which))
			return a, nil
		}
		if !errors.Is(err, midhook.ErrUnauthorized) {
			break
		}
	}
	return nil, err
}

// answer is what Subscription has no room for.
type answer struct {
	StatusCode     string          `json:"status_code"`     // of an error
	TransactionIDs json.RawMessage `json:"transaction_ids"` // in the documentation
	TransactionID  json.RawMessage `json:"transaction_id"`  // in Midtrans' own Go library, a list, too
}

var answerFields = object.TableOf[answer]()

// answerErrors are the names of what can come of asking for a subscription.
var answerErrors = api.Errors{
	Unauthorized: midhook.ErrUnauthorized,
	NotFound:     fmt.Errorf("%w: the API knows no such subscription", midhook.ErrUnconfirmed),
	RateLimited:  midhook.ErrRateLimited,
	Unavailable:  midhook.ErrStatusUnavailable,
}

// subscription is GET /v1/subscriptions/{id}.
func (a *asker) subscription(ctx context.Context, id string) (s Subscription, text string, err error) {
	status, body, err := a.subscriptions.Get(ctx, "/v1/subscriptions/"+api.EscapeID(id), nil)
	text = string(body)
	var more answer
	malformed := answerFields.Decode(body, text, &more, nil)
	code := strconv.Itoa(status)
	if malformed == nil && status == http.StatusOK {
		code = cmp.Or(more.StatusCode, code)
	}
	err = answerErrors.Of(status, code, err)
	switch {
	case err != nil:
		return s, "", err
	case code != "200":
		return s, "", fmt.Errorf("%w: it answered %s", midhook.ErrStatusUnavailable, code)
	case malformed == nil:
		malformed = subscriptionFields.Decode(body, text, &s, nil)
	}
	err = malformed
	switch {
	case err != nil:
		return s, "", fmt.Errorf("%w: its answer: %w", midhook.ErrStatusUnavailable, err)
	case s.ID != id || s.Status == "":
		return s, "", fmt.Errorf("%w: its answer is not the subscription's", midhook.ErrStatusUnavailable)
	}
	s.TransactionIDs = more.transactions()
	return s, text, nil
}

// transactions is nil where there is no list.
func (a answer) transactions() []string {
	list := a.TransactionIDs
	if list == nil {
		list = a.TransactionID
	}
	if list == nil {
		return nil
	}
	ids := []string{}
	var elements []any
	_ = json.Unmarshal(list, &elements) // what is no list lists nothing
	for _, e := range elements {
		if id, ok := e.(string); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// transaction asks for the transaction that was notified as the charge of n's
// subscription, if it is one.
func (g *Gateway) transaction(ctx context.Context, a *account, n *Notification) (*midhook.Notification, error) {
	claimed := n.notified.Transaction
	listed := slices.Contains(n.Subscription.TransactionIDs, claimed.TransactionID)
	if !listed && (!g.unlisted || n.Subscription.TransactionIDs != nil) {
		return nil, fmt.Errorf("%w: the API does not list it as the subscription's", midhook.ErrUnconfirmed)
	}
	now, err := a.asker(n.notified.signed).transactions.Get(ctx, claimed.TransactionID)
	switch {
	case errors.Is(err, midhook.ErrTransactionNotFound) && !listed:
		return nil, fmt.Errorf("%w: the API knows no such transaction", midhook.ErrUnconfirmed)
	case errors.Is(err, midhook.ErrMalformed):
		// What is malformed is the answer: that must not be told Midtrans of the body.
		return nil, fmt.Errorf("%w: its answer makes no sense", midhook.ErrStatusUnavailable)
	case err != nil:
		return nil, err
	}
	differ := func(now, then string) bool { return now != "" && then != "" && now != then }
	var field string
	switch {
	case now.TransactionID != claimed.TransactionID:
		field = "transaction_id"
	case differ(now.SubscriptionID, n.Subscription.ID):
		field = "subscription_id"
	case differ(now.OrderID, claimed.OrderID):
		field = "order_id"
	case n.notified.signed && now.GrossAmount != claimed.GrossAmount:
		field = "gross_amount"
	case !listed && !isPriceOf(n.Subscription, now):
		field = "gross_amount, currency or payment_type"
	case claimed.TransactionStatus == "":
		return now, nil
	default:
		// The body of a charge leaves out what tells a challenge from what was accepted.
		then := *claimed
		then.FraudStatus = cmp.Or(claimed.FraudStatus, now.FraudStatus)
		return now.Confirm(&then)
	}
	return nil, fmt.Errorf("%w: %s is not what the API says", midhook.ErrUnconfirmed, field)
}

// isPriceOf compares a transaction with what a subscription costs.
func isPriceOf(s Subscription, t *midhook.Notification) bool {
	price, err1 := s.Hundredths()
	paid, err2 := t.Amount()
	return err1 == nil && err2 == nil && price == paid && t.PaymentType == s.PaymentType &&
		cmp.Or(t.Currency, "IDR") == cmp.Or(s.Currency, "IDR")
}
