package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/midhook/midhook/midhooktest"
)

func scenarioNamed(name string) (midhooktest.Scenario, bool) {
	all := midhooktest.Scenarios()
	i := slices.IndexFunc(all, func(s midhooktest.Scenario) bool { return s.Name == name })
	if i < 0 {
		return midhooktest.Scenario{}, false
	}
	return all[i], true
}

// lacking says what a scenario needs that a URL has not, or nothing. It plays it to
// nobody: without a URL no delivery comes as far as the network.
func lacking(ctx context.Context, s midhooktest.Scenario) error {
	_, err := s.Play(ctx, midhooktest.Subject{Engine: &midhooktest.Engine{Secret: "unused-key", Speed: math.MaxFloat64}})
	if errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// listed is a scenario as --list --json prints it.
type listed struct {
	Name     string `json:"name"`
	Rule     string `json:"rule"`
	Playable bool   `json:"playable"` // against a URL
}

func listScenarios(ctx context.Context, stdout io.Writer, asJSON bool) {
	var all []listed
	for _, s := range midhooktest.Scenarios() {
		all = append(all, listed{s.Name, s.Rule, lacking(ctx, s) == nil})
	}
	if asJSON {
		writeJSON(stdout, all)
		return
	}
	for _, l := range all {
		note := ""
		if !l.Playable {
			note = " (" + notPlayable + ")"
		}
		newScreen(stdout).row([]int{24}, bold, l.Name, l.Rule+note)
	}
}

func (p *playing) playScenario(ctx context.Context, s midhooktest.Scenario) act {
	orders := 0
	subject := midhooktest.Subject{Engine: p.sender(""), Place: func(string) string {
		orders++
		return fmt.Sprintf("%s%s-%d", p.prefix, s.Name, orders)
	}}
	ds, err := s.Play(ctx, subject)
	var start time.Time // of the first attempt: before it, a thousand bodies may be signed
	for _, d := range ds {
		if len(d.Attempts) > 0 && (start.IsZero() || d.Attempts[0].At.Before(start)) {
			start = d.Attempts[0].At
		}
	}
	a := act{Scenario: s.Name, Rule: s.Rule, Deliveries: []parcel{}}
	for _, d := range ds {
		var after time.Duration
		if len(d.Attempts) > 0 {
			after = time.Duration(float64(d.Attempts[0].At.Sub(start)) * p.speed)
		}
		a.Deliveries = append(a.Deliveries, newParcel(eventName(d.Notification), d, after))
	}
	slices.SortStableFunc(a.Deliveries, func(x, y parcel) int { return cmp.Compare(x.start(), y.start()) })
	switch {
	case ctx.Err() != nil:
		a.Verdict = verdictInterrupted
	case errors.Is(err, errors.ErrUnsupported):
		a.Verdict, a.Problem = notPlayable, err.Error()
	case err != nil:
		a.Verdict, a.Problem = verdictWrong, err.Error()
	default:
		a.Verdict = verdictExpected
	}
	return a
}
