package midhook_test

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// verifyPayment is a payment that testKey signed.
func verifyPayment() *midhook.Notification {
	n := &midhook.Notification{OrderID: "Order-5100", StatusCode: "200", GrossAmount: "154600.00", TransactionStatus: midhook.StatusSettlement}
	n.SignatureKey = midhooktest.Sign(n, testKey)
	return n
}

// verifyAccount is a Pay Account notification that testKey signed.
func verifyAccount() *midhook.Notification {
	n := &midhook.Notification{AccountID: "00000269-7836-49e5-bc65-e592afafec14", AccountStatus: "ENABLED", StatusCode: "200"}
	n.SignatureKey = midhooktest.Sign(n, testKey)
	return n
}

// Rule: the formula is the published one, on the published example.
func TestVerifyPublishedExample(t *testing.T) {
	const (
		key    = "askvnoibnosifnboseofinbofinfgbiufglnbfg"
		digest = "edc076b21793ebe3e17926350f5b8ae67d902fe657b3d0aa31b932d5c127e2375d308a2bc94f3265ac2d80a1f181a79b997ac178a236fcff35af263fc4d4c231"
	)
	n := &midhook.Notification{OrderID: "1111", StatusCode: "200", GrossAmount: "100000.00", SignatureKey: digest}
	assert.NoError(t, midhook.Verify(n, key))

	n.GrossAmount = "100000"
	assert.ErrorIs(t, midhook.Verify(n, key), midhook.ErrSignature, "an amount without its decimals must not match")

	// Nor when it is signed that way: the shape is refused.
	n.SignatureKey = midhooktest.Sign(n, key)
	assert.ErrorIs(t, midhook.Verify(n, key), midhook.ErrSignature)
}

// Rule: a Pay Account is signed over account_id, account_status, status_code.
func TestVerifyPayAccountFormula(t *testing.T) {
	n := verifyAccount()
	for _, c := range []struct{ status, code, signature string }{
		{"ENABLED", "200", "de24b1d8d89df463338129750577babef069a13406962090039ddeac2fb620c59bece2e8876594bab3ca66f5b20d6a5b7ad854cca54f94b82018e78b1b7c4826"},
		{"DISABLED", "204", "b481219c92eea33dc31194e8a28a057f47af9086a245913f63c07bfeafa66808416c23d76f39cb76bd20d3eb55679c90c8a515a6281206f1ba8785e47886db01"},
	} {
		n.AccountStatus, n.StatusCode, n.SignatureKey = c.status, c.code, c.signature
		assert.NoError(t, midhook.Verify(n, testKey), c.status)
	}
	n.AccountStatus = "ENABLED"
	assert.ErrorIs(t, midhook.Verify(n, testKey), midhook.ErrSignature, "a disabled account is not an enabled one")
}

