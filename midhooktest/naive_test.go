package midhooktest_test

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// naive is a handler as it is found in the field, with its mistakes to choose.
type naive struct {
	*shop
	unverified    bool                // any signature will do
	oneKey        bool                // NextKey is not among the keys
	statusOnly    bool                // paid is what says settlement
	seen          func(b body) string // what a duplicate is recognised by; nil: nothing is one
	seenAtTheEnd  bool                // ... when the order is fulfilled, else before
	failure       int                 // the answer to an error
	login         bool                // a session is required
	slash         bool                // a slash at the end is redirected to
	background    bool                // the work goes on when Midtrans has hung up
	refusesRepeat bool                // a duplicate is an error
	bindsAnew     bool                // what was verified and what is read are two readings of the body
	wantsAccept   bool                // fraud_status must be there, in lower case
	strict        bool                // unknown fields are refused
	knowsOrders   bool                // any other order than those of scenarios is unknown

	seenMu sync.Mutex
	was    map[string]bool
}

type body struct {
	OrderID     string `json:"order_id"`
	Transaction string `json:"transaction_id"`
	Status      string `json:"transaction_status"`
	Code        string `json:"status_code"`
	Amount      string `json:"gross_amount"`
	Signature   string `json:"signature_key"`
	Fraud       string `json:"fraud_status"`
}

// asWritten reads the first of each name, exactly as it is written.
func asWritten(text []byte) (b body) {
	fields := map[string]string{}
	d := json.NewDecoder(bytes.NewReader(text))
	_, _ = d.Token()
	for d.More() {
		name, _ := d.Token()
		var value any
		_ = d.Decode(&value)
		if _, was := fields[name.(string)]; !was {
			fields[name.(string)], _ = value.(string)
		}
	}
	return body{OrderID: fields["order_id"], Code: fields["status_code"], Amount: fields["gross_amount"], Signature: fields["signature_key"]}
}

func byOrder(b body) string { return b.OrderID }
func byEvent(b body) string { return b.OrderID + b.Transaction + b.Status }

