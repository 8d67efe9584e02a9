package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// timeline is what happened when, by the sender's clock.
type timeline struct {
	Gateway     string  `json:"gateway"`
	Target      string  `json:"target"`
	Speed       float64 `json:"speed"`
	Seed        uint64  `json:"seed"`
	Interrupted bool    `json:"interrupted"`
	Acts        []act   `json:"acts"`

	company string
}

// act is a scenario, or without a name the samples.
type act struct {
	Scenario   string     `json:"scenario,omitempty"`
	Rule       string     `json:"rule,omitempty"`
	Verdict    string     `json:"verdict"`
	Problem    string     `json:"problem,omitempty"`
	Disabled   *disabling `json:"disabled,omitempty"`
	Deliveries []parcel   `json:"deliveries"`
}

// disabling is when a sender gave the endpoint up, in seconds by its clock.
type disabling struct {
	At   float64 `json:"at"`
	Text string  `json:"text"`
}

const (
	verdictExpected    = "as expected"
	verdictWrong       = "not as expected"
	verdictInterrupted = "interrupted"
	notPlayable        = "not playable against a URL"

	verdictDelivered  = "delivered"
	verdictLost       = "lost"
	verdictUnfinished = "unfinished"
	verdictUnsent     = "not sent"
)

// parcel is a notification or event on its way.
type parcel struct {
	Event    string   `json:"event"`
	Verdict  string   `json:"verdict"`
	Attempts []moment `json:"attempts"`
}

// moment is one attempt. Its times are seconds, those of At and Next by the
// sender's clock.
type moment struct {
	Number    int      `json:"number"`
	At        float64  `json:"at"`
	Took      float64  `json:"took"`
	Redirects []string `json:"redirects,omitempty"`
	Status    int      `json:"status"` // 0: none
	Answer    string   `json:"answer"` // or why there was none
	Why       string   `json:"why"`
	Next      float64  `json:"next"` // 0: none follows
	Delivered bool     `json:"delivered"`
}

func eventName(n *midhook.Notification) string {
	switch {
	case n == nil:
		return "no notification"
	case n.Kind() == midhook.PayAccount:
		return "linked account"
	}
	return printable(fmt.Sprintf("%s %s of %s", n.PaymentType, n.TransactionStatus, n.OrderID))
}

// newParcel is the delivery of an event that began so long after the act.
func newParcel(event string, d midhooktest.Delivery, after time.Duration) parcel {
	p := parcel{Event: event, Verdict: verdictLost, Attempts: []moment{}}
	for _, a := range d.Attempts {
		m := moment{
			Number: a.Number, At: max(after+a.Elapsed, 0).Seconds(), Took: a.Duration.Seconds(), Redirects: a.Redirects,
			Status: a.Status, Answer: a.Answer, Next: a.Next.Seconds(),
		}
		seen := fmt.Sprint(a.Status)
		if a.Err != nil {
			seen = a.Err.Error()
			m.Status, m.Answer = 0, seen
		}
		m.Why = strings.TrimPrefix(a.Why, seen+": ")
		p.Attempts = append(p.Attempts, m)
	}
	switch {
	case d.Delivered:
		p.Verdict, p.Attempts[len(p.Attempts)-1].Delivered = verdictDelivered, true
	case len(d.Attempts) == 0 || d.Attempts[len(d.Attempts)-1].Next > 0:
		p.Verdict = verdictUnfinished
	}
	return p
}

func (p parcel) start() float64 {
	if len(p.Attempts) == 0 {
		return math.Inf(1)
	}
	return p.Attempts[0].At
}

// end is when the last answer came, 0 if nothing was sent.
func (p parcel) end() float64 {
	if len(p.Attempts) == 0 {
		return 0
	}
	last := p.Attempts[len(p.Attempts)-1]
	return last.At + last.Took
}

// Summary is a heading.
func (p parcel) Summary() string {
	if p.Verdict == verdictUnsent {
		return p.Event + ": " + p.Verdict
	}
	made := fmt.Sprintf("%d attempts", len(p.Attempts))
	if len(p.Attempts) == 1 {
		made = "1 attempt"
	}
	s := fmt.Sprintf("%s: %s, %s", p.Event, p.Verdict, made)
	if len(p.Attempts) > 1 {
		s += " in " + clock(p.Attempts[len(p.Attempts)-1].At-p.start())
	}
	return s
}

