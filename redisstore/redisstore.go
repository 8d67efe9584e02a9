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
// The client's defaults do not suit a response budget. Set in its options:
//
//   - ContextTimeoutEnabled: true. Without it the client waits for its own
//     ReadTimeout of 5 s, whatever the budget.
//   - DialerRetries: 1 and MaxRetries: 1. While Redis refuses connections, the
//     client then tries twice for each operation, and a delivery is answered 503 at
//     once. By default it tries 20 times, which keeps a delivery for most of its
//     budget. In redis.ClusterOptions DialerRetries alone is enough.
//
// For each of these tries the client prints a line of its own, until the program
// calls Disable of github.com/redis/go-redis/v9/logging or gives redis.SetLogger a
// logger. Midhook reports what fails in any case.
//
// Retries are harmless, for an operation can be repeated; only a Release whose
// answer was lost is then reported as [midhook.ErrNotOwner]. A client that reads
// from replicas sends scripts to masters all the same.
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

// Acquire claims an event and holds its subject, see [midhook.Store].
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

// Interface guards
var _ midhook.Store = (*Store)(nil)
