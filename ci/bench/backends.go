package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/midhook/midhook/internal/postgrestest"
)

// backends are the stores' servers, each of which is started when it is first needed.
type backends struct {
	started map[string]*backend
}

type backend struct {
	address string
	stop    func()
	err     error
}

// errNotInstalled is not an error of a run: what needs the server is left out.
var errNotInstalled = errors.New("not installed")

// address is where the server of a store is, empty for the store in memory.
func (b *backends) address(store string) (string, error) {
	if store == "" {
		return "", nil
	}
	if one, ok := b.started[store]; ok {
		return one.address, one.err
	}
	one := &backend{}
	switch store {
	case redisName:
		one.address, one.stop, one.err = startRedis()
	case postgresName:
		one.address, one.stop, one.err = postgrestest.Launch(context.Background())
		if errors.Is(one.err, postgrestest.ErrNotInstalled) {
			one.err = fmt.Errorf("PostgreSQL is %w (Debian: apt-get install postgresql)", errNotInstalled)
		}
	default:
		one.err = fmt.Errorf("there is no store %q", store)
	}
	if b.started == nil {
		b.started = map[string]*backend{}
	}
	b.started[store] = one
	return one.address, one.err
}

func (b *backends) stop() {
	for _, one := range b.started {
		if one.stop != nil {
			one.stop()
		}
	}
}

// startRedis starts one without persistence.
func startRedis() (address string, stop func(), err error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return "", nil, fmt.Errorf("redis-server is %w (Debian: apt-get install redis-server)", errNotInstalled)
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return "", nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	address = l.Addr().String()
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	var said bytes.Buffer
	server := exec.Command(path, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--daemonize", "no")
	server.Stdout, server.Stderr = &said, &said
	// A program that dies leaves no server behind.
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := server.Start(); err != nil {
		return "", nil, err
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = server.Wait()
	}()
	stop = func() {
		_ = server.Process.Kill()
		<-exited
		_ = os.RemoveAll(dir)
	}
	if !redisAnswers(address, dir, exited) {
		stop()
		return "", nil, fmt.Errorf("redis-server does not start:\n%s", said.String())
	}
	return address, stop, nil
}

// redisAnswers waits for the server whose directory that is: another one may have the
// port.
func redisAnswers(address, dir string, exited <-chan struct{}) bool {
	logging.Disable() // of attempts that come too early
	client := redis.NewClient(&redis.Options{Addr: address})
	defer client.Close()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		settings, err := client.ConfigGet(context.Background(), "dir").Result()
		if err == nil {
			return settings["dir"] == dir
		}
		select {
		case <-exited:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return false
}
