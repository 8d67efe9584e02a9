// Package redisstore is a [midhook.Store] in Redis, for merchants whose server is
// several processes: all of them together then hand an event on once.
//
//	client := redis.NewClient(&redis.Options{Addr: "redis:6379", ContextTimeoutEnabled: true})
//	store, err := redisstore.New(client)
//	…
//	hook, err := midhook.New(serverKey, midhook.WithStore(store))
//
// It works with Redis 6.2 and later, Valkey, and a cluster of either. Each
// operation is one Lua script and one round trip; a server that does not know
// the script yet is sent it, which is one more. Redis itself is busy for some 7
// to 25 µs with each. The clock is the server's alone.
//
// # What is stored
//
// One string for each subject, which is one transaction, under a key of the prefix
// and a digest. In it are digests of the events and owners, the times when leases
// and keeps end, and the highest stage: no order, no amount, nothing of a body. A
// handled transaction takes about 260 bytes of Redis' memory, and 60 to 80 more for
// each event after the first. It is gone when nothing of it is to be kept.
//
// The string is written anew by each operation, which is cheap for as many events
// as a transaction has. Beside a thousand that are all still kept, Redis is busy
// for a few hundred µs.
//
// An event is looked up under its subject, for in a cluster nothing else would
// be one atomic operation: the same Event with another Subject is another event.
// Midhook's own never are, for the subject is part of what makes the event. An
// event without a subject has a string of its own.
//
// # What Redis may forget
//
// The guarantee of [midhook.Middleware] is as good as this memory. What Redis
// forgets is an event that nobody has handled: a claim in flight that is lost
// lets a retry run the handler beside the one that still runs, a handled event
// that is lost is handled again if it is delivered again, and a lost stage lets
// a late pending through. No event is lost by it: one that is not handled is
// delivered again.
//
//   - Eviction. With maxmemory-policy allkeys-lru, allkeys-lfu or allkeys-random,
//     Redis drops live claims when its memory is full; so do volatile-lru,
//     volatile-lfu and volatile-random, for every key here has an expiry. Use
//     noeviction: then Acquire fails, which is answered 503 and retried, Release
//     still works, and a Finish that fails is reported. Where other data must be
//     evicted, volatile-ttl comes closest: it drops what is nearest to its expiry,
//     and a claim in flight is kept for its lease and 24 h, longer than what is
//     handled unless [midhook.WithKeep] is.
//   - Restart. Without persistence everything is forgotten. With appendonly yes
//     and the default appendfsync everysec a restart of Redis forgets nothing,
//     and a crash of its machine the last second or two. With appendfsync always
//     it forgets nothing that was answered, at the price of a disk write for each
//     operation. Snapshots alone (RDB) forget all since the last one.
//   - Fail-over. Replication is asynchronous, to a replica as in a cluster: a
//     promoted replica may lack the last claims and marks that were answered. No
//     option here changes that; min-replicas-to-write bounds how many.
//   - The clock. A lease ends by the server's wall clock: one that jumps ahead
//     ends leases early. Keep it slewed, not stepped.
//
// So put [midhook.Notification.IdempotencyKey] into a unique index beside the
// effect, as everywhere.
package redisstore

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/midhook/midhook"
)

// Store is a [midhook.Store] in Redis. It is made by [New] and safe for
// concurrent use.
type Store struct {
	client redis.Scripter
	prefix string
}

// DefaultPrefix begins every key, unless [WithPrefix] says otherwise.
const DefaultPrefix = "midhook:"

// Option changes a default of [New].
type Option func(*Store) error

// WithPrefix sets how every key begins, [DefaultPrefix] by default. Processes
// that share events need the same; merchants that share a server, and sandbox
// beside production, need different ones. It must not contain braces, with which
// a cluster would keep all claims on one of its nodes.
func WithPrefix(prefix string) Option {
	return func(s *Store) error {
		s.prefix = prefix
		if strings.ContainsAny(prefix, "{}") {
			return fmt.Errorf("prefix %q: it must not contain braces", prefix)
		}
		return nil
	}
}

