package histories

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/midhook/midhook"
)

const testKey = "SB-Mid-server-test-key-0001"

// merchantVariable holds a merchantConfig in JSON. With it the test binary is a
// merchant's server and not a test.
const merchantVariable = "MIDHOOK_HISTORIES_MERCHANT"

type merchantConfig struct {
	Backend, Where string
	Defect         string // that is planted in the store
	Ledger         string // the URL of what is told of every run
}

// A lease is over soon, and not while a busy machine keeps a process waiting.
const (
	budget = time.Second
	lease  = budget + 2*time.Second // without grace
)

const attemptHeader = "X-Attempt"

// fate is what one run of the handler does.
type fate struct {
	Takes time.Duration
	Heeds bool   // it gives up when its context ends
	Ends  string // "" is success
}

// merchant is a server whose handler does what the ledger says, and tells it.
type merchant struct {
	merchantConfig
	backend
	*connection
	client *http.Client // to the ledger
}

// runMerchant serves until its standard input ends. Its log is its standard output.
func runMerchant(config string) error {
	m := &merchant{client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
	if err := json.Unmarshal([]byte(config), &m.merchantConfig); err != nil {
		return err
	}
	var err error
	m.backend = backendNamed(m.Backend)
	if m.connection, err = m.connect(m.Where); err != nil {
		return err
	}
	hook, err := midhook.New(testKey,
		midhook.WithStore(planted{m.Store, m.Defect}),
		midhook.WithBudget(budget),
		midhook.WithGrace(0),
		midhook.WithLogger(slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelDebug}))),
		midhook.WithObserver(m.observe),
	)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	receiver := hook.HandlerWithError(m.handle)
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx := context.WithValue(r.Context(), attemptKey{}, r.Header.Get(attemptHeader))
			receiver.ServeHTTP(w, r.WithContext(ctx))
		}),
		ErrorLog: slog.NewLogLogger(slog.NewTextHandler(os.Stdout, nil), slog.LevelError),
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l)
	}()
	fmt.Println("listening", l.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err = errors.Join(server.Shutdown(ctx), m.Close())
	<-served
	m.client.CloseIdleConnections()
	return err
}

type attemptKey struct{}

// telling is what a merchant tells the ledger.
type telling struct {
	Attempt int
	PID     int
	Body    json.RawMessage // the notification, when a run begins
	Run     int             // what ends
	Done    bool
	Outcome string // of an event
	Err     string
	Printed string
}

// tell returns the answer in to.
func (m *merchant) tell(path string, what telling, to any) error {
	what.PID = os.Getpid()
	body, err := json.Marshal(what)
	if err != nil {
		return err
	}
	res, err := m.client.Post(m.Ledger+path, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if to == nil {
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
	return json.NewDecoder(res.Body).Decode(to)
}

func (m *merchant) observe(ctx context.Context, e midhook.Event) {
	attempt, _ := strconv.Atoi(fmt.Sprint(ctx.Value(attemptKey{})))
	marshalled, _ := json.Marshal(e)
	t := telling{Attempt: attempt, Outcome: e.Outcome.String(), Printed: fmt.Sprintf("%+v %s", e, marshalled)}
	if e.Err != nil {
		t.Err = e.Err.Error()
	}
	_ = m.tell("/event", t, nil)
}

// begun is the ledger's answer to a run that begins.
type begun struct {
	Run           int
	Fate          fate
	Transactional bool
}

func (m *merchant) handle(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	n, _ := midhook.FromContext(ctx)
	attempt, _ := strconv.Atoi(r.Header.Get(attemptHeader))
	var b begun
	if err := m.tell("/begin", telling{Attempt: attempt, Body: n.Raw()}, &b); err != nil {
		return err
	}
	done := false
	defer func() { _ = m.tell("/end", telling{Attempt: attempt, Run: b.Run, Done: done}, nil) }()

	timer := time.NewTimer(b.Fate.Takes)
	defer timer.Stop()
	if b.Fate.Heeds {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	} else {
		<-timer.C
		ctx = context.WithoutCancel(ctx)
	}
	switch b.Fate.Ends {
	case "panic":
		panic("handler: nil pointer")
	case "Goexit":
		runtime.Goexit()
	case "500":
		w.WriteHeader(http.StatusInternalServerError)
		return nil
	case "error":
		return errors.New("goods are out")
	case "dies before its effect":
		die()
	}
	if b.Transactional {
		over := func() { _ = m.tell("/end", telling{Attempt: attempt, Run: b.Run}, nil) }
		if err := m.effect(ctx, n, over, b.Fate.Ends == "dies before its commit"); err != nil {
			return err
		}
	}
	done = true
	if b.Fate.Ends == "dies after its effect" {
		_ = m.tell("/end", telling{Attempt: attempt, Run: b.Run, Done: true}, nil)
		die()
	}
	return nil
}

func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// effect is a row that is committed together with the mark that the event was handled.
// With the commit the run is over: another process may begin the next at once.
func (m *merchant) effect(ctx context.Context, n *midhook.Notification, over func(), dies bool) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	tx, err := m.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	if err := m.sql.FinishTx(ctx, tx); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, m.query("INSERT INTO effects VALUES (?, ?)"), n.TransactionID, n.IdempotencyKey()); err != nil {
		return err
	}
	if dies {
		die()
	}
	over()
	return tx.Commit()
}
