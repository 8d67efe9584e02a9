package secret_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/midhook/midhook/internal/secret"
)

func TestCheck(t *testing.T) {
	for _, test := range []struct {
		name   string
		want   secret.Kind
		secret string
		err    string
	}{
		{"right", secret.MidtransServer, "SB-Mid-server-test", ""},
		{"of no known shape", secret.MidtransServer, "anything-else-of-16", ""},
		{"empty", secret.PayMongoWebhook, "", "the key is empty"},
		{"blank", secret.PayMongoWebhook, " \n", "the key is empty"},
		{"newline at the end", secret.PayMongoWebhook, "whsk_test\n", "the key begins or ends with white space"},
		{"prefix and an empty variable", secret.MidtransServer, "SB-Mid-server-", "the key is too short: at least 4 characters behind its prefix are required"},
		{"prefix and little more", secret.PayMongoWebhook, "whsk_abc", "the key is too short: at least 4 characters behind its prefix are required"},
		{"prefix and just enough", secret.PayMongoWebhook, "whsk_abcd", ""},
		{"short", secret.OpnWebhook, "changeme", "the key is too short: at least 16 characters are required"},
		{"15 characters", secret.OpnWebhook, "YOUR_SERVER_KEY", "the key is too short: at least 16 characters are required"},
		{"16 characters", secret.OpnWebhook, "abcdefghijklmnop", ""},
		{"one character", secret.MidtransServer, "SB-Mid-server-xxxxxxxx", "the key is a placeholder: the key itself is required"},
		{"one character in groups", secret.MidtransServer, "SB-Mid-server-xxxx-xxxx_xxxx", "the key is a placeholder: the key itself is required"},
		{"hyphens", secret.MidtransServer, "SB-Mid-server-----", "the key is a placeholder: the key itself is required"},
		{"a variable behind a prefix", secret.MidtransServer, "SB-Mid-server-$KEY", "the key is a placeholder: the key itself is required"},
		{"white space within", secret.MidtransServer, "Mid-server- abc", "the key contains white space"},
		{"dots", secret.MidtransServer, "Mid-server-....", "the key is a placeholder: the key itself is required"},
		{"in angle brackets", secret.MidtransServer, "<server-key>", "the key is a placeholder: the key itself is required"},
		{"in braces", secret.MidtransServer, "{{ midtrans_server_key }}", "the key is a placeholder: the key itself is required"},
		{"of a template", secret.MidtransServer, "SB-Mid-server-{key}", "the key is a placeholder: the key itself is required"},
		{"of an example", secret.MidtransServer, "YOUR_MIDTRANS_SERVER_KEY", "the key is a placeholder: the key itself is required"},
		{"of an example, behind a prefix", secret.MidtransServer, "SB-Mid-server-YOUR_SERVER_KEY", "the key is a placeholder: the key itself is required"},
		{"published examples", secret.MidtransServer, "askvnoibnosifnboseofinbofinfgbiufglnbfg", ""},
		{"published examples", secret.MidtransServer, "VT-server-HJMpl9HLr_ntOKt5mRONdmKj", ""},
		{"two lines", secret.PayMongoWebhook, "whsk_test\nwhsk_test", "the key contains characters that no key has: control characters, or an invisible one"},
		{"NUL", secret.PayMongoWebhook, "whsk_\x00", "the key contains characters that no key has: control characters, or an invisible one"},
		{"invisible character", secret.PayMongoWebhook, "whsk_test\u200b", "the key contains characters that no key has: control characters, or an invisible one"},
		{"in quotes", secret.MidtransIris, `"IRIS-test"`, "the key is in quotes, or a variable's name: the key itself is required"},
		{"a variable", secret.MidtransIris, "${IRIS_KEY}", "the key is in quotes, or a variable's name: the key itself is required"},
		{"of another kind, in capitals", secret.PayMongoWebhook, "SK_LIVE_test", "the key is of another kind (PayMongo secret key): the PayMongo webhook secret is required"},
		{"of an old account", secret.MidtransServer, "VT-client-test", "the key is of another kind (Midtrans client key, which is public): the Midtrans server key is required"},
		{"client key", secret.MidtransServer, "SB-Mid-client-test", "the key is of another kind (Midtrans client key, which is public): the Midtrans server key is required"},
		{"another gateway's", secret.MidtransIris, "skey_test", "the key is of another kind (Opn secret key): the Midtrans Iris key is required"},
		{"API key", secret.PayMongoWebhook, "sk_live_test", "the key is of another kind (PayMongo secret key): the PayMongo webhook secret is required"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := secret.Check(test.want, test.secret)
			if test.err == "" {
				assert.NoError(t, err)
				return
			}
			assert.EqualError(t, err, test.err)
		})
	}
}

// Rule: no verb of fmt reaches a secret, wherever it lies.
func TestPrintingReachesNoSecret(t *testing.T) {
	const value = "whsk_TOPSECRET"
	list := secret.Usable([]string{value}, func(string) error { return nil })
	type unexported struct{ list secret.List }
	type key struct{ key secret.Key }
	for _, v := range []any{list, list[0], list[0].Value, unexported{list}, &unexported{list}, key{list[0].Value}, map[string]any{"a": list}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			text := fmt.Sprintf(verb, v)
			assert.NotContains(t, text, "TOPSECRET")
			assert.NotContains(t, text, fmt.Sprintf("%x", "TOPSECRET"))
		}
	}
	assert.Equal(t, value, list[0].Value.Reveal())
	assert.Empty(t, secret.Key(nil).Reveal())
}

func TestListAdd(t *testing.T) {
	check := func(s string) error { return secret.Check(secret.PayMongoWebhook, s) }
	var list secret.List
	assert.NoError(t, list.Add("webhook secret", "default", "whsk_test", check))
	assert.EqualError(t, list.Add("webhook secret", "default", "", check),
		"webhook secret: there are two with the label \"default\"\nwebhook secret \"default\": the key is empty")
	assert.NoError(t, list.Add("webhook secret", "desk_manila", "whsk_next", check), "a label may have a prefix inside of a word")
	assert.EqualError(t, list.Add("webhook secret", " ", "whsk_test", check), "webhook secret: a label is required")
	err := list.Add("webhook secret", "my whsk_test", "next", check)
	assert.EqualError(t, err, "webhook secret: the label looks like a key: the label comes first", "a key in the label's place would be in every log")
}

// Rule: the loop over the keys does not stop at the one that matches, nor at the
// first that does not.
func TestListMatchTriesAll(t *testing.T) {
	var list secret.List
	for _, label := range []string{"first", "second", "third"} {
		assert.NoError(t, list.Add("key", label, "of "+label, func(string) error { return nil }))
	}
	for _, wanted := range []string{"first", "second", "third"} {
		tried := 0
		label, ok := list.Match(func(value string) bool { tried++; return value == "of "+wanted })
		assert.True(t, ok)
		assert.Equal(t, wanted, label)
		assert.Equal(t, 3, tried)
	}
	_, ok := list.Match(func(string) bool { return false })
	assert.False(t, ok)
	_, ok = secret.List(nil).Match(func(string) bool { return true })
	assert.False(t, ok, "without a secret nothing is authentic")
}
