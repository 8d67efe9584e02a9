package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/midhook/midhook/midhooktest"
)

// deliverSamples delivers them at once, for an event does not wait for another's
// retries; with a count they come in rounds, each after the one before.
func (p *playing) deliverSamples(ctx context.Context) act {
	a := act{Deliveries: []parcel{}}
	var problems []error
	var start time.Duration // of the round, by the sender's clock
	lostInRow := 0
	for round := range p.count {
		if ctx.Err() != nil {
			break
		}
		parcels, err := p.deliverRound(ctx, round, start, a.Disabled != nil)
		a.Deliveries = append(a.Deliveries, parcels...)
		problems = append(problems, err)

		slices.SortStableFunc(parcels, func(x, y parcel) int { return cmp.Compare(x.end(), y.end()) })
		for _, got := range parcels {
			switch got.Verdict {
			case verdictDelivered:
				lostInRow = 0
			case verdictLost:
				lostInRow++
			}
			if after := p.gateway.Policy.DisableAfter; after > 0 && lostInRow == after && a.Disabled == nil {
				a.Disabled = p.disabling(got.end())
			}
			start = max(start, time.Duration(got.end()*float64(time.Second)))
		}
	}
	p.conclude(ctx, &a, errors.Join(problems...))
	return a
}

// deliverRound delivers each sample once, or none if the endpoint is disabled.
func (p *playing) deliverRound(ctx context.Context, round int, start time.Duration, disabled bool) ([]parcel, error) {
	parcels, errs := make([]parcel, len(p.samples)), make([]error, len(p.samples))
	var all sync.WaitGroup
	for i, sample := range p.samples {
		name, body := p.gateway.event(sample, func(id string) string {
			if round > 0 {
				id = fmt.Sprintf("%s-%d", id, round+1)
			}
			return p.prefix + id
		})
		if disabled {
			parcels[i] = parcel{Event: name, Verdict: verdictUnsent, Attempts: []moment{}}
			continue
		}
		all.Go(func() {
			var d midhooktest.Delivery
			d, errs[i] = p.sender(name).DeliverSigned(ctx, body)
			parcels[i] = newParcel(name, d, start)
		})
	}
	all.Wait()
	return parcels, errors.Join(errs...)
}

func (p *playing) disabling(at float64) *disabling {
	return &disabling{at, fmt.Sprintf("%s disables the endpoint at +%s, after %s events in a row were lost: nothing is sent until someone enables it again",
		p.gateway.company, clock(at), number(p.gateway.Policy.DisableAfter))}
}

// conclude says whether all is well, and what is not.
func (p *playing) conclude(ctx context.Context, a *act, err error) {
	count := map[string]int{}
	for _, got := range a.Deliveries {
		count[got.Verdict]++
	}
	var problems []string
	if lost := count[verdictLost]; lost > 0 {
		problems = append(problems, fmt.Sprintf("lost: %d of %d", lost, len(a.Deliveries)))
		if p.gateway.lost != "" {
			problems = append(problems, p.gateway.lost)
		}
	}
	if unsent := count[verdictUnsent]; unsent > 0 {
		problems = append(problems, fmt.Sprintf("not sent: %d of %d", unsent, len(a.Deliveries)))
	}
	switch {
	case ctx.Err() != nil:
		a.Verdict = verdictInterrupted
	case err != nil:
		a.Verdict, a.Problem = verdictWrong, err.Error()
	case len(problems) > 0:
		a.Verdict, a.Problem = verdictWrong, strings.Join(problems, "\n")
	default:
		a.Verdict = verdictExpected
	}
}
