package redisstore_test

import (
	"context"
	"log"
	"net/http"
	"os"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/redisstore"
)

// Every process of the merchant's server runs this, with the same Redis and the
// same prefix.
func Example() {
	logging.Disable() // of go-redis: midhook logs each operation that fails
	client := redis.NewClient(&redis.Options{
		Addr:                  "redis.internal:6379",
		ContextTimeoutEnabled: true, // the response budget counts, not the client's own timeouts
		DialerRetries:         1,    // a server that is away costs a delivery nothing
		MaxRetries:            1,
	})
	defer client.Close()

	store, err := redisstore.New(client, redisstore.WithPrefix("midhook:production:"))
	if err != nil {
		log.Fatal(err)
	}
	if err := store.Check(context.Background()); err != nil {
		log.Fatal(err) // or log it: deliveries are answered 503 until the store works
	}
	hook, err := midhook.New(os.Getenv("MIDTRANS_SERVER_KEY"), midhook.WithStore(store))
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("POST /payments/notification", hook.HandlerFunc(
		func(_ context.Context, n *midhook.Notification) error {
			// Runs in one process at a time, and not again once it has succeeded.
			log.Printf("order %s is %s", n.OrderID, n.TransactionStatus)
			return nil
		}))
	log.Fatal(http.ListenAndServe(":8080", nil))
}

// A cluster needs nothing else.
func Example_cluster() {
	client := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs:                 []string{"redis-1:6379", "redis-2:6379", "redis-3:6379"},
		ContextTimeoutEnabled: true,
		DialerRetries:         1,
	})
	defer client.Close()

	store, err := redisstore.New(client)
	if err != nil {
		log.Fatal(err)
	}
	_ = midhook.WithStore(store)
}
