// Package postgrestest starts a PostgreSQL server for tests and benchmarks.
package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

const (
	patience = time.Minute
	pause    = 50 * time.Millisecond
)

// ErrNotInstalled is why there is no server.
var ErrNotInstalled = errors.New("PostgreSQL is not installed: apt-get install postgresql")

// Start starts a server with an empty database that lives as long as the test, and
// returns its URL. Where PostgreSQL is not installed the test is skipped, and fails
// where CI is true. With -short the test is skipped.
func Start(t testing.TB) (url string) {
	t.Helper()
	if testing.Short() {
		t.Skip("tests that start PostgreSQL are not short")
	}
	url, stop, err := Launch(t.Context(), "-c", "fsync=off")
	if errors.Is(err, ErrNotInstalled) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return url
}

// Launch starts a server with an empty database and these arguments beside its own, and
// returns its URL when it answers. It lives until stop, or as long as this process.
func Launch(ctx context.Context, args ...string) (url string, stop func(), err error) {
	initdb, errInit := program("initdb")
	postgres, errServer := program("postgres")
	ready, errReady := program("pg_isready")
	if err := errors.Join(errInit, errServer, errReady); err != nil {
		return "", nil, fmt.Errorf("%w: %w", ErrNotInstalled, err)
	}
	dir, err := os.MkdirTemp("", "postgrestest")
	if err != nil {
		return "", nil, err
	}
	s := &server{dir: dir}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	if s.user, err = unprivileged(dir); err != nil {
		return "", nil, err
	}
	data := filepath.Join(dir, "data")
	if out, err := s.command(initdb, "-D", data, "-U", "test", "--auth=trust", "--no-sync", "--encoding=UTF8").CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	port, err := freePort()
	if err != nil {
		return "", nil, err
	}
	err = s.start(postgres, append([]string{"-D", data, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=", "-c", "max_connections=200"}, args...)...)
	if err != nil {
		return "", nil, err
	}
	if err := s.await(ctx, ready, port); err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("postgres://test@127.0.0.1:%d/postgres?sslmode=disable", port), s.stop, nil
}

// server is one that runs, with all that is to be cleared up after it.
type server struct {
	dir     string
	user    *syscall.Credential // nil for this process's
	process *exec.Cmd           // nil before it is started
	exited  chan struct{}
}

func (s *server) command(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "LC_ALL=C", "TZ=Asia/Jakarta"}
	// A process that dies leaves no server behind.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.user, Pdeathsig: syscall.SIGQUIT}
	return cmd
}

func (s *server) start(path string, args ...string) error {
	log, err := os.Create(s.log())
	if err != nil {
		return err
	}
	defer log.Close() // the server has its own
	process := s.command(path, args...)
	process.Stdout, process.Stderr = log, log
	if err := process.Start(); err != nil {
		return err
	}
	s.process, s.exited = process, make(chan struct{})
	go func() {
		defer close(s.exited)
		_ = process.Wait()
	}()
	return nil
}

func (s *server) log() string { return filepath.Join(s.dir, "log") }

// await returns when the server answers.
func (s *server) await(ctx context.Context, ready string, port int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := exec.CommandContext(ctx, ready, "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(port)).Run()
		if err == nil {
			return nil
		}
		select {
		case <-s.exited:
			said, _ := os.ReadFile(s.log())
			return fmt.Errorf("PostgreSQL has ended:\n%s", said)
		case <-ctx.Done():
			said, _ := os.ReadFile(s.log())
			return fmt.Errorf("PostgreSQL does not answer: %w\n%s", err, said)
		case <-time.After(pause):
		}
	}
}

// stop ends the server as a crash would, and leaves no file.
func (s *server) stop() {
	if s.process != nil {
		_ = s.process.Process.Signal(syscall.SIGQUIT)
		select {
		case <-s.exited:
		case <-time.After(patience):
			_ = s.process.Process.Kill()
			<-s.exited
		}
	}
	_ = os.RemoveAll(s.dir)
}

// program finds one that may be outside of PATH, as Debian has it.
func program(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); len(found) > 0 {
		return found[len(found)-1], nil
	}
	return "", err
}

// unprivileged is who runs the server where the tests run as root, whom PostgreSQL
// refuses, and makes dir theirs; it is nil where they do not.
func unprivileged(dir string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(nobody.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(nobody.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, int(uid), int(gid))
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