func (h *naive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case h.login && r.Header.Get("Cookie") == "":
		http.Redirect(w, r, "/login", http.StatusFound)
		return
	case h.slash && !strings.HasSuffix(r.URL.Path, "/"):
		http.Redirect(w, r, r.URL.Path+"/", http.StatusMovedPermanently)
		return
	}
	text, _ := io.ReadAll(r.Body)
	var b body
	if json.Unmarshal(text, &b) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	signed := b
	if h.bindsAnew {
		signed = asWritten(text)
	}
	signedBy := func(key string) bool {
		sum := sha512.Sum512([]byte(signed.OrderID + signed.Code + signed.Amount + key))
		return hex.EncodeToString(sum[:]) == signed.Signature
	}
	switch {
	case h.strict && bytes.Contains(text, []byte("a_new_field")):
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	case h.knowsOrders && strings.HasPrefix(b.OrderID, "payment_notif_test_"):
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if !h.unverified && !signedBy(key) && (h.oneKey || !signedBy(nextKey)) {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if h.seen != nil {
		h.seenMu.Lock()
		duplicate := h.was[h.seen(b)]
		if !h.seenAtTheEnd {
			h.was[h.seen(b)] = true
		}
		h.seenMu.Unlock()
		if duplicate && h.refusesRepeat {
			w.WriteHeader(http.StatusConflict)
		}
		if duplicate {
			return
		}
	}
	ctx := r.Context()
	if h.background {
		ctx = context.WithoutCancel(ctx)
	}
	paid := (b.Status == "settlement" || b.Status == "capture") && b.Fraud != "deny" && (h.statusOnly || b.Code == "200")
	paid = paid && (!h.wantsAccept || b.Fraud == "accept")
	if paid && h.fulfil(ctx, b.OrderID) != nil {
		w.WriteHeader(h.failure)
		return
	}
	if h.seen != nil && h.seenAtTheEnd {
		h.seenMu.Lock()
		h.was[h.seen(b)] = true
		h.seenMu.Unlock()
	}
}

// sound is a naive handler without any of the mistakes the scenarios look for,
// for the others to be made of.
func sound() *naive {
	return &naive{shop: newShop(true), was: map[string]bool{}, failure: http.StatusServiceUnavailable, background: true}
}

// Each scenario lets the sound handler through, and names the rule that the others
// break: a scenario that nothing fails guards nothing.
func TestScenariosFailNaiveHandlers(t *testing.T) {
	t.Parallel()
	type mistake func(*naive)
	noDedupe := func(h *naive) { h.once = false }
	unverified := func(h *naive) { h.unverified = true }
	dedupe := func(by func(body) string, atTheEnd bool) mistake {
		return func(h *naive) { h.once, h.seen, h.seenAtTheEnd = false, by, atTheEnd }
	}
	for _, c := range []struct {
		handler  string
		mistake  mistake
		scenario midhooktest.Scenario
		says     string // besides the rule
	}{
		{"no dedupe", noDedupe, midhooktest.DuplicateStorm, "fulfilled 35 times, want once"},
		{"checks, works and then marks", dedupe(byEvent, true), midhooktest.DuplicateStorm, "fulfilled 32 times, want once"},
		{"refuses duplicates", func(h *naive) { h.seen, h.refusesRepeat = byEvent, true }, midhooktest.DuplicateStorm, "34 of 35 notifications were lost"},
		{"dedupe by order_id", dedupe(byOrder, false), midhooktest.OutOfOrder, "fulfilled never, want once"},
		{"no dedupe", noDedupe, midhooktest.CaptureThenSettlement, "fulfilled 2 times, want once"},
		{"dedupe by event", dedupe(byEvent, false), midhooktest.CaptureThenSettlement, "fulfilled 2 times, want once"},
		{"slow without a budget", noDedupe, midhooktest.SlowHandler, "fulfilled 6 times, want once"},
		{"slow, marks when through", dedupe(byEvent, true), midhooktest.SlowHandler, "fulfilled 2 times, want once"},
		{"gives up when Midtrans hangs up", func(h *naive) { h.background = false }, midhooktest.SlowHandler, "notifications were lost"},
		{"marks before success", dedupe(byEvent, false), midhooktest.Crash, "fulfilled never, want once"},
		{"marks before success", dedupe(byEvent, false), midhooktest.Outage, "fulfilled never, want once"},
		{"answers 500", func(h *naive) { h.failure = http.StatusInternalServerError }, midhooktest.Outage, "500: no more than 1 retry, lost"},
		{"answers 200 to errors", func(h *naive) { h.failure = http.StatusOK }, midhooktest.Outage, "fulfilled never, want once"},
		{"no dedupe, no budget", noDedupe, midhooktest.Burst, "fulfilled 2 times, want once"},
		{"redirects to a login", func(h *naive) { h.login = true }, midhooktest.RedirectTrap, "302: no retry follows, lost"},
		{"redirects to a slash", func(h *naive) { h.slash = true }, midhooktest.RedirectTrap, "301: no retry follows, lost"},
		{"knows one key", func(h *naive) { h.oneKey = true }, midhooktest.KeyRotation, "6 of 12 notifications were lost"},
		{"no dedupe", noDedupe, midhooktest.KeyRotation, "fulfilled 3 times, want once"},
		{"verifies nothing", unverified, midhooktest.Tampering, "order_id was changed after it was signed: check the signature"},
		{"verifies nothing", unverified, midhooktest.Tampering, "status_code was changed after it was signed: check the signature"},
		{"verifies nothing", unverified, midhooktest.Tampering, "gross_amount was changed after it was signed: check the signature"},
		{"trusts transaction_status", func(h *naive) { h.statusOnly = true }, midhooktest.Tampering, "transaction_status is not signed, status_code is"},
		{"trusts transaction_status", func(h *naive) { h.statusOnly = true }, midhooktest.EditedStatus, "a notification of status_code 202 that said deny was edited to settlement, and fulfilled its order"},
		{"trusts transaction_status", func(h *naive) { h.statusOnly = true }, midhooktest.EditedStatus, "a notification of status_code 202 that said expire was edited to settlement, and fulfilled its order"},
		{"trusts transaction_status", func(h *naive) { h.statusOnly = true }, midhooktest.EditedStatus, "a notification of status_code 407 that said expire was edited to settlement, and fulfilled its order"},
		{"trusts transaction_status", func(h *naive) { h.statusOnly = true }, midhooktest.EditedStatus, "a notification of status_code 202 that said cancel was edited to settlement, and fulfilled its order"},
		{"trusts transaction_status", func(h *naive) { h.statusOnly = true }, midhooktest.EditedStatus, "a notification of status_code 201 that said capture was edited to settlement, and fulfilled its order"},
		{"verifies nothing", unverified, midhooktest.LookAlikeNames, "a pending order's, which makes it paid"},
		{"verifies one reading and uses another", func(h *naive) { h.bindsAnew = true }, midhooktest.LookAlikeNames, `"Transaction_Status" was added to a signed body, a pending order's, which makes it paid`},
		{"redirects to a login", func(h *naive) { h.login = true }, midhooktest.EveryMethod, "302: no retry follows, lost"},
		{"wants fraud_status", func(h *naive) { h.wantsAccept = true }, midhooktest.EveryMethod, "fulfilled never, want once"},
		{"wants accept in lower case", func(h *naive) { h.wantsAccept = true }, midhooktest.NewFields, "fulfilled never, want once"},
		{"refuses unknown fields", func(h *naive) { h.strict = true }, midhooktest.NewFields, "422: no more than 5 retries, lost"},
		{"answers 404 to unknown orders", func(h *naive) { h.knowsOrders = true }, midhooktest.DashboardTest, "404: no retry follows, lost"},
	} {
		t.Run(c.scenario.Name+"/"+c.handler, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := sound()
				ds, err := c.scenario.Play(t.Context(), h.subject(h))
				require.NoError(t, err, "the sound handler")
				assert.NotEmpty(t, ds)

				h = sound()
				c.mistake(h)
				_, err = c.scenario.Play(t.Context(), h.subject(h))
				require.ErrorContains(t, err, c.says)
				if c.scenario.Name != midhooktest.Tampering.Name { // whose cases have rules of their own
					require.ErrorContains(t, err, c.scenario.Name+": "+c.scenario.Rule)
				}
				for line := range strings.Lines(err.Error()) {
					assert.NotContains(t, line, key)
				}
			})
		})
	}
}

// Rule: what only the status API can tell from the truth is asked of those alone who
// have one.
func TestEditedStatusAsksForAStatusCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := sound()
		subject := h.subject(h)
		_, err := midhooktest.EditedStatus.Play(t.Context(), subject)
		require.NoError(t, err)

		subject.Status = func(*midhook.Notification) {}
		_, err = midhooktest.EditedStatus.Play(t.Context(), subject)
		for _, status := range []string{"authorize", "cancel", "refund", "chargeback"} {
			assert.ErrorContains(t, err, "a notification of status_code 200 that said "+status+" was edited to settlement")
		}
	})
}
