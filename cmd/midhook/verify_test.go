package main

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// saying is a body whose signature is over other texts than it has.
func saying(signed midhook.Notification, key string, change ...field) string {
	f := fields{
		{"order_id", quote(signed.OrderID)},
		{"status_code", quote(signed.StatusCode)},
		{"gross_amount", quote(signed.GrossAmount)},
		{"transaction_status", `"settlement"`},
		{"signature_key", quote(midhooktest.Sign(&signed, key))},
	}
	for _, c := range change {
		f = f.with(c.name, c.value)
	}
	return f.text()
}

func TestVerify(t *testing.T) {
	const key, production = "SB-Mid-server-test", "Mid-server-test"
	paid := midhook.Notification{OrderID: "A-1", StatusCode: "200", GrossAmount: "1250000.00"}
	with := func(change func(*midhook.Notification)) midhook.Notification {
		n := paid
		change(&n)
		return n
	}
	signature := midhooktest.Sign(&paid, key)
	withoutDecimals := with(func(n *midhook.Notification) { n.GrossAmount = "1250000" })
	for _, c := range []struct {
		name, body, key string
		code            int
		culprits        string // fields
		text            string // somewhere in what is printed
	}{
		{"right", saying(paid, key), key, 0, "", `verified: order "A-1", status_code 200, amount 1250000.00`},
		{"right, with a number", saying(paid, key, field{"gross_amount", "1250000.00"}), key, 0, "", "verified"},
		{"right, upper case", saying(paid, key, field{"signature_key", quote(strings.ToUpper(signature))}), key, 0, "", "upper case"},
		{"right, Pay Account", string(midhooktest.Body(midhooktest.Sample("pay-account-enabled"), key)), key, 0, "", "ENABLED"},
		{"right, the dashboard's test", string(midhooktest.Body(midhooktest.Sample("dashboard-test"), key)), key, 0, "", "payment_notif_test_"},

		{"amount without decimals", saying(paid, key, field{"gross_amount", `"1250000"`}), key, 1, "gross_amount", `"1250000.00" was signed`},
		{"amount as a number", saying(paid, key, field{"gross_amount", `1250000`}), key, 1, "gross_amount", "reformatted"},
		{"amount as a float", saying(paid, key, field{"gross_amount", `1.25e+06`}), key, 1, "gross_amount", "reformatted"},
		{"amount with one decimal", saying(paid, key, field{"gross_amount", `"1250000.0"`}), key, 1, "gross_amount", "reformatted"},
		{"amount with commas", saying(paid, key, field{"gross_amount", `"1,250,000.00"`}), key, 1, "gross_amount", "reformatted"},
		{"amount with points", saying(paid, key, field{"gross_amount", `"Rp 1.250.000"`}), key, 1, "gross_amount", "reformatted"},
		{"amount in hundredths", saying(paid, key, field{"gross_amount", `"125000000"`}), key, 1, "gross_amount", "reformatted"},
		{"signed without decimals", saying(withoutDecimals, key, field{"gross_amount", `"1250000.00"`}), key, 1, "gross_amount", `"1250000" was signed`},
		{"signed with commas", saying(with(func(n *midhook.Notification) { n.GrossAmount = "1,250,000.00" }), key, field{"gross_amount", `"1250000.00"`}), key, 1, "gross_amount", "was signed"},
		{"signed as it is, without decimals", saying(withoutDecimals, key), key, 1, "body", "the signature matches, and yet midhook refuses it: malformed notification: gross_amount"},

		{"status_code as 200.0", saying(paid, key, field{"status_code", `"200.0"`}), key, 1, "status_code", "not three digits"},
		{"status_code with zeros", saying(paid, key, field{"status_code", `"0200"`}), key, 1, "status_code", "not three digits"},
		{"status_code with text", saying(paid, key, field{"status_code", `"200 OK"`}), key, 1, "status_code", "not three digits"},
		{"status_code changed", saying(with(func(n *midhook.Notification) { n.StatusCode = "201" }), key, field{"status_code", `"200"`}), key, 1, "status_code", "201 was signed"},
		{"pending into settlement", saying(with(func(n *midhook.Notification) { n.StatusCode = "201" }), key), key, 1, "transaction_status", "not to be trusted"},

		{"order_id trimmed", saying(with(func(n *midhook.Notification) { n.OrderID = "A-1 " }), key, field{"order_id", `"A-1"`}), key, 1, "order_id", `trimmed: "A-1 " was signed`},
		{"order_id with a line end", saying(paid, key, field{"order_id", `"A-1\n"`}), key, 1, "order_id", "white space"},
		{"order_id in lower case", saying(paid, key, field{"order_id", `"a-1"`}), key, 1, "order_id", "case"},
		{"order_id escaped", saying(with(func(n *midhook.Notification) { n.OrderID = "A/1" }), key, field{"order_id", `"A%2F1"`}), key, 1, "order_id", `"A/1" was signed`},
		{"account_id trimmed", string(midhooktest.Body(midhooktest.Sample("pay-account-disabled"), key)), " " + key, 1, "server key", "white space"},

		{"production's key of the same name", saying(paid, production), key, 1, "server key", "the other environment's"},
		{"the sandbox's key of the same name", saying(paid, key), production, 1, "server key", "the other environment's"},
		{"another key, and the sandbox's given", saying(paid, "other"), key, 1, "server key", "if this notification came from production"},
		{"another key, and production's given", saying(paid, "other"), production, 1, "server key", "if this notification came from the sandbox"},
		{"another key, and an odd one given", saying(paid, "other"), "whatever", 1, "server key", "begins neither"},
		{"client key", saying(paid, "other"), "SB-Mid-client-test", 1, "server key", "is a client key"},
		{"client key of the same name", saying(paid, key), "SB-Mid-client-test", 1, "server key", "called a client key"},
		{"key with white space", saying(paid, key), key + "\n", 1, "server key", "white space around"},
		{"key with a gap", saying(paid, key), "SB-Mid-\nserver-test", 1, "server key", "white space in it"},
		{"key in quotation marks", saying(paid, key), `"` + key + `"`, 1, "server key", "quotation marks"},
		{"key with a colon", saying(paid, key), key + ":", 1, "server key", "colon"},
		{"key with its variable", saying(paid, key), keyVariable + "=" + key, 1, "server key", "name of its variable"},
		{"key in base64", saying(paid, key), base64.StdEncoding.EncodeToString([]byte(key + ":")), 1, "server key", "base64"},
		{"signed with the white space", saying(paid, key+" "), key + " ", 1, "server key", "the signature matches, and yet midhook refuses it"},

		{"signature cut short", saying(paid, key, field{"signature_key", quote(signature[:100])}), key, 1, "signature_key", "100 of 128"},
		{"signature with white space", saying(paid, key, field{"signature_key", quote(signature + " ")}), key, 1, "signature_key", "white space"},
		{"signature of another length", saying(paid, key, field{"signature_key", quote(strings.Repeat("0", 64))}), key, 1, "signature_key", "SHA-256"},
		{"signature too short to tell", saying(paid, key, field{"signature_key", quote(signature[:20])}), key, 1, "signature_key", "20 digits instead of 128"},
		{"signature that is none", saying(paid, key, field{"signature_key", `"nonsense"`}), key, 1, "signature_key", "not all of them hexadecimal"},
		{"no signature", saying(paid, key, field{"signature_key", `null`}), key, 1, "signature_key", "there is none"},

		{"two culprits", saying(paid, key, field{"gross_amount", `1250000`}), key + " ", 1, "server key, gross_amount", "reformatted"},
		{"no order_id", saying(paid, key, field{"order_id", `null`}), key, 1, "order_id", "missing"},
		{"name twice", strings.Replace(saying(paid, key), "{", `{"order_id":"A-1",`, 1), key, 1, "body", "and yet midhook refuses it"},
		{"not JSON", "text", key, 1, "body", "not a JSON object"},
		{"null", "null", key, 1, "body", "not a JSON object"},
		{"nothing", "", key, 1, "body", "not a JSON object"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := invocation{stdin: c.body, key: c.key}.run(t, "verify")
			assert.Equal(t, c.code, code)
			assert.Empty(t, stderr)
			assert.Contains(t, stdout, c.text)
			assert.NotContains(t, stdout, c.key)
			assert.NotRegexp(t, `(?i)[0-9a-f]{20}`, stdout, "a digest, or a part of one")

			jsonCode, stdout, _ := invocation{stdin: c.body}.run(t, "verify", "--json", "-", "--key", c.key)
			assert.Equal(t, c.code, jsonCode)
			var v verdict
			require.NoError(t, json.Unmarshal([]byte(stdout), &v))
			assert.Equal(t, c.code == exitOK, v.Verified)
			var blamed []string
			for _, culprit := range v.Culprits {
				blamed = append(blamed, culprit.Field)
			}
			assert.Equal(t, c.culprits, strings.Join(blamed, ", "))
		})
	}
}

func TestVerifyAgreesWithMidhook(t *testing.T) {
	for _, name := range midhooktest.Samples() {
		assert.True(t, examine(midhooktest.Body(midhooktest.Sample(name), serverKey), serverKey).Verified, name)
		assert.False(t, examine(midhooktest.Body(midhooktest.Sample(name), noKey), serverKey).Verified, name)
	}
}
