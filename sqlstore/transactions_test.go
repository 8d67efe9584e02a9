package sqlstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/midhook/midhook"
)

func claimOf(owner string) claim { return newClaim(midhook.Claim{Key: "E", Owner: owner}) }

// A claim is remembered until it is settled, and by its owner alone.
func TestTransactionsAreRemembered(t *testing.T) {
	var all transactions
	if all.forget(claimOf("a")) {
		t.Error("an unknown claim is remembered")
	}
	all.remember(claimOf("a"))
	if all.forget(claimOf("b")) {
		t.Error("another owner's claim is remembered")
	}
	if !all.forget(claimOf("a")) || all.forget(claimOf("a")) {
		t.Error("a claim is not remembered exactly until it is settled")
	}
}

// Claims that nobody settles do not use up the memory, and running ones are kept.
func TestTransactionsAreBounded(t *testing.T) {
	var all transactions
	for i := range 100 * sweepFrom {
		c := claimOf(fmt.Sprint(i))
		all.remember(c)
		if i%100 != 0 {
			all.began[c.transaction()] = time.Now().Add(-2 * abandonedAfter)
		}
	}
	if n := len(all.began); n > 10*sweepFrom {
		t.Errorf("%d claims are remembered", n)
	}
	if all.sweepAt <= sweepFrom {
		t.Errorf("with %d running claims each further one looks at all of them", sweepFrom)
	}
	for i := range sweepFrom {
		if !all.forget(claimOf(fmt.Sprint(100 * i))) {
			t.Fatalf("a running claim was forgotten")
		}
	}
}
