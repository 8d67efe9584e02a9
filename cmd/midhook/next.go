package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// outlook is what a sender does after an answer.
type outlook struct {
	Delivered bool   `json:"delivered"` // the answer is a success to this sender
	Retries   int    `json:"retries"`
	Text      string `json:"text"`
}

// whatNext says what the sender does, by its policy, after an answer of this
// status, 0 for none that came in time, to a first delivery.
func (g gateway) whatNext(status int, body []byte) outlook {
	if g.Policy.Succeeds(status, body) {
		return outlook{true, 0, "delivered: " + g.company + " sends nothing more"}
	}
	o := outlook{Retries: g.Policy.RetriesAfter(status)}
	follows := slices.Contains(g.Policy.Follow, status)
	switch {
	case o.Retries > 0:
		o.Text = fmt.Sprintf("%s tries %s more, %s", g.company, times(o.Retries), waits(g.Policy.Waits[:o.Retries]))
	case g.lost != "":
		o.Text = "lost: " + g.lost
	case status/100 == 3 && !follows:
		o.Text = fmt.Sprintf("lost: %s does not follow a %d and does not try again", g.company, status)
	default:
		o.Text = "lost: " + g.company + " does not try again"
	}
	switch {
	case follows:
		o.Text = fmt.Sprintf("%s follows a %d %s at most, and this was not the end of them; %s", g.company, status, times(g.Policy.Redirects), o.Text)
	case g.Policy.Succeeds(status, []byte("{}")): // so it was the body
		o.Text = fmt.Sprintf("a %d without JSON is no success: %s", status, o.Text)
	case status/100 == 2:
		o.Text = fmt.Sprintf("a %d is no success: %s", status, o.Text)
	}
	if after := g.Policy.DisableAfter; after > 0 {
		o.Text += fmt.Sprintf("; %s events in a row that are lost disable the endpoint", number(after))
	}
	return o
}

// waits says when retries come. Of many, only the whole is known.
func waits(all []time.Duration) string {
	const few = 5
	var sum time.Duration
	var minutes []string
	for _, w := range all {
		sum += w
		minutes = append(minutes, fmt.Sprint(w.Minutes()))
	}
	switch last := len(minutes) - 1; {
	case len(minutes) > few:
		return fmt.Sprintf("all within %v minutes", math.Round(10*sum.Minutes())/10)
	case last == 0:
		return fmt.Sprintf("about %s minutes later", minutes[0])
	default:
		return fmt.Sprintf("about %s and %s minutes after the attempt before", strings.Join(minutes[:last], ", "), minutes[last])
	}
}

// times is how often, and number how many, in words.
func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return number(n) + " times"
}

func number(n int) string {
	words := []string{"no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"}
	if n < len(words) {
		return words[n]
	}
	return fmt.Sprint(n)
}
