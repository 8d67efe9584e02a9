package sqlstore_test

import (
	"database/sql"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/midhook/midhook/internal/servers"
	"github.com/midhook/midhook/sqlstore"
)

// database is a real one that the tests start.
type database struct {
	name    string
	dialect sqlstore.Dialect
	driver  string
	dsn     string
	server  *servers.Server // nil for SQLite
}

var (
	startedMutex sync.Mutex
	started      []func() // end what the databases need
)

var postgreSQL = sync.OnceValues(func() (*database, error) {
	return serve("PostgreSQL", sqlstore.PostgreSQL, "pgx", servers.PostgreSQL)
})

// databases are started when they are first needed.
var databases = map[string]func() (*database, error){
	"PostgreSQL": postgreSQL,
	"PgBouncer": sync.OnceValues(func() (*database, error) {
		behind, err := postgreSQL()
		if err != nil {
			return nil, err
		}
		return serve("PgBouncer", sqlstore.PostgreSQL, "pgx", func() (*servers.Server, error) { return servers.PgBouncer(behind.server) })
	}),
	"MariaDB": sync.OnceValues(func() (*database, error) {
		return serve("MariaDB", sqlstore.MySQL, "mysql", servers.MariaDB)
	}),
	"SQLite": sync.OnceValues(openSQLite),
}

var databaseNames = []string{"PostgreSQL", "MariaDB", "SQLite"}

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
	servers.Need(t, err)
	return d
}

func serve(name string, dialect sqlstore.Dialect, driver string, start func() (*servers.Server, error)) (*database, error) {
	s, err := start()
	if err != nil {
		return nil, err
	}
	atTheEnd(s.Close)
	return &database{name: name, dialect: dialect, driver: driver, dsn: s.URL, server: s}, nil
}

func openSQLite() (*database, error) {
	dir, err := os.MkdirTemp("", "sqlstore")
	if err != nil {
		return nil, err
	}
	atTheEnd(func() { os.RemoveAll(dir) })
	return &database{
		name: "SQLite", dialect: sqlstore.SQLite, driver: "sqlite",
		dsn: "file:" + dir + "/sqlite.db?_pragma=journal_mode(WAL)&_pragma=busy_timeout(10000)&_pragma=synchronous(NORMAL)&_txlock=immediate",
	}, nil
}

func atTheEnd(do func()) {
	startedMutex.Lock()
	defer startedMutex.Unlock()
	started = append(started, do)
}

// stopServers is for the end of the test binary.
func stopServers() {
	for _, end := range slices.Backward(started) {
		end()
	}
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

// storeIn is one more store in a table that is there, by its quoted name. It does not
// purge by itself.
func storeIn(t testing.TB, d *database, db *sql.DB, table string) *sqlstore.Store {
	t.Helper()
	store, err := sqlstore.New(db, d.dialect, sqlstore.WithTable(table[1:len(table)-1]), sqlstore.WithPurgeInterval(0))
	require.NoError(t, err)
	return store
}

func quote(d *database, name string) string {
	if d.dialect == sqlstore.MySQL {
		return "`" + name + "`"
	}
	return `"` + name + `"`
}
