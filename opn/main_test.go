package opn_test

import (
	"os"
	"testing"

	"github.com/midhook/midhook/internal/leakcheck"
)

// TestMain fails when a goroutine outlives the tests.
func TestMain(m *testing.M) { os.Exit(leakcheck.ExitCode(m.Run())) }
