package servers

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Redis starts a server that keeps nothing on disk, unless the arguments say so.
func Redis(args ...string) (*Server, error) {
	return RedisWith(func(port int, dir string) []string {
		return append([]string{
			"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--daemonize", "no",
		}, args...)
	})
}

// RedisWith starts redis-server with the arguments for a port and a folder.
func RedisWith(args func(port int, dir string) []string) (*Server, error) {
	path, err := RedisServer.Path()
	if err != nil {
		return nil, err
	}
	s, err := newServer("redis", path, false)
	if err != nil {
		return nil, err
	}
	s.answers = tellsProcess
	return s.begin(func() []string {
		s.URL = "redis://" + s.Addr()
		return args(s.Port, s.dir)
	})
}

// tellsProcess reports whether this very process answers: another server may have the
// port.
func tellsProcess(_ context.Context, s *Server) bool {
	c, err := s.dial()
	if err != nil {
		return false
	}
	defer c.Close()
	answer := make([]byte, 8192)
	if i := slices.Index(s.args, "--requirepass"); i >= 0 {
		fmt.Fprintf(c, "AUTH %s\r\n", s.args[i+1])
		_, _ = c.Read(answer)
	}
	fmt.Fprintf(c, "INFO server\r\n")
	n, _ := c.Read(answer)
	return strings.Contains(string(answer[:n]), fmt.Sprintf("process_id:%d\r", s.pid))
}
