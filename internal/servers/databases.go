package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// PostgreSQL starts a server with an empty database. It survives that it is killed, but
// not that its machine is.
func PostgreSQL() (*Server, error) { return PostgreSQLWith("-c", "fsync=off") }

// PostgreSQLWith starts a server with an empty database and arguments of one's own.
func PostgreSQLWith(args ...string) (*Server, error) {
	makes, errMakes := initdb.Path()
	path, err := postgres.Path()
	ready, errReady := pgIsReady.Path()
	if err := errors.Join(errMakes, err, errReady); err != nil {
		return nil, err
	}
	s, err := newServer("PostgreSQL", path, true)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(s.dir, "data")
	if err := s.prepare(makes, "-D", data, "-U", "test", "--auth=trust", "--no-sync", "--encoding=UTF8"); err != nil {
		s.Close()
		return nil, err
	}
	s.answers = answersPostgreSQL(ready)
	return s.begin(func() []string {
		s.URL = fmt.Sprintf("postgres://test@%s/postgres?sslmode=disable", s.Addr())
		return append([]string{
			"-D", data, "-p", strconv.Itoa(s.Port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
			"-c", "max_connections=200",
		}, args...)
	})
}

func answersPostgreSQL(ready string) func(context.Context, *Server) bool {
	return func(ctx context.Context, s *Server) bool {
		return exec.CommandContext(ctx, ready, "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(s.Port)).Run() == nil
	}
}

// PgBouncer starts one in front of PostgreSQL, in transaction mode: each transaction,
// and each statement outside of one, may meet another session.
func PgBouncer(behind *Server) (*Server, error) {
	path, err := pgbouncer.Path()
	ready, errReady := pgIsReady.Path()
	if err := errors.Join(err, errReady); err != nil {
		return nil, err
	}
	s, err := newServer("PgBouncer", path, true)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(s.dir, "pgbouncer.ini")
	s.answers = answersPostgreSQL(ready)
	return s.begin(func() []string {
		s.URL = fmt.Sprintf("postgres://test@%s/postgres?sslmode=disable&default_query_exec_mode=exec", s.Addr())
		text := fmt.Sprintf("[databases]\npostgres = host=127.0.0.1 port=%d user=test\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\n"+
			"unix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 20\nmax_client_conn = 200\n", behind.Port, s.Port)
		_ = os.WriteFile(config, []byte(text), 0o644) // without it PgBouncer ends, and says why
		return []string{config}
	})
}

// MariaDB starts a server with an empty database.
func MariaDB() (*Server, error) {
	makes, errMakes := mariadbInstallDB.Path()
	path, err := mariadbd.Path()
	if err := errors.Join(errMakes, err); err != nil {
		return nil, err
	}
	s, err := newServer("MariaDB", path, true)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(s.dir, "data")
	if err := s.prepare(makes, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db"); err != nil {
		s.Close()
		return nil, err
	}
	s.answers = greets
	return s.begin(func() []string {
		s.URL = fmt.Sprintf("root@tcp(%s)/mysql", s.Addr())
		return []string{
			"--no-defaults", "--datadir=" + data, "--socket=" + s.dir + "/socket", "--pid-file=" + s.dir + "/pid",
			"--bind-address=127.0.0.1", "--port=" + strconv.Itoa(s.Port), "--max-connections=200", "--skip-name-resolve",
		}
	})
}

// greets reports whether MariaDB does, which speaks first: a length of three bytes, a
// number, and the version of the protocol.
func greets(_ context.Context, s *Server) bool {
	c, err := s.dial()
	if err != nil {
		return false
	}
	defer c.Close()
	greeting := make([]byte, 5)
	n, _ := c.Read(greeting)
	return n == 5 && greeting[4] == 10
}
