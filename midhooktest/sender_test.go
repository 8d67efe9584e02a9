package midhooktest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// Rule: a signature is that of the senders' published examples.
func TestSendersSignAsPublished(t *testing.T) {
	for _, c := range []struct {
		name, secret string
		sender       midhooktest.Sender
		at           int64
		body         string
		want         http.Header
	}{
		{
			"payout", "IRIS-merchant-xxx", midhooktest.PayoutSender(), 0,
			`{"reference_no":"abc123","amount":"10000.00","status":"completed","updated_at":"2026-01-01T00:00:00Z"}`,
			http.Header{"Iris-Signature": {"3c5fbf2d2522d9881b40e4e7b7cea4e8db5f38217d99d01941bc7693b2ced7269be4e6b47138a90cba38a1ffec4c0b256250fdceb07f47a1a23db71ebc725681"}},
		},
		{
			"opn", "b21pc2Utd2ViaG9vay1zZWNyZXQ=", midhooktest.OpnSender(), 1785578400,
			`{"id":"evnt_test_1","key":"charge.complete","data":{"id":"chrg_test_1"}}`,
			http.Header{
				"Omise-Signature":           {"c18c99a6612d57ffecba8948a13ccd4b6f9bb21cac805cfa323c080c600cc15f"},
				"Omise-Signature-Timestamp": {"1785578400"},
			},
		},
		{
			"paymongo, test", "whsk_test", midhooktest.PayMongoSender(), 1496734173,
			`{"data":{"id":"evt_test_1","type":"event","attributes":{"type":"payment.paid","livemode":false}}}`,
			http.Header{"Paymongo-Signature": {"t=1496734173,te=f9d4675b21a53bec1618af471aec9936446f60dd778c784328544681bed11a4f,li="}},
		},
		{
			"paymongo, live, by the same formula", "whsk_test", midhooktest.PayMongoSender(), 1496734173,
			`{"data":{"id":"evt_test_1","type":"event","attributes":{"type":"payment.paid","livemode":true}}}`,
			http.Header{"Paymongo-Signature": {"t=1496734173,te=,li=44134cfa9720431b882b8981e2835cf4b1a6dd59de5e1ead02dcac8d42a0e244"}},
		},
		{"recurring, unsigned", key, midhooktest.RecurringSender(), 0, `{"id":"db516f5c","token":"x"}`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			header, body := c.sender.Sign([]byte(c.body), c.secret, time.Unix(c.at, 0))
			assert.Equal(t, c.want, header)
			assert.Equal(t, c.body, string(body), "the body is sent as it was signed")
		})
	}
}

// Rule: Midtrans' signature is inside of the body, and nothing else of it changes.
func TestMidtransSendersSignInTheBody(t *testing.T) {
	for sender, body := range map[*midhooktest.Sender][]byte{
		new(midhooktest.MidtransSender()):  midhooktest.MidtransSender().Body("bca-va", midhooktest.Field("a_new_field", 1)),
		new(midhooktest.RecurringSender()): midhooktest.RecurringSender().Body("signed", midhooktest.Field("a_new_field", 1)),
	} {
		header, signed := sender.Sign(body, key, time.Now())
		assert.Empty(t, header, sender.Name)
		var unsigned, whole map[string]any
		require.NoError(t, json.Unmarshal(body, &unsigned))
		require.NoError(t, json.Unmarshal(signed, &whole))
		assert.Len(t, whole["signature_key"], 128)
		assert.NoError(t, midhook.Verify(parse(t, signed), key))
		delete(unsigned, "signature_key")
		delete(whole, "signature_key")
		assert.Equal(t, unsigned, whole, sender.Name)

		_, garbage := sender.Sign([]byte("{"), key, time.Now())
		assert.Equal(t, "{", string(garbage), "what is no notification goes out as it is")
	}
}

// Rule: another body, another secret and, where it is signed, another time give
// another signature; the same give the same.
func TestSignaturesDependOnEverythingSigned(t *testing.T) {
	at := time.Unix(1785578400, 0)
	for _, s := range midhooktest.Senders() {
		body, other := s.Event(0), s.Event(1)
		if s.Name == "recurring" {
			body, other = s.Body("signed"), s.Body("signed", midhooktest.Amount("1.00"))
		}
		sign := func(body []byte, secret string, at time.Time) string {
			header, signed := s.Sign(body, secret, at)
			if len(header) > 0 {
				return fmt.Sprint(header)
			}
			n, err := midhook.Parse(signed)
			require.NoError(t, err)
			return n.SignatureKey
		}
		secret := "b21pc2Utd2ViaG9vay1zZWNyZXQ="
		usual := sign(body, secret, at)
		assert.Equal(t, usual, sign(body, secret, at), s.Name)
		assert.NotEqual(t, usual, sign(other, secret, at), s.Name)
		assert.NotEqual(t, usual, sign(body, "c21pc2Utd2ViaG9vay1zZWNyZXQ=", at), s.Name)
		later := sign(body, secret, at.Add(time.Second))
		assert.Equal(t, s.Name == "opn" || s.Name == "paymongo", usual != later, s.Name)
	}
}

