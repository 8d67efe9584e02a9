package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"time"
)

var doctorManual = manual{
	operands: "URL",
	about: `Examines a deployed endpoint as Midtrans will find it: its address, port, TLS and
certificate, and what it answers to unsigned notifications and to a GET. Takes
the URL exactly as it stands in Midtrans' dashboard, and no key: nothing it sends
can be accepted.

Each check is ok, warn or FAIL, with what to do about it; info says what cannot be
checked from here.

From a sandbox account to the first notification:
  1. Dashboard, environment Sandbox, Settings, Access Keys: copy the Server Key.
  2. Start your server, and a tunnel to it (ngrok http 8080, for example).
  3. midhook doctor with the tunnel's https address and your path.
  4. Dashboard, Settings, Payment, Notification URL (older: Settings,
     Configuration): enter exactly that URL.
  5. Press its test button: order_id payment_notif_test_... gets 200, and the
     handler is not run. In a browser the URL shows 405: the endpoint is there.
  6. Pay a GoPay order in https://simulator.sandbox.midtrans.com.
docs/quickstart.md has each step in full.`,
	examples: []string{
		"midhook doctor https://shop.example/midtrans",
		"midhook doctor --json https://shop.example/midtrans",
		"midhook doctor --local http://127.0.0.1:8080/midtrans",
	},
	exit: [2]string{"no check failed", "one did"},
}

// level is how a check came out.
type level string

const (
	fine    level = "ok"
	warning level = "warn"
	failing level = "FAIL"
	info    level = "info" // nothing was examined
)

type checked struct {
	Check string `json:"check"`
	Level level  `json:"level"`
	Text  string `json:"text"`
}

// patient is the endpoint under examination.
type patient struct {
	url     *url.URL
	timeout time.Duration
	say     func(check string, l level, format string, args ...any)
}

func doctor(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("doctor", flag.ContinueOnError)
	local := flags.Bool("local", false, "leave out the checks of address and port, for a server that is not deployed yet")
	timeout := flags.Duration("timeout", 15*time.Second, "the `TIME` to wait for each answer")
	asJSON := jsonFlag(flags)
	operands, code, done := parseOperands(flags, 0, 1, args, stdout, stderr)
	if done {
		return code
	}
	target, err := targetOf(operands)
	if err == nil && *timeout <= 0 {
		err = errors.New("--timeout must be positive")
	}
	if err != nil {
		return misused(stderr, flags, err)
	}

	s := newScreen(stdout)
	result := struct {
		URL    string    `json:"url"`
		OK     bool      `json:"ok"`
		Checks []checked `json:"checks"`
	}{target.String(), true, []checked{}}
	p := &patient{url: target, timeout: *timeout}
	p.say = func(check string, l level, format string, args ...any) {
		if ctx.Err() != nil {
			return // it failed because it was interrupted
		}
		c := checked{check, l, printable(redact(fmt.Sprintf(format, args...), ""))}
		result.Checks = append(result.Checks, c)
		result.OK = result.OK && l != failing
		if !*asJSON {
			colour := map[level]string{fine: green, warning: yellow, failing: red}[l]
			s.row([]int{4, 14}, colour, string(l), check, c.Text)
		}
	}
	p.examine(ctx, !*local)
	if ctx.Err() != nil {
		return failed(ctx, stderr, flags, ctx.Err())
	}
	if *asJSON {
		writeJSON(stdout, result)
	}
	if !result.OK {
		return exitWrong
	}
	return exitOK
}

// examine makes all checks that those before leave a sense to.
func (p *patient) examine(ctx context.Context, public bool) {
	p.checkScheme()
	if public {
		p.checkPort()
		if !p.checkAddress(ctx) {
			return
		}
	}
	if p.url.Scheme == "https" && !p.checkTLS(ctx) {
		return
	}
	if !p.checkRefusal(ctx) {
		return
	}
	p.checkForgeries(ctx)
	p.checkSlash(ctx)
	p.checkGET(ctx)
	if public {
		p.noteSources()
	}
}

func (p *patient) checkScheme() {
	if p.url.Scheme == "https" {
		p.say("scheme", fine, "https")
		return
	}
	p.say("scheme", warning, "http: whoever is on the way can read signed notifications and send them again; use https")
}

func (p *patient) checkPort() {
	switch port := p.url.Port(); port {
	case "", "80", "443":
		p.say("port", fine, "one of the two that Midtrans sends to")
	default:
		p.say("port", failing, "Midtrans sends to ports 80 and 443 only, not to %s: put the endpoint behind one of them", port)
	}
}
