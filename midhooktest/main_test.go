package midhooktest_test

import (
	"os"
	"testing"

	"github.com/midhook/midhook/internal/leakcheck"
)

// TestMain fails when a goroutine outlives the tests: whatever runs in the
// background here has an end, and every server and client of a test is closed.
func TestMain(m *testing.M) { os.Exit(leakcheck.ExitCode(m.Run())) }
