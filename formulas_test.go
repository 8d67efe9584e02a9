package midhook_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/bindtest"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/opn"
	"github.com/midhook/midhook/paymongo"
	"github.com/midhook/midhook/payout"
	"github.com/midhook/midhook/recurring"
)

// A merchant has one key for each kind of webhook. These are the worst case: keys
// without a prefix, so that one can be in the place of another.
const (
	digestKey = "one-for-every-kind-0001"      // of SHA-512: payments, Pay Accounts, subscriptions, payouts
	macKey    = "whsk_one-for-every-kind-0001" // of HMAC-SHA256: Opn and PayMongo
)

// kind is a kind of webhook: who sends it, and whether its gateway takes a delivery for
// authentic.
type kind struct {
	sender  midhooktest.Sender
	secret  string
	accepts func(header http.Header, body []byte) bool
}

func kinds(t testing.TB) map[string]kind {
	opens := func(g midhook.Gateway, err error) func(http.Header, []byte) bool {
		require.NoError(t, err)
		return func(header http.Header, body []byte) bool {
			msg, err := g.Open(header, body)
			return err == nil && msg.Key != "" // without a Key nothing runs
		}
	}
	hook, err := midhook.New(digestKey, midhook.WithStore(bindtest.Forgetful{}), midhook.WithTestNotifications())
	require.NoError(t, err)
	subscription := opens(recurring.New(digestKey, 1, 1, recurring.WithBaseURL("https://api.example")))
	ran := false
	handler := hook.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran = true }))
	return map[string]kind{
		"payment": {midhooktest.MidtransSender(), digestKey, func(header http.Header, body []byte) bool {
			r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
			r.Header = header
			ran = false
			handler.ServeHTTP(httptest.NewRecorder(), r)
			return ran
		}},
		"payout": {midhooktest.PayoutSender(), digestKey, opens(payout.New(digestKey))},
		"subscription": {midhooktest.RecurringSender(), digestKey, func(header http.Header, body []byte) bool {
			return subscription(header, body) || recurring.Verify(body, digestKey) == nil
		}},
		"opn":      {midhooktest.OpnSender(), inBase64(macKey), opens(opn.New(inBase64(macKey), opn.WithSecret("next", inBase64(digestKey))))},
		"paymongo": {midhooktest.PayMongoSender(), macKey, opens(paymongo.New(macKey))},
	}
}

func inBase64(key string) string { return base64.StdEncoding.EncodeToString([]byte(key)) }

var digests = regexp.MustCompile(`\b[0-9a-f]{64,}\b`)

// withSignature puts a signature wherever a kind of webhook looks for its own.
func withSignature(signature, timestamp string, body []byte) (header http.Header, bodies [][]byte) {
	header = http.Header{
		"Content-Type":              {"application/json"},
		"Iris-Signature":            {signature},
		"Omise-Signature":           {signature},
		"Omise-Signature-Timestamp": {timestamp},
		"Paymongo-Signature":        {"t=" + timestamp + ",te=" + signature + ",li=" + signature},
	}
	bodies = [][]byte{body}
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) == nil && members != nil {
		members["signature_key"] = json.RawMessage(strconv.Quote(signature))
		with, _ := json.Marshal(members)
		members["subscription_id"], members["transaction_id"] = json.RawMessage(`"sub-1"`), json.RawMessage(`"tx-1"`)
		subscribed, _ := json.Marshal(members)
		bodies = append(bodies, with, subscribed)
	}
	return header, bodies
}

// isOf reports whether a body that a kind has signed is one of another as well: a
// subscription's signed payment is a payment, by the formula of payments, and to which
// subscription a payment belongs is not signed.
func isOf(name, other string, body []byte) bool {
	n, err := midhook.Parse(body)
	both := []string{"payment", "subscription"}
	return name == other || slices.Contains(both, name) && slices.Contains(both, other) && err == nil && n.Kind() == midhook.Payment
}

