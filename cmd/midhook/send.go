package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

var sendManual = manual{
	operands: "URL",
	about: `Sends a notification as Midtrans would, or an event as another gateway: a POST
that waits as long and follows the same redirects. Prints the request, the
answer, and what the sender would do next. Keys, signatures and tokens are left
out of what is printed.

What is sent is a sample, signed with the gateway's secret, or a body of yours.
A server handles an event once: --order or --id makes another one of a sample.
--order, --amount, --status, --code and --transaction are for midtrans, --id is
for the other gateways.

  midtrans   payments and linked accounts
  payout     Midtrans' payouts (Iris). Their retries are not documented, and
             taken to be those of payments
  recurring  Midtrans' subscriptions, with retries as of payouts. Most of them
             are not signed, and your server asks Midtrans' API about what they
             say: it must know the subscription of the sample, or of --id.
             "midhook status" serves no subscriptions
  opn        Opn (Omise)
  paymongo   PayMongo`,
	examples: []string{
		"MIDTRANS_SERVER_KEY=SB-Mid-server-test midhook send http://127.0.0.1:8080/midtrans",
		"midhook send --sample bca-va --order A-1001 --amount 25000.00 http://127.0.0.1:8080/midtrans",
		"midhook send --order A-1001 --status expire http://127.0.0.1:8080/midtrans",
		"midhook send --body saved.json --sign http://127.0.0.1:8080/midtrans",
		"midhook send --body - http://127.0.0.1:8080/midtrans <saved.json",
		"PAYMONGO_WEBHOOK_SECRET=whsk_test midhook send --gateway paymongo http://127.0.0.1:8080/paymongo",
		"midhook send --gateway opn --sample refund.create --id evnt_test_2 http://127.0.0.1:8080/opn",
		"midhook send --gateway payout --list",
		"MIDTRANS_SERVER_KEY=SB-Mid-server-test midhook send --curl http://127.0.0.1:8080/midtrans",
	},
	exit: [2]string{
		"the answer was a success to this sender: a 2xx, or for PayMongo 200 to 209 with JSON",
		"it was another, or there was none",
	},
}

// sending is what the flags of send ask for.
type sending struct {
	gateway gateway
	key     string

	sample, id                               string
	order, amount, status, code, transaction string // for midtrans

	file string
	sign bool
	curl bool
}

func send(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("send", flag.ContinueOnError)
	var s sending
	chosen := gatewayFlags(flags)
	flags.StringVar(&s.sample, "sample", "", "the `NAME` of the sample to send; --list prints all. The default is\n"+defaultSamples())
	flags.StringVar(&s.id, "id", "", "`ID` for its reference_no, subscription or event")
	flags.StringVar(&s.order, "order", "", "`ID` for its order_id")
	flags.StringVar(&s.amount, "amount", "", "`AMOUNT` for its gross_amount, with two decimals: 10000.00")
	flags.StringVar(&s.status, "status", "", "`STATUS` for its transaction_status (settlement, pending, expire and so on), with\nthe status_code that belongs to it")
	flags.StringVar(&s.code, "code", "", "`CODE` for its status_code, three digits, where that is to be another")
	flags.StringVar(&s.transaction, "transaction", "", "`ID` for its transaction_id")
	flags.StringVar(&s.file, "body", "", "send the content of `FILE` instead of a sample, - for stdin, as it is")
	flags.BoolVar(&s.sign, "sign", false, "sign that content first, as the gateway does")
	flags.BoolVar(&s.curl, "curl", false, "print a curl command that sends the same, and send nothing; its signature is valid, so\nthe key must be one of the sandbox or of a test")
	list := flags.Bool("list", false, "print the names of all samples of the gateway, and send nothing")
	timeout := flags.Duration("timeout", 0, "the `TIME` to wait for the answer; by default the sender's own: 15s, or 30s for PayMongo")
	insecure := flags.Bool("insecure", false, "accept any certificate, which no gateway does")
	asJSON := jsonFlag(flags)
	operands, code, done := parseOperands(flags, 0, 1, args, stdout, stderr)
	if done {
		return code
	}
	var err error
	if s.gateway, s.key, err = chosen(); err != nil {
		return misused(stderr, flags, err)
	}
	if *list {
		if *asJSON {
			writeJSON(stdout, s.gateway.Samples())
		} else {
			fmt.Fprintln(stdout, strings.Join(s.gateway.Samples(), "\n"))
		}
		return exitOK
	}
	target, err := targetOf(operands)
	if err == nil {
		err = s.check(flags)
	}
	if err == nil && s.curl && !isTestSecret(s.key) {
		err = errors.New("--curl prints a valid signature: it takes a test key only, one that begins with SB-Mid-server-")
	}
	if err == nil && *timeout < 0 {
		err = errors.New("--timeout must be positive")
	}
	if err != nil {
		return misused(stderr, flags, err)
	}
	proof, body, err := s.body(ctx)
	if err != nil {
		return failed(ctx, stderr, flags, err)
	}

	if s.curl {
		fmt.Fprintln(stdout, s.command(target.String(), proof, body))
		return exitOK
	}

	d := s.gateway.post(ctx, target.String(), proof, body, cmp.Or(*timeout, s.gateway.Policy.Timeout), *insecure)
	if ctx.Err() != nil {
		return failed(ctx, stderr, flags, d.err)
	}
	d.redact(s.key)
	if *asJSON {
		writeJSON(stdout, d)
	} else {
		d.print(newScreen(stdout))
	}
	if !d.Next.Delivered {
		return exitWrong
	}
	return exitOK
}