// Rule: the signed fields are covered to the last byte, in constant shape; the
// digest's hexadecimal digits may be of either case.
func TestVerifyCoversSignedFields(t *testing.T) {
	for _, c := range []struct {
		rule   string
		of     func() *midhook.Notification
		change func(*midhook.Notification)
		ok     bool
	}{
		{"a payment as signed verifies", verifyPayment, func(n *midhook.Notification) {}, true},
		{"a Pay Account as signed verifies", verifyAccount, func(n *midhook.Notification) {}, true},
		{"an upper-case signature verifies", verifyPayment, func(n *midhook.Notification) { n.SignatureKey = strings.ToUpper(n.SignatureKey) }, true},
		{"a mixed-case signature verifies", verifyPayment, func(n *midhook.Notification) {
			n.SignatureKey = strings.ToUpper(n.SignatureKey[:64]) + n.SignatureKey[64:]
		}, true},

		{"another order_id does not", verifyPayment, func(n *midhook.Notification) { n.OrderID = "Order-5101" }, false},
		{"an order_id in another case does not", verifyPayment, func(n *midhook.Notification) { n.OrderID = "order-5100" }, false},
		{"an order_id with a space behind it does not", verifyPayment, func(n *midhook.Notification) { n.OrderID += " " }, false},
		{"no order_id does not", verifyPayment, func(n *midhook.Notification) { n.OrderID = "" }, false},
		{"another status_code does not", verifyPayment, func(n *midhook.Notification) { n.StatusCode = "201" }, false},
		{"no status_code does not", verifyPayment, func(n *midhook.Notification) { n.StatusCode = "" }, false},
		{"another gross_amount does not", verifyPayment, func(n *midhook.Notification) { n.GrossAmount = "154600.01" }, false},
		{"a smaller gross_amount does not", verifyPayment, func(n *midhook.Notification) { n.GrossAmount = "1.00" }, false},
		{"no gross_amount does not", verifyPayment, func(n *midhook.Notification) { n.GrossAmount = "" }, false},
		{"another account_id does not", verifyAccount, func(n *midhook.Notification) { n.AccountID = "1" + n.AccountID[1:] }, false},
		{"no account_id does not", verifyAccount, func(n *midhook.Notification) { n.AccountID = "" }, false},
		{"another account_status does not", verifyAccount, func(n *midhook.Notification) { n.AccountStatus = "DISABLED" }, false},
		{"no account_status does not", verifyAccount, func(n *midhook.Notification) { n.AccountStatus = "" }, false},
		{"another status_code of an account does not", verifyAccount, func(n *midhook.Notification) { n.StatusCode = "204" }, false},
		{"an account passed off as a payment does not", verifyAccount, func(n *midhook.Notification) { n.OrderID = n.AccountID }, false},

		{"no signature does not", verifyPayment, func(n *midhook.Notification) { n.SignatureKey = "" }, false},
		{"a signature one byte short does not", verifyPayment, func(n *midhook.Notification) { n.SignatureKey = n.SignatureKey[:126] }, false},
		{"a signature one digit short does not", verifyPayment, func(n *midhook.Notification) { n.SignatureKey = n.SignatureKey[:127] }, false},
		{"a signature one digit long does not", verifyPayment, func(n *midhook.Notification) { n.SignatureKey += "0" }, false},
		{"a signature twice does not", verifyPayment, func(n *midhook.Notification) { n.SignatureKey += n.SignatureKey }, false},
		{"a signature with a line end does not", verifyPayment, func(n *midhook.Notification) { n.SignatureKey += "\n" }, false},
		{"a signature behind a space does not", verifyPayment, func(n *midhook.Notification) { n.SignatureKey = " " + n.SignatureKey }, false},
		{"a signature that is no hexadecimal number does not", verifyPayment, func(n *midhook.Notification) { n.SignatureKey = n.SignatureKey[:127] + "g" }, false},
		{"128 letters that are no digits do not", verifyPayment, func(n *midhook.Notification) { n.SignatureKey = strings.Repeat("z", 128) }, false},
		{"128 zeros do not", verifyPayment, func(n *midhook.Notification) { n.SignatureKey = strings.Repeat("0", 128) }, false},
		{"the digest in raw bytes does not", verifyPayment, func(n *midhook.Notification) {
			raw, _ := hex.DecodeString(n.SignatureKey)
			n.SignatureKey = string(raw)
		}, false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			n := c.of()
			c.change(n)
			if c.ok {
				assert.NoError(t, midhook.Verify(n, testKey))
			} else {
				assert.ErrorIs(t, midhook.Verify(n, testKey), midhook.ErrSignature)
			}
		})
	}
}

// Rule: nothing else is covered. This is Midtrans' formula and the reason for
// WithStatusCheck; a test that fails here would be good news from Midtrans only.
func TestVerifyIgnoresUnsignedFields(t *testing.T) {
	n := verifyPayment()
	n.TransactionStatus, n.FraudStatus, n.TransactionID = midhook.StatusRefund, midhook.FraudDeny, "another"
	n.Currency, n.MerchantID, n.RefundAmount, n.TransactionTime = "SGD", "another", "1.00", "2030-01-01 00:00:00"
	assert.NoError(t, midhook.Verify(n, testKey))
}

