package servers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Program is one that tests start.
type Program struct {
	Name     string
	Package  string // Debian's
	Variable string // of the environment: the path of another version
}

// The programs that several tests start.
var (
	RedisServer = Program{Name: "redis-server", Package: "redis-server", Variable: "REDIS_SERVER"} // or Valkey
	RedisCLI    = Program{Name: "redis-cli", Package: "redis-tools", Variable: "REDIS_CLI"}
	Nginx       = Program{Name: "nginx", Package: "nginx"}
	Promtool    = Program{Name: "promtool", Package: "prometheus"}

	initdb           = Program{Name: "initdb", Package: "postgresql"}
	postgres         = Program{Name: "postgres", Package: "postgresql"}
	pgIsReady        = Program{Name: "pg_isready", Package: "postgresql-client"}
	pgbouncer        = Program{Name: "pgbouncer", Package: "pgbouncer"}
	mariadbd         = Program{Name: "mariadbd", Package: "mariadb-server"}
	mariadbInstallDB = Program{Name: "mariadb-install-db", Package: "mariadb-server"}
)

// NotInstalledError says which program is missing, and where it is to be had.
type NotInstalledError struct{ Program }

func (e *NotInstalledError) Error() string {
	text := fmt.Sprintf("%s is not installed: apt-get install %s", e.Name, e.Package)
	if e.Variable != "" {
		text += ", or set " + e.Variable
	}
	return text
}

// Path finds the program, also where Debian has it outside of PATH. The error is a
// [NotInstalledError].
func (p Program) Path() (string, error) {
	if path := os.Getenv(p.Variable); path != "" {
		p.Name = path
	}
	if path, err := exec.LookPath(p.Name); err == nil {
		return path, nil
	}
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin/", "/usr/sbin/"} {
		if found, _ := filepath.Glob(pattern + p.Name); len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	return "", &NotInstalledError{p}
}

// For returns the path of the program for a test, which is skipped with -short. Where
// the program is not installed the test is skipped, and fails where CI is true.
func (p Program) For(t testing.TB) string {
	t.Helper()
	notShort(t, p.Name)
	path, err := p.Path()
	Need(t, err)
	return path
}

func notShort(t testing.TB, name string) {
	t.Helper()
	if testing.Short() {
		t.Skipf("tests that start %s are not short", name)
	}
}
