package sqlstore_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/servers"
	"github.com/midhook/midhook/midhooktest"
)

// cutter is a proxy before a database server that breaks the connection at the next
// COMMIT: before the server hears of it, or before the client hears the answer.
type cutter struct {
	address string
	mu      sync.Mutex
	armed   bool
	forward bool // the COMMIT
	cuts    int
}

func startCutter(t *testing.T, behind *servers.Server) *cutter {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &cutter{address: l.Addr().String()}
	var connections sync.WaitGroup
	connections.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", behind.Addr())
			if err != nil {
				client.Close()
				continue
			}
			answered := make(chan struct{})
			connections.Go(func() { c.requests(client, server, answered) })
			connections.Go(func() {
				defer close(answered)
				_, _ = io.Copy(client, server)
				client.Close()
			})
		}
	})
	t.Cleanup(func() { l.Close(); connections.Wait() })
	return c
}

func (c *cutter) requests(client, server net.Conn, answered <-chan struct{}) {
	defer server.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if cut, forward := c.cut(buffer[:n]); cut {
			client.Close() // first: no answer may pass
			if forward {
				_, _ = server.Write(buffer[:n])
				<-answered // to nobody
			}
			return
		}
		if _, failed := server.Write(buffer[:n]); failed != nil || err != nil {
			return
		}
	}
}

func (c *cutter) cut(request []byte) (cut, forward bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.armed || !bytes.Contains(bytes.ToLower(request), []byte("commit")) {
		return false, false
	}
	c.armed = false
	c.cuts++
	return true, c.forward
}

func (c *cutter) arm(forward bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed, c.forward = true, forward
}

// A connection that is lost at COMMIT leaves open whether the transaction was
// committed. Whatever the handler makes of it, the effect is had once: what was not
// committed is delivered again, and what was is not handled again.
func TestConnectionLostAtCommit(t *testing.T) {
	for _, name := range []string{"PostgreSQL", "MariaDB"} {
		t.Run(name, func(t *testing.T) {
			d := start(t, name)
			proxy := startCutter(t, d.server)
			through := *d
			through.dsn = strings.Replace(d.dsn, d.server.Addr(), proxy.address, 1)
			for _, committed := range []bool{false, true} {
				for _, tells := range []bool{false, true} {
					t.Run(fmt.Sprintf("committed=%t handler tells=%t", committed, tells), func(t *testing.T) {
						s := newShop(t, d)
						db := through.open(t)
						status := s.notify(midhooktest.Sample("gopay"), func(ctx context.Context) error {
							tx, err := db.BeginTx(ctx, nil)
							require.NoError(t, err)
							defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
							require.NoError(t, s.store.FinishTx(ctx, tx))
							require.NoError(t, s.pay(ctx, tx))
							proxy.arm(committed)
							err = tx.Commit()
							assert.Error(t, err)
							if tells {
								return err
							}
							return nil
						})
						want := map[bool]int{true: 200, false: 503}[committed && !tells]
						assert.Equal(t, want, status, "%v", s.last.Err)
						assert.Equal(t, committed, s.paid() == 1)
						assert.Equal(t, 200, s.deliver(s.good))
						assert.Equal(t, committed, s.last.Outcome == midhook.OutcomeDuplicate, s.last.Outcome)
						assert.Equal(t, 1, s.paid())
					})
				}
			}
			assert.Equal(t, 4, proxy.cuts)
		})
	}
}

// A handler that runs its transaction again, because the connection was lost at
// COMMIT, learns from ErrFinished that the first was committed.
func TestRetriedTransaction(t *testing.T) {
	for _, name := range []string{"PostgreSQL", "MariaDB"} {
		t.Run(name, func(t *testing.T) {
			d := start(t, name)
			proxy := startCutter(t, d.server)
			through := *d
			through.dsn = strings.Replace(d.dsn, d.server.Addr(), proxy.address, 1)
			for _, committed := range []bool{false, true} {
				s := newShop(t, d)
				db, transactions := through.open(t), 0
				once := func(ctx context.Context) error {
					transactions++
					tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
					require.NoError(t, err)
					defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
					return s.good(ctx, tx)
				}
				assert.Equal(t, 200, s.notify(midhooktest.Sample("gopay"), func(ctx context.Context) error {
					proxy.arm(committed)
					return retry(ctx, once)
				}))
				assert.Equal(t, 2, transactions)
				assert.Equal(t, 1, s.paid())
			}
		})
	}
}
