package sqlstore

import (
	"context"
	"fmt"
	"time"
)

const (
	purgeBatch   = 500
	purgeTimeout = time.Minute
	// purgeMargin keeps a row for longer than any operation lasts that has read it,
	// and leaves a handler that has outlived its lease time to finish its claim.
	purgeMargin = time.Hour
)

// Purge deletes what has expired more than an hour ago, in small batches that no
// other operation waits for, and tells how many rows these were. Expired rows cost
// space and nothing else: no answer depends on whether they were deleted.
//
// You need not call it. Every 10 minutes (see [WithPurgeInterval]) an Acquire has it
// done by a goroutine that it does not wait for, that ends when it is through or after
// a minute, and that is never there twice in a process. What fails is left to the
// next time. With an interval of 0 there is no goroutine, and Purge is for a timer or
// a cron job of yours.
func (s *Store) Purge(ctx context.Context) (rows int64, err error) {
	for {
		n, more, err := s.engine.purge(ctx, s.db)
		rows += n
		if err != nil && !isContention(err) {
			return rows, fmt.Errorf("sqlstore: purging: %w", err)
		}
		if err != nil || !more { // those who are there at the same time may be purging
			return rows, nil
		}
	}
}

func (s *Store) purgeIfDue() {
	if s.purgeEvery <= 0 {
		return
	}
	now, due := time.Since(s.epoch), s.purgeAt.Load()
	if int64(now) < due || !s.purging.CompareAndSwap(false, true) {
		return
	}
	s.purgeAt.Store(int64(now + s.purgeEvery))
	go func() {
		defer s.purging.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), purgeTimeout)
		defer cancel()
		_, _ = s.Purge(ctx)
	}()
}