func (a act) Title() string {
	if a.Scenario == "" {
		return "samples"
	}
	return a.Scenario
}

// class is how a moment looks: ok, again or lost.
func (m moment) class() string {
	switch {
	case m.Delivered:
		return "ok"
	case m.Next > 0:
		return "again"
	}
	return "lost"
}

// Cells are number, when, status, answer, why and next.
func (m moment) Cells() []string {
	status, follows := "none", "-"
	if m.Status != 0 {
		status = fmt.Sprint(m.Status)
	}
	if m.Next > 0 {
		follows = "in " + clock(m.Next)
	}
	answer := strings.Join(strings.Fields(m.Answer), " ")
	if runes := []rune(answer); len(runes) > 48 {
		answer = string(runes[:47]) + "…"
	}
	if answer == "" {
		answer = "(empty)"
	}
	return []string{fmt.Sprint(m.Number), "+" + clock(m.At), status, answer, m.Why, follows}
}

func clock(seconds float64) string {
	return (time.Duration(seconds*1000) * time.Millisecond).Round(time.Second).String()
}

// clean takes out what must not be shown, and what would command a terminal.
func (t *timeline) clean(key string) {
	wash := func(text *string) { *text = printable(redact(*text, key)) }
	wash(&t.Target)
	for i := range t.Acts {
		wash(&t.Acts[i].Problem)
		for k := range t.Acts[i].Deliveries {
			p := &t.Acts[i].Deliveries[k]
			wash(&p.Event)
			for j := range p.Attempts {
				m := &p.Attempts[j]
				wash(&m.Answer)
				wash(&m.Why)
				for k := range m.Redirects {
					wash(&m.Redirects[k])
				}
			}
		}
	}
}

func (t *timeline) asExpected() bool {
	return !slices.ContainsFunc(t.Acts, func(a act) bool { return a.Verdict != verdictExpected && a.Verdict != notPlayable })
}

// crowd parts many deliveries into those to be shown one by one, and a rest that
// was delivered at once and is all alike.
func (a act) crowd() (shown, alike []parcel) {
	const room = 20
	for _, p := range a.Deliveries {
		if len(a.Deliveries) > 2*room && len(shown) >= room && p.Verdict == verdictDelivered && len(p.Attempts) == 1 {
			alike = append(alike, p)
		} else {
			shown = append(shown, p)
		}
	}
	return shown, alike
}

// unseen says what no answer tells: a server that ships twice answers 200 twice.
func (a act) unseen() string {
	what := "your database"
	if len(a.Deliveries) > 0 {
		what = a.Deliveries[0].Event
		if _, order, ok := strings.Cut(what, " of "); ok {
			what = "order " + order
		}
	}
	return "Answers as expected; whether the order was fulfilled once is visible only in your shop: look at " + what + "."
}

func alikeText(n int) string { return fmt.Sprintf("%d more, each delivered at the first attempt", n) }

var (
	timelineWidths  = []int{2, 9, 6, 48, 24}
	timelineHeads   = []string{"#", "when", "status", "answer", "why", "next"}
	timelineColours = map[string]string{"ok": green, "again": yellow, "lost": red}
)

func (t *timeline) print(s screen) {
	for i, a := range t.Acts {
		if i > 0 {
			fmt.Fprintln(s)
		}
		colour := map[string]string{verdictExpected: green, verdictWrong: red}[a.Verdict]
		fmt.Fprintf(s, "%s: %s\n", s.paint(bold, a.Title()), s.paint(colour, a.Verdict))
		for _, text := range []string{a.Rule, a.Problem} {
			if text != "" {
				fmt.Fprintln(s, text)
			}
		}
		if a.Disabled != nil {
			fmt.Fprintln(s, s.paint(red, a.Disabled.Text))
		}
		shown, alike := a.crowd()
		for _, p := range shown {
			fmt.Fprintf(s, "\n%s\n", p.Summary())
			if len(p.Attempts) > 0 {
				s.row(timelineWidths, bold, timelineHeads...)
			}
			for _, m := range p.Attempts {
				s.row(timelineWidths, timelineColours[m.class()], m.Cells()...)
			}
		}
		if len(alike) > 0 {
			fmt.Fprintf(s, "\n%s\n", alikeText(len(alike)))
		}
		if a.Verdict == verdictExpected {
			fmt.Fprintf(s, "\n%s\n", a.unseen())
		}
	}
}
