package main

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"os"
	"time"

	"github.com/midhook/midhook/ci/loadkit"
)

const (
	promised       = 700         // bytes of a slow body, of which few ever come
	betweenBytes   = time.Second // of a body that comes byte by byte
	slowStreams    = 100         // on one connection of HTTP/2
	firstBytes     = `{"order_id":`
	lateForAnswer  = 20 * time.Second
	trickledFiller = " "
)

// slowBodyHTTP1 sends a body that does not arrive: byte by byte, or not after its
// first bytes.
func (a *attack) slowBodyHTTP1(trickles bool) error {
	conn, err := loadkit.Dial(a.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	began := time.Now()
	if _, err := conn.Write(append(loadkit.RequestHead(promised), firstBytes...)); err != nil {
		return err
	}
	answers := bufio.NewReader(conn)
	for {
		wait := time.Until(began.Add(a.budget + lateForAnswer))
		if trickles {
			wait = betweenBytes
		}
		_ = conn.SetReadDeadline(time.Now().Add(wait))
		_, err := answers.Peek(1)
		if trickles && errors.Is(err, os.ErrDeadlineExceeded) && time.Since(began) < a.budget+lateForAnswer {
			_, _ = conn.Write([]byte(trickledFiller)) // that the server has closed is seen by reading
			continue
		}
		if err != nil {
			return err
		}
		status, err := loadkit.ReadStatus(answers)
		if err != nil {
			return err
		}
		a.slow1.answered(http.StatusRequestTimeout, status, time.Since(began))
		return nil
	}
}

// slowBodiesHTTP2 does the same with many streams of one connection, and ends when all
// have ended.
func (a *attack) slowBodiesHTTP2() error {
	c, err := dialHTTP2(a.address)
	if err != nil {
		return err
	}
	defer c.Close()
	began := time.Now()
	var streams []uint32
	for range slowStreams {
		stream, err := c.Begin(promised)
		if err == nil {
			err = c.Send(stream, []byte(firstBytes), false)
		}
		if err != nil {
			return err
		}
		streams = append(streams, stream)
	}
	if err := c.Flush(); err != nil {
		return err
	}
	trickling, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		for tick := time.NewTicker(betweenBytes); ; {
			select {
			case <-trickling.Done():
				tick.Stop()
				return
			case <-tick.C:
			}
			if time.Since(began) > a.budget-betweenBytes/2 {
				return // a byte for a stream that has ended would be an error of the connection
			}
			for i := 0; i < len(streams); i += 2 {
				_ = c.Send(streams[i], []byte(trickledFiller), false)
			}
			_ = c.Flush()
		}
	}()
	for open := len(streams); open > 0; {
		answer, err := c.Read()
		if err != nil {
			return err
		}
		if answer.Status != 0 {
			a.slow2.answered(http.StatusRequestTimeout, answer.Status, time.Since(began))
		}
		if answer.Ends {
			open--
		}
	}
	return nil
}
