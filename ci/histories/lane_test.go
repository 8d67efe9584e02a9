package histories

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook/internal/servers"
)

// lane is where histories are played, one after the other: a server of the store, and
// two processes with a network of their own to it.
type lane struct {
	t         *testing.T
	backend   backend
	ledger    *ledger
	server    *servers.Server // nil: a file
	replica   *servers.Server // of Redis alone
	toMaster  *proxy          // of the replica
	proxies   []*proxy
	processes []*process
	direct    *connection // for what the test itself looks up
	attempts  atomic.Int64
	played    int
	mu        sync.Mutex
	happened  map[string]int // mischiefs
	patience  time.Duration  // how long it may take to deliver when all trouble is over
}

func startLane(t *testing.T, b backend) *lane {
	t.Helper()
	l := &lane{t: t, backend: b, ledger: startLedger(t), happened: map[string]int{}, patience: patience}
	server, where := b.place(t)
	l.server = server
	var err error
	l.direct, err = b.connect(where)
	require.NoError(t, err)
	t.Cleanup(func() { l.direct.Close() })
	require.NoError(t, l.direct.migrate(t.Context()))
	for range 2 {
		through := where
		if l.server != nil {
			p := startProxy(t, where)
			l.proxies = append(l.proxies, p)
			through = p.addr()
		}
		l.processes = append(l.processes, startProcess(t, b, through, l.ledger))
	}
	for _, p := range l.processes {
		require.Eventually(t, p.listens, patience, 10*time.Millisecond)
	}
	if b.name == "Redis" {
		l.toMaster = startProxy(t, where)
		require.NoError(t, l.follow())
	}
	t.Cleanup(func() {
		deaths := 0
		for _, p := range l.processes {
			deaths += p.died()
		}
		t.Logf("%d histories, %d attempts, %d runs, %d processes died; mischiefs: %v; faults of the networks: %v",
			l.played, l.attempts.Load(), l.ledger.begun(), deaths, l.happened, l.proxies)
	})
	return l
}

// follow starts a replica of the server. It is told to be one, so that it is none when
// it is killed and started again after it was promoted.
func (l *lane) follow() error {
	host, port, _ := net.SplitHostPort(l.toMaster.addr())
	l.replica = servers.For(l.t, startRedis)
	client := passwordClient(l.replica)
	defer client.Close()
	return client.ReplicaOf(context.Background(), host, port).Err()
}

func passwordClient(s *servers.Server) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: s.Addr(), Password: storePassword})
}

// failOver kills the server and has its replica take over, which lacks what was written
// since its network was cut.
func (l *lane) failOver(lag time.Duration) error {
	replica := passwordClient(l.replica)
	defer replica.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for !strings.Contains(replica.Info(ctx, "replication").Val(), "master_link_status:up") {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the replica does not follow: %w", ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
	l.toMaster.cutAll(true)
	time.Sleep(lag)
	l.server.Stop(syscall.SIGKILL)
	if err := replica.ReplicaOf(ctx, "NO", "ONE").Err(); err != nil {
		return err
	}
	former := l.server
	l.server = l.replica
	l.ledger.forget()
	for _, p := range append(l.proxies, l.toMaster) {
		p.aim(l.server.Addr())
	}
	l.toMaster.heal()
	former.Close()
	return l.follow()
}

// mischief is what happens to the server or to a process at a time.
type mischief struct {
	At   time.Duration
	What string
	Of   int // the process
	For  time.Duration
}

// do lets it happen, and returns when it is over.
func (l *lane) do(m mischief) error {
	l.mu.Lock()
	l.happened[m.What]++
	l.mu.Unlock()
	p := l.processes[m.Of]
	switch m.What {
	case "the server is killed":
		l.server.Stop(syscall.SIGKILL)
		time.Sleep(m.For)
		return l.server.Start()
	case "the server is paused":
		l.server.Signal(syscall.SIGSTOP)
		time.Sleep(m.For)
		l.server.Signal(syscall.SIGCONT)
	case "the network is down":
		l.proxies[m.Of].cutAll(true)
		time.Sleep(m.For)
		l.proxies[m.Of].heal()
	case "fail-over":
		return l.failOver(m.For)
	case "a process is killed":
		p.signal(syscall.SIGKILL)
	case "a process is paused":
		p.signal(syscall.SIGSTOP)
		time.Sleep(m.For)
		p.signal(syscall.SIGCONT)
	}
	return nil
}

// mischiefs are what can happen on this lane.
func (b backend) mischiefs() []string {
	all := []string{"a process is killed", "a process is paused"}
	if b.start != nil {
		all = append(all, "the server is killed", "the server is paused", "the network is down")
	}
	if b.name == "Redis" {
		all = append(all, "fail-over")
	}
	return all
}

// heal ends all trouble.
func (l *lane) heal() {
	for _, p := range l.proxies {
		p.heal()
	}
	l.ledger.mu.Lock()
	l.ledger.fates = nil
	l.ledger.mu.Unlock()
}
