package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"
)

var attackManual = manual{
	operands: "URL",
	about: `For Midtrans' payment notifications, not for other gateways.

Tries on an endpoint what a stranger could: notifications that are unsigned,
signed with another key, tampered with, ambiguous, oversized, slow, cut short or
of other shapes. With the endpoint's own key it starts from bodies that are
correctly signed, so that only a careful reader of them refuses; without, it
tries what needs none: every kind of notification, from payment to refund and
linked account, unsigned and signed by a stranger. The last line has the totals.

What it finds:
  let in    a 2xx for what must be refused
  redirect  a 3xx: Midtrans loses notifications to those
  crash     a 5xx other than 501, or a connection that breaks
  hang      neither an answer nor the end of the connection in time
  leak      an answer with a signature or key in it
  control   the correctly signed test notification was refused: with another
            server's key, tampering proves nothing
  absent    nothing but 404 and 405: no endpoint is at this URL

A row marked "note" is correctly signed in all that Midtrans signs: only the
status API, or your own record of the order, can tell. All order ids are made up,
but whatever the endpoint lets in, it acts upon.`,
	examples: []string{
		"midhook attack http://127.0.0.1:8080/midtrans",
		"MIDTRANS_SERVER_KEY=SB-Mid-server-test midhook attack http://127.0.0.1:8080/midtrans",
		"midhook attack --i-own-this-host https://staging.shop.example/midtrans",
	},
	exit: [2]string{"everything was refused as it should be", "something was found, or the endpoint cannot be reached"},
}

// The kinds of findings.
const (
	letIn      = "let in"
	redirected = "redirect"
	crashed    = "crash"
	hung       = "hang"
	leaked     = "leak"
	control    = "control"
	absent     = "absent"
)