// command is a curl command that sends what send would, for a POSIX shell.
func (s *sending) command(url string, proof http.Header, body []byte) string {
	header := s.gateway.Header()
	maps.Copy(header, proof)
	line := "curl -i"
	for _, name := range slices.Sorted(maps.Keys(header)) {
		line += " -H " + shellQuote(name+": "+header.Get(name))
	}
	return line + " --data-binary " + shellQuote(string(body)) + " " + shellQuote(url)
}

func shellQuote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// isTestSecret reports whether what a secret signs is of no worth to a thief. Opn's
// and payouts' secrets do not show whether they are.
func isTestSecret(secret string) bool {
	return strings.HasPrefix(secret, "SB-Mid-server-") || strings.HasPrefix(secret, "whsk_test") || strings.HasPrefix(secret, "IRIS-merchant-test")
}

func defaultSamples() string {
	var names []string
	for _, g := range gateways {
		names = append(names, g.sample)
	}
	return strings.Join(names, ", ") + ", in the order of the gateways"
}

// check refuses flags that do not fit together, and values that no notification
// can have.
func (s *sending) check(flags *flag.FlagSet) error {
	midtransOnly := ""
	flags.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "order", "amount", "status", "code", "transaction":
			midtransOnly = f.Name
		}
	})
	tweaked := midtransOnly
	if s.id != "" {
		tweaked = "id"
	}
	switch {
	case midtransOnly != "" && !s.gateway.isMidtrans():
		return fmt.Errorf("--%s is for midtrans; for %s there is --id", midtransOnly, s.gateway.Name)
	case s.id != "" && s.gateway.isMidtrans():
		return errors.New("--id is for the other gateways; for midtrans there are --order and --transaction")
	case s.file != "" && s.sample != "":
		return errors.New("it is either --sample or --body")
	case s.file != "" && tweaked != "":
		return fmt.Errorf("--%s is for samples, not for --body", tweaked)
	case s.file != "" && !s.sign:
		return nil
	case s.file != "":
		return s.gateway.checkKey(s.key)
	case s.sign:
		return errors.New("--sign is for --body: a sample is always signed")
	}
	s.sample = cmp.Or(s.sample, s.gateway.sample)
	if err := s.gateway.checkSample(s.sample); err != nil {
		return err
	}
	if s.gateway.isMidtrans() {
		if err := s.checkPayment(tweaked); err != nil {
			return err
		}
	}
	return s.gateway.checkKey(s.key)
}

// checkPayment checks what is for midtrans, and finds the status_code of a status.
func (s *sending) checkPayment(tweaked string) error {
	n := midhooktest.Sample(s.sample)
	if n.Kind() == midhook.PayAccount && tweaked != "" {
		return fmt.Errorf("--%s is for payments, and sample %q is of a linked account", tweaked, s.sample)
	}
	if s.amount != "" {
		if _, err := midhook.ParseAmount(s.amount); err != nil {
			return fmt.Errorf("--amount: %w", err)
		}
	}
	if s.status != "" && s.code == "" {
		if s.code = statusCode(midhook.TransactionStatus(s.status), n.FraudStatus); s.code == "" {
			return fmt.Errorf("--status: %q is not a status known here: give its --code, too", s.status)
		}
	}
	if s.code != "" && (len(s.code) != 3 || strings.Trim(s.code, "0123456789") != "") {
		return fmt.Errorf("--code: %q must be three digits", s.code)
	}
	return nil
}

// statusCode is the status_code with which Midtrans sends a status, "" for one
// that is not known.
func statusCode(s midhook.TransactionStatus, fraud midhook.FraudStatus) string {
	switch s {
	case midhook.StatusPending:
		return "201"
	case midhook.StatusDeny, midhook.StatusCancel, midhook.StatusExpire, midhook.StatusFailure:
		return "202"
	case midhook.StatusCapture, midhook.StatusAuthorize:
		if fraud == midhook.FraudChallenge {
			return "201"
		}
		return "200"
	case midhook.StatusSettlement, midhook.StatusRefund, midhook.StatusPartialRefund,
		midhook.StatusChargeback, midhook.StatusPartialChargeback:
		return "200"
	}
	return ""
}

// body is what to send, and the header that proves it, if it is signed by one.
func (s *sending) body(ctx context.Context) (proof http.Header, body []byte, err error) {
	if s.file == "" {
		body = s.gateway.Body(s.sample, s.tweaks()...)
	} else if body, err = readInput(ctx, s.file); err != nil || !s.sign {
		return nil, body, err
	}
	proof, body = s.gateway.Sign(body, s.key, time.Now())
	unsigned := s.file == "" && !s.gateway.isMidtrans() // as some samples are
	if len(proof) > 0 || unsigned {
		return proof, body, nil
	}
	n, err := midhook.Parse(body)
	if err == nil {
		err = midhook.Verify(n, s.key)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the body cannot be signed: %w", err)
	}
	return nil, body, nil
}

func (s *sending) tweaks() (tweaks []midhooktest.Tweak) {
	if s.id != "" {
		tweaks = append(tweaks, midhooktest.Member(s.id, s.gateway.idPath(s.sample)...))
	}
	for _, field := range [][2]string{
		{"order_id", s.order}, {"gross_amount", s.amount}, {"transaction_status", s.status},
		{"status_code", s.code}, {"transaction_id", s.transaction},
	} {
		if field[1] != "" {
			tweaks = append(tweaks, midhooktest.Field(field[0], field[1]))
		}
	}
	return tweaks
}
