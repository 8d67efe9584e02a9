// Package redisstore is a [midhook.Store] in Redis, for merchants whose server is
// several processes: all of them together then hand an event on once, and the
// events of one transaction one after the other.
//
//	logging.Disable() // of go-redis: midhook logs each operation that fails
//	client := redis.NewClient(&redis.Options{
//		Addr:                  "redis:6379",
//		ContextTimeoutEnabled: true, // the response budget bounds each operation
//		DialerRetries:         1,
//		MaxRetries:            1,
//	})
//	store, err := redisstore.New(client)
//	if err != nil {
//		log.Fatal(err)
//	}
//	if err := store.Check(ctx); err != nil {
//		log.Fatal(err)
//	}
//	hook, err := midhook.New(serverKey, midhook.WithStore(store))
//
// The package works with Redis 6.2 and later, Valkey, and a cluster of either. Each
// operation is one Lua script and one round trip: a new event is two of them, a
// duplicate is one. A server that does not know the script yet is sent it, which is
// one round trip more. Redis itself is busy for some 7 to 25 µs with each. The
// server's clock is the only one that counts.
//
// # What is stored
//
// Redis keeps one string for each subject, which is one transaction, under a key of
// the prefix and a digest. The string holds digests of the events and their owners,
// the times when leases, holds and keeps end, and the highest stage. It holds no
// order, no amount and nothing of a body. A handled transaction takes about 250
// bytes of Redis' memory, and each event after the first about 50 more. The string
// goes when nothing of it is to be kept.
//
// Each operation writes the string anew, which is cheap for as many events as a
// transaction has. Beside a thousand events that are all still kept, Redis is busy
// for a few hundred µs.
//
// An event is looked up under its subject, because in a cluster nothing else would
// be one atomic operation: the same Key with another Subject is another event.
// Midhook never does that, for the subject is part of what makes the key. An event
// without a subject has a string of its own.
//
// A string that another version of this package has written in another format is
// an error in every operation, and stays as it is. Give each version another prefix
// then, or delete the old keys when nothing of them is needed.
//
// # What Redis may forget
//
// The guarantee of [midhook.Middleware] is as good as this memory. Redis can only
// forget that an event was claimed or handled. A claim that is lost lets a retry
// run the handler beside the one that still runs. A handled event that is lost is
// handled again if it is delivered again, and a lost stage lets a late pending
// through. No event is lost by it: one that is not handled is delivered again.
//
//   - Eviction. With maxmemory-policy allkeys-lru, allkeys-lfu or allkeys-random,
//     Redis drops live claims when its memory is full. So it does with volatile-lru,
//     volatile-lfu and volatile-random, for every key here has an expiry. Use
//     noeviction: then Acquire fails, which is answered 503 and retried, Release
//     still works, and a Finish that fails is reported. Where other data must be
//     evicted, volatile-ttl comes closest: it drops what is nearest to its expiry,
//     and a claim in flight is kept for its lease and 24 h, longer than what is
//     handled unless [midhook.WithKeep] is longer. [Store.Check] finds the other
//     six.
//   - Restart. Without persistence everything is forgotten. With appendonly yes
//     and the default appendfsync everysec a restart of Redis forgets nothing,
//     and a crash of its machine the last second or two. With appendfsync always
//     it forgets nothing that was answered, at the price of a disk write for each
//     operation. Snapshots alone (RDB) forget all since the last one.
//   - Fail-over. Replication is asynchronous, to a replica as in a cluster: a
//     promoted replica may lack the last operations that were answered. What reached
//     it is complete there: handled events, stages, and claims with the rest of
//     their leases and holds, which their owners renew, finish and release as before.
//     What did not reach it is as if it had not been claimed or finished. A handler
//     whose claim was lost is told [midhook.ErrNotOwner] when it ends, which midhook
//     reports. No option here changes that; min-replicas-to-write and
//     min-replicas-max-lag bound how much is lost. Deliveries during the fail-over
//     are answered 503 and come again. For Sentinel use redis.NewFailoverClient.
//   - The clock. A lease ends by the server's wall clock: one that jumps ahead
//     ends leases early. Keep it slewed, not stepped.
//
// So be unique in a database, too, beside the effect: by order or by
// [midhook.Notification.PaymentKey], as with every store.
package redisstore
