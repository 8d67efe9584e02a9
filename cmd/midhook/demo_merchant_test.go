package main

import (
	"net"
	"strings"
	"testing"
)

func TestReachable(t *testing.T) {
	for listen, want := range map[string]string{":0": "127.0.0.1:", "127.0.0.1:0": "127.0.0.1:"} {
		l, err := net.Listen("tcp", listen)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if got := reachable(l.Addr()); !strings.HasPrefix(got, want) {
			t.Errorf("%s is reachable at %s", listen, got)
		}
	}
}
