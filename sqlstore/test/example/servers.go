package main

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
)

// servers are processes of this program, behind a load balancer that takes turns.
type servers struct {
	file  string
	plain bool

	mu      sync.Mutex
	all     []*server
	next    int
	deaths  int
	stopped bool
	ended   sync.WaitGroup
}

type server struct {
	process *exec.Cmd
	address string
}

func startServers(n int, file string, plain bool) (*servers, error) {
	s := &servers{file: file, plain: plain, all: make([]*server, n)}
	for i := range s.all {
		if err := s.start(i); err != nil {
			s.stop()
			return nil, err
		}
	}
	return s, nil
}

// start starts a server, and again whenever it dies.
func (s *servers) start(i int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	process := exec.Command(self, "-serve", s.file, fmt.Sprint("-plain=", s.plain))
	process.Stderr = os.Stderr
	if _, err := process.StdinPipe(); err != nil { // its end is the server's, so that it does not outlive this process
		return err
	}
	out, err := process.StdoutPipe()
	if err != nil {
		return err
	}
	if err := process.Start(); err != nil {
		return err
	}
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = process.Process.Kill()
		_ = process.Wait()
		return fmt.Errorf("a server does not start: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		_ = process.Process.Kill()
		return process.Wait()
	}
	s.all[i] = &server{process, strings.TrimSpace(address)}
	s.ended.Go(func() {
		_ = process.Wait() // it was killed
		s.mu.Lock()
		s.all[i] = nil
		stopped := s.stopped
		s.mu.Unlock()
		if stopped {
			return
		}
		if err := s.start(i); err != nil {
			fmt.Fprintln(os.Stderr, "example:", err)
		}
	})
	return nil
}

// killOne kills a server with SIGKILL, whatever it is doing.
func (s *servers) killOne() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if server := s.all[rand.IntN(len(s.all))]; server != nil && server.process.Process.Kill() == nil {
		s.deaths++
	}
}

func (s *servers) killed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.deaths
}

func (s *servers) stop() {
	s.mu.Lock()
	s.stopped = true
	for _, server := range s.all {
		if server != nil {
			_ = server.process.Process.Kill()
		}
	}
	s.mu.Unlock()
	s.ended.Wait()
}

// RoundTrip sends a request to the server whose turn it is, be it dead.
func (s *servers) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.next++
	server := s.all[s.next%len(s.all)]
	s.mu.Unlock()
	if server == nil {
		return nil, errors.New("connection refused")
	}
	r = r.Clone(r.Context())
	r.URL.Host = server.address
	return http.DefaultTransport.RoundTrip(r)
}
