package main

import (
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/net/http2"

	"github.com/midhook/midhook/ci/loadkit"
)

const (
	emptyPath = "/empty" // whose handler does nothing
	// connectionLasts bounds every connection of the attack, whatever the server does.
	connectionLasts = 30 * time.Second
)

// dialSmall connects for a peer that is not going to read: what it can be sent is soon
// all that it can take.
func dialSmall(address string) (net.Conn, error) {
	return loadkit.DialWith(net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
		controlled := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 2048) })
		return errors.Join(controlled, err)
	}}, address)
}

func dialHTTP2(address string, settings ...http2.Setting) (*loadkit.HTTP2Conn, error) {
	conn, err := loadkit.Dial(address)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(connectionLasts))
	return loadkit.NewHTTP2Conn(conn, settings...)
}
