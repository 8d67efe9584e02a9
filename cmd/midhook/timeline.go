package main

import (
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// timeline is what happened when, by Midtrans' clock.
type timeline struct {
	Target      string  `json:"target"`
	Speed       float64 `json:"speed"`
	Seed        uint64  `json:"seed"`
	Interrupted bool    `json:"interrupted"`
	Acts        []act   `json:"acts"`
}

// act is a scenario, or without a name the samples.
type act struct {
	Scenario   string   `json:"scenario,omitempty"`
	Rule       string   `json:"rule,omitempty"`
	Verdict    string   `json:"verdict"`
	Problem    string   `json:"problem,omitempty"`
	Deliveries []parcel `json:"deliveries"`
}

const (
	verdictExpected    = "as expected"
	verdictWrong       = "not as expected"
	verdictInterrupted = "interrupted"
	notPlayable        = "not playable against a URL"

	verdictDelivered  = "delivered"
	verdictLost       = "lost"
	verdictUnfinished = "unfinished"
)

// parcel is a notification on its way.
type parcel struct {
	Event    string   `json:"event"`
	Verdict  string   `json:"verdict"`
	Attempts []moment `json:"attempts"`
}

// moment is one attempt. Its times are seconds, those of At and Next by Midtrans'
// clock.
type moment struct {
	Number    int      `json:"number"`
	At        float64  `json:"at"`
	Took      float64  `json:"took"`
	Redirects []string `json:"redirects,omitempty"`
	Status    int      `json:"status"` // 0: none
	Answer    string   `json:"answer"` // or why there was none
	Why       string   `json:"why"`
	Next      float64  `json:"next"` // 0: none follows
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

// newParcel is a delivery that began so long after the act.
func newParcel(d midhooktest.Delivery, after time.Duration) parcel {
	p := parcel{Event: eventName(d.Notification), Verdict: verdictLost, Attempts: []moment{}}
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
		p.Verdict = verdictDelivered
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

// Summary is a heading.
func (p parcel) Summary() string {
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
	case m.Status/100 == 2:
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
	}
}

// What follows draws it. Lengths are units of the SVG, which are about pixels.

const (
	chartWidth  = 720.0
	chartMargin = 24.0
	laneHeight  = 60.0
)

type chart struct {
	act
	Shown         []parcel
	Width, Height float64
	Ticks         []tick
	Lanes         []lane
}

type tick struct {
	X    float64
	Text string
}

type lane struct {
	Label              string
	TextY, Y, From, To float64
	Marks              []mark
}

type mark struct {
	X, Y         float64
	Class, Title string
	Label        string // empty where there is no room
	LabelY       float64
}

// newChart puts each delivery on a lane. The axis shows the square root of time:
// the waits grow from two minutes to hours, and all are to be seen.
func newChart(a act) chart {
	shown, alike := a.crowd()
	end := 60.0
	for _, p := range a.Deliveries {
		for _, m := range p.Attempts {
			end = max(end, m.At)
		}
	}
	x := func(at float64) float64 { return chartMargin + math.Sqrt(at/end)*(chartWidth-2*chartMargin) }
	c := chart{act: a, Shown: shown, Width: chartWidth}
	last := math.Inf(-1)
	for _, minutes := range []float64{0, 1, 2, 5, 10, 20, 30, 60, 120, 180, 240, 300, 360, 600, 1440} {
		if at := x(minutes * 60); minutes*60 <= end && at-last >= 44 {
			text := fmt.Sprintf("%g min", minutes)
			if minutes >= 60 {
				text = fmt.Sprintf("%g h", minutes/60)
			}
			c.Ticks = append(c.Ticks, tick{at, text})
			last = at
		}
	}
	add := func(label string, moments []moment) {
		top := 24 + laneHeight*float64(len(c.Lanes))
		l := lane{Label: label, TextY: top + 16, Y: top + 32, From: chartMargin, To: chartMargin}
		room := math.Inf(-1)
		for i, m := range moments {
			cells := m.Cells()
			k := mark{X: x(m.At), Y: l.Y, Class: m.class(), LabelY: l.Y + 21,
				Title: fmt.Sprintf("attempt %s at %s: %s, %s; next: %s", cells[0], cells[1], cells[2], cells[4], cells[5])}
			if k.X-room >= 34 {
				k.Label, room = cells[2], k.X
			}
			if i == 0 {
				l.From = k.X
			}
			l.To = max(l.To, k.X)
			l.Marks = append(l.Marks, k)
		}
		c.Lanes = append(c.Lanes, l)
	}
	for _, p := range shown {
		add(p.Summary(), p.Attempts)
	}
	if len(alike) > 0 {
		var all []moment
		for _, p := range alike {
			all = append(all, p.Attempts...)
		}
		add(alikeText(len(alike)), all)
	}
	c.Height = 32 + laneHeight*float64(len(c.Lanes))
	return c
}

// writePage writes one page without scripts and without anything from elsewhere.
func (t *timeline) writePage(w io.Writer) error {
	var charts []chart
	for _, a := range t.Acts {
		charts = append(charts, newChart(a))
	}
	_, target, _ := strings.Cut(t.Target, "://")
	return pageTemplate.Execute(w, map[string]any{"Line": t, "Target": target, "Charts": charts, "Heads": timelineHeads})
}

var pageTemplate = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>
<title>Deliveries to {{.Target}}</title>
<style>
:root { color-scheme: light dark; --page: #fff; --ink: #1c1f24; --soft: #5b6470; --rule: #d5dae1; --ok: #14793b; --again: #9a5b00; --lost: #c0232c; }
@media (prefers-color-scheme: dark) { :root { --page: #14171b; --ink: #e8eaed; --soft: #a3acb8; --rule: #3a414b; --ok: #56c980; --again: #f0b04a; --lost: #ff7b7b; } }
body { margin: 0 auto; padding: 1rem; max-width: 60rem; background: var(--page); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; margin-top: 2rem; } h3 { font-size: 1rem; margin-bottom: .3rem; }
.soft { color: var(--soft); } .problem { white-space: pre-wrap; border-left: 4px solid var(--lost); padding-left: .7rem; }
.wide { overflow-x: auto; } svg { display: block; width: 100%; min-width: 640px; height: auto; }
svg text { font: 13px system-ui, sans-serif; fill: var(--ink); stroke: var(--page); stroke-width: 4px; paint-order: stroke; } svg .tick { fill: var(--soft); font-size: 12px; }
.grid { stroke: var(--rule); } .track { stroke: var(--soft); stroke-width: 2; }
.mark { stroke-width: 2.5; } .mark.ok { fill: var(--ok); stroke: var(--ok); } .mark.again { fill: var(--page); stroke: var(--again); } .mark.lost { fill: var(--lost); stroke: var(--lost); }
.key { white-space: nowrap; margin-right: 1rem; } .key b.ok { color: var(--ok); } .key b.again { color: var(--again); } .key b.lost { color: var(--lost); }
table { border-collapse: collapse; font-size: .9rem; min-width: 40rem; width: 100%; overflow-wrap: normal; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--rule); vertical-align: top; font-variant-numeric: tabular-nums; }
</style>
</head>
<body>
<h1>Deliveries to {{.Target}}</h1>
<p class="soft">Times are by Midtrans’ clock, played {{.Line.Speed}} times as fast with seed {{.Line.Seed}}.{{if .Line.Interrupted}} <strong>Interrupted before the end.</strong>{{end}}</p>
<p><span class="key"><b class="ok">●</b> delivered</span> <span class="key"><b class="again">○</b> failed, a retry follows</span> <span class="key"><b class="lost">◆</b> failed, no retry follows</span></p>
{{range .Charts}}<section>
<h2>{{.Title}}: {{.Verdict}}</h2>
{{with .Rule}}<p>{{.}}</p>
{{end}}{{with .Problem}}<p class="problem">{{.}}</p>
{{end}}{{if .Lanes}}<div class="wide" tabindex="0">
<svg viewBox="0 0 {{printf "%.0f %.0f" .Width .Height}}" role="img" aria-label="Attempts over time; the table below has the same">
{{$bottom := printf "%.0f" .Height}}{{range .Ticks}}<line class="grid" x1="{{printf "%.1f" .X}}" x2="{{printf "%.1f" .X}}" y1="20" y2="{{$bottom}}"/><text class="tick" x="{{printf "%.1f" .X}}" y="14" text-anchor="middle">{{.Text}}</text>
{{end}}{{range .Lanes}}<text x="4" y="{{printf "%.1f" .TextY}}">{{.Label}}</text><line class="track" x1="{{printf "%.1f" .From}}" x2="{{printf "%.1f" .To}}" y1="{{printf "%.1f" .Y}}" y2="{{printf "%.1f" .Y}}"/>
{{range .Marks}}{{if eq .Class "lost"}}<path class="mark lost" d="M{{printf "%.1f %.1f" .X .Y}}m0 -7l7 7l-7 7l-7 -7z"><title>{{.Title}}</title></path>{{else}}<circle class="mark {{.Class}}" cx="{{printf "%.1f" .X}}" cy="{{printf "%.1f" .Y}}" r="5.5"><title>{{.Title}}</title></circle>{{end}}{{if .Label}}<text class="tick" x="{{printf "%.1f" .X}}" y="{{printf "%.1f" .LabelY}}" text-anchor="middle">{{.Label}}</text>{{end}}
{{end}}{{end}}</svg>
</div>
<p class="soft">The axis is stretched at its beginning, where the first retries are.</p>
{{range .Shown}}<h3>{{.Summary}}</h3>
{{if .Attempts}}<div class="wide" tabindex="0"><table>
<thead><tr>{{range $.Heads}}<th>{{.}}</th>{{end}}</tr></thead>
<tbody>{{range .Attempts}}<tr>{{range .Cells}}<td>{{.}}</td>{{end}}</tr>
{{end}}</tbody>
</table></div>
{{end}}{{end}}{{end}}</section>
{{end}}</body>
</html>
`))
