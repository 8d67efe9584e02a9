package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/midhook/midhook/sqlstore"
)

// database is a real one that the tests start.
type database struct {
	name    string
	dialect sqlstore.Dialect
	driver  string
	dsn     string
	port    int
	server  *server // nil for SQLite
}

// server is a database server's process.
type server struct {
	command func() *exec.Cmd
	process *exec.Cmd
	exited  chan error
	log     *os.File
}

var postgreSQL = sync.OnceValues(startPostgreSQL)

// databases are started when they are first needed.
var databases = map[string]func() (*database, error){
	"PostgreSQL": postgreSQL,
	"PgBouncer":  sync.OnceValues(startPgBouncer),
	"MariaDB":    sync.OnceValues(startMariaDB),
	"SQLite":     sync.OnceValues(openSQLite),
}

var databaseNames = []string{"PostgreSQL", "MariaDB", "SQLite"}

var errNotInstalled = errors.New("not installed")

// notShort skips a test that takes long on any database.
func notShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("tests of several processes are not short")
	}
}

// onDatabases runs a test on each database.
func onDatabases(t *testing.T, test func(t *testing.T, d *database)) {
	for _, name := range databaseNames {
		t.Run(name, func(t *testing.T) { test(t, start(t, name)) })
	}
}

// start returns a database that runs. One that is not installed here skips the
// test; where CI is true, it must be.
func start(t testing.TB, name string) *database {
	t.Helper()
	if testing.Short() && name != "SQLite" {
		t.Skipf("%s: tests that start a server are not short", name)
	}
	d, err := databases[name]()
	if errors.Is(err, errNotInstalled) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	require.NoError(t, err)
	return d
}

// workspace is a folder of this test binary that an unprivileged user may write to.
var workspace = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "sqlstore")
	if err == nil {
		err = give(dir)
	}
	if err != nil {
		panic(err)
	}
	return dir
})

// stopServers is for the end of the test binary.
func stopServers() {
	for _, s := range slices.Backward(started) {
		s.stop()
		s.log.Close()
	}
	if started != nil || opened {
		os.RemoveAll(workspace())
	}
}

var (
	started []*server
	opened  bool
)

// unprivileged is who runs the servers where the tests run as root, whom
// PostgreSQL refuses; nil where they do not.
var unprivileged = sync.OnceValue(func() *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		panic(err)
	}
	uid, _ := strconv.ParseUint(nobody.Uid, 10, 32)
	gid, _ := strconv.ParseUint(nobody.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
})

func give(dir string) error {
	if c := unprivileged(); c != nil {
		return os.Chown(dir, int(c.Uid), int(c.Gid))
	}
	return nil
}

// program finds one of Debian's.
func program(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin/", "/usr/sbin/"} {
		if found, _ := filepath.Glob(pattern + name); len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, errNotInstalled)
}

func command(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Dir = workspace()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + workspace(), "LC_ALL=C", "TZ=Asia/Jakarta"}
	// A test binary that dies leaves no server behind.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: unprivileged(), Pdeathsig: syscall.SIGQUIT}
	return cmd
}

