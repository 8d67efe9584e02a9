// Package histories plays histories with faults on the shared stores, whose servers,
// networks and processes are real.
package histories

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9/logging"

	"github.com/midhook/midhook/internal/leakcheck"
)

// lanes play histories beside one another, each on a server and processes of its own.
var lanes = flag.Int("lanes", 1, "how many histories are played at once on each store")

// checks are how many histories a lane plays, if -rapid.checks does not say.
const checks = "2"

// TestMain is two programs: the tests, and the merchant's server that they start
// several of. It fails when a goroutine outlives the tests.
func TestMain(m *testing.M) {
	logging.Disable() // of connections that fail as they are meant to
	_ = mysql.SetLogger(&mysql.NopLogger{})
	if config := os.Getenv(merchantVariable); config != "" {
		if err := runMerchant(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(leakcheck.ExitCode(0))
	}
	flag.Parse()
	told := false
	flag.Visit(func(f *flag.Flag) { told = told || f.Name == "rapid.checks" })
	if !told {
		_ = flag.Set("rapid.checks", checks)
	}
	os.Exit(leakcheck.ExitCode(m.Run()))
}
