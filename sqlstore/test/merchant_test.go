package sqlstore_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/sqlstore"
)

// merchantEnv holds a merchantConfig in JSON. With it the test binary is a
// merchant's server and not a test.
const merchantEnv = "SQLSTORE_TEST_MERCHANT"

type merchantConfig struct {
	Driver, DSN, Table, Dir string
	Dialect                 sqlstore.Dialect
}

// The leases of the merchants' claims last as long as budget and grace and two
// seconds more.
const (
	merchantBudget = 800 * time.Millisecond
	merchantGrace  = 200 * time.Millisecond
	merchantLease  = merchantBudget + merchantGrace + 2*time.Second
)

// merchant is a server with a handler that does what the order's id says:
//
//	die-begin-…, die-effect-…, die-commit-…  kills its process, the first time
//	fail-…                                   fails, the first time
//	wait-…                                   waits until it is told to go on
//	wait-bare-…                              the same, and has no transaction of its own
//	wait-bare-fail-…                         the same, and fails
//
// What happens is on its standard output, a line each.
type merchant struct {
	merchantConfig
	db    *sql.DB
	store *sqlstore.Store

	mu    sync.Mutex
	gates map[string]chan struct{}
}

func runMerchant() error {
	m := &merchant{gates: map[string]chan struct{}{}}
	if err := json.Unmarshal([]byte(os.Getenv(merchantEnv)), &m.merchantConfig); err != nil {
		return err
	}
	var err error
	if m.db, err = sql.Open(m.Driver, m.DSN); err != nil {
		return err
	}
	m.db.SetMaxOpenConns(16)
	m.db.SetMaxIdleConns(16)
	if m.store, err = sqlstore.New(m.db, m.Dialect, sqlstore.WithTable(m.Table)); err != nil {
		return err
	}
	if err := m.store.Migrate(context.Background()); err != nil {
		return err
	}
	hook, err := midhook.New(testKey,
		midhook.WithStore(m.store),
		midhook.WithBudget(merchantBudget),
		midhook.WithGrace(merchantGrace),
		midhook.WithLogger(slog.New(slog.DiscardHandler)),
		midhook.WithObserver(func(_ context.Context, e midhook.Event) {
			if e.Notification != nil {
				say("event", e.Notification.OrderID, e.Outcome, fmt.Sprintf("%q", fmt.Sprint(e.Err)))
			}
		}),
	)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("POST /{$}", hook.HandlerFunc(m.notified))
	mux.HandleFunc("POST /go/{order}", func(_ http.ResponseWriter, r *http.Request) { close(m.gate(r.PathValue("order"))) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	say("listening", l.Addr())
	return http.Serve(l, mux)
}

var saying sync.Mutex

func say(words ...any) {
	saying.Lock()
	defer saying.Unlock()
	fmt.Println(words...)
}

func (m *merchant) gate(order string) chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gates[order] == nil {
		m.gates[order] = make(chan struct{})
	}
	return m.gates[order]
}

func (m *merchant) notified(ctx context.Context, n *midhook.Notification) error {
	die := func(point string) {
		if strings.HasPrefix(n.OrderID, "die-"+point+"-") && m.first(n.OrderID) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	say("handling", n.OrderID)
	if strings.HasPrefix(n.OrderID, "wait-") {
		<-m.gate(n.OrderID)
		ctx = context.WithoutCancel(ctx) // a handler that ignores that its time is up
	}
	if strings.HasPrefix(n.OrderID, "wait-bare-fail-") {
		return errors.New("failed")
	}
	if strings.HasPrefix(n.OrderID, "wait-bare-") {
		return nil
	}

	tx, err := m.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	die("begin")
	if err := m.store.FinishTx(ctx, tx); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, m.sql("INSERT INTO @orders VALUES (?, ?)"), n.OrderID, n.TransactionStatus); err != nil {
		return err
	}
	die("effect")
	if strings.HasPrefix(n.OrderID, "fail-") && m.first(n.OrderID) {
		return errors.New("failed")
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	die("commit")
	return nil
}

// first tells the first handler that asks, of all processes, from the others. It has
// nothing to do with the database: there a handler has its transaction open.
func (m *merchant) first(order string) bool {
	f, err := os.OpenFile(filepath.Join(m.Dir, order), os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		f.Close()
	}
	return err == nil
}

// sql fills in what differs between databases.
func (c merchantConfig) sql(text string) string {
	text = strings.ReplaceAll(text, "@orders", quote(&database{dialect: c.Dialect}, c.Table+"_orders"))
	if c.Dialect == sqlstore.PostgreSQL {
		for i := 1; strings.Contains(text, "?"); i++ {
			text = strings.Replace(text, "?", fmt.Sprint("$", i), 1)
		}
	}
	return text
}
