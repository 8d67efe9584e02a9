package sqlstore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/midhook/midhook"
)

// transactions remembers the claims that FinishTx has worked on until they are
// settled. The zero value is ready for use.
type transactions struct {
	mu      sync.Mutex
	began   map[transaction]time.Time
	sweepAt int // how many there may be before those that nobody settles are dropped
}

type transaction struct{ event, owner string }

const (
	// abandonedAfter is longer than any handler runs.
	abandonedAfter = 24 * time.Hour
	sweepFrom      = 1024
)

func (t *transactions) remember(c claim) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.began == nil {
		t.began, t.sweepAt = map[transaction]time.Time{}, sweepFrom
	}
	if len(t.began) >= t.sweepAt {
		for claim, began := range t.began {
			if time.Since(began) > abandonedAfter {
				delete(t.began, claim)
			}
		}
		t.sweepAt = max(sweepFrom, 2*len(t.began))
	}
	t.began[c.transaction()] = time.Now()
}

// forget reports whether the claim was remembered.
func (t *transactions) forget(c claim) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.began[c.transaction()]
	delete(t.began, c.transaction())
	return ok
}

func (c claim) transaction() transaction { return transaction{string(c.event), string(c.owner)} }

// commitPatience is how long a transaction that is still open is waited for: the
// server may be about to commit it for a client that has lost its connection.
const commitPatience = 2 * time.Second

// confirm returns nil if the transaction that marked the event was committed. To
// deliver the event again is safe whenever nobody can tell, and to take it for
// handled is not.
func (s *Store) confirm(ctx context.Context, c claim) error {
	var f finished
	look := func(ctx context.Context, wait bool) error {
		return persist(ctx, settlePatience, func() (again bool, err error) {
			f, err = s.engine.confirm(ctx, s.db, c, wait)
			return false, err
		})
	}
	err := look(ctx, false)
	if err == nil && f == unmarked {
		ctx, cancel := context.WithTimeout(ctx, commitPatience)
		defer cancel()
		err = look(ctx, true)
	}
	switch {
	case err != nil:
		return fmt.Errorf("sqlstore: %w: %w", midhook.ErrUncommitted, err)
	case f == before:
		return nil
	case f == unmarked:
		return fmt.Errorf("sqlstore: %w", midhook.ErrUncommitted)
	default:
		return midhook.ErrNotOwner
	}
}