// New returns a store that works through client: a [redis.Client], a
// [redis.ClusterClient], or whatever else runs scripts at once, which a pipeline
// does not. It does not connect. The client stays the caller's to close, after
// the server has shut down.
//
// Set ContextTimeoutEnabled in the client's options: without it the client waits
// for its own ReadTimeout, whatever the budget. While Redis refuses connections
// the client tries again for most of a budget, which DialerRetries and MaxRetries
// shorten. Its default of three retries is
// harmless, for an operation can be repeated; only a Release whose answer was lost
// is then reported as [midhook.ErrNotOwner]. A client that reads from replicas
// sends scripts to masters all the same.
//
// The error lists everything that is wrong.
func New(client redis.Scripter, opts ...Option) (*Store, error) {
	s := &Store{client: client, prefix: DefaultPrefix}
	var errs []error
	if v := reflect.ValueOf(client); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		errs = append(errs, errors.New("client: it must not be nil"))
	}
	for i, opt := range opts {
		if opt == nil {
			errs = append(errs, fmt.Errorf("option %d is nil", i+1))
			continue
		}
		errs = append(errs, opt(s))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("redisstore: %w", err)
	}
	return s, nil
}

// Acquire claims an event, see [midhook.Store].
func (s *Store) Acquire(ctx context.Context, c midhook.Claim) (midhook.ClaimState, error) {
	ends := millis(c.Lease)
	expires := min(ends+late.Milliseconds(), millis(forever))
	answer, err := s.run(ctx, acquire, c, alone(c, 'c', ends, ends, 0, expires), expires)
	state := midhook.ClaimState(answer)
	switch {
	case err != nil:
		return 0, fmt.Errorf("redisstore: acquire: %w", err)
	case state < midhook.Acquired || state > midhook.Busy:
		return 0, fmt.Errorf("redisstore: acquire: unexpected answer %d", answer)
	}
	return state, nil
}

// Finish marks an event as handled, see [midhook.Store]. It can come up to 24 h
// after the end of the lease.
func (s *Store) Finish(ctx context.Context, c midhook.Claim, keep time.Duration) error {
	ends, known, alternates := millis(keep), int64(0), 0
	if stage(c) > 0 {
		known = ends
	}
	if c.Alternates {
		alternates = 1
	}
	return s.end(ctx, "finish", finish, c, alone(c, 'd', ends, 0, known, ends), ends, alternates)
}

// Release gives a claim back, see [midhook.Store].
func (s *Store) Release(ctx context.Context, c midhook.Claim) error {
	return s.end(ctx, "release", release, c, alone(c, 'c', 0, 0, 0, 0))
}

func (s *Store) end(ctx context.Context, name string, script *redis.Script, c midhook.Claim, args ...any) error {
	answer, err := s.run(ctx, script, c, args...)
	switch {
	case err != nil:
		return fmt.Errorf("redisstore: %s: %w", name, err)
	case answer == 1:
		return nil
	case answer == 0:
		return midhook.ErrNotOwner
	}
	return fmt.Errorf("redisstore: %s: unexpected answer %d", name, answer)
}

// run is the one round trip of an operation.
func (s *Store) run(ctx context.Context, script *redis.Script, c midhook.Claim, args ...any) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return script.Run(ctx, s.client, []string{s.key(c)}, args...).Int()
}

// key is of the string that has all of a subject. Its tag is for a cluster's slots.
func (s *Store) key(c midhook.Claim) string {
	kind, of := "subject", c.Subject
	if of == "" {
		kind, of = "lone event", c.Key
	}
	b := make([]byte, 0, 128)
	b = append(b, s.prefix...)
	b = append(b, '{')
	b = base64.RawURLEncoding.AppendEncode(b, appendDigest(nil, kind, of)) // printable, for whoever looks
	b = append(b, '}')
	return string(b)
}

// appendDigest appends 128 bits.
func appendDigest(b []byte, kind, of string) []byte {
	text := append(make([]byte, 0, 128), kind...) // mostly on the stack
	text = append(append(text, ':'), of...)
	sum := sha256.Sum256(text)
	return append(b, sum[:16]...)
}

const forever = time.Duration(1<<63 - 1)

// millis rounds up, and adds the one that has begun, so that nothing ends early.
func millis(d time.Duration) int64 {
	if d <= 0 {
		return 1
	}
	return int64((d-1)/time.Millisecond) + 2
}
