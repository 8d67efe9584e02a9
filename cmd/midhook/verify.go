package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/midhook/midhook"
)

var verifyManual = manual{
	operands: "[FILE]",
	about: `For Midtrans' payment notifications, not for other gateways.

Tells whether the server key signed a notification, whose body is in FILE or
comes on stdin. If it did not, names the field that is the likely culprit, by
trying what is known to go wrong: a reformatted amount, a trimmed order_id, an
edited status_code, a key with white space or of the other environment, a
signature cut short. Prints neither key nor signature, nor the one that would
have matched. Nothing is sent anywhere.`,
	examples: []string{
		"MIDTRANS_SERVER_KEY=SB-Mid-server-test midhook verify <saved.json",
		"midhook verify --json saved.json",
	},
	exit: [2]string{"verified", "not verified, or verified and yet not to be trusted"},
}

// verdict is what verify finds out.
type verdict struct {
	Verified bool      `json:"verified"` // by midhook, which would hand it on
	Text     string    `json:"text"`
	Culprits []culprit `json:"culprits"`
	Hints    []string  `json:"hints"`
}

// culprit is a field that makes a signature not match, or a body not acceptable.
type culprit struct {
	Field   string `json:"field"` // a name in the body, "body" or "server key"
	Problem string `json:"problem"`
}

func verify(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("verify", flag.ContinueOnError)
	key := keyFlag(flags)
	asJSON := jsonFlag(flags)
	operands, code, done := parseOperands(flags, 0, 1, args, stdout, stderr)
	if done {
		return code
	}
	if strings.TrimSpace(key()) == "" { // any other key may be the culprit
		return misused(stderr, flags, errors.New("a server key is required: set $"+keyVariable+", or --key"))
	}
	file := "-"
	if len(operands) > 0 {
		file = operands[0]
	}
	if file == "-" && isTerminal(os.Stdin) {
		fmt.Fprintln(stderr, "midhook verify: waiting for a notification on stdin; paste its body, then press Ctrl-D. Or name a FILE.")
	}
	body, err := readInput(ctx, file)
	if err != nil {
		return failed(ctx, stderr, flags, err)
	}
	v := examine(body, key())
	if *asJSON {
		writeJSON(stdout, v)
	} else {
		v.print(newScreen(stdout))
	}
	if !v.Verified {
		return exitWrong
	}
	return exitOK
}

func (v *verdict) print(s screen) {
	colour := red
	if v.Verified {
		colour = green
	}
	fmt.Fprintln(s, s.paint(colour, v.Text))
	for _, c := range v.Culprits {
		fmt.Fprintf(s, "%s: %s\n", s.paint(bold, c.Field), printable(c.Problem))
	}
	for _, h := range v.Hints {
		fmt.Fprintln(s, printable(h))
	}
}

// examine finds out what midhook makes of a body, and why.
func examine(body []byte, key string) *verdict {
	v := &verdict{Text: "not verified", Culprits: []culprit{}, Hints: []string{}}
	blame := func(field, format string, args ...any) *verdict {
		v.Culprits = append(v.Culprits, culprit{field, fmt.Sprintf(format, args...)})
		return v
	}
	outcome, err := judgeBody(body, key)
	switch outcome {
	case midhook.OutcomeHandled, midhook.OutcomeTest:
		v.Verified, v.Text = true, "verified"
		if n, err := midhook.Parse(body); err == nil {
			v.Text += fmt.Sprintf(": order %q, status_code %s, amount %s", n.OrderID, n.StatusCode, n.GrossAmount)
			if n.Kind() == midhook.PayAccount {
				v.Text = fmt.Sprintf("verified: account %q, %s", n.AccountID, n.AccountStatus)
			}
			if n.SignatureKey != strings.ToLower(n.SignatureKey) {
				v.Hints = append(v.Hints, "signature_key is in upper case, which Midtrans' is not: who compares it as text refuses it")
			}
		}
		return v
	case midhook.OutcomeUnconfirmed:
		v.Text = "signed, and not to be trusted"
		return blame("transaction_status", "it says that money came in, and the signed status_code that none did: someone changed it")
	}

	f, readable := readSigned(body)
	if !readable {
		return blame("body", "it is not a JSON object")
	}
	if f.text("signature_key") == "" {
		return blame("signature_key", "there is none: Midtrans signs every notification of a payment or account")
	}
	if missing := f.missing(); missing != "" {
		return blame(missing, "it is missing, or neither a string nor a number")
	}
	if found, ok := f.explain(key); ok {
		v.Culprits = append(v.Culprits, found...)
		if len(found) == 0 { // signed as it is, and yet refused
			what := "body"
			if outcome == 0 {
				what = "server key"
			}
			blame(what, "the signature matches, and yet midhook refuses it: %v", err)
		}
		return v
	}
	if err != nil && outcome == midhook.OutcomeMalformed {
		blame("body", "%v", err)
	}
	if c, wrong := wrongSignature(f.text("signature_key")); wrong {
		v.Culprits = append(v.Culprits, c)
		return v
	}
	blame("server key", "%s", suspectKey(key))
	if !strings.Contains(key, clientKey) {
		v.Hints = append(v.Hints, "if the key is right: order_id, status_code or gross_amount was changed in a way that cannot be guessed, or nobody with the key signed this")
	}
	return v
}

