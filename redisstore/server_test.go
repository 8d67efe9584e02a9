package redisstore_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/redisstore"
)

const testKey = "SB-Mid-server-test-key-0001"

// program is a path from the environment, to test with another version or with
// Valkey, or what is installed.
func program(t testing.TB, variable, name string) string {
	t.Helper()
	if testing.Short() {
		t.Skipf("starts %s: not with -short", name)
	}
	if path := os.Getenv(variable); path != "" {
		name = path
	}
	path, err := exec.LookPath(name)
	if err != nil {
		missing := fmt.Sprintf("needs %s (Debian: apt-get install redis-server; or set %s)", name, variable)
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	return path
}

// server is a redis-server of the test's own.
type server struct {
	t      testing.TB
	path   string
	port   int
	args   []string
	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd is gone and its output complete
	output bytes.Buffer
}

// startServer starts one on a port of the loopback interface that is free, with
// its files in a directory that goes with the test.
func startServer(t testing.TB, args ...string) *server {
	t.Helper()
	return launch(t, func(port int, dir string) []string {
		return append([]string{
			"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--daemonize", "no",
		}, args...)
	})
}

// launch starts redis-server with the arguments for a port and a directory.
func launch(t testing.TB, args func(port int, dir string) []string) *server {
	t.Helper()
	s := &server{t: t, path: program(t, "REDIS_SERVER", "redis-server")}
	dir := t.TempDir()
	t.Cleanup(func() { s.stop(syscall.SIGTERM) })
	for range 20 {
		s.port = freePort(t)
		s.args = args(s.port, dir)
		if s.start() {
			return s
		}
	}
	t.Fatalf("%s does not start:\n%s", s.path, s.output.String())
	return nil
}

// freePort finds a port that is free, and so is the one that a cluster's node
// would use beside it.
func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(30000)
		free := true
		for _, p := range []int{port, port + 10000} {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p))
			if err != nil {
				free = false
				break
			}
			l.Close()
		}
		if free {
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// start reports whether the server answers; it may have lost its port.
func (s *server) start() bool {
	s.t.Helper()
	s.output.Reset()
	s.cmd = exec.Command(s.path, s.args...)
	s.cmd.Stdout, s.cmd.Stderr = &s.output, &s.output
	require.NoError(s.t, s.cmd.Start())
	cmd, exited := s.cmd, make(chan struct{})
	s.exited = exited
	go func() { _ = cmd.Wait(); close(exited) }()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		select {
		case <-exited:
			return false
		default:
		}
		if s.ready() {
			return true
		}
	}
	s.stop(syscall.SIGKILL)
	return false
}

// ready says that this process answers: another server may have the port.
func (s *server) ready() bool {
	c, err := net.DialTimeout("tcp", s.addr(), time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	fmt.Fprintf(c, "INFO server\r\n")
	answer := make([]byte, 8192)
	n, _ := c.Read(answer)
	return strings.Contains(string(answer[:n]), fmt.Sprintf("process_id:%d\r", s.cmd.Process.Pid))
}

// stop ends the server and waits for that. One that is stopped is left alone.
func (s *server) stop(with syscall.Signal) {
	if s.exited == nil {
		return
	}
	_ = s.cmd.Process.Signal(with)
	select {
	case <-s.exited:
	case <-time.After(20 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.exited
	}
}

func (s *server) addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

func (s *server) client(change ...func(*redis.Options)) *redis.Client {
	s.t.Helper()
	o := &redis.Options{Addr: s.addr(), ContextTimeoutEnabled: true}
	for _, c := range change {
		c(o)
	}
	client := redis.NewClient(o)
	s.t.Cleanup(func() { client.Close() })
	return client
}

func newStore(t testing.TB, client redis.Scripter, opts ...redisstore.Option) *redisstore.Store {
	t.Helper()
	store, err := redisstore.New(client, opts...)
	require.NoError(t, err)
	return store
}

func acquire(t testing.TB, store midhook.Store, c midhook.Claim, want midhook.ClaimState) {
	t.Helper()
	got, err := store.Acquire(context.WithoutCancel(t.Context()), c)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// acquireBeside claims an event and lets its hold of the subject pass, so that
// other events of the subject can be claimed beside it.
func acquireBeside(t testing.TB, store midhook.Store, c midhook.Claim) {
	t.Helper()
	lease := c.Lease
	c.Lease = time.Nanosecond
	acquire(t, store, c, midhook.Acquired)
	time.Sleep(5 * time.Millisecond) // a lease is rounded up to two
	c.Lease = lease
	acquire(t, store, c, midhook.Acquired)
}
