package midhooktest

import (
	"context"
	"time"

	"github.com/midhook/midhook"
)

// neighbourCases are what an operation leaves as it was: the other events of its
// subject. Each plays beside an event that was handled at stage 40, one whose keep is
// brief, and one in flight.
var neighbourCases = []storeCase{
	{"release-leaves", "Release changes nothing else of the subject", neighbours(func(s *storeScript) {
		s.acquire(acquired, s.claim("x", "X", 50))
		s.release(nil, s.claim("x", "X", 50))
	})},
	{"finish-leaves", "Finish changes nothing else of the subject", neighbours(func(s *storeScript) {
		s.handle(s.claim("x", "X", 40))
	})},
	{"finish-brief-leaves", "a Finish with a short keep changes nothing else of the subject", neighbours(func(s *storeScript) {
		s.acquire(acquired, s.claim("x", "X", 40))
		s.finish(nil, s.claim("x", "X", 40), soon/3)
	})},
	{"finish-long-leaves", "a Finish with a long keep changes nothing else of the subject", neighbours(func(s *storeScript) {
		s.acquire(acquired, s.claim("x", "X", 40))
		s.finish(nil, s.claim("x", "X", 40), 100*longEnough)
	})},
	{"acquire-leaves", "a claim whose short lease passes changes nothing else of the subject", neighbours(func(s *storeScript) {
		s.acquire(acquired, leased(s.claim("x", "X", 40), soon/3))
		s.acquire(acquired, leased(s.claim("x", "X", 40), soon/3))
	})},
	{"acquire-long-leaves", "a claim with a long lease changes nothing else of the subject", neighbours(func(s *storeScript) {
		s.acquire(acquired, s.claim("x", "X", 40))
		s.acquire(acquired, leased(s.claim("x", "X", 40), 100*longEnough))
	})},
	{"move-leaves", "a claim that moves changes nothing else of the subject", neighbours(func(s *storeScript) {
		s.acquire(acquired, s.claim("x", "X", 50))
		s.acquire(acquired, s.claim("x", "Y", 10))
		s.acquire(acquired, s.claim("x", "X", 50))
	})},
	{"asking-leaves", "answers and refusals change nothing of the subject", neighbours(func(s *storeScript) {
		s.acquire(acquired, s.claim("x", "X", 50))
		s.acquire(busy, s.claim("y", "Y", 60))
		s.acquire(inFlight, s.claim("y", "X", 50))
		s.acquire(done, leased(s.claim("y", "handled", 40), 100*longEnough))
		s.acquire(inFlight, leased(s.claim("y", "running", 10), 100*longEnough))
		s.finish(notOwner, s.claim("y", "X", 50), longEnough)
		s.release(notOwner, s.claim("y", "running", 10))
		s.finish(notOwner, s.claim("y", "running", 10), longEnough)
		s.finish(notOwner, s.claim("y", "handled", 40), 100*longEnough)
		s.release(notOwner, s.claim("y", "handled", 40))
		s.finish(notOwner, s.claim("y", "brief", 40), 100*longEnough)
		s.release(nil, s.claim("x", "X", 50))
		s.acquire(superseded, s.claim("x", "lower", 10))
	})},

	{"finish-again-leaves", "a Finish that is repeated changes nothing, whatever its keep and its stage", func(s *storeScript) {
		const keep = 5 * soon
		c := s.claim("a", "E", 20)
		s.acquire(acquired, c)
		end := s.finish(nil, c, keep).plus(keep)
		s.finishAgain(end, leased(c, longEnough), longEnough)
		s.finishAgain(end, c, soon/3)
		c.Stage = 60
		s.finishAgain(end, c, longEnough)
		s.acquire(acquired, s.claim("b", "F", 40))
		s.release(nil, s.claim("b", "F", 40))
		c.Stage = 20
		s.turns(end, done, acquired, c)
	}},
	{"lease-shortened", "a renewal may shorten its lease, and no other", func(s *storeScript) {
		one, other := alone(s.claim("a", "E", 0)), alone(s.claim("a", "F", 0))
		s.acquire(acquired, other)
		s.acquire(acquired, one)
		began := s.acquire(acquired, brief(one))
		one.Owner = "c"
		s.turns(began.plus(soon), inFlight, acquired, one)
		other.Owner = "c"
		s.acquire(inFlight, other)
	}},
}

// neighbours plays something between others of its subject, and looks at each of
// them while it lasts and after it should have ended.
func neighbours(play func(s *storeScript)) func(s *storeScript) {
	return func(s *storeScript) {
		const period = 4 * soon
		s.handle(s.claim("h", "handled", 40))
		running := s.claim("r", "running", 40)
		s.hang(running)
		lapsing := s.claim("l", "lapsing", 40)
		s.acquire(acquired, brief(lapsing))
		s.outlast()
		s.acquire(acquired, s.claim("h", "brief", 40))
		forgotten := s.finish(nil, s.claim("h", "brief", 40), period)
		lapsed := s.acquire(acquired, leased(lapsing, period))

		play(s)

		late := s.claim("q", "lapsing", 40)
		late.Owner = "l2"
		s.acquire(done, s.claim("q", "handled", 40))
		s.acquire(inFlight, s.claim("q", "running", 10))
		// Another owner's hold, if there is one, must not hide the end.
		s.turnsIf(forgotten.plus(period), done, s.claim("q", "brief", 40))
		s.turnsIf(lapsed.plus(period), inFlight, late)
		s.acquire(done, s.claim("q", "handled", 40))
		s.acquire(inFlight, s.claim("q", "running", 40))
		s.finish(nil, running, longEnough)
		s.acquire(done, s.claim("q", "running", 40))
	}
}

// turnsIf asks for c for as long as the answer is before: until end, and no longer.
// What the answer is then is no matter.
func (s *storeScript) turnsIf(end moment, before midhook.ClaimState, c midhook.Claim) {
	for !s.failed() {
		got, asked, err := s.ask(c)
		switch {
		case err != nil:
			s.failf("Acquire of %s: error %q", s.shown(c), err)
		case got == before && asked.earliest.After(end.latest.Add(storeSlack)):
			s.failf("Acquire of %s: still %s, more than %v too late", s.shown(c), stateName(before), storeSlack)
		case got != before && asked.latest.Before(end.earliest.Add(-storeEarly)):
			s.failf("Acquire of %s: %s %v too early", s.shown(c), stateName(got), end.earliest.Sub(asked.latest))
		case got == before:
			time.Sleep(storePoll)
		default:
			return
		}
	}
}

// finishAgain repeats a Finish. After the keep the owner may be unknown.
func (s *storeScript) finishAgain(end moment, c midhook.Claim, keep time.Duration) {
	if s.failed() {
		return
	}
	again, err := s.do(func(ctx context.Context) error { return s.store.Finish(ctx, c, keep) })
	if err != nil && again.latest.Before(end.earliest.Add(-storeEarly)) {
		s.failf("Finish of %s once more: %s, want no error", s.shown(c), errorName(err))
	}
}