// judgeBody is what midhook would do, and why.
func judgeBody(body []byte, key string) (outcome midhook.Outcome, err error) {
	hook, err := midhook.New(key,
		midhook.WithLogger(slog.New(slog.DiscardHandler)),
		midhook.WithMaxBodyBytes(maxInput),
		midhook.WithObserver(func(_ context.Context, e midhook.Event) { outcome, err = e.Outcome, e.Err }))
	if err != nil {
		return outcome, err // the key is no server key
	}
	handler := hook.HandlerFunc(func(context.Context, *midhook.Notification) error { return nil })
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body)))
	return outcome, err
}

const clientKey = "Mid-client-"

// suspectKey says what a key that matches nothing may be.
func suspectKey(key string) string {
	const where = "in Midtrans' dashboard under Settings, Access Keys"
	switch {
	case strings.Contains(key, clientKey):
		return "it is a client key, which signs nothing: take the server key, " + where
	case strings.HasPrefix(key, "SB-Mid-server-"):
		return "it is the sandbox's: if this notification came from production, production's key signed it, " + where
	case strings.HasPrefix(key, "Mid-server-"):
		return "it is production's: if this notification came from the sandbox, the sandbox's key signed it, " + where
	}
	return "it begins neither with Mid-server- nor with SB-Mid-server-: is it the server key, " + where + "?"
}

// wrongSignature says what a signature is that cannot be one.
func wrongSignature(text string) (culprit, bool) {
	digits := strings.Trim(strings.ToLower(text), "0123456789abcdef") == ""
	problem := ""
	switch {
	case len(text) == 128 && digits:
		return culprit{}, false
	case len(text) == 64 && digits:
		problem = "it has 64 digits, as SHA-256 has: Midtrans' is SHA-512, with 128"
	case digits:
		problem = fmt.Sprintf("it has %d digits instead of 128", len(text))
	default:
		problem = fmt.Sprintf("it is %d characters, not all of them hexadecimal digits, instead of 128 digits", len(text))
	}
	return culprit{"signature_key", problem}, true
}

// signedFields has the texts of a body's strings and numbers, even of one that
// midhook refuses.
type signedFields map[string]string

func readSigned(body []byte) (f signedFields, ok bool) {
	var object map[string]json.RawMessage
	if json.NewDecoder(bytes.NewReader(body)).Decode(&object) != nil || object == nil {
		return nil, false
	}
	f = signedFields{}
	for name, value := range object {
		var text string
		var number json.Number
		if json.Unmarshal(value, &text) == nil {
			f[name] = text
		} else if json.Unmarshal(value, &number) == nil {
			f[name] = number.String()
		}
	}
	return f, true
}

func (f signedFields) text(name string) string { return f[name] }

// names are the fields that the signature covers, in its order.
func (f signedFields) names() [3]string {
	if f["order_id"] == "" && f["account_id"] != "" {
		return [3]string{"account_id", "account_status", "status_code"}
	}
	return [3]string{"order_id", "status_code", "gross_amount"}
}

func (f signedFields) missing() string {
	for _, name := range f.names() {
		if f[name] == "" {
			return name
		}
	}
	return ""
}
