package main

import (
	"context"
	"database/sql"
	"errors"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	_ "modernc.org/sqlite"

	"github.com/midhook/midhook/sqlstore"
)

// database holds midhook's claims, River's jobs and the shop's tables. It must be one
// database: the inbox works by transactions that change the first two together.
type database struct {
	db     *sql.DB
	store  *sqlstore.Store
	driver riverdriver.Driver[*sql.Tx]
}

func openSQLite(file string) (*database, error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	// SQLite has one writer at a time, and River's driver asks for one connection. So
	// nothing may use db while it holds a transaction.
	db.SetMaxOpenConns(1)
	return newDatabase(db, sqlstore.SQLite, riversqlite.New(db))
}

// openPostgreSQL uses database/sql, so that both databases share the code. River then
// polls for jobs. With its riverpgxv5, and pgx as in the example of a shop, PostgreSQL
// tells the workers of a new job at once.
func openPostgreSQL(url string) (*database, error) {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(20) // a burst waits for a connection instead of using up the server's
	return newDatabase(db, sqlstore.PostgreSQL, riverdatabasesql.New(db))
}

func newDatabase(db *sql.DB, dialect sqlstore.Dialect, driver riverdriver.Driver[*sql.Tx]) (*database, error) {
	store, err := sqlstore.New(db, dialect)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &database{db: db, store: store, driver: driver}, nil
}

func (d *database) migrate(ctx context.Context) error {
	if err := d.store.Migrate(ctx); err != nil {
		return err
	}
	river, err := rivermigrate.New(d.driver, nil)
	if err != nil {
		return err
	}
	if _, err := river.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	return d.store.Check(ctx)
}
