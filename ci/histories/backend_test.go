package histories

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/redis/go-redis/v9"
	_ "modernc.org/sqlite"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/servers"
	"github.com/midhook/midhook/redisstore"
	"github.com/midhook/midhook/sqlstore"
)

// backend is a shared store with the server behind it.
type backend struct {
	name    string
	start   func() (*servers.Server, error) // nil: a file
	driver  string                          // of database/sql; "" for Redis
	dialect sqlstore.Dialect
	dsn     string // of an address, or of a folder
	defect  string // that is planted in the store
}

// storePassword is what the clients tell the server, and nobody else.
const storePassword = "store-password-0001"

var backends = []backend{
	{name: "Redis", start: startRedis, dsn: "redis://:" + storePassword + "@%s"},
	{name: "PostgreSQL", start: servers.PostgreSQL, driver: "pgx", dialect: sqlstore.PostgreSQL, dsn: "postgres://test:" + storePassword + "@%s/postgres?sslmode=disable"},
	{name: "MariaDB", start: servers.MariaDB, driver: "mysql", dialect: sqlstore.MySQL, dsn: "root@tcp(%s)/mysql"},
	{name: "SQLite", driver: "sqlite", dialect: sqlstore.SQLite, dsn: "file:%s/sqlite.db?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)&_txlock=immediate"},
}

func backendNamed(name string) backend {
	for _, b := range backends {
		if b.name == name {
			return b
		}
	}
	panic(name)
}

// startRedis starts one that forgets nothing when it is killed.
func startRedis() (*servers.Server, error) {
	return servers.Redis("--appendonly", "yes", "--appendfsync", "always", "--requirepass", storePassword, "--masterauth", storePassword, "--repl-diskless-sync-delay", "0")
}

// onBackends runs a test on each store.
func onBackends(t *testing.T, test func(t *testing.T, b backend)) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) { test(t, b) })
	}
}

// place is the server, or the file, and where it is.
func (b backend) place(t *testing.T) (server *servers.Server, where string) {
	t.Helper()
	if b.start == nil {
		return nil, t.TempDir()
	}
	s := servers.For(t, b.start)
	return s, s.Addr()
}

// connection is one to the store, as a merchant's process has it.
type connection struct {
	midhook.Store
	sql *sqlstore.Store // nil for Redis
	db  *sql.DB         // nil for Redis
	io.Closer
}

// connect opens a store as its package recommends. It does not wait for the server.
func (b backend) connect(where string) (*connection, error) {
	dsn := fmt.Sprintf(b.dsn, where)
	if b.driver == "" {
		o, err := redis.ParseURL(dsn)
		if err != nil {
			return nil, err
		}
		o.ContextTimeoutEnabled, o.DialerRetries, o.MaxRetries = true, 1, 1
		client := redis.NewClient(o)
		store, err := redisstore.New(client)
		return &connection{Store: store, Closer: client}, err
	}
	db, err := sql.Open(b.driver, dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(8)
	store, err := sqlstore.New(db, b.dialect)
	return &connection{Store: store, sql: store, db: db, Closer: db}, err
}

// migrate makes the tables: the store's, and that of the effects.
func (c *connection) migrate(ctx context.Context) error {
	if c.sql == nil {
		return nil
	}
	if err := c.sql.Migrate(ctx); err != nil {
		return err
	}
	_, err := c.db.ExecContext(ctx, "CREATE TABLE effects (transaction_id VARCHAR(64), event VARCHAR(255))")
	return err
}

// query has the parameters as the database counts them.
func (b backend) query(text string) string {
	if b.dialect == sqlstore.PostgreSQL {
		for i := 1; strings.Contains(text, "?"); i++ {
			text = strings.Replace(text, "?", fmt.Sprint("$", i), 1)
		}
	}
	return text
}
