package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"log/slog"
	"net/http/httptest"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
	"github.com/midhook/midhook/sqlstore"
)

// An order that is paid in one transaction with the mark that its payment was
// handled.
func ExampleStore_FinishTx() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", "file:example?mode=memory&cache=shared")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	store, err := sqlstore.New(db, sqlstore.SQLite)
	if err != nil {
		log.Fatal(err)
	}
	if err := store.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
	if _, err := db.ExecContext(ctx, "CREATE TABLE orders (id TEXT, paid INTEGER); INSERT INTO orders VALUES ('A-1', 0)"); err != nil {
		log.Fatal(err)
	}

	hook, err := midhook.New("SB-Mid-server-test-key-0001", midhook.WithStore(store), midhook.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		log.Fatal(err)
	}
	handler := hook.HandlerFunc(func(ctx context.Context, n *midhook.Notification) error {
		if !n.Paid() {
			return nil
		}
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if err := store.FinishTx(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE orders SET paid = paid + 1 WHERE id = ?", n.OrderID); err != nil {
			return err
		}
		return tx.Commit()
	})

	for range 2 {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, midhooktest.NewRequest(midhooktest.Sample("gopay", midhooktest.Order("A-1")), "SB-Mid-server-test-key-0001"))
		fmt.Print(w.Code, " ", w.Body)
	}
	var paid int
	if err := db.QueryRowContext(ctx, "SELECT paid FROM orders").Scan(&paid); err != nil {
		log.Fatal(err)
	}
	fmt.Println("paid", paid)

	// Output:
	// 200 handled
	// 200 already handled
	// paid 1
}