func TestSenders(t *testing.T) {
	var names []string
	for _, s := range midhooktest.Senders() {
		names = append(names, s.Name)
		t.Run(s.Name, func(t *testing.T) {
			samples := s.Samples()
			assert.NotEmpty(t, samples)
			assert.True(t, slices.IsSorted(samples), "%q", samples)
			for _, sample := range samples {
				body := s.Body(sample)
				assert.True(t, json.Valid(body), sample)
				assert.Equal(t, body, s.Body(sample), "the same each time")
				var o map[string]any
				assert.NoError(t, json.Unmarshal(body, &o), "%s is no object", sample)
				assert.True(t, json.Valid(s.Body(sample, midhooktest.Field("a_new_field", nil))), "%s, written again", sample)
				s.Body(sample)[0] = 'x' // a copy
			}

			seen := map[string]int{}
			for nr := range 20 {
				event := s.Event(nr)
				assert.True(t, json.Valid(event))
				assert.Equal(t, string(event), string(s.Event(nr)), "the same for the same number")
				if before, is := seen[string(event)]; is {
					t.Errorf("events %d and %d are the same", before, nr)
				}
				seen[string(event)] = nr
			}
		})
	}
	assert.Equal(t, []string{"midtrans", "payout", "recurring", "opn", "paymongo"}, names)
	assert.NotContains(t, midhooktest.Samples(), "opn", "another sender's directory is no sample")
}

// Rule: the request is complete as it is: signed now, to be read once, and of a
// header of its own.
func TestSenderNewRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, s := range midhooktest.Senders() {
			body := s.Event(1)
			header, signed := s.Sign(body, "whsk_test", time.Now())
			r := s.NewRequest(body, "whsk_test")
			got, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			assert.Equal(t, string(signed), string(got), s.Name)
			assert.Equal(t, int64(len(signed)), r.ContentLength)
			assert.Equal(t, http.MethodPost, r.Method)
			assert.Equal(t, "/", r.URL.Path)
			assert.NotEmpty(t, r.RemoteAddr)
			assert.Equal(t, "application/json", r.Header.Get("Content-Type"))
			for name := range header {
				assert.Equal(t, header[name], r.Header.Values(name), "%s: %s, as net/http's server spells it", s.Name, name)
			}
			r.Header.Set("Content-Type", "changed")
			assert.Equal(t, "application/json", s.NewRequest(body, "whsk_test").Header.Get("Content-Type"))
			time.Sleep(time.Second)
			if again := s.NewRequest(body, "whsk_test").Header; s.Name == "opn" || s.Name == "paymongo" {
				assert.False(t, maps.EqualFunc(again, r.Header, slices.Equal), "%s is not signed now", s.Name)
			}
		}
	})
}

// Rule: a name that is wrong is told with those that are right, and never leads to
// another sender's sample.
func TestSenderBodyPanics(t *testing.T) {
	opn := midhooktest.OpnSender()
	for sample, sender := range map[string]midhooktest.Sender{
		"payment.paid":             opn,
		"":                         opn,
		"../gopay":                 opn,
		"../paymongo/payment.paid": opn,
		"./charge.complete":        opn,
	} {
		assert.PanicsWithValue(t, fmt.Sprintf(`midhooktest: opn has no sample %q, only charge.complete, charge.create, customer.destroy, refund.create`, sample),
			func() { sender.Body(sample) })
	}
	assert.PanicsWithValue(t, `midhooktest: the sender "warung" has no samples`, func() { midhooktest.Sender{Name: "warung"}.Body("gopay") })
	assert.Empty(t, midhooktest.Sender{}.Samples())
	assert.Panics(t, func() { midhooktest.Sample("opn/charge.complete") })
}

// Rule: Member finds its way, and makes what is not there.
func TestMember(t *testing.T) {
	sender := midhooktest.PayMongoSender()
	at := func(body []byte, path ...string) string {
		for _, name := range path {
			var o map[string]json.RawMessage
			if json.Unmarshal(body, &o) != nil {
				return "no object"
			}
			body = o[name]
		}
		return string(body)
	}
	for _, c := range []struct {
		value any
		path  []string
		want  string
	}{
		{"evt_9", []string{"data", "id"}, `"evt_9"`},
		{true, []string{"data", "attributes", "livemode"}, `true`},
		{json.RawMessage(`12345678901234567890`), []string{"data", "attributes", "data", "attributes", "amount"}, `12345678901234567890`},
		{1, []string{"new"}, `1`},
		{"x", []string{"new", "of", "its", "own"}, `"x"`},
		{"x", []string{"data", "id", "deeper"}, `"x"`},
		{nil, []string{"data", "id"}, ``},
		{nil, []string{"data"}, ``},
	} {
		before := sender.Body("payment.paid", midhooktest.Field("a_new_field", nil))
		body := sender.Body("payment.paid", midhooktest.Member(c.value, c.path...))
		require.True(t, json.Valid(body), "%v", c.path)
		assert.Equal(t, c.want, at(body, c.path...), "%v", c.path)
		if c.path[0] == "data" && len(c.path) == 2 {
			assert.Equal(t, at(before, "data", "attributes"), at(body, "data", "attributes"), "the rest stays as it was")
		}
	}
	twice := midhooktest.Member("evt_9", "data", "id")
	assert.Equal(t, sender.Body("payment.paid", twice), sender.Body("payment.paid", twice, twice), "a tweak can be used again")
	assert.True(t, bytes.HasPrefix(sender.Body("payment.paid", twice), []byte(`{"data":{"id":"evt_9","type":"event"`)), "the order stays")
	assert.Equal(t, 1, strings.Count(string(sender.Body("payment.paid", twice)), `"id":"evt_9"`))
}
