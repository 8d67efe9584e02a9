package midhooktest

import (
	"fmt"
	"time"

	"github.com/midhook/midhook"
)

// handleCases compare two handles, if newStore returns handles of one shared store.
var handleCases = []storeCase{
	{"handles", "what one handle of a shared store has done, every other one knows at once", func(s *storeScript) {
		one, two := s.store, s.newHandle()
		if !s.shared(one, two) {
			return
		}
		use := func(store midhook.Store) *storeScript { s.store = store; return s }
		for range 2 {
			use(one).acquire(acquired, s.claim("a", "E", 40))
			use(two).acquire(inFlight, s.claim("b", "E", 40))
			use(two).acquire(busy, s.claim("b", "F", 40))
			use(one).release(nil, s.claim("a", "E", 40))
			use(two).acquire(acquired, s.claim("b", "E", 40))
			use(one).acquire(inFlight, s.claim("a", "E", 40))
			use(one).acquire(busy, s.claim("a", "F", 40))
			use(one).release(notOwner, s.claim("a", "E", 40))
			use(one).release(nil, s.claim("b", "E", 40)) // whichever handle has acquired it
		}
		use(two).acquire(acquired, s.claim("b", "lower", 10))
		use(two).release(nil, s.claim("b", "lower", 10))
		use(one).handle(s.claim("a", "E", 40))
		use(two).acquire(done, s.claim("b", "E", 40))
		use(two).acquire(superseded, s.claim("b", "lower", 10))
		use(two).finish(notOwner, s.claim("b", "E", 40), longEnough)
		use(two).finish(nil, s.claim("a", "E", 40), longEnough)
		use(two).handle(alternating(s.claim("b", "F", 40)))
		use(one).acquire(done, s.claim("a", "F", 40))
		use(two).acquire(acquired, s.claim("a", "E", 40))
		use(one).acquire(acquired, s.claim("a", "G", 40)) // the claim moves
		use(one).finish(notOwner, s.claim("a", "E", 40), longEnough)
		use(one).acquire(inFlight, s.claim("b", "G", 40))
		use(one).finish(nil, s.claim("a", "G", 40), longEnough)
		use(two).acquire(done, s.claim("b", "G", 40))
		use(one).handle(alternating(s.claim("c", "H", 0)))
		use(two).handle(s.claim("b", "lower", 10))
	}},
}

// shared reports whether one handle sees what another has done. It goes on asking for
// a while, and a handle that sees it only then fails.
func (s *storeScript) shared(one, two midhook.Store) bool {
	const probes = 20
	probe := func(owner string, i int) midhook.Claim { return alone(s.claim(owner, fmt.Sprint("probe ", i), 0)) }
	s.store = one
	for i := range probes {
		s.acquire(acquired, probe("a", i))
	}
	s.store = two
	for i := range probes {
		switch state, _, err := s.ask(probe("b", i)); {
		case s.failed():
			return false
		case err != nil:
			s.failf("Acquire of %s: error %q", s.shown(probe("b", i)), err)
		case state == inFlight && i > 0:
			s.failf("Acquire of %s by another handle: acquired, and a moment later in_flight", s.shown(probe("b", 0)))
		case state == inFlight:
			return true
		}
		time.Sleep(inSight / probes)
	}
	return false
}
