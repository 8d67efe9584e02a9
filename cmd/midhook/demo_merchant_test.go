package main

import (
	"net"
	"strings"
	"testing"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
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

// A card's capture and its settlement are two events of one payment: the goods go out
// once.
func TestMerchantFulfilsOnce(t *testing.T) {
	m := &merchant{paid: map[string]bool{}}
	for _, c := range []struct{ status, did string }{
		{"capture", "paid (capture)"}, {"settlement", "nothing: paid before"},
	} {
		n := midhooktest.Sample("credit-card", midhooktest.Status("200", midhook.TransactionStatus(c.status)))
		if err := m.notified(t.Context(), n); err != nil || m.lately() != c.did {
			t.Errorf("%s: %v, want %q", c.status, err, c.did)
		}
	}
}
