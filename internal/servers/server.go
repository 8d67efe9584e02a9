// Package servers starts the servers that midhook is tested with.
package servers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	patience = time.Minute
	pause    = 20 * time.Millisecond
)

// Server is a server on a port of the loopback interface, with a folder of its own.
type Server struct {
	Port int
	URL  string // for clients, where the server has such a thing

	name    string
	dir     string
	path    string
	args    []string
	runsAs  *syscall.Credential // nil: who runs the tests
	answers func(ctx context.Context, s *Server) bool
	log     *os.File
	pid     int
	runs    bool
	exited  chan struct{} // closed when the process is gone
}

// For starts a server that lives as long as the test, which is skipped with -short. Where
// the server is not installed the test is skipped, and fails where CI is true.
func For(t testing.TB, start func() (*Server, error)) *Server {
	t.Helper()
	notShort(t, "servers")
	s, err := start()
	Need(t, err)
	t.Cleanup(s.Close)
	return s
}

// Need skips a test that lacks a program, and fails it where CI is true, and for any
// other error.
func Need(t testing.TB, err error) {
	t.Helper()
	var missing *NotInstalledError
	switch {
	case err == nil:
	case errors.As(err, &missing) && os.Getenv("CI") != "true":
		t.Skip(missing)
	default:
		t.Fatal(err)
	}
}

// newServer makes a folder, which a server that root may not run can write to.
func newServer(name, path string, unprivileged bool) (*Server, error) {
	dir, err := os.MkdirTemp("", "midhook-"+name)
	if err != nil {
		return nil, err
	}
	s := &Server{name: name, dir: dir, path: path}
	if unprivileged && os.Geteuid() == 0 {
		err = s.becomeNobody()
	}
	if err == nil {
		s.log, err = os.Create(filepath.Join(dir, "log"))
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) becomeNobody() error {
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return err
	}
	uid, err := strconv.ParseUint(nobody.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(nobody.Gid, 10, 32)
	if err != nil {
		return err
	}
	s.runsAs = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(s.dir, int(uid), int(gid))
}

// command has a folder of its own for temporary files: a MariaDB that starts removes what
// it finds of others there.
func (s *Server) command(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "TMPDIR=" + s.dir, "LC_ALL=C", "TZ=Asia/Jakarta"}
	// A test binary that dies leaves no server behind.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.runsAs, Pdeathsig: syscall.SIGQUIT}
	return cmd
}

func (s *Server) prepare(path string, args ...string) error {
	if out, err := s.command(path, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", path, err, out)
	}
	return nil
}

// begin starts the server for the first time. Another program may have taken the port
// since it was free: then another one is tried.
func (s *Server) begin(args func() []string) (*Server, error) {
	var err error
	for range 10 {
		if s.Port, err = freePort(); err != nil {
			break
		}
		s.args = args()
		if err = s.Start(); err == nil {
			return s, nil
		}
	}
	s.Close()
	return nil, err
}

// freePort finds a port that is free, and so is the one that a node of a Redis cluster
// would use beside it.
func freePort() (int, error) {
	for range 100 {
		port := 20000 + rand.IntN(30000)
		if isFree(port) && isFree(port+10000) {
			return port, nil
		}
	}
	return 0, errors.New("no free port")
}

func isFree(port int) bool {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// Addr is where the server listens.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.Port) }

// dial connects for a moment, to see whether the server answers.
func (s *Server) dial() (net.Conn, error) {
	c, err := net.DialTimeout("tcp", s.Addr(), time.Second)
	if err == nil {
		err = c.SetDeadline(time.Now().Add(time.Second))
	}
	return c, err
}

// PID is that of the process that runs, or ran last.
func (s *Server) PID() int { return s.pid }

// Start starts a server that has been stopped, and returns when it answers.
func (s *Server) Start() error {
	cmd, exited := s.command(s.path, s.args...), make(chan struct{})
	cmd.Stdout, cmd.Stderr = s.log, s.log
	if err := cmd.Start(); err != nil {
		return err
	}
	s.pid, s.runs, s.exited = cmd.Process.Pid, true, exited
	go func() {
		defer close(exited)
		_ = cmd.Wait()
	}()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for !s.answers(ctx, s) {
		select {
		case <-exited:
			return fmt.Errorf("%s has ended:\n%s", s.name, s.said())
		case <-ctx.Done():
			s.Stop(syscall.SIGKILL)
			return fmt.Errorf("%s does not answer:\n%s", s.name, s.said())
		case <-time.After(pause):
		}
	}
	return nil
}

func (s *Server) said() []byte {
	said, _ := os.ReadFile(s.log.Name())
	return said
}

// Stop ends the server by a signal, and returns when it is gone. One that is not
// running is left alone. To PostgreSQL and Redis SIGQUIT is like a crash, to MariaDB it
// is a shutdown.
func (s *Server) Stop(with syscall.Signal) {
	if !s.runs {
		return
	}
	s.Signal(with)
	select {
	case <-s.exited:
	case <-time.After(patience):
		s.Signal(syscall.SIGKILL)
		<-s.exited
	}
	s.runs = false
}

// Signal sends a signal to the server. SIGKILL, SIGSTOP and SIGCONT also go to the
// processes that it has started.
func (s *Server) Signal(sig syscall.Signal) {
	if !s.runs {
		return
	}
	pids := []int{s.pid}
	if sig == syscall.SIGKILL || sig == syscall.SIGSTOP || sig == syscall.SIGCONT {
		pids = append(pids, children(pids[0])...)
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, sig)
	}
}

func children(pid int) (pids []int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, field := range strings.Fields(string(text)) {
		if child, err := strconv.Atoi(field); err == nil {
			pids = append(pids, child)
		}
	}
	return pids
}

// Close ends the server and removes its folder.
func (s *Server) Close() {
	s.Signal(syscall.SIGCONT)
	s.Stop(syscall.SIGQUIT)
	if s.log != nil {
		s.log.Close()
	}
	os.RemoveAll(s.dir)
}
