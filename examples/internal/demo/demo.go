// Package demo is what the example programs have in common: a key for tests, a
// curl command that plays Midtrans, and a server around the framework.
package demo

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/midhooktest"
)

// TestKey signs the curl command.
const TestKey = "SB-Mid-server-test"

// Path is where the examples receive notifications.
const Path = "/payments/notification"

// Serve serves on a listener until ctx ends.
type Serve func(context.Context, *midhook.Middleware, net.Listener) error

// Main runs an example on the address of the flag -addr, until Ctrl-C. The key
// is that of the environment variable MIDTRANS_SERVER_KEY, or TestKey.
func Main(serve Serve) {
	addr := flag.String("addr", "127.0.0.1:8080", "listen on this address; port 0 picks a free one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	key := cmp.Or(os.Getenv("MIDTRANS_SERVER_KEY"), TestKey)
	if err := Run(ctx, key, *addr, os.Stdout, serve); err != nil {
		log.Fatal(err)
	}
}

// Run is Main with everything given to it. It prints the curl command if key is
// TestKey: signatures of a live key belong in no terminal.
func Run(ctx context.Context, key, addr string, out io.Writer, serve Serve) error {
	hook, err := midhook.New(key)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	url := "http://" + l.Addr().String() + Path
	fmt.Fprintf(out, "Receiving notifications at %s\n", url)
	if key == TestKey {
		fmt.Fprintf(out, "Send one, and then the same again:\n\n%s\n\n", Curl(url))
	}
	return serve(ctx, hook, l)
}

// Curl is a command that delivers a paid order, signed with TestKey.
func Curl(url string) string {
	order := fmt.Sprintf("example-%d", time.Now().Unix())
	body := midhooktest.Body(midhooktest.Sample("gopay", midhooktest.Order(order)), TestKey)
	return fmt.Sprintf("curl -i -H 'Content-Type: application/json' -d '%s' %s",
		strings.ReplaceAll(string(body), "'", `'\''`), url)
}

// HTTP serves a net/http handler, with time limits longer than midhook's budget.
func HTTP(handler func(*midhook.Middleware) http.Handler) Serve {
	return func(ctx context.Context, hook *midhook.Middleware, l net.Listener) error {
		server := &http.Server{
			Handler:           handler(hook),
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       10 * time.Second,
			WriteTimeout:      15 * time.Second,
		}
		stopped := make(chan error, 1)
		stop := context.AfterFunc(ctx, func() { // waits for handlers that are past the budget
			stopped <- server.Shutdown(context.Background())
		})
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) || stop() {
			return err
		}
		return <-stopped
	}
}
