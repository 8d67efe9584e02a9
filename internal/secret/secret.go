// Package secret refuses, when a server starts, what cannot be the secret that
// proves a webhook, and keeps those it accepts with the labels they go by. No
// error quotes a secret.
package secret

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kind is what a secret is for.
type Kind string

// The secrets that merchants have side by side in one configuration, and paste in
// each other's place.
const (
	MidtransServer  Kind = "Midtrans server key"
	MidtransClient  Kind = "Midtrans client key, which is public"
	MidtransIris    Kind = "Midtrans Iris key"
	OpnSecret       Kind = "Opn secret key"
	OpnPublic       Kind = "Opn public key"
	OpnWebhook      Kind = "Opn webhook secret"
	PayMongoSecret  Kind = "PayMongo secret key"
	PayMongoPublic  Kind = "PayMongo public key"
	PayMongoWebhook Kind = "PayMongo webhook secret"
)

// prefixes tells secrets apart that say what they are. Opn's webhook secrets
// don't, nor do some of Midtrans' keys.
var prefixes = []struct {
	prefix string
	kind   Kind
}{
	{"Mid-server-", MidtransServer},
	{"SB-Mid-server-", MidtransServer},
	{"VT-server-", MidtransServer}, // of old accounts
	{"Mid-client-", MidtransClient},
	{"SB-Mid-client-", MidtransClient},
	{"VT-client-", MidtransClient},
	{"IRIS-", MidtransIris},
	{"skey_", OpnSecret},
	{"pkey_", OpnPublic},
	{"sk_", PayMongoSecret},
	{"pk_", PayMongoPublic},
	{"whsk_", PayMongoWebhook},
}

// KindOf tells what a secret says it is, "" if it does not.
func KindOf(secret string) Kind {
	for i := range prefixes {
		if strings.HasPrefix(secret, prefixes[i].prefix) {
			return prefixes[i].kind
		}
	}
	for i := range prefixes { // as few are
		if hasPrefixFold(secret, prefixes[i].prefix) {
			return prefixes[i].kind
		}
	}
	return ""
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && s[0]|0x20 == prefix[0]|0x20 && strings.EqualFold(s[:len(prefix)], prefix)
}

// Check refuses what cannot be a secret of that kind.
func Check(want Kind, secret string) error {
	if strings.TrimSpace(secret) == "" {
		return errors.New("the key is empty")
	}
	if strings.TrimSpace(secret) != secret {
		return errors.New("the key begins or ends with white space")
	}
	for i := range len(secret) {
		switch c := secret[i]; {
		case c == ' ':
			return errors.New("the key contains white space")
		case c < ' ' || c > '~':
			return errors.New("the key contains characters that no key has: control characters, or an invisible one")
		case c == '"' || c == '\'' || c == '`' || c == '$' && i == 0:
			return errors.New("the key is in quotes, or a variable's name: the key itself is required")
		case strings.IndexByte("<>{}", c) >= 0:
			return errPlaceholder
		}
	}
	if is := KindOf(secret); is != "" && is != want {
		return fmt.Errorf("the key is of another kind (%s): the %s is required", is, want)
	}
	return checkGuess(secret)
}

var errPlaceholder = errors.New("the key is a placeholder: the key itself is required")

const (
	minTail   = 4  // characters behind a known prefix
	minLength = 16 // of a secret without one
)

// checkGuess refuses what anyone would try first: a prefix with an empty variable
// behind it, a variable's name there, one character again and again, also in groups,
// and what examples have in a key's place.
func checkGuess(secret string) error {
	tail := strings.ToLower(withoutPrefix(secret))
	plain := strings.NewReplacer("_", "", "-", "").Replace(tail)
	switch {
	case len(tail) == len(secret) && len(secret) < minLength:
		return fmt.Errorf("the key is too short: at least %d characters are required", minLength)
	case len(tail) < minTail:
		return fmt.Errorf("the key is too short: at least %d characters behind its prefix are required", minTail)
	case strings.Trim(tail, tail[:1]) == "", plain != "" && strings.Trim(plain, plain[:1]) == "", tail[0] == '$':
		return errPlaceholder
	}
	for _, word := range placeholders {
		if strings.Contains(plain, word) {
			return errPlaceholder
		}
	}
	return nil
}

// placeholders are what stands for a key in examples and templates, without the
// signs between words.
var placeholders = []string{"serverkey", "merchantkey", "yourwebhook", "yourkey", "yoursecret", "yourmidtrans", "changeme", "changethis", "replaceme", "placeholder", "insertkey"}

func withoutPrefix(secret string) string {
	for i := range prefixes {
		if hasPrefixFold(secret, prefixes[i].prefix) {
			return secret[len(prefixes[i].prefix):]
		}
	}
	return secret
}

// Key holds a secret where printing does not reach it: fmt shows of a function no
// more than its address, whatever the verb, also where a value that holds it is
// copied or lies in an unexported field. The zero Key holds nothing.
type Key func() string

// Hide returns a Key that holds secret.
func Hide(secret string) Key { return func() string { return secret } }

// Reveal is the secret.
func (k Key) Reveal() string {
	if k == nil {
		return ""
	}
	return k()
}

// List is the accepted secrets of a gateway, in their order.
type List []Secret

// Secret is one of them, and the name it goes by.
type Secret struct {
	Label string
	Value Key
}

// DefaultLabel is that of a constructor's own secret.
const DefaultLabel = "default"

// Add appends a secret that check accepts. Its error tells all that is wrong,
// after what, which names the option.
func (l *List) Add(what, label, value string, check func(string) error) error {
	var errs []error
	if strings.TrimSpace(label) == "" {
		errs = append(errs, fmt.Errorf("%s: a label is required", what))
	}
	if looksLikeSecret(label) {
		return fmt.Errorf("%s: the label looks like a key: the label comes first", what)
	}
	for _, s := range *l {
		if s.Label == label {
			errs = append(errs, fmt.Errorf("%s: there are two with the label %q", what, label))
		}
	}
	if err := check(value); err != nil {
		errs = append(errs, fmt.Errorf("%s %q: %w", what, label, err))
	}
	*l = append(*l, Secret{label, Hide(value)})
	return errors.Join(errs...)
}

// Usable returns those of values that check accepts, without labels.
func Usable(values []string, check func(string) error) (l List) {
	for _, value := range values {
		if check(value) == nil {
			l = append(l, Secret{Value: Hide(value)})
		}
	}
	return l
}

// Match returns the label of the first secret that matches. It tries every one,
// so that its time does not tell which one did.
func (l List) Match(matches func(value string) bool) (label string, ok bool) {
	for _, s := range l {
		if matches(s.Value.Reveal()) && !ok {
			label, ok = s.Label, true
		}
	}
	return label, ok
}

// looksLikeSecret finds a key that was given in the label's place, even with
// something in front of it.
func looksLikeSecret(label string) bool {
	words := strings.FieldsFunc(label, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
	})
	return slices.ContainsFunc(words, func(word string) bool { return KindOf(word) != "" })
}
