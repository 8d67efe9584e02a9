package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"syscall"
	"time"
)

const (
	path      = "/payments/notification"
	emptyPath = "/empty" // whose handler does nothing
	// connectionLasts bounds every connection of the attack, whatever the server does.
	connectionLasts = 30 * time.Second
)

// dial connects to this machine and to no other one.
func dial(address string) (net.Conn, error) { return dialWith(net.Dialer{}, address) }

// dialSmall is dial for a peer that is not going to read: what it can be sent is soon
// all that it can take.
func dialSmall(address string) (net.Conn, error) {
	return dialWith(net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
		controlled := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 2048) })
		return errors.Join(controlled, err)
	}}, address)
}

func dialWith(d net.Dialer, address string) (net.Conn, error) {
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, err
	}
	if !a.IP.IsLoopback() {
		return nil, fmt.Errorf("%s is another machine", address)
	}
	d.Timeout = connectionLasts
	return d.Dial("tcp", a.String())
}

// requestHead is an HTTP/1.1 request up to its body.
func requestHead(length int) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: merchant.example\r\nUser-Agent: Veritrans\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", path, length)
}

// readStatus reads a response of HTTP/1.1, and costs less than net/http's reader: the
// attack has one core for thousands a second.
func readStatus(r *bufio.Reader) (int, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < len("HTTP/1.1 200") {
		return 0, fmt.Errorf("no status line: %q", line)
	}
	status, err := strconv.Atoi(string(line[9:12]))
	length := 0
	for err == nil {
		line, err = r.ReadSlice('\n')
		if line = bytes.TrimSpace(line); len(line) == 0 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length, err = strconv.Atoi(string(value))
		}
	}
	if err == nil {
		_, err = io.CopyN(io.Discard, r, int64(length))
	}
	return status, err
}
