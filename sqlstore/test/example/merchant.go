package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	_ "modernc.org/sqlite"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/sqlstore"
)

// open opens the shop's database, in which midhook has a table, too.
func open(ctx context.Context, file string) (*sql.DB, *sqlstore.Store, error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)&_txlock=immediate")
	if err != nil {
		return nil, nil, err
	}
	store, err := sqlstore.New(db, sqlstore.SQLite)
	if err == nil {
		err = store.Migrate(ctx)
	}
	if err != nil {
		db.Close()
		return nil, nil, err
	}
	return db, store, nil
}

// create makes the orders, none of them paid.
func create(ctx context.Context, db *sql.DB, orders int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	if _, err := tx.ExecContext(ctx, `CREATE TABLE orders (id TEXT PRIMARY KEY, paid INTEGER NOT NULL, revenue INTEGER NOT NULL)`); err != nil {
		return err
	}
	for i := range orders {
		if _, err := tx.ExecContext(ctx, `INSERT INTO orders VALUES (?, 0, 0)`, orderID(i)); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// audit counts what became of them.
func audit(ctx context.Context, db *sql.DB) (paid, revenue, wrong int, err error) {
	err = db.QueryRowContext(ctx, `SELECT COALESCE(sum(paid), 0), COALESCE(sum(revenue), 0), count(*) FILTER (WHERE paid <> 1) FROM orders`).
		Scan(&paid, &revenue, &wrong)
	return paid, revenue, wrong, err
}

// serve is a merchant's server; a plain one does not use FinishTx.
func serve(ctx context.Context, file string, plain bool) error {
	db, store, err := open(ctx, file)
	if err != nil {
		return err
	}
	defer db.Close()
	hook, err := midhook.New(serverKey,
		midhook.WithStore(store),
		midhook.WithBudget(time.Second),
		midhook.WithGrace(0), // so that the claims of a killed process lapse within seconds
		midhook.WithLogger(quietLogger),
	)
	if err != nil {
		return err
	}
	marks := store
	if plain {
		marks = nil
	}
	mux := http.NewServeMux()
	mux.Handle("POST /midtrans", hook.HandlerFunc(func(ctx context.Context, n *midhook.Notification) error {
		if !n.Paid() {
			return nil
		}
		return pay(ctx, db, marks, n)
	}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// pay adds what was paid to the order: an update that must not happen twice. With a
// nil store it does, when the process dies between the update and the answer.
func pay(ctx context.Context, db *sql.DB, store *sqlstore.Store, n *midhook.Notification) error {
	amount, err := n.Amount()
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing

	if store != nil {
		if err := store.FinishTx(ctx, tx); err != nil { // the mark and the update are committed together
			return err
		}
	}
	time.Sleep(rand.N(10 * time.Millisecond)) // time to be killed in
	if _, err := tx.ExecContext(ctx, `UPDATE orders SET paid = paid + 1, revenue = revenue + ? WHERE id = ?`, amount/100, n.OrderID); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	time.Sleep(rand.N(10 * time.Millisecond)) // and here the answer is lost
	return nil
}
