package midhooktest

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/midhook/midhook"
)

// Rule: midhook's own store keeps the contract, in real time. newStore is called
// once for each subtest, and TestStore returns when all are through: what the
// caller closes then is not in use.
func TestTestStoreLRU(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	open, subtests := 0, map[string]bool{}
	TestStore(t, func(sub *testing.T) midhook.Store {
		mu.Lock()
		defer mu.Unlock()
		subtests[sub.Name()] = true
		open++
		sub.Cleanup(func() {
			mu.Lock()
			defer mu.Unlock()
			open--
		})
		return midhook.NewLRUStore(4096)
	})
	if open != 0 || len(subtests) != len(storeCases) {
		t.Errorf("%d subtests, of which %d still run, want %d and none", len(subtests), open, len(storeCases))
	}
}

// Rule: TestStore works inside a bubble, with one store for all cases.
func TestTestStoreInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls, shared := 0, midhook.NewLRUStore(4096)
		TestStore(t, func(got *testing.T) midhook.Store {
			calls++
			if got != t {
				t.Error("in a bubble newStore must get the t of TestStore")
			}
			return shared
		})
		if want := len(storeCases) + 1; calls != want { // one case compares two handles
			t.Errorf("newStore was called %d times for %d cases, want %d", calls, len(storeCases), want)
		}
	})
}

// Rule: the cases ask for nothing that only the LRU store has. Another correct
// store passes, also one at a distance that all cases share, and one whose clock
// has whole seconds.
func TestTestStoreAnother(t *testing.T) {
	t.Parallel()
	distant := newPlanted("distant")
	TestStore(t, func(*testing.T) midhook.Store { return distant })
	for _, bug := range []string{"", "distant", "up to a second late"} {
		synctest.Test(t, func(t *testing.T) { TestStore(t, func(*testing.T) midhook.Store { return newPlanted(bug) }) })
	}
}

// brokenStore in the environment makes TestOfABrokenStore one.
const brokenStore = "MIDHOOKTEST_BROKEN_STORE"

// TestOfABrokenStore fails, when it is asked to by TestTestStoreReports.
func TestOfABrokenStore(t *testing.T) {
	bug := os.Getenv(brokenStore)
	if bug == "" {
		t.Skip("it is TestTestStoreReports that runs this")
	}
	t.Run("real time", func(t *testing.T) {
		TestStore(t, func(*testing.T) midhook.Store { return newPlanted(bug) })
	})
	t.Run("bubble", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			TestStore(t, func(*testing.T) midhook.Store { return newPlanted(bug) })
		})
	})
}

// Rule: a case that fails fails the test, and says which rule is broken. A
// process of its own is asked, for only there may a test fail.
func TestTestStoreReports(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^TestOfABrokenStore$/^(bubble|real_time)$/^store$/^stage-", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), brokenStore+"=equal stages superseded")
	out, err := cmd.CombinedOutput()
	if _, failed := err.(*exec.ExitError); !failed {
		t.Fatalf("the test of a broken store passes (%v):\n%s", err, out)
	}
	for _, want := range []string{
		"--- FAIL: TestOfABrokenStore/real_time/store/stage-equal ",
		"--- FAIL: TestOfABrokenStore/bubble ",
		`Acquire of event "…reversal" of subject "… subject", stage 40, by owner "b": superseded, want acquired`,
		"The rule: an equal stage is not superseded\n",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("there is no %q in\n%s", want, out)
		}
	}
	if n := strings.Count(string(out), "The rule: an equal stage is not superseded\n"); n != 2 {
		t.Errorf("the rule is printed %d times, want once in real time and once in the bubble:\n%s", n, out)
	}
}