// Rule: one right key is enough, wherever it stands: a rotation must not stop at
// the first wrong one. What cannot be a server key never verifies, even when it
// signed: anyone can sign with an empty key, and client keys are public.
func TestVerifyKeys(t *testing.T) {
	const other = "SB-Mid-server-other"
	for _, c := range []struct {
		rule   string
		signer string
		keys   []string
		ok     bool
	}{
		{"the right key first", testKey, []string{testKey, other}, true},
		{"the right key last", testKey, []string{other, testKey}, true},
		{"the right key between wrong ones", testKey, []string{other, testKey, "Mid-server-third"}, true},
		{"the right key behind an empty one", testKey, []string{"", testKey}, true},
		{"the right key before a client key", testKey, []string{testKey, "Mid-client-x"}, true},
		{"a wrong key", testKey, []string{other}, false},
		{"two wrong keys", testKey, []string{other, "Mid-server-third"}, false},
		{"the right key in another case", testKey, []string{strings.ToLower(testKey)}, false},
		{"part of the right key", testKey, []string{testKey[:len(testKey)-1]}, false},
		{"no key", testKey, nil, false},
		{"an empty key", testKey, []string{""}, false},
		{"an empty key that signed", "", []string{""}, false},
		{"a blank key that signed", " \t", []string{" \t"}, false},
		{"a key with a line end that signed", testKey + "\n", []string{testKey + "\n"}, false},
		{"a production client key that signed", "Mid-client-x", []string{"Mid-client-x"}, false},
		{"an old client key that signed", "VT-client-x", []string{"VT-client-x"}, false},
		{"a client key in capitals that signed", "MID-CLIENT-x", []string{"MID-CLIENT-x"}, false},
		{"a sandbox client key that signed", "SB-Mid-client-x", []string{"SB-Mid-client-x"}, false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			for _, n := range []*midhook.Notification{verifyPayment(), verifyAccount()} {
				n.SignatureKey = midhooktest.Sign(n, c.signer)
				if c.ok {
					assert.NoError(t, midhook.Verify(n, c.keys...))
				} else {
					assert.ErrorIs(t, midhook.Verify(n, c.keys...), midhook.ErrSignature)
				}
			}
		})
	}
}

// Rule: there is nothing to verify in nothing.
func TestVerifyNothing(t *testing.T) {
	assert.ErrorIs(t, midhook.Verify(nil, testKey), midhook.ErrSignature)
	assert.ErrorIs(t, midhook.Verify(&midhook.Notification{}, testKey), midhook.ErrSignature)

	n := &midhook.Notification{}
	n.SignatureKey = midhooktest.Sign(n, testKey)
	assert.ErrorIs(t, midhook.Verify(n, testKey), midhook.ErrSignature, "the digest of the key alone")
}

// Rule: the signed text has no separators, so one signature fits every way to
// cut it. The shapes leave few of them, which this pins; that they are not none
// is why an order is to be looked up (WithExpectation, WithStatusCheck). No cut
// is the same event, and none is of the other kind.
func TestVerifySeparatorAmbiguity(t *testing.T) {
	const text = "A20120050000.00"
	signed := &midhook.Notification{OrderID: "A", StatusCode: "201", GrossAmount: "20050000.00"}
	signature := midhooktest.Sign(signed, testKey)

	var cuts []string
	events := map[string]bool{}
	for i := range len(text) + 1 {
		for j := i; j <= len(text); j++ {
			n := &midhook.Notification{OrderID: text[:i], StatusCode: text[i:j], GrossAmount: text[j:], SignatureKey: signature}
			if midhook.Verify(n, testKey) == nil {
				cuts = append(cuts, n.OrderID+"|"+n.StatusCode+"|"+n.GrossAmount)
				events[n.IdempotencyKey()] = true
			}
			a := &midhook.Notification{AccountID: text[:i], AccountStatus: text[i:j], StatusCode: text[j:], SignatureKey: signature}
			assert.ErrorIs(t, midhook.Verify(a, testKey), midhook.ErrSignature, "a payment passed off as a Pay Account")
		}
	}
	assert.Equal(t, []string{"A|201|20050000.00", "A201|200|50000.00", "A2012005|000|0.00"}, cuts)
	assert.Len(t, events, len(cuts), "each cut is an event of its own")
}

// Rule: an error is shown to strangers: it holds no key, no digest, no field.
func TestVerifyErrorTellsNothing(t *testing.T) {
	const key = "SB-Mid-server-otherSECRET"
	n := verifyPayment()
	right := midhooktest.Sign(n, key)
	for _, keys := range [][]string{{key}, {"Mid-client-" + key}, {" " + key}, {}} {
		err := midhook.Verify(n, keys...)
		require.ErrorIs(t, err, midhook.ErrSignature)
		for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
			for _, secret := range []string{"SECRET", right[:8], n.SignatureKey[:8], n.OrderID, n.GrossAmount} {
				assert.NotContains(t, text, secret)
			}
		}
	}
}

