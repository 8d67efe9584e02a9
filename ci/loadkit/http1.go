package loadkit

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

const (
	// Path is where every request is sent to.
	Path = "/payments/notification"

	host      = "merchant.example"
	userAgent = "Veritrans"
	mediaType = "application/json"
)

// dialTimeout bounds how long a connection takes.
const dialTimeout = 30 * time.Second

// Dial connects to this machine and to no other one.
func Dial(address string) (net.Conn, error) { return DialWith(net.Dialer{}, address) }

// DialWith is Dial by a dialer of the caller's.
func DialWith(d net.Dialer, address string) (net.Conn, error) {
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, err
	}
	if !a.IP.IsLoopback() {
		return nil, fmt.Errorf("%s is another machine", address)
	}
	d.Timeout = dialTimeout
	return d.Dial("tcp", a.String())
}

// RequestHead is an HTTP/1.1 request up to its body.
func RequestHead(length int) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", Path, host, userAgent, mediaType, length)
}

// ReadStatus reads a response of HTTP/1.1, and costs less than net/http's reader: a
// client has one core for thousands a second.
func ReadStatus(r *bufio.Reader) (int, error) {
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
