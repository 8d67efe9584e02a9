package recurring_test

import (
	"os"
	"testing"

	"github.com/midhook/midhook/internal/leakcheck"
)

func TestMain(m *testing.M) { os.Exit(leakcheck.ExitCode(m.Run())) }
