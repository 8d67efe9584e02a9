package midhooktest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/storemodel"
)

// randomCases play what nobody thought of.
var randomCases = []storeCase{
	{"random", "whatever owners do in whatever order, the store answers as the contract says", func(s *storeScript) {
		sequences := 200
		if !s.bubble {
			sequences = 60
		}
		plays := make([]*randomPlay, sequences)
		for seed := range plays {
			plays[seed] = newRandomPlay(s, uint64(seed))
		}
		// Some begin with a claim that has lost its hold, and one whose lease has passed.
		for _, prelude := range []func(*randomPlay){(*randomPlay).hang, (*randomPlay).lapse} {
			s.each(len(plays), func(i int) { prelude(plays[i]) })
			s.outlast()
			for _, p := range plays {
				p.now += 2 * soon
			}
		}
		if s.bubble { // where time passes for all of them together
			s.race(len(plays), func(i int) { plays[i].run() })
			return
		}
		s.each(len(plays), func(i int) { plays[i].run() })
	}},
}

// randomPlay plays operations on one subject against the model. Its choices are the
// same for the same seed.
type randomPlay struct {
	*storeScript
	seed    uint64
	chance  *rand.Rand
	model   *storemodel.Model
	now     time.Duration // the model's time
	history []string
}

func newRandomPlay(s *storeScript, seed uint64) *randomPlay {
	return &randomPlay{storeScript: s, seed: seed, chance: rand.New(rand.NewPCG(seed, 0)), model: storemodel.New()}
}

// hung is as odd a multiple as the periods of run.
const hung = 182 * time.Second

func (p *randomPlay) hang() {
	if p.seed%2 == 0 {
		p.doAcquire(brief(p.on("a", 0)))
		p.doAcquire(leased(p.on("a", 0), hung))
	}
}

func (p *randomPlay) lapse() {
	if p.seed%3 == 0 {
		p.doAcquire(brief(p.on("b", 1)))
	}
}

// on is a claim on one of few events. Each has its own stage, and some alternate.
func (p *randomPlay) on(owner string, event int) midhook.Claim {
	c := p.claim(fmt.Sprint(owner, p.seed), fmt.Sprint("event ", event, " of ", p.seed), [...]int{10, 40, 40, 60, 0}[event])
	c.Subject += fmt.Sprint(p.seed)
	c.Alternates = event == 4
	return c
}

// run plays operations of few owners. Where time can pass, periods are odd and steps
// even multiples of two seconds, so that no answer depends on a store's precision.
func (p *randomPlay) run() {
	for range 40 {
		if p.failed() {
			return
		}
		if p.bubble && p.chance.IntN(4) == 0 {
			p.pass([...]time.Duration{4, 8, 32, 100}[p.chance.IntN(4)] * time.Second)
		}
		owner := p.chance.IntN(3)
		c := p.on(string(rune('a'+owner)), p.chance.IntN(5))
		lease, keep := longEnough, longEnough
		if p.bubble {
			// An owner's leases are alike, as a delivery's are.
			lease = [...]time.Duration{6, 30, 62}[owner] * time.Second
			keep = [...]time.Duration{2, 34, 190}[p.chance.IntN(3)] * time.Second
		}
		switch p.chance.IntN(5) {
		case 0, 1, 2:
			p.doAcquire(leased(c, lease))
		case 3:
			p.doFinish(c, keep)
		default:
			p.doRelease(c)
		}
	}
}

func (p *randomPlay) pass(d time.Duration) {
	p.history = append(p.history, fmt.Sprint("wait ", d))
	time.Sleep(d)
	p.now += d
}

func (p *randomPlay) doAcquire(c midhook.Claim) {
	if p.failed() {
		return
	}
	got, _, err := p.ask(c)
	want := p.model.Acquire(p.now, c)
	p.compare(fmt.Sprintf("Acquire of %s for %v", p.shown(c), c.Lease), stateName(got), stateName(want), err)
}

func (p *randomPlay) doFinish(c midhook.Claim, keep time.Duration) {
	if p.failed() || p.model.Forgotten(p.now, c.Key) {
		return
	}
	_, err := p.do(func(ctx context.Context) error { return p.store.Finish(ctx, c, keep) })
	p.compareErrors(fmt.Sprintf("Finish of %s for %v", p.shown(c), keep), err, p.model.Finish(p.now, c, keep))
}

func (p *randomPlay) doRelease(c midhook.Claim) {
	if p.failed() {
		return
	}
	_, err := p.do(func(ctx context.Context) error { return p.store.Release(ctx, c) })
	p.compareErrors("Release of "+p.shown(c), err, p.model.Release(c))
}

func (p *randomPlay) compareErrors(operation string, got, want error) {
	var unexpected error
	if got != nil && !errors.Is(got, midhook.ErrNotOwner) {
		unexpected = got
	}
	p.compare(operation, errorName(got), errorName(want), unexpected)
}

func (p *randomPlay) compare(operation, got, want string, err error) {
	p.history = append(p.history, operation+": "+got)
	if err != nil || got != want {
		p.failf("sequence %d: %s, want %s (error: %v), after\n\t%s", p.seed, got, want, err, strings.Join(p.history, "\n\t"))
	}
}
