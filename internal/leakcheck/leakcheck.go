// Package leakcheck fails tests that leave goroutines behind.
package leakcheck

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// patience is how long a goroutine may take to end after the tests.
const patience = 15 * time.Second

// ExitCode is code, the result of testing.M's Run, or 1 if a goroutine outlives
// the tests: it is then listed on standard error. A failure needs no second one.
func ExitCode(code int) int {
	leaked := goroutines()
	if code != 0 || len(leaked) == 0 {
		return code
	}
	fmt.Fprintf(os.Stderr, "%d goroutines outlive the tests:\n\n%s\n", len(leaked), strings.Join(leaked, "\n\n"))
	return 1
}

// goroutines lists those that are still there after patience. The first is this
// one; the test runner's own is the one that receives signals.
func goroutines() (leaked []string) {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		leaked = nil
		for _, stack := range strings.Split(strings.TrimSpace(string(stacks)), "\n\n")[1:] {
			if !strings.Contains(stack, "os/signal.") {
				leaked = append(leaked, stack)
			}
		}
		if len(leaked) == 0 || time.Now().After(deadline) {
			return leaked
		}
	}
}
