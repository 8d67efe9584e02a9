package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// runMain is set for a process that is to be the shop.
const runMain = "MIDHOOK_EXAMPLE_MAIN"

const patience = 2 * time.Minute

// process is a shop of its own, as its users run it.
type process struct {
	t     *testing.T
	url   string
	cmd   *exec.Cmd
	ended chan error
	log   *bytes.Buffer // read when it has ended
}

func (s *testShop) startProcess() *process {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(s.t, err)
	addr := l.Addr().String()
	require.NoError(s.t, l.Close())

	p := &process{t: s.t, url: "http://" + addr, ended: make(chan error, 1), log: &bytes.Buffer{}}
	p.cmd = exec.Command(os.Args[0], "-addr", addr)
	p.cmd.Env = append(os.Environ(), runMain+"=1", "DATABASE_URL="+s.url, "MIDTRANS_SERVER_KEY="+key, "MIDTRANS_STATUS_URL="+s.status.URL)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(s.t, p.cmd.Start())
	go func() { p.ended <- p.cmd.Wait() }()
	s.t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	eventually(s.t, "the shop listens", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return p
}

// end waits for the process's end after a signal.
func (p *process) end(signal os.Signal) error {
	require.NoError(p.t, p.cmd.Process.Signal(signal))
	select {
	case err := <-p.ended:
		return err
	case <-time.After(patience):
		p.t.Fatal("the shop does not end")
		return nil
	}
}

func (p *process) order() (id string) {
	res, err := http.PostForm(p.url+"/orders", url.Values{"product": {"coffee"}})
	require.NoError(p.t, err)
	defer res.Body.Close()
	var placed struct {
		OrderID string `json:"order_id"`
	}
	require.NoError(p.t, json.NewDecoder(res.Body).Decode(&placed))
	return placed.OrderID
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "not in time: %s", what)
	}
}

// pay makes an order paid, without a notification so far.
func (s *testShop) pay(id string) *midhook.Notification {
	n := midhooktest.Sample("gopay", midhooktest.Order(id), midhooktest.Transaction("transaction-of-"+id), midhooktest.Amount(price))
	s.status.Put(n)
	return n
}

// post delivers once and returns the answer's status, 0 if there was none.
func (p *process) post(n *midhook.Notification) (status int) {
	res, err := http.Post(p.url+"/payments/notification", "application/json", bytes.NewReader(midhooktest.Body(n, key)))
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	return res.StatusCode
}

// postAside is post on a goroutine of its own.
func (p *process) postAside(n *midhook.Notification) (answer <-chan int) {
	answers := make(chan int, 1)
	go func() { answers <- p.post(n) }()
	return answers
}

// tryLock holds the locks of a statement until they are released.
func (s *testShop) tryLock(statement string, args ...any) (release func(), err error) {
	conn, err := pgx.Connect(s.t.Context(), s.url)
	if err != nil {
		return func() {}, err
	}
	release = sync.OnceFunc(func() { _ = conn.Close(context.Background()) })
	s.t.Cleanup(release)
	if _, err = conn.Exec(s.t.Context(), "BEGIN"); err == nil {
		_, err = conn.Exec(s.t.Context(), statement, args...)
	}
	return release, err
}

func (s *testShop) lock(statement string, args ...any) (release func()) {
	release, err := s.tryLock(statement, args...)
	require.NoError(s.t, err)
	return release
}

// waiting is how many sessions wait for a lock to run a statement like that.
func (s *testShop) waiting(like string) int {
	return value[int](s, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1", like)
}

// awaitHandler waits until a handler waits for an order that the test has locked. It
// has marked its event by then: FinishTx comes first.
func (s *testShop) awaitHandler() {
	eventually(s.t, "the handler waits for the order", func() bool { return s.waiting("INSERT INTO payments%") > 0 })
}

// Rule: a shop that is killed while it books a payment has booked nothing, and the
// shop that is started after it books the payment once, when Midtrans comes again.
func TestKilledBeforeCommit(t *testing.T) {
	s := startShop(t)
	first := s.startProcess()
	id := first.order()
	n := s.pay(id)

	release := s.lock("SELECT FROM orders WHERE id = $1 FOR UPDATE", id)
	answer := first.postAside(n)
	s.awaitHandler()
	require.Error(t, first.end(syscall.SIGKILL))
	release()
	require.Zero(t, <-answer, "Midtrans hears nothing")
	require.Zero(t, s.parcels(id))

	// The dead process's claim holds for half a minute, over which Midtrans is asked to
	// come again.
	second := s.startProcess()
	eventually(t, "the payment is booked", func() bool {
		status := second.post(n)
		require.Contains(t, []int{http.StatusOK, http.StatusServiceUnavailable}, status)
		return status == http.StatusOK
	})
	require.Equal(t, 1, s.parcels(id))
	require.NoError(t, second.end(syscall.SIGTERM), second.log)
}

// Rule: a shop that is killed after it has booked a payment, and before Midtrans has
// its answer, books it once: Midtrans comes again, and finds it booked.
func TestKilledBeforeAnswer(t *testing.T) {
	s := startShop(t)
	first := s.startProcess()
	id := first.order()
	n := s.pay(id)

	release := s.lock("SELECT FROM orders WHERE id = $1 FOR UPDATE", id)
	answer := first.postAside(n)
	s.awaitHandler()
	// The lock on the store's table is granted when the handler's transaction has
	// ended. Then it keeps the middleware from looking at it, and from answering.
	locked := make(chan func(), 1)
	go func() {
		unlock, err := s.tryLock("LOCK TABLE midhook_events IN ACCESS EXCLUSIVE MODE")
		assert.NoError(t, err)
		locked <- unlock
	}()
	eventually(t, "the lock waits for the handler", func() bool { return s.waiting("LOCK TABLE%") > 0 })
	release()
	unlock := <-locked
	require.Equal(t, 1, s.parcels(id), "it is committed")
	require.Error(t, first.end(syscall.SIGKILL))
	unlock()
	require.Zero(t, <-answer, "Midtrans hears nothing")

	second := s.startProcess()
	d, err := engine(nil, second.url+"/payments/notification").Deliver(t.Context(), n)
	require.NoError(t, err)
	require.True(t, d.Delivered, d)
	require.Equal(t, 1, s.parcels(id))
	require.NoError(t, second.end(syscall.SIGTERM), second.log)
}

// Rule: a shop that is stopped lets the payment that it is booking be booked.
func TestShutdownWaitsForHandlers(t *testing.T) {
	s := startShop(t)
	p := s.startProcess()
	id := p.order()
	release := s.lock("SELECT FROM orders WHERE id = $1 FOR UPDATE", id)
	answer := p.postAside(s.pay(id))
	s.awaitHandler()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	eventually(t, "the shop listens no more", func() bool {
		conn, err := net.Dial("tcp", p.url[len("http://"):])
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	release()
	require.Equal(t, http.StatusOK, <-answer)
	require.NoError(t, <-p.ended, p.log)
	require.Equal(t, 1, s.parcels(id))
}
