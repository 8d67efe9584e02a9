package sqlstore

import (
	"fmt"
	"regexp"
	"time"
)

// Option changes a default of [New].
type Option func(*Store) error

const defaultTable = "midhook_events"

// The longest name leaves room for the suffixes of the indexes' names.
var tableName = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]{0,47}\.)?[A-Za-z_][A-Za-z0-9_]{0,47}$`)

// WithTable names the table of events, midhook_events by default: up to 48 letters,
// digits and underscores, behind a schema's (with MySQL a database's) name and a dot
// if need be. Its case is kept. The table of holds has the same name and _holds
// behind it. Merchants who share a database take a table each, or one table and a
// [midhook.WithNamespace] each.
func WithTable(name string) Option {
	return func(s *Store) error {
		s.table = name
		if !tableName.MatchString(name) {
			return fmt.Errorf("table %q: up to 48 letters, digits and underscores are required, the first no digit", name)
		}
		return nil
	}
}

// WithKeep sets for how long an event that [Store.FinishTx] has marked is
// remembered, 24 hours by default. It must cover the time over which Midtrans
// repeats a notification, 5.7 hours. It does not change how long
// [midhook.WithKeep] has the middleware remember what FinishTx has not marked.
func WithKeep(d time.Duration) Option {
	return func(s *Store) error {
		s.keep = d
		if d <= 0 {
			return fmt.Errorf("keep %v: it must be positive", d)
		}
		return nil
	}
}

// WithPurgeInterval sets how often each process deletes what has expired, see
// [Store.Purge]: every 10 minutes by default. 0 leaves it to you.
func WithPurgeInterval(d time.Duration) Option {
	return func(s *Store) error {
		s.purgeEvery = d
		if d < 0 {
			return fmt.Errorf("purge interval %v: it must not be negative", d)
		}
		return nil
	}
}
