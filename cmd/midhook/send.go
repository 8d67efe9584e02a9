package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

var sendManual = manual{
	operands: "URL",
	about: `Sends a notification as Midtrans would: a POST over TLS 1.2 at most, that waits
15 s, follows 307 and 308 and no other redirect. Prints the request, the answer,
and what Midtrans would do next. Keys and signatures are left out of what is
printed.

What is sent is a sample, signed with the server key, or a body of yours.`,
	examples: []string{
		"MIDTRANS_SERVER_KEY=SB-Mid-server-test midhook send http://127.0.0.1:8080/midtrans",
		"midhook send --sample bca-va --order A-1001 --amount 25000.00 http://127.0.0.1:8080/midtrans",
		"midhook send --order A-1001 --status expire http://127.0.0.1:8080/midtrans",
		"midhook send --body saved.json --sign http://127.0.0.1:8080/midtrans",
		"midhook send --body - http://127.0.0.1:8080/midtrans <saved.json",
	},
	exit: [2]string{"the answer was a 2xx", "it was another, or there was none"},
}

// sending is what the flags of send ask for.
type sending struct {
	sample, order, amount, status, code, transaction string

	file string
	sign bool
}

func send(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("send", flag.ContinueOnError)
	var s sending
	flags.StringVar(&s.sample, "sample", "gopay", "the `NAME` of the sample to send; --list prints all")
	flags.StringVar(&s.order, "order", "", "`ID` for its order_id")
	flags.StringVar(&s.amount, "amount", "", "`AMOUNT` for its gross_amount, with two decimals: 10000.00")
	flags.StringVar(&s.status, "status", "", "`STATUS` for its transaction_status (settlement, pending, expire and so on), with\nthe status_code that belongs to it")
	flags.StringVar(&s.code, "code", "", "`CODE` for its status_code, three digits, where that is to be another")
	flags.StringVar(&s.transaction, "transaction", "", "`ID` for its transaction_id")
	flags.StringVar(&s.file, "body", "", "send the content of `FILE` instead of a sample, - for stdin, as it is")
	flags.BoolVar(&s.sign, "sign", false, "sign that content first")
	list := flags.Bool("list", false, "print the names of all samples, and send nothing")
	timeout := flags.Duration("timeout", 15*time.Second, "the `TIME` to wait for the answer")
	insecure := flags.Bool("insecure", false, "accept any certificate, which Midtrans does not")
	key := keyFlag(flags)
	asJSON := jsonFlag(flags)
	operands, code, done := parseOperands(flags, 0, 1, args, stdout, stderr)
	if done {
		return code
	}
	if *list {
		if *asJSON {
			writeJSON(stdout, midhooktest.Samples())
		} else {
			fmt.Fprintln(stdout, strings.Join(midhooktest.Samples(), "\n"))
		}
		return exitOK
	}
	if len(operands) == 0 {
		return misused(stderr, flags, errors.New("an argument is missing: URL"))
	}
	target, err := parseTarget(operands[0])
	if err == nil {
		err = s.check(flags, key())
	}
	if err != nil {
		return misused(stderr, flags, err)
	}
	body, err := s.body(ctx, key())
	if err != nil {
		return failed(ctx, stderr, flags, err)
	}

	d := post(ctx, target.String(), body, *timeout, *insecure)
	if ctx.Err() != nil {
		return failed(ctx, stderr, flags, d.err)
	}
	d.redact(key())
	if *asJSON {
		writeJSON(stdout, d)
	} else {
		d.print(newScreen(stdout))
	}
	if d.Answer.Status/100 != 2 {
		return exitWrong
	}
	return exitOK
}

// check refuses flags that do not fit together, and values that no notification
// can have.
func (s *sending) check(flags *flag.FlagSet, key string) error {
	named, tweaked := false, ""
	flags.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "sample":
			named = true
		case "order", "amount", "status", "code", "transaction":
			tweaked = f.Name
		}
	})
	if s.file != "" {
		switch {
		case named:
			return errors.New("it is either --sample or --body")
		case tweaked != "":
			return fmt.Errorf("--%s is for samples, not for --body", tweaked)
		case s.sign:
			return checkKey(key)
		}
		return nil
	}
	if s.sign {
		return errors.New("--sign is for --body: a sample is always signed")
	}
	if !slices.Contains(midhooktest.Samples(), s.sample) {
		return fmt.Errorf("there is no sample %q; --list prints the names", s.sample)
	}
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
	return checkKey(key)
}

// checkKey refuses what cannot be a server key, without quoting it.
func checkKey(key string) error {
	if key == "" {
		return errors.New("a server key is required: set $" + keyVariable + ", or --key")
	}
	_, err := midhook.New(key)
	return err
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

// body is what to send.
func (s *sending) body(ctx context.Context, key string) ([]byte, error) {
	if s.file == "" {
		var tweaks []midhooktest.Tweak
		for _, field := range [][2]string{
			{"order_id", s.order}, {"gross_amount", s.amount}, {"transaction_status", s.status},
			{"status_code", s.code}, {"transaction_id", s.transaction},
		} {
			if field[1] != "" {
				tweaks = append(tweaks, midhooktest.Field(field[0], field[1]))
			}
		}
		return midhooktest.Body(midhooktest.Sample(s.sample, tweaks...), key), nil
	}
	body, err := readInput(ctx, s.file)
	if err != nil || !s.sign {
		return body, err
	}
	n, err := midhook.Parse(body)
	if err != nil {
		return nil, fmt.Errorf("the body cannot be signed: %w", err)
	}
	return midhooktest.Body(n, key), nil
}

// whatNext says what Midtrans does after an answer of this status, 0 for none
// that came in time.
func whatNext(status int) (retries int, text string) {
	switch {
	case status/100 == 2:
		return 0, "delivered: Midtrans sends nothing more"
	case status == 301, status == 302, status == 303:
		return 0, fmt.Sprintf("lost: Midtrans does not follow a %d and does not try again", status)
	case status == 500:
		return 1, "Midtrans tries once more, about 2 minutes later"
	case status == 400, status == 404:
		return 2, "Midtrans tries twice more, about 2 and 10 minutes after the attempt before"
	case status == 503:
		return 4, "Midtrans tries four times more, about 2, 10, 30 and 90 minutes after the attempt before"
	}
	text = "Midtrans tries five times more, about 2, 10, 30, 90 and 210 minutes after the attempt before"
	if status == 307 || status == 308 {
		text = fmt.Sprintf("Midtrans follows a %d five times at most, and this was not the end of them; %s", status, text)
	}
	return 5, text
}