// Rule: what one kind of webhook signs is authentic as no other, with the same key and
// the signature in any place.
func TestSignatureOfOneKindIsOfNoOther(t *testing.T) {
	all := kinds(t)
	tried := 0
	for name, from := range all {
		for _, sample := range from.sender.Samples() {
			at := time.Now()
			proof, body := from.sender.Sign(from.sender.Body(sample), from.secret, at)
			signature := digests.FindString(fmt.Sprint(proof, " ", string(body)))
			if signature == "" {
				continue // a subscription's bodies are not signed
			}
			header, bodies := withSignature(signature, strconv.FormatInt(at.Unix(), 10), body)
			assert.True(t, from.accepts(header.Clone(), body), "%s of %s is what it is", sample, name)
			for other, to := range all {
				for _, body := range bodies {
					if isOf(name, other, body) {
						continue
					}
					tried++
					assert.False(t, to.accepts(header.Clone(), body), "%s of %s is one of %s", sample, name, other)
				}
			}
		}
	}
	assert.Greater(t, tried, 100)
}

var (
	codeShape   = regexp.MustCompile(`^[0-9]{3}$`)
	amountShape = regexp.MustCompile(`^(0|[1-9][0-9]*)\.[0-9]{2}$`)
	// accountStatuses are those that Midtrans documents. None ends like another.
	accountStatuses = []string{"ENABLED", "DISABLED", "PENDING", "EXPIRED"}
)

// requireCuts cuts a signed text in every way into the fields of a payment and of a Pay
// Account. The formulas have no separators: what verifies is of the same kind, has its
// fields' shapes, and is another event.
func requireCuts(t *testing.T, text string, signed *midhook.Notification, signature string) {
	t.Helper()
	isPayment := signed != nil && signed.Kind() == midhook.Payment
	isAccount := signed != nil && signed.Kind() == midhook.PayAccount
	for i := range len(text) + 1 {
		for j := i; j <= len(text); j++ {
			x, y, z := text[:i], text[i:j], text[j:]
			payment := &midhook.Notification{OrderID: x, StatusCode: y, GrossAmount: z, SignatureKey: signature}
			verifies := midhook.Verify(payment, digestKey) == nil
			if shaped := isPayment && x != "" && codeShape.MatchString(y) && amountShape.MatchString(z); verifies != shaped {
				t.Fatalf("as payment %q %q %q: %v", x, y, z, verifies)
			}
			if verifies && (x != signed.OrderID || y != signed.StatusCode) {
				requireOther(t, signed, payment)
			}

			account := &midhook.Notification{AccountID: x, AccountStatus: y, StatusCode: z, SignatureKey: signature}
			verifies = midhook.Verify(account, digestKey) == nil
			if shaped := isAccount && x != "" && y != "" && codeShape.MatchString(z); verifies != shaped {
				t.Fatalf("as Pay Account %q %q %q: %v", x, y, z, verifies)
			}
			if verifies && (x != signed.AccountID || y != signed.AccountStatus) {
				requireOther(t, signed, account)
				if slices.Contains(accountStatuses, signed.AccountStatus) && slices.Contains(accountStatuses, y) {
					t.Fatalf("%q %q is cut into %q %q", signed.AccountID, signed.AccountStatus, x, y)
				}
			}
		}
	}
}

func requireOther(t *testing.T, a, b *midhook.Notification) {
	t.Helper()
	require.NotEqual(t, a.IdempotencyKey(), b.IdempotencyKey())
	require.NotEqual(t, a.PaymentKey(), b.PaymentKey())
}

// requireTimes cuts what Opn and PayMongo sign, time + "." + body, at each of its points.
func requireTimes(t *testing.T, timestamp string, body []byte) {
	t.Helper()
	sent, _ := strconv.ParseInt(timestamp, 10, 64)
	at := time.Unix(sent, 0)
	text := timestamp + "." + string(body)
	opns, _ := midhooktest.OpnSender().Sign(body, inBase64(macKey), at)
	mac := opns.Get("Omise-Signature")
	for i := range len(text) {
		if text[i] != '.' {
			continue
		}
		cut, rest := text[:i], []byte(text[i+1:])
		seconds, _ := strconv.ParseInt(cut, 10, 64)
		isOpn := opn.Verify(rest, mac, cut, time.Unix(seconds, 0), inBase64(macKey)) == nil
		require.Equal(t, cut == timestamp && len(rest) > 0, isOpn, "Opn at %q", cut)
		isPayMongo := paymongo.Verify(rest, "t="+cut+",te="+mac+",li="+mac, macKey) == nil
		_, err := paymongo.Parse(rest)
		require.Equal(t, cut == timestamp && err == nil, isPayMongo, "PayMongo at %q", cut)
	}
}

