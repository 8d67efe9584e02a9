package midhooktest

import "github.com/midhook/midhook"

func alternating(c midhook.Claim) midhook.Claim {
	c.Alternates = true
	return c
}

// alternatesCases are events that come again after others of their subject.
var alternatesCases = []storeCase{
	{"alternates", "finishing an event that alternates forgets the subject's other handled events, so that each can come again", func(s *storeScript) {
		linked, unlinked := alternating(s.claim("a", "linked", 0)), alternating(s.claim("b", "unlinked", 0))
		for range 3 {
			s.handle(linked)
			s.acquire(done, linked)
			s.handle(unlinked)
			s.acquire(done, unlinked)
		}
	}},
	{"alternates-all", "whatever was handled is forgotten, whether it alternates and however long it was to be kept", func(s *storeScript) {
		for _, event := range []string{"one", "two", "three"} {
			s.handle(s.claim("a", event, 0))
		}
		s.acquire(acquired, s.claim("a", "kept", 0))
		s.finish(nil, s.claim("a", "kept", 0), 100*longEnough)
		s.handle(alternating(s.claim("b", "linked", 0)))
		s.acquire(done, s.claim("c", "linked", 0))
		for _, event := range []string{"one", "two", "three", "kept"} {
			s.finish(notOwner, s.claim("a", event, 0), longEnough)
			s.handle(s.claim("c", event, 0))
		}
		s.acquire(done, s.claim("d", "linked", 0)) // what does not alternate forgets nothing
	}},
	{"alternates-stage", "their stages are forgotten with them: the highest is then the stage of what alternates", func(s *storeScript) {
		s.handle(s.claim("a", "later", 40))
		s.handle(alternating(s.claim("b", "linked", 40)))
		s.handle(s.claim("c", "much later", 60))
		s.handle(alternating(s.claim("d", "unlinked", 60)))
		s.handle(alternating(s.claim("e", "none", 0)))
		s.handle(alternating(s.claim("f", "linked", 20)))
		s.acquire(superseded, s.claim("g", "lower", 10))
		s.acquire(superseded, alternating(s.claim("g", "lower", 19)))
		s.handle(s.claim("h", "middle", 30))
	}},
	{"alternates-keep", "what alternates is kept, with its stage, as long as it is asked to, whatever was kept before", func(s *storeScript) {
		s.handle(s.claim("a", "later", 40))
		c := alternating(s.claim("b", "linked", 50))
		s.acquire(acquired, c)
		began := s.finish(nil, c, soon)
		s.turns(began.plus(soon), superseded, acquired, s.claim("c", "lower", 10))
	}},
	{"alternates-unfinished", "only Finish forgets: no Acquire, Release or refusal of what alternates does", func(s *storeScript) {
		s.handle(s.claim("a", "handled", 40))
		c := alternating(s.claim("b", "linked", 40))
		s.finish(notOwner, c, longEnough)
		s.release(notOwner, c)
		s.acquire(acquired, c)
		s.acquire(acquired, c)
		s.acquire(done, alternating(s.claim("c", "handled", 40)))
		c.Owner = "d"
		s.finish(notOwner, c, longEnough)
		c.Owner = "b"
		s.release(nil, c)
		s.acquire(done, alternating(s.claim("c", "handled", 40)))
		s.acquire(superseded, alternating(s.claim("c", "lower", 10)))
	}},
	{"alternates-again", "a Finish that is repeated forgets nothing that was handled since", func(s *storeScript) {
		c := alternating(s.claim("a", "linked", 20))
		s.handle(c)
		s.handle(s.claim("b", "later", 40))
		s.finish(nil, c, longEnough)
		s.acquire(done, s.claim("c", "later", 40))
		s.acquire(superseded, s.claim("c", "lower", 30))
	}},
	{"alternates-in-flight", "other events in flight are not touched, nor the hold of another owner", func(s *storeScript) {
		c := alternating(s.claim("a", "linked", 40))
		s.hang(s.claim("b", "E", 40), c)
		s.acquire(acquired, s.claim("d", "F", 40))
		s.finish(nil, c, longEnough)
		s.acquire(inFlight, s.claim("e", "E", 40))
		s.acquire(inFlight, s.claim("e", "F", 40))
		s.acquire(busy, s.claim("e", "G", 40))
		s.finish(nil, s.claim("b", "E", 40), longEnough)
		s.acquire(busy, s.claim("e", "G", 40))
		s.finish(nil, s.claim("d", "F", 40), longEnough)
		s.acquire(done, s.claim("e", "linked", 40))
		s.acquire(done, s.claim("e", "E", 40))
	}},
	{"alternates-other-subject", "another subject's events are not forgotten, nor those without a subject", func(s *storeScript) {
		other, none, too := s.claim("a", "E", 40), s.claim("a", "F", 40), alternating(s.claim("b", "H", 40))
		other.Subject += " of another"
		none.Subject, too.Subject = "", ""
		s.handle(other)
		s.handle(none)
		s.handle(s.claim("a", "of this", 40))
		s.handle(too)
		s.acquire(done, s.claim("c", "of this", 40))
		s.handle(alternating(s.claim("b", "linked", 40)))
		s.acquire(done, other)
		s.acquire(done, none)
		s.acquire(done, too)
		other.Key, other.Stage = s.id+"lower", 10
		s.acquire(superseded, other)
	}},
}