// Rule: verifying costs no allocation, whatever comes: strangers make us do it.
func TestVerifyDoesNotAllocate(t *testing.T) {
	forged := verifyPayment()
	forged.SignatureKey = strings.Repeat("0", 128)
	garbled := verifyPayment()
	garbled.SignatureKey = "no digest"
	for name, n := range map[string]*midhook.Notification{
		"payment": verifyPayment(), "Pay Account": verifyAccount(), "forged": forged, "garbled": garbled,
	} {
		keys := []string{"SB-Mid-server-other", testKey}
		assert.Zero(t, testing.AllocsPerRun(100, func() { _ = midhook.Verify(n, keys...) }), name)
	}
}

// Rule: a signature verifies with the key that made it and with no other, and
// for exactly what it was made for.
func FuzzVerify(f *testing.F) {
	f.Add("Order-5100", uint16(200), uint64(154600), uint8(0), testKey, "SB-Mid-server-other", uint64(1))
	f.Add("1111", uint16(200), uint64(100000), uint8(0), "askvnoibnosifnboseofinbofinfgbiufglnbfg", testKey, uint64(2))
	f.Add("a/b#c \u00e9\x00\xff", uint16(0), uint64(0), uint8(99), "k", "kk", uint64(3))
	f.Add(strings.Repeat("long", 200), uint16(999), uint64(1<<63), uint8(10), strings.Repeat("k", 500), strings.Repeat("k", 501), uint64(4))
	f.Add("A", uint16(201), uint64(20050000), uint8(0), "Mid-client-x", "", uint64(5))
	f.Fuzz(func(t *testing.T, id string, code uint16, units uint64, hundredths uint8, key, other string, seed uint64) {
		if id == "" {
			t.Skip("without an id there is no event")
		}
		random := rand.New(rand.NewPCG(seed, seed))
		payment := midhook.Notification{OrderID: id, StatusCode: fmt.Sprintf("%03d", code%1000), GrossAmount: fmt.Sprintf("%d.%02d", units, hundredths%100)}
		account := midhook.Notification{AccountID: id, AccountStatus: "ENABLED", StatusCode: payment.StatusCode}
		for _, n := range []midhook.Notification{payment, account} {
			n.SignatureKey = midhooktest.Sign(&n, key)
			usable := strings.TrimSpace(key) == key && key != "" && !clientKey.MatchString(key)
			if !usable {
				require.ErrorIs(t, midhook.Verify(&n, key), midhook.ErrSignature, "%q is no server key", key)
				continue
			}
			require.NoError(t, midhook.Verify(&n, key))
			require.NoError(t, midhook.Verify(&n, other, key))
			if other != key {
				require.ErrorIs(t, midhook.Verify(&n, other), midhook.ErrSignature)
			}

			digest, err := hex.DecodeString(n.SignatureKey)
			require.NoError(t, err)
			forged := n
			forged.SignatureKey = hex.EncodeToString(verifyFlip(random, digest))
			require.ErrorIs(t, midhook.Verify(&forged, key), midhook.ErrSignature, "a bit of the digest differs")

			for _, field := range []func(*midhook.Notification) *string{
				func(n *midhook.Notification) *string { return &n.OrderID },
				func(n *midhook.Notification) *string { return &n.AccountID },
				func(n *midhook.Notification) *string { return &n.AccountStatus },
				func(n *midhook.Notification) *string { return &n.StatusCode },
				func(n *midhook.Notification) *string { return &n.GrossAmount },
			} {
				forged := n
				s := field(&forged)
				if *s == "" {
					continue // of the other kind
				}
				*s = string(verifyFlip(random, []byte(*s)))
				require.ErrorIs(t, midhook.Verify(&forged, key), midhook.ErrSignature, "a bit of a signed field differs")
			}
		}
	})
}

var clientKey = regexp.MustCompile(`(?i)^(mid|sb-mid|vt)-client-`)

// verifyFlip returns b with one bit changed.
func verifyFlip(random *rand.Rand, b []byte) []byte {
	b = append([]byte(nil), b...)
	b[random.IntN(len(b))] ^= 1 << random.IntN(8)
	return b
}
