package midhooktest

import (
	"context"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/midhook/midhook"
)

var raceCases = []storeCase{
	{"race-acquire", "Acquire is atomic: of many at once exactly one acquires", func(s *storeScript) {
		s.rounds(func(event string) {
			s.tally(racers, func(i int) string {
				return s.acquired(alone(s.claim(fmt.Sprint("owner ", i), event, 0)))
			}, map[string]int{"acquired": 1, "in_flight": racers - 1})
		})
	}},
	{"race-take-over", "Acquire is atomic: of many at once exactly one takes over a claim whose lease has passed", func(s *storeScript) {
		for _, event := range s.lapsed() {
			s.tally(racers, func(i int) string {
				return s.acquired(alone(s.claim(fmt.Sprint("owner ", i), event, 0)))
			}, map[string]int{"acquired": 1, "in_flight": racers - 1})
		}
	}},
	{"race-finish", "Finish is atomic: after the lease has passed either it succeeds or another takes the claim over, never both", func(s *storeScript) {
		for _, event := range s.lapsed() {
			s.tally(2*racers, func(i int) string {
				if i%2 == 0 {
					return s.finished(alone(s.claim("a", event, 0)))
				}
				return s.acquired(alone(s.claim(fmt.Sprint("owner ", i), event, 0)))
			},
				map[string]int{"no error": racers, "done": racers},
				map[string]int{"ErrNotOwner": racers, "acquired": 1, "in_flight": racers - 1})
		}
	}},
	{"race-release", "Release is atomic: it succeeds once, and gives back nothing that another has acquired since", func(s *storeScript) {
		s.rounds(func(event string) {
			s.acquire(acquired, alone(s.claim("a", event, 0)))
			winners := make(chan midhook.Claim, racers)
			s.tally(2*racers, func(i int) string {
				if i%2 == 0 {
					return s.released(alone(s.claim("a", event, 0)))
				}
				c := alone(s.claim(fmt.Sprint("owner ", i), event, 0))
				outcome := s.acquired(c)
				if outcome == stateName(acquired) {
					winners <- c
				}
				return outcome
			},
				map[string]int{"no error": 1, "ErrNotOwner": racers - 1, "in_flight": racers},
				map[string]int{"no error": 1, "ErrNotOwner": racers - 1, "in_flight": racers - 1, "acquired": 1})
			select {
			case winner := <-winners:
				s.acquire(inFlight, alone(s.claim("late", event, 0)))
				s.finish(nil, winner, longEnough)
			default:
				s.acquire(acquired, alone(s.claim("late", event, 0)))
			}
		})
	}},
	{"race-stage", "Finish is atomic: of several stages finished at once the highest is remembered", func(s *storeScript) {
		const subjects, stages = 40, 3
		claim := func(subject, stage int) midhook.Claim {
			c := s.claim(fmt.Sprint("owner ", stage), fmt.Sprint("event ", subject, " at ", stage), stage)
			c.Subject += fmt.Sprint(subject)
			return c
		}
		for stage := 1; stage <= stages; stage++ {
			s.each(subjects, func(i int) { s.acquire(acquired, brief(claim(i, stage))) })
			s.outlast()
		}
		for i := range subjects {
			s.race(stages, func(stage int) { s.finish(nil, claim(i, stage+1), longEnough) })
			late := claim(i, stages-1)
			late.Key += " late"
			s.acquire(superseded, late)
		}
	}},

	{"race-handled", "Acquire is atomic: what is finished between two steps of it is not handled again", func(s *storeScript) {
		const events = 600
		var runs [events]atomic.Int32
		s.crew(events, func(worker, i int) (again bool) {
			c := alone(s.claim(fmt.Sprint("owner ", worker), fmt.Sprint("event ", i), 0))
			switch s.acquired(c) {
			case "acquired":
				if runs[i].Add(1) > 1 {
					s.failf("%s was acquired after it had been finished", s.shown(c))
				}
				s.renew(c)
				s.finish(nil, c, longEnough)
				return false
			case "done":
				return false
			}
			return true
		})
	}},
	{"race-one-event", "Acquire is atomic: of many who try again and again to acquire an event one holds it at a time", func(s *storeScript) {
		s.oneAtATime(func(worker int) midhook.Claim { return s.claim(fmt.Sprint("owner ", worker), "E", 0) })
	}},
	{"race-one-subject", "Acquire is atomic: of many who try again and again to acquire events of a subject one holds it at a time", func(s *storeScript) {
		s.oneAtATime(func(worker int) midhook.Claim {
			return s.claim(fmt.Sprint("owner ", worker), fmt.Sprint("event ", worker), 40)
		})
	}},
	{"race-busy", "Acquire is atomic: of many events of a subject at once exactly one is acquired", func(s *storeScript) {
		s.rounds(func(event string) {
			claim := func(i int) midhook.Claim {
				c := s.claim(fmt.Sprint("owner ", i), fmt.Sprint(event, " of ", i), i)
				c.Subject += event
				return c
			}
			s.tally(racers, func(i int) string { return s.acquired(claim(i)) }, map[string]int{"acquired": 1, "busy": racers - 1})
		})
	}},
	{"race-superseded", "Acquire is atomic: what is finished between two steps of it supersedes", func(s *storeScript) {
		const subjects = 200
		claim := func(owner, i, stage int) midhook.Claim {
			c := s.claim(fmt.Sprint("owner ", owner), fmt.Sprint("event ", i, " at ", stage), stage)
			c.Subject += fmt.Sprint(i)
			return c
		}
		s.each(subjects, func(i int) { s.acquire(acquired, claim(0, i, 40)) })
		s.crew(subjects, func(worker, i int) (again bool) {
			if worker == 0 {
				s.renew(claim(0, i, 40))
				s.finish(nil, claim(0, i, 40), longEnough)
				return false
			}
			switch got := s.acquired(claim(worker, i, 10)); got {
			case "superseded":
				return false
			case "busy":
				return true
			default:
				s.failf("Acquire of %s while a later stage is being finished: %s, want busy and in the end superseded", s.shown(claim(worker, i, 10)), got)
				return false
			}
		})
	}},
	{"race-move", "a move is atomic: nobody acquires either event while a claim moves between them", func(s *storeScript) {
		claims := [2]midhook.Claim{s.claim("a", "E", 40), s.claim("a", "F", 40)}
		s.acquire(acquired, claims[0])
		s.crew(5000, func(worker, i int) (again bool) {
			if worker == 0 {
				s.acquire(acquired, claims[i%2])
				return false
			}
			c := claims[(i+worker)%2]
			c.Owner = fmt.Sprint("owner ", worker)
			if got := s.acquired(c); got != "busy" && got != "in_flight" {
				s.failf("Acquire of %s while a claim moves: %s, want busy or in_flight", s.shown(c), got)
			}
			return false
		})
	}},
}

