package main

import (
	"bufio"
	"net"
	"time"

	"github.com/midhook/midhook/ci/loadkit"
)

// connection is a client's. What is received is told apart by an id.
type connection interface {
	send(request) (id uint32, err error)
	receive() (id uint32, status int, err error)
	close()
}

// connect ends what is not answered by the deadline with an error.
func connect(address string, http2 bool, deadline time.Time) (connection, error) {
	conn, err := loadkit.Dial(address)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if !http2 {
		return http1Connection{conn, bufio.NewReader(conn)}, nil
	}
	c, err := loadkit.NewHTTP2Conn(conn)
	return &http2Connection{c, map[uint32]int{}}, err
}

type http1Connection struct {
	conn    net.Conn
	answers *bufio.Reader
}

func (c http1Connection) send(r request) (uint32, error) {
	_, err := c.conn.Write(r.http1)
	return 0, err
}

func (c http1Connection) receive() (uint32, int, error) {
	status, err := loadkit.ReadStatus(c.answers)
	return 0, status, err
}

func (c http1Connection) close() { _ = c.conn.Close() }

type http2Connection struct {
	conn     *loadkit.HTTP2Conn
	statuses map[uint32]int // of streams whose body is still to come
}

func (c *http2Connection) send(r request) (uint32, error) {
	stream, err := c.conn.Begin(len(r.body))
	if err == nil {
		err = c.conn.Send(stream, r.body, true)
	}
	if err == nil {
		err = c.conn.Flush()
	}
	return stream, err
}

func (c *http2Connection) receive() (uint32, int, error) {
	for {
		answer, err := c.conn.Read()
		if err != nil {
			return 0, 0, err
		}
		if answer.Status != 0 {
			c.statuses[answer.Stream] = answer.Status
		}
		if answer.Ends {
			status := c.statuses[answer.Stream]
			delete(c.statuses, answer.Stream)
			return answer.Stream, status, nil
		}
	}
}

func (c *http2Connection) close() { _ = c.conn.Close() }

// exchange keeps atOnce requests under way until next has none, and returns when all
// are answered. A connection of HTTP/1.1 has one at once.
func exchange(c connection, atOnce int, next func() (request, bool), answered func(r request, status int, took time.Duration)) error {
	type sent struct {
		request
		at time.Time
	}
	underWay := make(map[uint32]sent, atOnce)
	send := func() error {
		r, ok := next()
		if !ok {
			return nil
		}
		at := time.Now()
		id, err := c.send(r)
		underWay[id] = sent{r, at}
		return err
	}
	for range atOnce {
		if err := send(); err != nil {
			return err
		}
	}
	for len(underWay) > 0 {
		id, status, err := c.receive()
		if err != nil {
			return err
		}
		s, ok := underWay[id]
		if !ok {
			continue // HTTP/2 may say of a stream that has ended that the rest of its body is not wanted
		}
		delete(underWay, id)
		answered(s.request, status, time.Since(s.at))
		if err := send(); err != nil {
			return err
		}
	}
	return nil
}
