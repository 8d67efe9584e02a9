package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/redis/go-redis/v9"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/redisstore"
	"github.com/midhook/midhook/sqlstore"
)

const (
	redisName    = "Redis"
	postgresName = "PostgreSQL"
)

// storeConnections is how many a server has to its store: more than deliveries of a
// client at once, so that none waits for another's.
const storeConnections = 32

// openStore is the store that a setup names; the one in memory if it names none.
func openStore(s setup) midhook.Store {
	switch s.Store {
	case redisName:
		store, err := redisstore.New(redis.NewClient(&redis.Options{
			Addr: s.At, ContextTimeoutEnabled: true, PoolSize: storeConnections, MinIdleConns: storeConnections,
		}), redisstore.WithPrefix(s.Space+":"))
		fatal(err)
		return store
	case postgresName:
		_, store := openPostgres(s)
		return store
	}
	size := s.Size
	if size == 0 {
		size = 65536
	}
	const batch = 10_000 // so that what is put in needs no memory of its own
	store := midhook.NewLRUStore(size)
	for left := s.Remembered; left > 0; left -= batch {
		handle(store, fresh(min(left, batch)))
	}
	return store
}

// openPostgres makes the tables of this server's own.
func openPostgres(s setup) (*sql.DB, *sqlstore.Store) {
	db, err := sql.Open("pgx", s.At)
	fatal(err)
	db.SetMaxOpenConns(storeConnections)
	db.SetMaxIdleConns(storeConnections)
	store, err := sqlstore.New(db, sqlstore.PostgreSQL, sqlstore.WithTable("events_"+s.Space))
	fatal(err)
	fatal(store.Migrate(context.Background()))
	return db, store
}

// demoShop books what was paid, in the transaction that marks the event as handled, as
// examples/shop does.
type demoShop struct {
	db     *sql.DB
	store  *sqlstore.Store
	insert string
}

func openShop(s setup) *demoShop {
	db, store := openPostgres(s)
	table := "parcels_" + s.Space
	_, err := db.Exec("CREATE TABLE " + table + " (order_id text PRIMARY KEY, amount text NOT NULL)")
	fatal(err)
	return &demoShop{db, store, "INSERT INTO " + table + " (order_id, amount) VALUES ($1, $2) ON CONFLICT (order_id) DO NOTHING"}
}

func (s *demoShop) notified(ctx context.Context, n *midhook.Notification) error {
	if !n.Paid() {
		return nil
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := s.store.FinishTx(ctx, tx); err != nil {
		if errors.Is(err, sqlstore.ErrFinished) {
			return nil
		}
		return err
	}
	if _, err := tx.ExecContext(ctx, s.insert, n.OrderID, n.GrossAmount); err != nil {
		return fmt.Errorf("booking: %w", err)
	}
	return tx.Commit()
}
