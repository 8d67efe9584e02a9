package redisstore_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/redis/go-redis/v9/logging"

	"github.com/midhook/midhook/internal/leakcheck"
)

// TestMain is two programs: the tests, and the merchant's server that some of
// them start several of. It fails when a goroutine outlives the tests.
func TestMain(m *testing.M) {
	if os.Getenv(workerVariable) != "" {
		if err := work(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	logging.Disable() // of connections that fail as they are meant to
	code := m.Run()
	os.Exit(leakcheck.ExitCode(code))
}
