package midhooktest_test

import (
	"os"
	"testing"

	"github.com/midhook/midhook/internal/leakcheck"
)

// TestMain fails when a goroutine outlives the tests: whatever runs in the
// background here has an end, and every server and client of a test is closed.
// What the watchdog leaves behind does outlive them.
func TestMain(m *testing.M) {
	code := m.Run()
	if os.Getenv(standingStill) == "" {
		code = leakcheck.ExitCode(code)
	}
	os.Exit(code)
}
