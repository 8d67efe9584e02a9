package midhooktest

import (
	"fmt"
	"time"

	"github.com/midhook/midhook"
)

// periodCases are leases and keeps as long as they are asked for.
var periodCases = []storeCase{
	{"lease-lengths", "a lease is as long as it is asked for, be it seconds or months", func(s *storeScript) {
		s.periods(inFlight,
			func(c midhook.Claim, d time.Duration) moment { return s.acquire(acquired, leased(c, d)) },
			func(c midhook.Claim) midhook.Claim { return c })
	}},
	{"lease-renewed-lengths", "a renewed lease is as long as it is asked for", func(s *storeScript) {
		s.periods(inFlight,
			func(c midhook.Claim, d time.Duration) moment {
				s.acquire(acquired, brief(c))
				return s.acquire(acquired, leased(c, d))
			},
			func(c midhook.Claim) midhook.Claim { return c })
	}},
	{"lease-moved-lengths", "the lease of a claim that has moved is as long as it is asked for", func(s *storeScript) {
		s.periods(inFlight,
			func(c midhook.Claim, d time.Duration) moment {
				before := c
				before.Key += " before"
				s.acquire(acquired, brief(before))
				return s.acquire(acquired, leased(c, d))
			},
			func(c midhook.Claim) midhook.Claim { return c })
	}},
	{"hold-lengths", "a subject is held for the first lease, be it seconds or months", func(s *storeScript) {
		s.periods(busy,
			func(c midhook.Claim, d time.Duration) moment { return s.acquire(acquired, leased(c, d)) },
			func(c midhook.Claim) midhook.Claim { c.Key += " beside"; return c })
	}},
	{"keep-lengths", "a handled event is kept as long as it is asked to be, be it seconds or months", func(s *storeScript) {
		s.periods(done,
			func(c midhook.Claim, d time.Duration) moment {
				s.acquire(acquired, c)
				return s.finish(nil, c, d)
			},
			func(c midhook.Claim) midhook.Claim { return c })
	}},
	{"stage-lengths", "a subject's highest stage is kept as long as it is asked to be, be it seconds or months", func(s *storeScript) {
		s.periods(superseded,
			func(c midhook.Claim, d time.Duration) moment {
				s.acquire(acquired, c)
				return s.finish(nil, c, d)
			},
			func(c midhook.Claim) midhook.Claim { c.Key, c.Stage = c.Key+" late", c.Stage-1; return c })
	}},
}

const day = 24 * time.Hour

var storePeriods = []time.Duration{
	5 * time.Second, 32 * time.Second, time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, day, 25 * time.Hour, 7 * day, 30 * day, 90 * day, 400 * day,
}

// inSight is how much of a period is seen where time is real.
const inSight = 2 * time.Second

// periods begins each period with a claim of a subject of its own, and wants the
// answer to what is asked then to be before for as long and no longer.
func (s *storeScript) periods(before midhook.ClaimState, begin func(midhook.Claim, time.Duration) moment, asked func(midhook.Claim) midhook.Claim) {
	claim := func(i int) midhook.Claim { return alone(s.claim("a", fmt.Sprint("event ", i), 40)) }
	ask := func(want midhook.ClaimState, i int) {
		c := asked(claim(i))
		c.Owner = "b"
		s.acquire(want, c)
	}
	if !s.bubble {
		for i, d := range storePeriods {
			begin(claim(i), d)
		}
		time.Sleep(inSight)
		for i, d := range storePeriods {
			if d > longEnough { // and not 5 s, which may pass on a busy machine
				ask(before, i)
			}
		}
		return
	}
	for i, d := range storePeriods {
		end := begin(claim(i), d).plus(d)
		for _, at := range []time.Time{end.earliest.Add(-d / 2), end.earliest.Add(-2 * storeEarly)} {
			time.Sleep(time.Until(at))
			ask(before, i)
		}
		time.Sleep(time.Until(end.latest.Add(storeSlack)))
		ask(acquired, i)
	}
}