func attack(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("attack", flag.ContinueOnError)
	owned := flags.Bool("i-own-this-host", false, "attack a host that is not this machine")
	patience := flags.Duration("patience", 10*time.Second, "the `TIME` without an answer after which it is a hang")
	insecure := flags.Bool("insecure", false, "accept any certificate")
	key := keyFlag(flags)
	asJSON := jsonFlag(flags)
	operands, code, done := parseOperands(flags, 0, 1, args, stdout, stderr)
	if done {
		return code
	}
	target, err := targetOf(operands)
	if err == nil && key() != "" {
		err = checkKey(key())
	}
	if err == nil && *patience <= 0 {
		err = errors.New("--patience must be positive")
	}
	if err != nil {
		return misused(stderr, flags, err)
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", target.Hostname())
	if err != nil {
		return failed(ctx, stderr, flags, err)
	}
	if !*owned && !allLoopback(addrs) {
		return misused(stderr, flags, fmt.Errorf("%s is not this machine: if it is yours, say --i-own-this-host", target.Hostname()))
	}
	w, err := newWire(ctx, target, addrs, *patience, *insecure)
	if err != nil {
		return failed(ctx, stderr, flags, fmt.Errorf("the endpoint cannot be reached: %w", err))
	}

	r := &report{URL: target.String(), Keyed: key() != "", Attacks: []finding{}}
	all, left := withKey(attacks(key()), r.Keyed)
	r.Left = left
	s := newScreen(stdout)
	if *asJSON {
		s = newScreen(io.Discard)
	}
	r.run(ctx, w, all, key(), s)
	if ctx.Err() != nil {
		return failed(ctx, stderr, flags, ctx.Err())
	}
	if *asJSON {
		writeJSON(stdout, r)
	}
	r.sumUp(s)
	if r.Findings > 0 {
		return exitWrong
	}
	return exitOK
}

// allLoopback reports whether a name leads to this machine only. The addresses
// are then dialled as they are, for a second look-up could say something else.
func allLoopback(addrs []netip.Addr) bool {
	for _, a := range addrs {
		if !a.Unmap().IsLoopback() {
			return false
		}
	}
	return len(addrs) > 0
}

// withKey leaves out what means nothing without the endpoint's key.
func withKey(all []attempt, keyed bool) (kept []attempt, left int) {
	for _, a := range all {
		if a.needsKey && !keyed {
			left++
			continue
		}
		kept = append(kept, a)
	}
	return kept, left
}

// finding is one row of the report.
type finding struct {
	Group        string  `json:"group"`
	Name         string  `json:"name"`
	Status       int     `json:"status"` // 0: none
	Milliseconds float64 `json:"milliseconds"`
	Finding      string  `json:"finding,omitempty"` // one of the kinds, or none
	Note         bool    `json:"note,omitempty"`
	Text         string  `json:"text"`
}

type report struct {
	URL      string    `json:"url"`
	Keyed    bool      `json:"keyed"`
	Left     int       `json:"left_out"` // for want of a key
	Findings int       `json:"findings"`
	Notes    int       `json:"notes"`
	Attacks  []finding `json:"attacks"`
}

// run makes the attempts, a few at a time so that the slow ones don't hold up the
// others, and prints them in their order.
func (r *report) run(ctx context.Context, w *wire, all []attempt, key string, s screen) {
	widths := []int{8, 0, 6}
	for _, a := range all {
		widths[1] = max(widths[1], utf8.RuneCountInString(a.group+": "+a.name))
	}
	if s.terminal {
		s.row(widths, bold, "", "attack", "answer", "")
	}
	answers := make([]chan reply, len(all))
	free := make(chan struct{}, 4)
	for i := range all {
		answers[i] = make(chan reply, 1)
	}
	go func() {
		for i, a := range all {
			free <- struct{}{}
			go func() {
				answers[i] <- w.exchange(ctx, a)
				<-free
			}()
		}
	}()
	found := 0
	for i, a := range all {
		var got reply
		select {
		case got = <-answers[i]:
		case <-ctx.Done():
			return
		}
		f := finding{Group: a.group, Name: a.name, Status: got.status, Milliseconds: float64(got.took.Microseconds()) / 1000}
		f.Finding, f.Text = judge(a, got, key)
		f.Note = f.Finding == "" && (a.want == either && got.status/100 == 2 || got.status == http.StatusTooManyRequests)
		if got.status == 404 || got.status == 405 {
			found++
		}
		r.add(f, s, widths)
	}
	if found == len(all) {
		r.add(finding{Group: "endpoint", Name: "all of the above", Status: 404, Finding: absent,
			Text: "every answer was 404 or 405: is there an endpoint at this URL?"}, s, widths)
	}
}

func (r *report) add(f finding, s screen, widths []int) {
	mark, colour, answer := "ok", green, fmt.Sprint(f.Status)
	switch {
	case f.Finding != "":
		r.Findings++
		mark, colour = strings.ToUpper(f.Finding), red
	case f.Note:
		r.Notes++
		mark, colour = "note", yellow
	}
	if f.Status == 0 {
		answer = "none"
	}
	r.Attacks = append(r.Attacks, f)
	s.row(widths, colour, mark, f.Group+": "+f.Name, answer, f.Text)
}

// sumUp prints the totals, on one line that is the last.
func (r *report) sumUp(s screen) {
	kinds := map[string]int{}
	for _, f := range r.Attacks {
		kinds[f.Finding]++
	}
	line := fmt.Sprintf("%d attacks, %d findings", len(r.Attacks), r.Findings)
	separator := ": "
	for _, kind := range []string{letIn, redirected, crashed, hung, leaked, control, absent} {
		if kinds[kind] > 0 {
			line += fmt.Sprintf("%s%d %s", separator, kinds[kind], kind)
			separator = ", "
		}
	}
	line += fmt.Sprintf("; %d notes", r.Notes)
	if r.Left > 0 {
		line += fmt.Sprintf("; %d more need the endpoint's server key: set $%s", r.Left, keyVariable)
	}
	s.remark("\n")
	fmt.Fprintln(s, line+".")
}

// judge says what is wrong with an answer, if anything is.
func judge(a attempt, got reply, key string) (kind, text string) {
	switch {
	case got.timeout:
		return hung, fmt.Sprintf("no answer, and the connection still open, after %.1f s", got.took.Seconds())
	case leaks(a, got, key):
		return leaked, "the answer has a signature or key in it that was not sent: whoever reads it can sign"
	case a.want == accepted && got.status/100 == 2:
		return "", "accepted, as it must be"
	case a.want == accepted:
		return control, "refused, though correctly signed: is this the endpoint's key?"
	case got.status == 0 && a.mayClose:
		return "", "connection closed"
	case got.status == 0:
		return crashed, "the connection broke without an answer"
	case got.status/100 == 2 && a.want == either:
		return "", "accepted: beyond what Midtrans signs"
	case got.status/100 == 2:
		return letIn, "accepted"
	case got.status/100 == 3:
		return redirected, fmt.Sprintf("redirected to %q", got.location)
	case got.status == http.StatusNotImplemented: // of a method, say
		return "", "refused"
	case got.status/100 == 5 && a.want == either:
		return "", "not accepted" // an order that does not exist: a handler may say so
	case got.status/100 == 5:
		return crashed, "failed instead of refusing"
	case got.status == http.StatusTooManyRequests:
		return "", "kept out by a limit on requests, which proves nothing"
	}
	return "", "refused"
}

// leaks reports whether an answer has what the request had not: someone who
// prints the digest that would have matched.
func leaks(a attempt, got reply, key string) bool {
	if len(key) >= 6 && strings.Contains(got.text, key) {
		return true
	}
	for _, digest := range digestText.FindAllString(got.text, -1) {
		if len(digest) == 128 && !strings.Contains(strings.ToLower(a.body), strings.ToLower(digest)) {
			return true
		}
	}
	return false
}
