package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/net/http2"

	"github.com/midhook/midhook/ci/loadkit"
	"github.com/midhook/midhook/midhooktest"
)

const (
	unreadStreams = 60  // on one connection whose windows are closed
	leastUnread   = 60  // answers fit into the buffers of one connection of HTTP/1.1
	mostUnread    = 100 // do not, see sendBuffer
	holdsAfter    = 4 * time.Second
)

// holds is how long a peer that does not read stays: until the server has given up
// sending what it has to say at the budget.
func (a *attack) holds() time.Duration { return a.budget + holdsAfter }

// unreadHTTP1 sends forgeries and reads no answer. After some of them comes a body that
// stalls: now and then its answer, at the budget, is the first that finds no room.
func (a *attack) unreadHTTP1() error {
	conn, err := dialSmall(a.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	end := time.Now().Add(a.holds())
	_ = conn.SetWriteDeadline(end)
	for i := range leastUnread + rand.N(mostUnread-leastUnread) {
		f := a.forgeries[i+1] // without the first, which is large
		if _, err := conn.Write(append(loadkit.RequestHead(len(f.body)), f.body...)); err != nil {
			break
		}
		a.unread1.sent()
	}
	_, _ = conn.Write(append(loadkit.RequestHead(promised), firstBytes...))
	time.Sleep(time.Until(end))
	return nil
}

// unreadLargeHTTP1 sends a genuine notification whose answer is large, and does not read
// it.
func (a *attack) unreadLargeHTTP1() error {
	conn, err := dialSmall(a.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	body := a.genuine(kindLarge)
	if _, err := conn.Write(append(loadkit.RequestHead(len(body)), body...)); err != nil {
		return err
	}
	a.unread1.sent()
	time.Sleep(a.holds())
	return nil
}

// unreadHTTP2 opens streams with windows of nothing: forgeries, bodies that stall, and
// genuine notifications whose handler takes longer than the budget.
func (a *attack) unreadHTTP2() error {
	c, err := dialHTTP2(a.address, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	if err != nil {
		return err
	}
	defer c.Close()
	for i := range unreadStreams {
		body, length, end := a.forgeries[i+10].body, 0, true
		switch i % 3 {
		case 1:
			body, length, end = []byte(firstBytes), promised, false
		case 2:
			body = a.genuine(kindUnread)
		}
		stream, err := c.Begin(max(length, len(body)))
		if err == nil {
			err = c.Send(stream, body, end)
		}
		if err != nil {
			return err
		}
		a.unread2.sent()
	}
	if err := c.Flush(); err != nil {
		return err
	}
	time.Sleep(a.holds())
	return nil
}

// genuine is a signed notification of a new order, which a peer sends that does not
// wait for the answer. It is handled all the same.
func (a *attack) genuine(kind string) []byte {
	order := fmt.Sprintf("%s-%d", kind, a.orders.Add(1))
	return midhooktest.Body(midhooktest.Sample("gopay", midhooktest.Order(order), midhooktest.Transaction("tx-"+order)), serverKey)
}