// FuzzFormulas signs one text by each formula, and gives it out for every other kind of
// webhook, and for others of its own.
func FuzzFormulas(f *testing.F) {
	f.Add("A", "ENABLED", uint16(201), uint64(20050000), uint8(0), []byte(`{"reference_no":"A","status":"completed"}`), uint32(1_700_000_000))
	f.Add("acc-1EN", "ABLED", uint16(200), uint64(1), uint8(50), []byte(`{"reference_no":"A","status":"completed","amount":"20010000.00"}`), uint32(1))
	f.Add(`{"reference_no":"A","status":"completed"}`, "DISABLED", uint16(204), uint64(0), uint8(99), []byte("A20010000.00"), uint32(0))
	f.Add("0.00200", "PENDING200", uint16(200), uint64(200), uint8(0), midhooktest.PayMongoSender().Body("payment.paid"), uint32(1_700_000_000))
	f.Add("1.", "2001.00", uint16(0), uint64(1<<63), uint8(1), []byte(`{"id":"1.{","key":"charge.complete","n":1.5}`), uint32(12))
	f.Add("A", "ENABLED", uint16(200), uint64(1), uint8(0), []byte(`1.{"data":{"id":"evt_1","attributes":{"type":"payment.paid","livemode":true}}}`), uint32(12))
	f.Add("A", "ENABLED", uint16(200), uint64(1), uint8(0), []byte(`x.{"data":{"id":"evt_1","attributes":{"type":"payment.paid","livemode":true}}}`), uint32(12))
	all := kinds(f)
	f.Fuzz(func(t *testing.T, id, status string, code uint16, units uint64, hundredths uint8, body []byte, timestamp uint32) {
		if id == "" || status == "" || len(id)+len(status) > 64 || len(body) > 400 {
			t.Skip("a longer text finds no more")
		}
		stamp := strconv.FormatUint(uint64(timestamp), 10)
		none := func(signature string, text []byte, besides ...string) {
			t.Helper()
			header, bodies := withSignature(signature, stamp, text)
			for name, to := range all {
				if !slices.Contains(besides, name) {
					for _, body := range bodies {
						require.False(t, to.accepts(header.Clone(), body), "%q is one of %s", body, name)
					}
				}
			}
		}

		p := &midhook.Notification{OrderID: id, StatusCode: fmt.Sprintf("%03d", code%1000), GrossAmount: fmt.Sprintf("%d.%02d", units, hundredths%100)}
		p.SignatureKey = midhooktest.Sign(p, digestKey)
		text := p.OrderID + p.StatusCode + p.GrossAmount
		requireCuts(t, text, p, p.SignatureKey)
		none(p.SignatureKey, []byte(text))
		none(p.SignatureKey, midhooktest.Body(p, digestKey), "payment", "subscription") // see isOf

		a := &midhook.Notification{AccountID: id, AccountStatus: status, StatusCode: p.StatusCode}
		a.SignatureKey = midhooktest.Sign(a, digestKey)
		text = a.AccountID + a.AccountStatus + a.StatusCode
		requireCuts(t, text, a, a.SignatureKey)
		none(a.SignatureKey, []byte(text))
		none(a.SignatureKey, midhooktest.Body(a, digestKey), "payment")

		proof, _ := midhooktest.PayoutSender().Sign(body, digestKey, time.Time{})
		if _, err := payout.Parse(body); err == nil && len(body) <= 128 { // nobody signs a body that is none
			requireCuts(t, string(body), nil, proof.Get("Iris-Signature"))
			none(proof.Get("Iris-Signature"), body, "payout")
		}
		if !strings.HasPrefix(stamp, "0") {
			requireTimes(t, stamp, body)
		}
	})
}
