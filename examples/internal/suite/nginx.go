package suite

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/internal/servers"
)

const (
	patience = 20 * time.Second
	pause    = 10 * time.Millisecond
)

// Behind nginx with one kept-alive connection to the server: the 503 arrives
// while the handler is busy, and the next request does not wait behind it.
func (f Framework) behindNginx(t *testing.T) {
	s := f.start(t, Nothing)
	url := startNginx(t, strings.TrimPrefix(s.url, "http://"))
	connections := func() int64 { return s.connections.Load() }

	for _, order := range []string{"A-1", "A-2"} {
		a, err := s.try(url+"/notification/acme", bytes.NewReader(notification(order, Answer)))
		require.NoError(t, err)
		requireHandled(t, a, order, "acme")
	}
	require.EqualValues(t, 1, connections(), "nginx keeps its connection alive")

	late := notification("late", Late)
	first := s.later(t, url+"/slow/acme", late)
	<-s.begin
	require.EqualValues(t, 1, connections(), "the late handler has nginx' connection")
	if f.Buffers {
		s.await(t, midhook.OutcomeBudgetExceeded)
	} else {
		requireTooSlow(t, <-first)
	}
	a, err := s.try(url+"/notification/acme", bytes.NewReader(notification("A-3", Answer)))
	require.NoError(t, err)
	requireHandled(t, a, "A-3", "acme") // while the handler is held up
	require.EqualValues(t, 2, connections(), "nginx must not use the late handler's connection")

	close(s.goOn)
	close(s.finish)
	if f.Buffers {
		requireTooSlow(t, <-first)
	}
	s.await(t, midhook.OutcomeLateHandled)
	a, err = s.try(url+"/slow/acme", bytes.NewReader(late))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.status)
	require.Equal(t, 1, s.Runs("late"))
}

const nginxConfig = `
daemon off;
master_process off;
worker_processes 1;
error_log stderr warn;
pid nginx.pid;
events {}
http {
	access_log off;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	upstream merchant {
		server %s;
		keepalive 1;
	}
	server {
		listen %s;
		location / {
			proxy_pass http://merchant;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_next_upstream off;
		}
	}
}
`

// startNginx runs nginx in front of upstream until the test ends. It is skipped
// where nginx is not installed, but not in CI, which installs it.
func startNginx(t *testing.T, upstream string) (url string) {
	t.Helper()
	nginx := servers.Nginx.For(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := free.Addr().String()
	require.NoError(t, free.Close())

	dir := t.TempDir()
	config := filepath.Join(dir, "nginx.conf")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, nginxConfig, upstream, addr), 0o600))
	var said bytes.Buffer // read when it has ended
	cmd := exec.Command(nginx, "-p", dir, "-c", config, "-e", "stderr")
	cmd.Stderr = &said
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		if t.Failed() {
			t.Logf("nginx: %s", said.String())
		}
	})
	for deadline := time.Now().Add(patience); ; time.Sleep(pause) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return "http://" + addr
		}
		select {
		case <-ended:
			t.Fatalf("nginx has ended: %s", said.String())
		default:
		}
		require.True(t, time.Now().Before(deadline), "nginx does not answer: %v", err)
	}
}
