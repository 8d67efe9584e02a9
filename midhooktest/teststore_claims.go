package midhooktest

import (
	"fmt"

	"github.com/midhook/midhook"
)

// claimCases are the life of a claim.
var claimCases = []storeCase{
	{"acquire", "an event is in flight for every other owner while one holds it", func(s *storeScript) {
		s.acquire(acquired, s.claim("a", "E", 40))
		s.acquire(inFlight, s.claim("b", "E", 40))
		s.acquire(inFlight, s.claim("c", "E", 40))
		s.finish(nil, s.claim("a", "E", 40), longEnough)
	}},
	{"fresh", "each answer is what is true now: no earlier one is repeated", func(s *storeScript) {
		for range 3 {
			s.acquire(acquired, s.claim("a", "E", 40))
			s.acquire(inFlight, s.claim("b", "E", 40))
			s.acquire(busy, s.claim("b", "F", 40))
			s.release(nil, s.claim("a", "E", 40))
			s.acquire(acquired, s.claim("b", "E", 40))
			s.acquire(inFlight, s.claim("a", "E", 40))
			s.acquire(busy, s.claim("a", "F", 40))
			s.release(nil, s.claim("b", "E", 40))
			s.finish(notOwner, s.claim("a", "E", 40), longEnough)
			s.release(notOwner, s.claim("b", "E", 40))
		}
		s.handle(s.claim("a", "E", 40))
		s.acquire(done, s.claim("b", "E", 40))
	}},
	{"done", "a finished event is done for everyone, its owner included", func(s *storeScript) {
		s.handle(s.claim("a", "E", 40))
		s.acquire(done, s.claim("b", "E", 40))
		s.acquire(done, s.claim("a", "E", 40))
	}},
	{"release", "a released event is the next delivery's to acquire", func(s *storeScript) {
		s.acquire(acquired, s.claim("a", "E", 40))
		s.release(nil, s.claim("a", "E", 40))
		s.handle(s.claim("b", "E", 40))
	}},
	{"release-again", "who has released its claim no longer owns it", func(s *storeScript) {
		s.acquire(acquired, s.claim("a", "E", 40))
		s.release(nil, s.claim("a", "E", 40))
		s.release(notOwner, s.claim("a", "E", 40))
		s.finish(notOwner, s.claim("a", "E", 40), longEnough)
		s.acquire(acquired, s.claim("b", "E", 40))
	}},
	{"release-finished", "what is finished can be released by nobody and stays done", func(s *storeScript) {
		s.handle(s.claim("a", "E", 40))
		s.release(notOwner, s.claim("a", "E", 40))
		s.release(notOwner, s.claim("b", "E", 40))
		s.acquire(done, s.claim("c", "E", 40))
	}},
	{"finish-again", "Finish succeeds again for the owner that has finished the event", func(s *storeScript) {
		s.handle(s.claim("a", "E", 40))
		s.finish(nil, s.claim("a", "E", 40), longEnough)
		s.acquire(done, s.claim("b", "E", 40))
		s.finish(nil, s.claim("a", "E", 40), longEnough)
	}},
	{"finish-again-by-another", "Finish of a finished event by anyone but its owner gets ErrNotOwner and changes nothing", func(s *storeScript) {
		s.handle(s.claim("a", "E", 40))
		s.finish(notOwner, s.claim("b", "E", 40), longEnough)
		s.acquire(done, s.claim("c", "E", 40))
		s.finish(nil, s.claim("a", "E", 40), longEnough)
	}},
	{"stranger", "who never claimed an event gets ErrNotOwner and changes nothing", func(s *storeScript) {
		s.finish(notOwner, s.claim("a", "E", 40), longEnough)
		s.release(notOwner, s.claim("a", "E", 40))
		s.acquire(acquired, s.claim("b", "E", 40))
		s.finish(notOwner, s.claim("a", "E", 40), longEnough)
		s.release(notOwner, s.claim("a", "E", 40))
		s.acquire(inFlight, s.claim("c", "E", 40))
		s.release(nil, s.claim("b", "E", 40))
		s.acquire(acquired, s.claim("d", "lower", 10)) // nothing was finished
	}},
	{"crowd", "a claim in flight is not forgotten for others, nor a finished event", func(s *storeScript) {
		claim := func(owner string, i int) midhook.Claim { return alone(s.claim(owner, fmt.Sprint("event ", i), 0)) }
		s.each(300,
			func(i int) { s.acquire(acquired, claim("a", i)) },
			func(i int) { s.acquire(inFlight, claim("b", i)) },
			func(i int) { s.finish(nil, claim("a", i), longEnough) },
			func(i int) { s.acquire(done, claim("b", i)) })
	}},

	{"crowd-subject", "300 events of one subject are remembered, each on its own", func(s *storeScript) {
		for i := range 300 {
			s.handle(s.claim("a", fmt.Sprint("event ", i), 40))
		}
		s.each(300, func(i int) { s.acquire(done, s.claim("b", fmt.Sprint("event ", i), 40)) })
		s.acquire(superseded, s.claim("b", "lower", 39))
	}},

	{"events-apart", "other events, even such as look alike beside their subjects, are not touched", func(s *storeScript) {
		one, two := s.claim("a", "E", 40), s.claim("a", "ES", 40)
		one.Subject, two.Subject = "S"+s.id, s.id
		s.acquire(acquired, one)
		s.acquire(acquired, two)
		s.finish(nil, one, longEnough)
		two.Owner = "b"
		s.acquire(inFlight, two)
	}},
	{"subjects-apart", "events and subjects have names of their own: an event named as a subject is another thing", func(s *storeScript) {
		c := s.claim("a", "E", 40)
		s.handle(c)
		twin := s.claim("b", "", 10)
		twin.Key, twin.Subject = c.Subject, c.Key
		s.handle(twin)
		s.acquire(superseded, s.claim("c", "lower", 30))
	}},

	{"lease", "a claim holds as long as its lease; a lease that has passed is anyone's", func(s *storeScript) {
		began := s.acquire(acquired, brief(s.claim("a", "E", 40)))
		s.turns(began.plus(soon), inFlight, acquired, s.claim("b", "E", 40))
		s.acquire(inFlight, s.claim("a", "E", 40))
		longer := alone(s.claim("a", "F", 40))
		longer.Lease = 3 * soon
		began = s.acquire(acquired, longer)
		s.turns(began.plus(3*soon), inFlight, acquired, alone(s.claim("b", "F", 40)))
	}},
	{"renew", "Acquire by the owner that holds the claim is Acquired, and its lease begins anew", func(s *storeScript) {
		s.acquire(acquired, brief(s.claim("a", "E", 40)))
		s.acquire(acquired, s.claim("a", "E", 40))
		s.outlast()
		s.acquire(inFlight, s.claim("b", "E", 40))
		s.finish(nil, s.claim("a", "E", 40), longEnough)
	}},
	{"renew-late", "a lease that has passed can be renewed by its owner, too, if nobody took the claim over", func(s *storeScript) {
		s.acquire(acquired, brief(s.claim("a", "E", 40)))
		s.outlast()
		s.acquire(acquired, s.claim("a", "E", 40))
		s.acquire(inFlight, s.claim("b", "E", 40))
		s.finish(nil, s.claim("a", "E", 40), longEnough)
	}},
	{"late-finish", "Finish succeeds after the lease has passed, as long as nobody took the claim over", func(s *storeScript) {
		s.acquire(acquired, brief(s.claim("a", "E", 40)))
		s.outlast()
		s.finish(nil, s.claim("a", "E", 40), longEnough)
		s.acquire(done, s.claim("b", "E", 40))
	}},
	{"late-release", "Release succeeds after the lease has passed, as long as nobody took the claim over", func(s *storeScript) {
		s.acquire(acquired, brief(s.claim("a", "E", 40)))
		s.outlast()
		s.release(nil, s.claim("a", "E", 40))
		s.release(notOwner, s.claim("a", "E", 40))
		s.finish(notOwner, s.claim("a", "E", 40), longEnough)
		s.handle(s.claim("b", "E", 40))
	}},
	{"release-other", "a release gives back the claim on its own event, whatever else its owner holds", func(s *storeScript) {
		one, other := alone(s.claim("a", "E", 40)), alone(s.claim("a", "F", 40))
		s.acquire(acquired, one)
		s.acquire(acquired, other)
		s.release(nil, one)
		one.Owner, other.Owner = "b", "b"
		s.acquire(inFlight, other)
		s.acquire(acquired, one)
	}},
	{"stale-owner", "whose claim was taken over can neither finish nor release its successor's", func(s *storeScript) {
		s.acquire(acquired, brief(s.claim("a", "E", 40)))
		s.outlast()
		s.acquire(acquired, s.claim("b", "E", 40))
		s.finish(notOwner, s.claim("a", "E", 40), longEnough)
		s.release(notOwner, s.claim("a", "E", 40))
		s.acquire(inFlight, s.claim("c", "E", 40))
		s.release(nil, s.claim("b", "E", 40))
		s.acquire(acquired, s.claim("d", "lower", 10)) // nothing was finished
	}},
	{"stale-owner-done", "whose claim was taken over can neither finish nor release what its successor finished", func(s *storeScript) {
		s.acquire(acquired, brief(s.claim("a", "E", 40)))
		s.outlast()
		s.handle(s.claim("b", "E", 40))
		s.finish(notOwner, s.claim("a", "E", 40), longEnough)
		s.release(notOwner, s.claim("a", "E", 40))
		s.acquire(done, s.claim("c", "E", 40))
	}},
	{"stale-owner-released", "whose claim was taken over does not have it back when its successor releases", func(s *storeScript) {
		s.acquire(acquired, brief(s.claim("a", "E", 40)))
		s.outlast()
		s.acquire(acquired, s.claim("b", "E", 40))
		s.release(nil, s.claim("b", "E", 40))
		s.finish(notOwner, s.claim("a", "E", 40), longEnough)
		s.release(notOwner, s.claim("a", "E", 40))
		s.acquire(acquired, s.claim("c", "E", 40))
	}},
}
