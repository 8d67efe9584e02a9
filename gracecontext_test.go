package midhook

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func newGraceContext(t *testing.T) (*pipeline, *graceContext) {
	p := &pipeline{settings: settings{budget: 5 * time.Second, grace: 10 * time.Second}}
	return p, &p.newDelivery(nil, nil, t.Context()).handlerCtx
}

// Rule: a handler's context ends at budget and grace whether the handler begins before the
// budget is spent, or at that moment, just after. From outside nobody can choose that.
func TestGraceBeginsInEitherOrder(t *testing.T) {
	for name, steps := range map[string][]func(*graceContext){
		"handler first": {(*graceContext).begin, (*graceContext).budgetSpent},
		"budget first":  {(*graceContext).budgetSpent, (*graceContext).begin},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, c := newGraceContext(t)
				start := time.Now()
				time.Sleep(p.budget)
				for _, step := range steps {
					step(c)
				}
				<-c.Done()
				assert.Equal(t, p.budget+p.grace, time.Since(start))
				assert.Equal(t, ErrGraceExceeded, context.Cause(c))
			})
		})
	}
}

// Rule: the grace keeps no timer, and with it the delivery, where no handler runs.
func TestGraceWithoutHandler(t *testing.T) {
	for name, steps := range map[string][]func(*graceContext){
		"none came":        {(*graceContext).budgetSpent},
		"it was in time":   {(*graceContext).begin, (*graceContext).endHandler},
		"it is through":    {(*graceContext).begin, (*graceContext).endHandler, (*graceContext).budgetSpent},
		"at that moment":   {(*graceContext).budgetSpent, (*graceContext).begin, (*graceContext).endHandler},
		"it took too long": {(*graceContext).begin, (*graceContext).budgetSpent, (*graceContext).endHandler},
	} {
		synctest.Test(t, func(t *testing.T) {
			_, c := newGraceContext(t)
			for _, step := range steps {
				step(c)
			}
			if c.timer != nil {
				assert.False(t, c.timer.Stop(), name)
			}
		})
	}
}
