package main

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/midhook/midhook/ci/loadkit"
)

// measureDelay measures until ctx ends how late a timer is: what a machine that has too
// much to do adds to every budget.
func measureDelay(ctx context.Context, delays *loadkit.Latencies) {
	const pause = 10 * time.Millisecond
	for ctx.Err() == nil {
		due := time.Now().Add(pause)
		time.Sleep(pause)
		delays.Add(time.Since(due))
	}
}

// measureEmpty measures until ctx ends how long the server takes for a request whose
// handler does nothing and knows nothing of midhook: what nobody's handler can better
// on this machine.
func measureEmpty(ctx context.Context, address string, client *http.Client, took *loadkit.Latencies) {
	for ctx.Err() == nil {
		began := time.Now()
		res, err := client.Get("http://" + address + emptyPath)
		if err == nil {
			_ = res.Body.Close()
		}
		took.Add(time.Since(began))
		time.Sleep(20 * time.Millisecond)
	}
}

// newClient speaks HTTP/1.1, or HTTP/2 without TLS, to this machine.
func newClient(http2 bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	return &http.Client{Transport: &http.Transport{
		Protocols:           protocols,
		IdleConnTimeout:     10 * time.Second, // before the server's
		MaxIdleConnsPerHost: 100,
		DialContext:         func(_ context.Context, _, address string) (net.Conn, error) { return loadkit.Dial(address) },
	}, Timeout: connectionLasts}
}
