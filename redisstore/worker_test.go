package redisstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/redisstore"
)

const workerVariable = "REDISSTORE_TEST_WORKER"

// workerConfig is what a worker process is told.
type workerConfig struct {
	Redis  []string // one address, or several of a cluster, or of Sentinels
	Master string   // what the Sentinels watch, or none
	Shop   string   // the URL of the effects' counter
	Budget time.Duration
	Grace  time.Duration
}

// report is a line that a worker writes: what became of a delivery.
type report struct {
	Addr    string // in the first line alone
	Event   string
	Outcome string
	Err     string
}

// work is a merchant's server: the middleware over a shared store, and a handler
// whose effect is in the shop, which is another process. It ends with its stdin.
func work() error {
	var config workerConfig
	if err := json.Unmarshal([]byte(os.Getenv(workerVariable)), &config); err != nil {
		return err
	}
	logging.Disable() // of failed connections
	client := redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs: config.Redis, MasterName: config.Master, ContextTimeoutEnabled: true, DialerRetries: 1, MaxRetries: 1,
	})
	store, err := redisstore.New(client)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	tell := func(r report) {
		mu.Lock()
		defer mu.Unlock()
		_ = out.Encode(r)
	}
	hook, err := midhook.New(testKey,
		midhook.WithStore(store),
		midhook.WithBudget(config.Budget),
		midhook.WithGrace(config.Grace),
		midhook.WithLogger(slog.New(slog.DiscardHandler)),
		midhook.WithObserver(func(_ context.Context, e midhook.Event) {
			r := report{Outcome: e.Outcome.String()}
			if e.Notification != nil {
				r.Event = eventName(e.Notification)
			}
			if e.Err != nil {
				r.Err = e.Err.Error()
			}
			tell(r)
		}),
	)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go http.Serve(l, hook.HandlerFunc(func(ctx context.Context, n *midhook.Notification) error { //nolint:errcheck // it ends with the process
		return fulfil(config.Shop, n)
	}))
	tell(report{Addr: l.Addr().String()})
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func fulfil(shop string, n *midhook.Notification) error {
	res, err := http.PostForm(shop, url.Values{"event": {eventName(n)}, "pid": {strconv.Itoa(os.Getpid())}})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the shop answered %s", res.Status)
	}
	return nil
}

func eventName(n *midhook.Notification) string {
	return n.OrderID + " " + string(n.TransactionStatus)
}
