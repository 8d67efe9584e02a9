package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/midhook/midhook"
)

// ErrEviction is in the error of [Store.Check] where the server may drop live
// claims. All else has been found in order then.
var ErrEviction = errors.New("a full server drops live claims: set maxmemory-policy to noeviction")

// Check reports whether the store can work, for the start of the merchant's
// server: nil, or an error that says what is missing. It makes a claim of its own
// under the store's prefix, finishes and releases it, and leaves nothing behind. So
// it finds a server that cannot be reached, does not let this user run scripts or
// write these keys, is a replica, is full, or is older than Redis 6.2. In a cluster
// the claim is on one node, and every master is asked whether it answers.
//
// Check also reads the server's maxmemory-policy. The error is [ErrEviction] where
// that policy drops live claims, which only a server with a maxmemory does. A
// server that refuses INFO keeps its policy for itself, and Check says nothing of it.
//
// The context bounds Check, if the client has ContextTimeoutEnabled.
func (s *Store) Check(ctx context.Context) error {
	if err := s.rehearse(ctx); err != nil {
		return fmt.Errorf("redisstore: check: %w", s.explained(err))
	}
	if err := s.eachServer(ctx, evicts); err != nil {
		return fmt.Errorf("redisstore: check: %w", s.explained(err))
	}
	return nil
}

// rehearse runs every script, in ways that need every command.
func (s *Store) rehearse(ctx context.Context) error {
	first := midhook.Claim{Key: rand.Text(), Subject: rand.Text(), Stage: 1, Owner: rand.Text(), Lease: time.Minute}
	second := first
	second.Key += " second"
	lone := first
	lone.Subject = ""
	acquire := func(c midhook.Claim) func() error {
		return func() error {
			state, err := s.Acquire(ctx, c)
			if err == nil && state != midhook.Acquired {
				err = fmt.Errorf("a new event is %v", state)
			}
			return err
		}
	}
	for _, step := range []func() error{
		acquire(lone),
		func() error { return s.Release(ctx, lone) },
		acquire(first),
		acquire(first),
		func() error { return s.Finish(ctx, first, time.Second) },
		acquire(second),
		func() error { return s.Release(ctx, second) },
		acquire(second),
		func() error {
			second.Alternates = true
			return s.Finish(ctx, second, 0) // which leaves nothing else
		},
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// explained says of an error whether the server cannot be reached or refuses.
func (s *Store) explained(err error) error {
	var answered redis.Error
	switch {
	case errors.Is(err, ErrEviction):
		return err
	case errors.As(err, &answered):
		return fmt.Errorf("the server refuses what the store needs, which is EVALSHA and EVAL of scripts with "+
			"GET, GETEX, SET, DEL and PTTL for keys that begin with %q, on a master of version 6.2 or later: %w", s.prefix, err)
	}
	return fmt.Errorf("the server cannot be reached: %w", err)
}

type informer interface {
	Info(ctx context.Context, sections ...string) *redis.StringCmd
}

// eachServer calls ask for every server that has claims, as far as the client
// knows any.
func (s *Store) eachServer(ctx context.Context, ask func(context.Context, informer) error) error {
	switch client := s.client.(type) {
	case interface {
		ForEachMaster(context.Context, func(context.Context, *redis.Client) error) error
	}:
		return client.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error { return ask(ctx, c) })
	case informer:
		return ask(ctx, client)
	}
	return nil
}

// evicts returns ErrEviction for a server that may drop live claims.
func evicts(ctx context.Context, server informer) error {
	info, err := server.Info(ctx, "memory").Result()
	if answered := redis.Error(nil); errors.As(err, &answered) {
		return nil // the server refuses INFO
	}
	if err != nil {
		return err
	}
	limit, policy := "", ""
	for line := range strings.Lines(info) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), ":"); name {
		case "maxmemory":
			limit = value
		case "maxmemory_policy":
			policy = value
		}
	}
	switch {
	case limit == "0" || policy == "noeviction" || policy == "volatile-ttl" || policy == "":
		return nil
	}
	return fmt.Errorf("maxmemory-policy is %s: %w", policy, ErrEviction)
}