func prepare(path string, args ...string) error {
	if out, err := command(path, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", path, err, out)
	}
	return nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func startPostgreSQL() (*database, error) {
	initdb, err := program("initdb")
	if err != nil {
		return nil, err
	}
	postgres, err := program("postgres")
	if err != nil {
		return nil, err
	}
	dir := workspace() + "/postgres"
	if err := prepare(initdb, "-D", dir, "-U", "test", "--auth=trust", "--no-sync", "--encoding=UTF8"); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	return serve(&database{
		name: "PostgreSQL", dialect: sqlstore.PostgreSQL, driver: "pgx", port: port,
		dsn: fmt.Sprintf("postgres://test@127.0.0.1:%d/postgres?sslmode=disable", port),
	}, postgres, "-D", dir, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "max_connections=200")
}

func startMariaDB() (*database, error) {
	install, err := program("mariadb-install-db")
	if err != nil {
		return nil, err
	}
	mariadbd, err := program("mariadbd")
	if err != nil {
		return nil, err
	}
	dir := workspace() + "/mariadb"
	if err := prepare(install, "--no-defaults", "--datadir="+dir, "--auth-root-authentication-method=normal", "--skip-test-db"); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	return serve(&database{
		name: "MariaDB", dialect: sqlstore.MySQL, driver: "mysql", port: port,
		dsn: fmt.Sprintf("root@tcp(127.0.0.1:%d)/mysql", port),
	}, mariadbd, "--no-defaults", "--datadir="+dir, "--socket="+dir+"/socket", "--pid-file="+dir+"/pid",
		"--bind-address=127.0.0.1", "--port="+strconv.Itoa(port), "--max-connections=200", "--skip-name-resolve")
}

// startPgBouncer puts PgBouncer in front of PostgreSQL, in transaction mode: each
// transaction, and each statement outside of one, may meet another session.
func startPgBouncer() (*database, error) {
	pgbouncer, err := program("pgbouncer")
	if err != nil {
		return nil, err
	}
	behind, err := postgreSQL()
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	config := workspace() + "/pgbouncer.ini"
	text := fmt.Sprintf("[databases]\npostgres = host=127.0.0.1 port=%d user=test\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\n"+
		"unix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 20\nmax_client_conn = 200\n", behind.port, port)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, err
	}
	return serve(&database{
		name: "PgBouncer", dialect: sqlstore.PostgreSQL, driver: "pgx", port: port,
		dsn: fmt.Sprintf("postgres://test@127.0.0.1:%d/postgres?sslmode=disable&default_query_exec_mode=exec", port),
	}, pgbouncer, config)
}

func openSQLite() (*database, error) {
	opened = true
	return &database{
		name: "SQLite", dialect: sqlstore.SQLite, driver: "sqlite",
		dsn: "file:" + workspace() + "/sqlite.db?_pragma=journal_mode(WAL)&_pragma=busy_timeout(10000)&_pragma=synchronous(NORMAL)&_txlock=immediate",
	}, nil
}

func serve(d *database, path string, args ...string) (*database, error) {
	log, err := os.Create(filepath.Join(workspace(), d.name+".log"))
	if err != nil {
		return nil, err
	}
	d.server = &server{log: log, command: func() *exec.Cmd { return command(path, args...) }}
	started = append(started, d.server)
	return d, d.run()
}

// run starts the server and waits until it answers.
func (d *database) run() error {
	s := d.server
	s.process = s.command()
	s.process.Stdout, s.process.Stderr = s.log, s.log
	if err := s.process.Start(); err != nil {
		return err
	}
	s.exited = make(chan error, 1)
	go func(cmd *exec.Cmd) { s.exited <- cmd.Wait() }(s.process)

	db, err := sql.Open(d.driver, d.dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if err = db.PingContext(context.Background()); err == nil {
			return nil
		}
		if time.Now().After(end) {
			log, _ := os.ReadFile(s.log.Name())
			return fmt.Errorf("%s does not answer: %w\n%s", d.name, err, log)
		}
	}
}

// stop ends the server as a crash would.
func (s *server) stop() {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Signal(syscall.SIGQUIT) // for MariaDB a shutdown, for PostgreSQL none
	select {
	case <-s.exited:
	case <-time.After(20 * time.Second):
		_ = s.process.Process.Kill()
		<-s.exited
	}
	s.process = nil
}

// open connects to the database.
func (d *database) open(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open(d.driver, d.dsn)
	require.NoError(t, err)
	db.SetMaxOpenConns(32)
	db.SetMaxIdleConns(32)
	t.Cleanup(func() { db.Close() })
	return db
}

// table is a name that no other test has.
func table(t testing.TB) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, t.Name())
	return name[max(0, len(name)-36):] + "_" + strconv.FormatInt(time.Now().UnixNano()%1e9, 36)
}

// newStore is a store in a table of its own.
func newStore(t testing.TB, d *database, opts ...sqlstore.Option) (*sqlstore.Store, *sql.DB, string) {
	t.Helper()
	db, name := d.open(t), "T"+table(t)
	store, err := sqlstore.New(db, d.dialect, append([]sqlstore.Option{sqlstore.WithTable(name)}, opts...)...)
	require.NoError(t, err)
	require.NoError(t, store.Migrate(t.Context()))
	return store, db, quote(d, name)
}

func quote(d *database, name string) string {
	if d.dialect == sqlstore.MySQL {
		return "`" + name + "`"
	}
	return `"` + name + `"`
}
