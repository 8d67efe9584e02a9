// Package postgrestest starts a PostgreSQL server for tests.
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

var errNotInstalled = errors.New("PostgreSQL is not installed: apt-get install postgresql")

// Start starts a server with an empty database that lives as long as the test, and
// returns its URL. Where PostgreSQL is not installed the test is skipped, and fails
// where CI is true. With -short the test is skipped.
func Start(t testing.TB) (url string) {
	t.Helper()
	if testing.Short() {
		t.Skip("tests that start PostgreSQL are not short")
	}
	initdb, errInit := program("initdb")
	postgres, errServer := program("postgres")
	ready, errReady := program("pg_isready")
	switch err := errors.Join(errInit, errServer, errReady); {
	case err != nil && os.Getenv("CI") != "true":
		t.Skip(errNotInstalled)
	case err != nil:
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "postgrestest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	nobody, err := unprivileged(dir)
	if err != nil {
		t.Fatal(err)
	}
	command := func(path string, args ...string) *exec.Cmd {
		cmd := exec.Command(path, args...)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C", "TZ=Asia/Jakarta"}
		// A test binary that dies leaves no server behind.
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: nobody, Pdeathsig: syscall.SIGQUIT}
		return cmd
	}
	data := filepath.Join(dir, "data")
	if out, err := command(initdb, "-D", data, "-U", "test", "--auth=trust", "--no-sync", "--encoding=UTF8").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	server := command(postgres, "-D", data, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=", "-c", "max_connections=200", "-c", "fsync=off")
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = server.Wait()
	}()
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGQUIT)
		select {
		case <-exited:
		case <-time.After(patience):
			_ = server.Process.Kill()
			<-exited
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		err := exec.CommandContext(ctx, ready, "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(port)).Run()
		if err == nil {
			return fmt.Sprintf("postgres://test@127.0.0.1:%d/postgres?sslmode=disable", port)
		}
		select {
		case <-exited:
			said, _ := os.ReadFile(log.Name())
			t.Fatalf("PostgreSQL has ended:\n%s", said)
		case <-ctx.Done():
			said, _ := os.ReadFile(log.Name())
			t.Fatalf("PostgreSQL does not answer: %v\n%s", err, said)
		case <-time.After(pause):
		}
	}
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
