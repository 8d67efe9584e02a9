package loadkit

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// Rule: a quantile is no shorter than what was measured, and at most a 23rd longer.
func TestLatenciesQuantiles(t *testing.T) {
	var l Latencies
	for i := range 1000 {
		l.Add(time.Duration(i+1) * time.Millisecond)
	}
	s := l.Summary()
	if s.Count != 1000 || s.Longest != time.Second {
		t.Errorf("1,000 durations up to 1 s are %d up to %v", s.Count, s.Longest)
	}
	for want, got := range map[time.Duration]time.Duration{501 * time.Millisecond: s.P50, 991 * time.Millisecond: s.P99, time.Second: s.P999} {
		if got < want || got > want+want/23+time.Microsecond {
			t.Errorf("a quantile of %v is %v", want, got)
		}
	}
}

// Rule: of a response its status is read and no byte of the next one.
func TestReadStatusReadsOneResponse(t *testing.T) {
	r := bufio.NewReader(strings.NewReader("HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\nDate: x\r\n\r\nno\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	for _, want := range []int{403, 200} {
		if got, err := ReadStatus(r); got != want || err != nil {
			t.Errorf("read %d, %v, want %d", got, err, want)
		}
	}
	if got, err := ReadStatus(r); err == nil {
		t.Errorf("read %d of nothing", got)
	}
}

// Rule: a connection of HTTP/2 carries several requests at once, and tells the answers
// apart.
func TestHTTP2ConnTellsStreamsApart(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(int(r.ContentLength))
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	defer server.Close()
	conn, err := Dial(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewHTTP2Conn(conn)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wanted := map[uint32]int{}
	for _, length := range []int{200, 403, 503} {
		stream, err := c.Begin(length)
		if err == nil {
			err = c.Send(stream, make([]byte, length), true)
		}
		if err != nil {
			t.Fatal(err)
		}
		wanted[stream] = length
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	for len(wanted) > 0 {
		answer, err := c.Read()
		if err != nil {
			t.Fatal(err)
		}
		if answer.Status != 0 && answer.Status != wanted[answer.Stream] {
			t.Errorf("stream %d was answered %d, want %d", answer.Stream, answer.Status, wanted[answer.Stream])
		}
		if answer.Ends {
			delete(wanted, answer.Stream)
		}
	}
}

// Rule: no load leaves this machine.
func TestDialRefusesOtherMachines(t *testing.T) {
	conn, err := Dial("192.0.2.1:80")
	if err == nil {
		conn.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "another machine") {
		t.Errorf("dialing another machine: %v", err)
	}
}

// Rule: processes are only put on cores that this one may use.
func TestCoresReadsLists(t *testing.T) {
	for list, want := range map[string][]string{"0-2,5": {"0", "1", "2", "5"}, "1": {"1"}, "": nil, "x-y": nil} {
		if got := parseCores(list); !slices.Equal(got, want) {
			t.Errorf("%q is %v, want %v", list, got, want)
		}
	}
}
