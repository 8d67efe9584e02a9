package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/ci/loadkit"
	"github.com/midhook/midhook/midhooktest"
)

const (
	strangersKey = "SB-Mid-server-some-key-0002"
	forgedBodies = 1000
	batch        = 8 // requests that are sent at once, so that sending costs the attack little
)

// forgery is a body that nobody may take for a payment, and how it is to be refused.
type forgery struct {
	body   []byte
	status int
}

// forgeries are what strangers can make: most have a signature of another key.
func forgeries() []forgery {
	all := make([]forgery, forgedBodies)
	for i := range all {
		n := midhooktest.Sample("gopay", midhooktest.Order(fmt.Sprintf("forged-%d", i)), midhooktest.Transaction(fmt.Sprintf("forged-tx-%d", i)))
		f := forgery{midhooktest.Body(n, strangersKey), http.StatusForbidden}
		switch {
		case i%500 == 0: // as long as a body may be, and spoilt by its last byte
			f.body = append(bytes.TrimSuffix(f.body, []byte("}")), `,"padding":"`...)
			f.body = append(append(f.body, bytes.Repeat([]byte("x"), 60<<10)...), '"')
			f.status = http.StatusBadRequest
		case i%10 == 1: // cut off
			f.body = f.body[:len(f.body)/2]
			f.status = http.StatusBadRequest
		case i%10 == 2: // a name in two spellings
			f.body = append(bytes.TrimSuffix(f.body, []byte("}")), `,"Order_ID":"other"}`...)
			f.status = http.StatusBadRequest
		case i%10 == 3: // genuine when it was pending
			n.StatusCode = "201"
			n.TransactionStatus = midhook.StatusSettlement
			f.body = midhooktest.Body(n, serverKey)
		}
		all[i] = f
	}
	return all
}

// flood sends forgeries over one connection after another, perSecond of them if the
// machine can, until ctx ends. connect returns what sends one batch over a connection.
func (a *attack) flood(ctx context.Context, forged *flow, perSecond float64, connect func() (sendBatch func([]forgery) error, closeConn func(), err error)) {
	every := time.Duration(batch / perSecond * float64(time.Second))
	due, next := time.Now(), rand.N(forgedBodies/batch)*batch
	for ctx.Err() == nil {
		send, closeConn, err := connect()
		for err == nil && ctx.Err() == nil {
			due = due.Add(every)
			if late := time.Since(due); late > time.Second {
				due = time.Now() // what this machine cannot do is not made up for
			}
			time.Sleep(time.Until(due))
			next = (next + batch) % forgedBodies
			err = send(a.forgeries[next : next+batch])
		}
		closeConn()
		if err != nil {
			forged.fail(err)
			time.Sleep(100 * time.Millisecond)
		}
	}
}

func (a *attack) floodHTTP1() (func([]forgery) error, func(), error) {
	conn, err := loadkit.Dial(a.address)
	if err != nil {
		return nil, func() {}, err
	}
	answers := bufio.NewReader(conn)
	var requests []byte
	return func(all []forgery) error {
		requests = requests[:0]
		for _, f := range all {
			requests = append(append(requests, loadkit.RequestHead(len(f.body))...), f.body...)
		}
		began := time.Now()
		_ = conn.SetDeadline(began.Add(connectionLasts))
		if _, err := conn.Write(requests); err != nil {
			return err
		}
		for _, f := range all {
			status, err := loadkit.ReadStatus(answers)
			if err != nil {
				return err
			}
			a.forged1.answered(f.status, status, time.Since(began))
		}
		return nil
	}, func() { _ = conn.Close() }, nil
}

func (a *attack) floodHTTP2() (func([]forgery) error, func(), error) {
	c, err := dialHTTP2(a.address)
	if err != nil {
		return nil, func() {}, err
	}
	expected := map[uint32]int{}
	return func(all []forgery) error {
		began := time.Now()
		_ = c.SetDeadline(began.Add(connectionLasts))
		for _, f := range all {
			stream, err := c.Begin(len(f.body))
			if err == nil {
				err = c.Send(stream, f.body, true)
			}
			if err != nil {
				return err
			}
			expected[stream] = f.status
		}
		if err := c.Flush(); err != nil {
			return err
		}
		for len(expected) > 0 {
			answer, err := c.Read()
			if err != nil {
				return err
			}
			if answer.Status != 0 {
				a.forged2.answered(expected[answer.Stream], answer.Status, time.Since(began))
			}
			if answer.Ends {
				delete(expected, answer.Stream)
			}
		}
		return nil
	}, func() { _ = c.Close() }, nil
}
