package main

import (
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
)

// The timeline is drawn as well. Lengths are units of the SVG, which are about pixels.

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
	DisabledX     float64
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
	if a.Disabled != nil {
		c.DisabledX = x(a.Disabled.At)
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
	return pageTemplate.Execute(w, map[string]any{"Line": t, "Company": t.company, "Target": target, "Charts": charts, "Heads": timelineHeads})
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
.grid { stroke: var(--rule); } .off { stroke: var(--lost); stroke-width: 2; stroke-dasharray: 5 4; } .track { stroke: var(--soft); stroke-width: 2; }
.mark { stroke-width: 2.5; } .mark.ok { fill: var(--ok); stroke: var(--ok); } .mark.again { fill: var(--page); stroke: var(--again); } .mark.lost { fill: var(--lost); stroke: var(--lost); }
.key { white-space: nowrap; margin-right: 1rem; } .key b.ok { color: var(--ok); } .key b.again { color: var(--again); } .key b.lost { color: var(--lost); }
table { border-collapse: collapse; font-size: .9rem; min-width: 40rem; width: 100%; overflow-wrap: normal; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--rule); vertical-align: top; font-variant-numeric: tabular-nums; }
</style>
</head>
<body>
<h1>Deliveries to {{.Target}}</h1>
<p class="soft">Times are by the clock of {{.Company}}, played {{.Line.Speed}} times as fast with seed {{.Line.Seed}}.{{if .Line.Interrupted}} <strong>Interrupted before the end.</strong>{{end}}</p>
<p><span class="key"><b class="ok">●</b> delivered</span> <span class="key"><b class="again">○</b> failed, a retry follows</span> <span class="key"><b class="lost">◆</b> failed, no retry follows</span></p>
{{range .Charts}}<section>
<h2>{{.Title}}: {{.Verdict}}</h2>
{{with .Rule}}<p>{{.}}</p>
{{end}}{{with .Problem}}<p class="problem">{{.}}</p>
{{end}}{{with .Disabled}}<p class="problem">{{.Text}}</p>
{{end}}{{if .Lanes}}<div class="wide" tabindex="0">
<svg viewBox="0 0 {{printf "%.0f %.0f" .Width .Height}}" role="img" aria-label="Attempts over time; the table below has the same">
{{$bottom := printf "%.0f" .Height}}{{range .Ticks}}<line class="grid" x1="{{printf "%.1f" .X}}" x2="{{printf "%.1f" .X}}" y1="20" y2="{{$bottom}}"/><text class="tick" x="{{printf "%.1f" .X}}" y="14" text-anchor="middle">{{.Text}}</text>
{{end}}{{if .Disabled}}<line class="off" x1="{{printf "%.1f" .DisabledX}}" x2="{{printf "%.1f" .DisabledX}}" y1="20" y2="{{$bottom}}"><title>{{.Disabled.Text}}</title></line>
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
