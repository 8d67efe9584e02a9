package sqlstore_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/midhook/midhook/internal/leakcheck"
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
	os.Exit(leakcheck.ExitCode(code))
}
