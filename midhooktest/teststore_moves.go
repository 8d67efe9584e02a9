package midhooktest

import (
	"github.com/midhook/midhook"
)

// moveCases are claims that move to another event of their subject.
var moveCases = []storeCase{
	{"move", "who holds an event and acquires another one of its subject has moved its claim, which leaves no trace on the former", func(s *storeScript) {
		s.acquire(acquired, s.claim("a", "E", 40))
		s.acquire(acquired, s.claim("a", "F", 40))
		s.finish(notOwner, s.claim("a", "E", 40), longEnough)
		s.release(notOwner, s.claim("a", "E", 40))
		s.acquire(inFlight, s.claim("b", "F", 40))
		s.acquire(busy, s.claim("b", "E", 40))
		s.finish(nil, s.claim("a", "F", 40), longEnough)
		s.handle(s.claim("b", "E", 40))
		s.acquire(done, s.claim("c", "F", 40))
	}},
	{"move-superseded", "a move is never Superseded", func(s *storeScript) {
		s.handle(s.claim("a", "later", 40))
		s.acquire(acquired, s.claim("b", "E", 50))
		s.acquire(acquired, s.claim("b", "lower", 10))
		s.finish(nil, s.claim("b", "lower", 10), longEnough)
		s.acquire(acquired, s.claim("c", "equal", 40))
	}},
	{"move-in-flight", "a move takes no event that another owner's lease still holds, and none that was handled", func(s *storeScript) {
		s.hang(s.claim("a", "E", 40))
		s.handle(s.claim("b", "handled", 40))
		s.acquire(acquired, s.claim("c", "F", 40))
		s.acquire(inFlight, s.claim("c", "E", 40))
		s.acquire(done, s.claim("c", "handled", 40))
		s.finish(nil, s.claim("c", "F", 40), longEnough)
		s.finish(nil, s.claim("a", "E", 40), longEnough)
	}},
	{"move-back", "a claim may move as often as it likes, and back", func(s *storeScript) {
		for range 3 {
			s.acquire(acquired, s.claim("a", "E", 40))
			s.acquire(acquired, s.claim("a", "F", 30))
			s.acquire(acquired, s.claim("a", "G", 0))
		}
		s.acquire(acquired, s.claim("a", "E", 40))
		s.finish(nil, s.claim("a", "E", 40), longEnough)
		s.handle(s.claim("b", "F", 40))
		s.handle(s.claim("c", "G", 0))
	}},
	{"move-stage", "an event from which a claim has moved supersedes nothing", func(s *storeScript) {
		s.acquire(acquired, s.claim("a", "later", 40))
		s.acquire(acquired, s.claim("a", "first", 10))
		s.finish(nil, s.claim("a", "first", 10), longEnough)
		s.acquire(superseded, s.claim("b", "lowest", 5))
		s.handle(s.claim("b", "middle", 20))
	}},
	{"move-stage-raised", "the stage of the event to which a claim has moved is what is finished", func(s *storeScript) {
		s.acquire(acquired, s.claim("a", "first", 10))
		s.acquire(acquired, s.claim("a", "later", 40))
		s.finish(nil, s.claim("a", "later", 40), longEnough)
		s.acquire(superseded, s.claim("b", "middle", 20))
	}},
	{"move-lease", "a claim that moves has a new lease", func(s *storeScript) {
		s.acquire(acquired, brief(s.claim("a", "E", 40)))
		s.acquire(acquired, s.claim("a", "F", 40))
		s.outlast()
		s.acquire(inFlight, s.claim("b", "F", 40))
		began := s.acquire(acquired, brief(s.claim("a", "G", 40)))
		s.turns(began.plus(soon), inFlight, acquired, s.claim("b", "G", 40))
		s.finish(notOwner, s.claim("a", "G", 40), longEnough)
	}},
	{"move-hold", "the hold moves with the claim, and ends when it would have", func(s *storeScript) {
		began := s.acquire(acquired, leased(s.claim("a", "E", 40), 2*soon))
		s.acquire(acquired, s.claim("a", "F", 40))
		s.turns(began.plus(2*soon), busy, acquired, s.claim("b", "G", 40))
		s.acquire(inFlight, s.claim("c", "F", 40))
		s.finish(nil, s.claim("a", "F", 40), longEnough)
		s.acquire(busy, s.claim("c", "H", 40))
	}},
	{"move-hold-ends", "the hold ends with the claim that has moved", func(s *storeScript) {
		for _, end := range []func(midhook.Claim){
			func(c midhook.Claim) { s.release(nil, c) },
			func(c midhook.Claim) { s.finish(nil, c, longEnough) },
		} {
			s.acquire(acquired, s.claim("a", "E", 40))
			s.acquire(acquired, s.claim("a", "F", 40))
			s.acquire(busy, s.claim("b", "E", 40))
			end(s.claim("a", "F", 40))
			s.acquire(acquired, s.claim("b", "E", 40))
			s.release(nil, s.claim("b", "E", 40))
		}
	}},
	{"move-without-hold", "a claim that has lost its hold moves without one, also while another owner holds the subject", func(s *storeScript) {
		s.hang(s.claim("a", "E", 40))
		s.acquire(acquired, s.claim("a", "F", 40))
		s.acquire(acquired, s.claim("b", "G", 40))
		s.acquire(acquired, s.claim("a", "H", 40))
		s.acquire(inFlight, s.claim("c", "H", 40))
		s.acquire(busy, s.claim("c", "F", 40))
		s.finish(nil, s.claim("a", "H", 40), longEnough)
		s.acquire(busy, s.claim("c", "F", 40))
		s.finish(nil, s.claim("b", "G", 40), longEnough)
		s.acquire(acquired, s.claim("c", "F", 40))
	}},
	{"move-take-over", "a claim may move to an event whose lease has passed, and takes it over", func(s *storeScript) {
		s.acquire(acquired, brief(s.claim("a", "E", 40)))
		s.outlast()
		s.acquire(acquired, s.claim("b", "F", 40))
		s.acquire(acquired, s.claim("b", "E", 40))
		s.finish(notOwner, s.claim("a", "E", 40), longEnough)
		s.release(notOwner, s.claim("a", "E", 40))
		s.release(notOwner, s.claim("b", "F", 40))
		s.acquire(inFlight, s.claim("c", "E", 40))
		s.finish(nil, s.claim("b", "E", 40), longEnough)
		s.acquire(done, s.claim("a", "E", 40))
	}},
	{"move-lapsed", "a claim whose lease has passed moves, too, as long as nobody took it over", func(s *storeScript) {
		s.acquire(acquired, brief(s.claim("a", "E", 40)))
		s.outlast()
		s.acquire(acquired, s.claim("a", "F", 40))
		s.finish(notOwner, s.claim("a", "E", 40), longEnough)
		s.acquire(inFlight, s.claim("b", "F", 40))
		s.finish(nil, s.claim("a", "F", 40), longEnough)
		s.handle(s.claim("b", "E", 40))
	}},
	{"move-taken", "whose claim was taken over moves nothing", func(s *storeScript) {
		s.acquire(acquired, brief(s.claim("a", "E", 40)))
		s.outlast()
		s.acquire(acquired, s.claim("b", "E", 40))
		s.acquire(busy, s.claim("a", "F", 40))
		s.finish(nil, s.claim("b", "E", 40), longEnough)
		s.handle(s.claim("a", "F", 40))
		s.acquire(done, s.claim("a", "E", 40))
	}},
	{"move-finished", "who has finished or released an event acquires another one beside it, and moves nothing", func(s *storeScript) {
		s.handle(s.claim("a", "E", 40))
		s.acquire(acquired, s.claim("a", "F", 40))
		s.acquire(done, s.claim("b", "E", 40))
		s.release(nil, s.claim("a", "F", 40))
		s.acquire(superseded, s.claim("a", "lower", 10))
	}},
	{"move-other-subject", "a claim does not move between subjects, nor between events without one", func(s *storeScript) {
		one, other := s.claim("a", "E", 40), s.claim("a", "F", 40)
		other.Subject += " of another"
		none, too := s.claim("a", "G", 40), s.claim("a", "H", 40)
		none.Subject, too.Subject = "", ""
		for _, c := range []midhook.Claim{one, other, none, too} {
			s.acquire(acquired, c)
		}
		for _, c := range []midhook.Claim{one, other, none, too} {
			c.Owner = "b"
			s.acquire(inFlight, c)
			c.Owner = "a"
			s.finish(nil, c, longEnough)
			s.acquire(done, c)
		}
	}},
}
