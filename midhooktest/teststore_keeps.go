package midhooktest

import (
	"math"
	"time"
)

// keepCases are for how long what was handled is remembered.
var keepCases = []storeCase{
	{"keep", "a finished event is done for keep, counted from Finish, and then forgotten", func(s *storeScript) {
		s.acquire(acquired, s.claim("a", "E", 40))
		time.Sleep(2 * soon)
		began := s.finish(nil, s.claim("a", "E", 40), soon)
		s.turns(began.plus(soon), done, acquired, s.claim("b", "E", 40))
		s.finish(notOwner, s.claim("a", "E", 40), longEnough) // it is another's now
		s.finish(nil, s.claim("b", "E", 40), longEnough)
		s.acquire(done, s.claim("c", "E", 40))
	}},
	{"keep-stage", "the highest stage of a subject is remembered for keep, and then forgotten", func(s *storeScript) {
		s.acquire(acquired, s.claim("a", "later", 40))
		began := s.finish(nil, s.claim("a", "later", 40), soon)
		s.turns(began.plus(soon), superseded, acquired, s.claim("b", "lower", 10))
		s.finish(nil, s.claim("b", "lower", 10), longEnough)
		s.handle(s.claim("c", "middle", 20)) // the highest is now the new one
	}},
	{"keep-stage-lengthened", "a subject's highest stage is remembered for as long as the event of it that was finished last", func(s *storeScript) {
		s.hang(s.claim("a", "lower", 10))
		s.acquire(acquired, s.claim("b", "later", 40))
		s.finish(nil, s.claim("b", "later", 40), soon)
		s.finish(nil, s.claim("a", "lower", 10), longEnough)
		s.outlast()
		s.acquire(superseded, s.claim("c", "middle", 30))
	}},
	{"keep-stage-shortened", "a Finish with a shorter keep does not shorten what an earlier one remembers", func(s *storeScript) {
		s.hang(s.claim("a", "lower", 10))
		s.acquire(acquired, s.claim("b", "later", 40))
		s.finish(nil, s.claim("b", "later", 40), longEnough)
		s.finish(nil, s.claim("a", "lower", 10), soon)
		s.outlast()
		s.acquire(superseded, s.claim("c", "middle", 30))
		s.acquire(done, s.claim("c", "later", 40))
	}},
	{"for-ever", "the longest lease and the longest keep there are do not overflow into one that is over", func(s *storeScript) {
		c := s.claim("a", "E", 40)
		c.Lease = math.MaxInt64
		s.acquire(acquired, c)
		s.acquire(inFlight, s.claim("b", "E", 40))
		s.finish(nil, c, math.MaxInt64)
		s.acquire(done, s.claim("b", "E", 40))
		s.acquire(superseded, s.claim("b", "lower", 10))
	}},
}
