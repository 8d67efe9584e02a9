package midhooktest

import (
	"fmt"
)

// holdCases are the hold of a subject, and claims that move.
var holdCases = []storeCase{
	{"busy", "a subject is held by one owner at a time: another owner's other event is Busy until the claim ends", func(s *storeScript) {
		s.acquire(acquired, s.claim("a", "E", 40))
		s.acquire(busy, s.claim("b", "F", 40))
		s.acquire(busy, s.claim("c", "lower", 10))
		s.acquire(busy, s.claim("d", "none", 0))
		s.release(nil, s.claim("a", "E", 40))
		s.acquire(acquired, s.claim("b", "F", 40))
		s.acquire(busy, s.claim("c", "E", 40))
		s.finish(nil, s.claim("b", "F", 40), longEnough)
		s.acquire(acquired, s.claim("c", "E", 40))
	}},
	{"busy-unclaimed", "what is Busy is not claimed", func(s *storeScript) {
		s.acquire(acquired, s.claim("a", "E", 40))
		s.acquire(busy, s.claim("b", "F", 40))
		s.finish(notOwner, s.claim("b", "F", 40), longEnough)
		s.release(notOwner, s.claim("b", "F", 40))
		s.finish(nil, s.claim("a", "E", 40), longEnough)
		s.acquire(acquired, s.claim("c", "F", 40))
	}},
	{"busy-order", "Done and InFlight are answered before Busy, and Busy before Superseded", func(s *storeScript) {
		s.handle(s.claim("a", "handled", 30))
		s.hang(s.claim("a", "running", 40))
		s.acquire(acquired, s.claim("b", "E", 40))
		s.acquire(inFlight, s.claim("c", "running", 20))
		s.acquire(done, s.claim("c", "handled", 30))
		s.acquire(inFlight, s.claim("c", "E", 40))
		s.acquire(busy, s.claim("c", "lower", 10))
		s.finish(nil, s.claim("b", "E", 40), longEnough)
		s.acquire(superseded, s.claim("c", "lower", 10))
	}},
	{"busy-ends", "the hold lasts for the lease with which the event was first acquired, and no longer", func(s *storeScript) {
		began := s.acquire(acquired, brief(s.claim("a", "E", 40)))
		s.turns(began.plus(soon), busy, acquired, s.claim("b", "F", 40))
		s.acquire(inFlight, s.claim("c", "F", 40))
		s.acquire(busy, s.claim("c", "G", 40))
	}},
	{"busy-renewal", "a renewal keeps the event and not the hold", func(s *storeScript) {
		began := s.acquire(acquired, brief(s.claim("a", "E", 40)))
		s.acquire(acquired, s.claim("a", "E", 40))
		s.turns(began.plus(soon), busy, acquired, s.claim("b", "F", 40))
		s.acquire(acquired, s.claim("a", "E", 40))
		s.acquire(inFlight, s.claim("b", "E", 40))
		s.finish(nil, s.claim("b", "F", 40), longEnough)
		s.finish(nil, s.claim("a", "E", 40), longEnough)
	}},
	{"busy-other-subject", "a hold says nothing about another subject, nor about events without one", func(s *storeScript) {
		other, none := s.claim("b", "F", 40), s.claim("c", "G", 40)
		other.Subject += " of another"
		none.Subject = ""
		s.acquire(acquired, other)
		s.release(nil, other)
		s.acquire(acquired, s.claim("a", "E", 40))
		s.acquire(acquired, other)
		s.acquire(acquired, none)
		none.Key, none.Owner = s.id+"H", "d"
		s.acquire(acquired, none)
		s.finish(nil, s.claim("a", "E", 40), longEnough)
	}},
	{"busy-stages", "an event holds its subject whatever its stage, and whether it alternates", func(s *storeScript) {
		for i, stage := range []int{-1, 0, 10, 40} {
			c := s.claim("a", fmt.Sprint("event ", i), stage)
			c.Alternates = i%2 == 0
			s.acquire(acquired, c)
			s.acquire(busy, s.claim("b", "F", 40))
			s.acquire(busy, s.claim("b", "G", 0))
			s.release(nil, c)
		}
		s.acquire(acquired, s.claim("b", "F", 40))
	}},
	{"busy-lease", "each hold lasts for its own lease", func(s *storeScript) {
		began := s.acquire(acquired, leased(s.claim("a", "E", 40), 3*soon))
		s.acquire(acquired, leased(s.claim("a", "E", 40), soon/2))
		s.acquire(acquired, leased(s.claim("a", "E", 40), 3*soon))
		s.turns(began.plus(3*soon), busy, acquired, s.claim("b", "F", 40))
	}},
	{"busy-renewal-late", "a hold that has passed does not come back with a renewal, before or after the lease has passed", func(s *storeScript) {
		s.acquire(acquired, brief(s.claim("a", "E", 40)))
		s.outlast()
		s.acquire(acquired, s.claim("a", "E", 40))
		s.acquire(acquired, s.claim("b", "F", 40))
		s.acquire(acquired, s.claim("a", "E", 40))
		s.acquire(busy, s.claim("a2", "G", 40))
		s.release(nil, s.claim("b", "F", 40))
		s.acquire(acquired, s.claim("a", "E", 40))
		s.acquire(acquired, s.claim("c", "G", 40))
	}},
	{"busy-anew", "who acquires an event anew, after a release, holds the subject anew", func(s *storeScript) {
		s.hang(s.claim("a", "E", 40))
		s.release(nil, s.claim("a", "E", 40))
		s.acquire(acquired, s.claim("a", "E", 40))
		s.acquire(busy, s.claim("b", "F", 40))
	}},
	{"busy-take-over", "who takes an event over holds the subject for its own lease, and until its own claim ends", func(s *storeScript) {
		s.acquire(acquired, brief(s.claim("a", "E", 40)))
		s.outlast()
		s.acquire(acquired, s.claim("b", "E", 40))
		s.acquire(busy, s.claim("c", "F", 40))
		s.release(notOwner, s.claim("a", "E", 40))
		s.finish(notOwner, s.claim("a", "E", 40), longEnough)
		s.acquire(busy, s.claim("c", "F", 40))
		s.acquire(busy, s.claim("a", "F", 40)) // it holds nothing any more
		s.release(nil, s.claim("b", "E", 40))
		s.acquire(acquired, s.claim("c", "F", 40))
	}},
	{"busy-lapsed", "a lease that has passed is nobody's while another owner holds the subject", func(s *storeScript) {
		s.acquire(acquired, brief(s.claim("a", "E", 40)))
		s.outlast()
		s.acquire(acquired, s.claim("b", "F", 40))
		s.acquire(busy, s.claim("c", "E", 40))
		s.finish(nil, s.claim("a", "E", 40), longEnough)
	}},
	{"busy-others-end", "a hold does not end with a claim of another owner that runs beside it", func(s *storeScript) {
		s.hang(s.claim("a", "E", 40), s.claim("b", "F", 40))
		s.acquire(acquired, s.claim("c", "G", 40))
		s.release(nil, s.claim("a", "E", 40))
		s.acquire(busy, s.claim("d", "H", 40))
		s.finish(nil, s.claim("b", "F", 40), longEnough)
		s.acquire(busy, s.claim("d", "H", 40))
		s.finish(nil, s.claim("c", "G", 40), longEnough)
		s.acquire(acquired, s.claim("d", "H", 40))
	}},
	{"busy-asked", "an Acquire that is Done, InFlight, Busy or Superseded holds nothing", func(s *storeScript) {
		s.handle(s.claim("a", "later", 40))
		s.acquire(done, s.claim("b", "later", 40))
		s.acquire(superseded, s.claim("c", "lower", 10))
		s.hang(s.claim("d", "E", 40))
		s.acquire(inFlight, s.claim("e", "E", 40))
		s.acquire(acquired, s.claim("f", "F", 40))
		s.acquire(busy, s.claim("g", "G", 40))
		s.release(nil, s.claim("f", "F", 40))
		s.acquire(acquired, s.claim("h", "H", 40))
	}},
}
