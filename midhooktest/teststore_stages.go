package midhooktest

import (
	"math"

	"github.com/midhook/midhook"
)

// stageCases are the order of a subject's events.
var stageCases = []storeCase{
	{"superseded", "a stage below the highest one finished for its subject is superseded, every time", func(s *storeScript) {
		s.handle(s.claim("a", "first", 10))
		s.handle(s.claim("a", "later", 40))
		s.acquire(superseded, s.claim("b", "lower", 30))
		s.acquire(superseded, s.claim("b", "lower", 30))
		s.acquire(superseded, s.claim("c", "lowest", 1))
	}},
	{"superseded-unclaimed", "what is superseded is not claimed", func(s *storeScript) {
		s.handle(s.claim("a", "later", 40))
		s.acquire(superseded, s.claim("b", "lower", 10))
		s.finish(notOwner, s.claim("b", "lower", 10), longEnough)
		s.release(notOwner, s.claim("b", "lower", 10))
		s.acquire(superseded, s.claim("c", "lower", 10))
	}},
	{"superseded-order", "Done and InFlight are answered before Superseded", func(s *storeScript) {
		s.hang(s.claim("a", "running", 10))
		s.handle(s.claim("b", "handled", 10))
		s.handle(s.claim("c", "later", 40))
		s.acquire(done, s.claim("d", "handled", 10))
		s.acquire(inFlight, s.claim("d", "running", 10))
	}},
	{"superseded-renewal", "a renewal by the owner that holds the claim is not superseded", func(s *storeScript) {
		s.hang(s.claim("a", "E", 10))
		s.handle(s.claim("b", "later", 40))
		s.acquire(acquired, s.claim("a", "E", 10))
		s.acquire(inFlight, s.claim("c", "E", 10))
		s.finish(nil, s.claim("a", "E", 10), longEnough)
	}},
	{"superseded-lapsed", "a superseded event whose lease has passed is superseded for others, and still its owner's to finish", func(s *storeScript) {
		s.acquire(acquired, brief(s.claim("a", "E", 10)))
		s.outlast()
		s.handle(s.claim("b", "later", 40))
		s.acquire(superseded, s.claim("c", "E", 10))
		s.finish(nil, s.claim("a", "E", 10), longEnough)
		s.acquire(done, s.claim("c", "E", 10))
	}},
	{"stage-equal", "an equal stage is not superseded", func(s *storeScript) {
		s.handle(s.claim("a", "settlement", 40))
		s.handle(s.claim("b", "reversal", 40))
	}},
	{"stage-higher", "a higher stage is not superseded, and is the highest when it is finished", func(s *storeScript) {
		s.handle(s.claim("a", "first", 10))
		s.handle(s.claim("b", "second", 20))
		s.handle(s.claim("c", "third", math.MaxInt32))
		s.acquire(superseded, s.claim("d", "late", math.MaxInt32-1))
	}},
	{"stage-unfinished", "only what is finished supersedes", func(s *storeScript) {
		s.hang(s.claim("a", "running", 40))
		s.acquire(acquired, s.claim("b", "failed", 50))
		s.release(nil, s.claim("b", "failed", 50))
		s.acquire(acquired, s.claim("c", "lower", 10))
	}},
	{"stage-lowered", "a lower stage that is finished later does not lower the highest", func(s *storeScript) {
		s.hang(s.claim("a", "lower", 10))
		s.handle(s.claim("b", "later", 40))
		s.finish(nil, s.claim("a", "lower", 10), longEnough)
		s.acquire(superseded, s.claim("c", "late", 30))
	}},
	{"stage-none", "a stage of 0 or less is never superseded", func(s *storeScript) {
		s.handle(s.claim("a", "later", 40))
		s.handle(s.claim("b", "zero", 0))
		s.handle(s.claim("c", "negative", -1))
		s.handle(s.claim("d", "most negative", math.MinInt32))
	}},
	{"stage-none-finished", "a stage of 0 or less supersedes nothing, and does not lower the highest", func(s *storeScript) {
		s.handle(s.claim("a", "negative", -1))
		s.handle(s.claim("a", "more negative", -2))
		s.handle(s.claim("a", "first", 20))
		s.handle(s.claim("a", "zero", 0))
		s.handle(s.claim("a", "negative again", -1))
		s.acquire(superseded, s.claim("b", "lower", 10))
	}},
	{"subject-none", "an event without a subject neither is superseded nor supersedes", func(s *storeScript) {
		none := func(event string, stage int) midhook.Claim {
			c := s.claim("a", event, stage)
			c.Subject = ""
			return c
		}
		s.handle(none("later", 40))
		s.handle(none("lower", 10))
		s.handle(s.claim("a", "with a subject", 5))
	}},
	{"subject-other", "a subject's stages say nothing about another subject", func(s *storeScript) {
		other := s.claim("b", "lower", 10)
		other.Subject += " of another"
		s.handle(s.claim("a", "later", 40))
		s.handle(other)
	}},
}
