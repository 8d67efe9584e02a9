package sqlstore_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// TestMain is also the main function of the merchant processes that the tests
// start, and stops the database servers in the end. It fails when a goroutine
// outlives the tests.
func TestMain(m *testing.M) {
	_ = mysql.SetLogger(&mysql.NopLogger{}) // it tells of every connection that a stopped server has closed
	if os.Getenv(merchantEnv) != "" {
		if err := runMerchant(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	stopServers()
	if leaked := leakedGoroutines(2 * time.Second); code == 0 && len(leaked) > 0 {
		fmt.Fprintf(os.Stderr, "%d goroutines outlive the tests:\n\n%s\n", len(leaked), strings.Join(leaked, "\n\n"))
		code = 1
	}
	os.Exit(code)
}

// leakedGoroutines lists the goroutines that are still there after patience. The
// first is this one; the test runner's own is the one that receives signals.
func leakedGoroutines(patience time.Duration) (leaked []string) {
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