// race calls call n times at once, in any order: who is started last may well be
// the first to run.
func (s *storeScript) race(n int, call func(i int)) {
	start := make(chan struct{})
	var all sync.WaitGroup
	for _, i := range mathrand.Perm(n) {
		all.Go(func() { <-start; call(i) })
	}
	close(start)
	all.Wait()
}

// each takes n through one step after the other, racers at once.
func (s *storeScript) each(n int, steps ...func(i int)) {
	for _, step := range steps {
		for from := 0; from < n; from += racers {
			s.race(min(racers, n-from), func(i int) { step(from + i) })
		}
	}
}

// tally plays n operations at once, counts their outcomes and wants the counts
// to be one of several.
func (s *storeScript) tally(n int, operation func(i int) string, want ...map[string]int) {
	if s.failed() {
		return
	}
	outcomes := make([]string, n)
	s.race(n, func(i int) { outcomes[i] = operation(i) })
	got := map[string]int{}
	for _, o := range outcomes {
		got[o]++
	}
	if !slices.ContainsFunc(want, func(w map[string]int) bool { return maps.Equal(w, got) }) {
		s.failf("%d operations at once: %v, want one of %v", n, got, want)
	}
}

// The operations of a tally.

func (s *storeScript) acquired(c midhook.Claim) string {
	state, _, err := s.ask(c)
	if err != nil {
		return errorName(err)
	}
	return stateName(state)
}

func (s *storeScript) finished(c midhook.Claim) string {
	_, err := s.do(func(ctx context.Context) error { return s.store.Finish(ctx, c, longEnough) })
	return errorName(err)
}

func (s *storeScript) released(c midhook.Claim) string {
	_, err := s.do(func(ctx context.Context) error { return s.store.Release(ctx, c) })
	return errorName(err)
}

// rounds repeats a race: fewer times where each takes long.
func (s *storeScript) rounds(play func(event string)) {
	began := time.Now()
	for round := 0; round < 50 && !s.failed() && (round < 10 || time.Since(began) < 2*time.Second); round++ {
		play(fmt.Sprint("event ", round))
	}
}

// lapsed returns events whose claims by owner a have passed.
func (s *storeScript) lapsed() []string {
	events := make([]string, 20)
	s.race(len(events), func(i int) {
		events[i] = fmt.Sprint("event ", i)
		s.acquire(midhook.Acquired, brief(alone(s.claim("a", events[i], 0))))
	})
	s.outlast()
	return events
}

const crewSize = 8

// crew has workers take n jobs, one after the other and each as fast as it can, so
// that their operations overlap at every step. A worker who is told so repeats a job,
// and lets the others work first, where all share one processor.
// Where operations are slow, and overlap anyway, there are fewer jobs.
func (s *storeScript) crew(n int, work func(worker, job int) (again bool)) {
	began := time.Now()
	var over atomic.Bool // for all at once: who has gone on must not wait for who has left
	s.race(crewSize, func(worker int) {
		for job := range n {
			for !s.failed() && !over.Load() && work(worker, job) {
				runtime.Gosched()
			}
			if job >= 20 && time.Since(began) > 2*time.Second {
				over.Store(true)
			}
			if over.Load() {
				return
			}
		}
	})
}

// renew keeps a claim for a while, so that those who wait for it come to wait at every
// step of what they do, also where all share one processor.
func (s *storeScript) renew(c midhook.Claim) {
	for began, i := time.Now(), 0; i < 30 && time.Since(began) < 20*time.Millisecond; i++ {
		s.acquire(acquired, c)
		runtime.Gosched()
	}
}

// oneAtATime acquires and releases: what several do at once, at most one has done.
func (s *storeScript) oneAtATime(claim func(worker int) midhook.Claim) {
	var holders atomic.Int32
	s.crew(5000, func(worker, _ int) (again bool) {
		c := claim(worker)
		if s.acquired(c) == "acquired" {
			if holders.Add(1) > 1 {
				s.failf("%s was acquired while another owner held the subject", s.shown(c))
			}
			s.renew(c)
			holders.Add(-1)
			s.release(nil, c)
		}
		return false
	})
}
