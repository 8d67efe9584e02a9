package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/midhook/midhook/ci/loadkit"
)

// side is one of the handlers that are compared in a row.
type side struct {
	trial
	perSecond, server, client []float64
	heap, goroutines          []float64
	latencies                 loadkit.Latencies
}

// row measures midhook, the empty handler and the one by hand in turn. Only midhook has
// a store.
func (s sweep) row(r row, stores *backends) error {
	at, err := stores.address(r.Store)
	if err != nil {
		return err
	}
	sides := []*side{{trial: r.trial}, {trial: r.trial}, {trial: r.trial}}
	sides[0].At = at
	sides[1].setup = setup{Handler: "empty"}
	sides[2].setup = setup{Handler: "by hand"}
	wrong := map[string]int{}
	for range s.rounds {
		for _, one := range sides {
			one.Space = space()
			f, err := one.measure(s.lasts, &one.latencies)
			if err != nil {
				return fmt.Errorf("%s: %w", one.Handler, err)
			}
			one.note(f)
			for what, n := range f.wrong {
				wrong[one.Handler+" answered "+what] += n
			}
		}
	}
	s.print(r.name, sides[0], sides[1], sides[2])
	if len(wrong) > 0 {
		var all []string
		for _, what := range slices.Sorted(maps.Keys(wrong)) {
			all = append(all, fmt.Sprintf("%s (%d times)", what, wrong[what]))
		}
		return fmt.Errorf("%s", strings.Join(all, ", "))
	}
	return nil
}

var spaces int

// space is a name that no other server's events have.
func space() string {
	spaces++
	return fmt.Sprintf("s%d", spaces)
}

func (s *side) note(f figures) {
	s.perSecond = append(s.perSecond, f.perSecond)
	s.server = append(s.server, f.server)
	s.client = append(s.client, f.client)
	s.heap = append(s.heap, float64(f.heap)/(1<<20))
	s.goroutines = append(s.goroutines, float64(f.goroutines))
}

func (s sweep) print(name string, midhook, empty, byHand *side) {
	took := midhook.latencies.Summary()
	client := slices.Concat(midhook.client, empty.client, byHand.client)
	fmt.Fprintf(s.out, "  %-31s %10.0f %8.2f %9.2f %8v %8v %8v %10v %8s %10.0f %5.0f %% %5.0f %%\n", name,
		median(midhook.perSecond), median(ratios(midhook.perSecond, empty.perSecond)), median(ratios(midhook.perSecond, byHand.perSecond)),
		short(took.P50), short(took.P99), short(took.P999), short(empty.latencies.Summary().P999),
		fmt.Sprintf("%.1f MiB", median(midhook.heap)), median(midhook.goroutines), 100*median(midhook.server), 100*slices.Max(client))
}

// short has three digits at most.
func short(d time.Duration) time.Duration {
	unit := time.Nanosecond
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit)
}
