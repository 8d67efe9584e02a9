// Package sqlstore keeps midhook's claims in a SQL database that several
// processes share: PostgreSQL, MySQL or MariaDB, or SQLite.
//
//	db, err := sql.Open("pgx", dsn)
//	store, err := sqlstore.New(db, sqlstore.PostgreSQL)
//	err = store.Migrate(ctx) // or run the output of store.Schema() yourself
//	err = store.Check(ctx)   // at start-up: the tables are there and may be written
//	hook, err := midhook.New(serverKey, midhook.WithStore(store))
//
// With it, the guarantees of [midhook.Middleware] hold for all processes
// together, and survive their restart. Where the merchant's own tables are in
// the same database, [Store.FinishTx] goes further: the effect of an event and
// the mark that it was handled commit together or not at all, so that no crash
// repeats the effect. It takes the transaction of database/sql, sqlx, GORM or ent,
// and of pgx by way of [PgxTx]; see [Tx].
//
// # The database
//
// It must be the primary, never a replica that may lag behind. A fail-over that
// loses committed transactions loses claims and marks with them; those made by
// FinishTx are lost together with their effects, so that the two still agree.
//
// All times are by the database's clock. A clock that is set forward ends leases
// early, and one that is set back makes them last longer.
//
//   - PostgreSQL 12 or later, tested with 15. Each operation is one statement, and
//     nothing depends on the session, so that PgBouncer may pool by transaction. Its
//     versions before 1.21 know no prepared statements; pgx does without them with
//     default_query_exec_mode=exec in the DSN.
//   - MySQL 8.0.1 or MariaDB 10.3 or later. MariaDB 10.11 is tested and MySQL is not.
//     An operation is a read and a write, and for a claim a short transaction. The
//     session must have autocommit on, as by default.
//   - SQLite 3.8 or later, for processes of one machine, in WAL mode and with a
//     busy timeout: it has one writer at a time, and a process that does not wait for
//     its turn is refused. Let transactions begin as writers. With modernc.org/sqlite:
//     file:shop.db?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)&_txlock=immediate
//
// The package imports no driver. It has been tested with
// github.com/jackc/pgx/v5/stdlib, github.com/go-sql-driver/mysql and
// modernc.org/sqlite.
//
// # Isolation
//
// Every isolation level will do, for the store's own statements as for the handler's
// transaction. FinishTx reads no row but the one of its own event, so that handlers of
// unrelated orders do not fail each other, and the default level (read committed on
// PostgreSQL, repeatable read on MySQL) never refuses it. Under repeatable read on
// PostgreSQL and under serializable anywhere the handler's own statements may be
// refused, at COMMIT at the latest. Midhook then answers 503, and Midtrans comes again
// in half a minute at the earliest; a handler that runs its transaction again is
// through sooner. FinishTx belongs into each run, and [ErrFinished] says that an
// earlier one was committed after all. The example "Serializable" of FinishTx shows
// the loop.
//
// # What is stored
//
// One table has a row for each event, the other one a row for each transaction that
// says which event of it is being handled. Both hold SHA-256 digests of event, subject
// and owner, the stage and when the row expires: no order, no amount, nobody's name.
package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/midhook/midhook"
)

// Store is a [midhook.Store] in a table. It is made by [New] and safe for
// concurrent use, by any number of processes.
//
// An Acquire that meets another's lock tries again for about a second, one that meets
// a deadlock or a serialization failure for five, and then answers
// [midhook.InFlight]: for midhook that is a 503, upon which Midtrans comes again.
// Finish and Release try again for five seconds, and then fail. None goes on when its
// context is done.
type Store struct {
	db         *sql.DB
	dialect    Dialect
	table      string
	keep       time.Duration
	purgeEvery time.Duration
	engine     engine

	transactions transactions

	purgeAt atomic.Int64 // when the next purge is due, as a duration since epoch
	purging atomic.Bool
	epoch   time.Time
}

// New returns a store in db, which stays the caller's to close. Nothing is asked
// of the database yet: [Store.Migrate] makes the table. The error lists everything
// that is wrong.
func New(db *sql.DB, dialect Dialect, opts ...Option) (*Store, error) {
	s := &Store{
		db:         db,
		dialect:    dialect,
		table:      defaultTable,
		keep:       24 * time.Hour,
		purgeEvery: 10 * time.Minute,
		epoch:      time.Now(),
	}
	var errs []error
	if db == nil {
		errs = append(errs, errors.New("database: it must not be nil"))
	}
	if !dialect.valid() {
		errs = append(errs, fmt.Errorf("dialect %v: PostgreSQL, MySQL or SQLite is required", dialect))
	}
	for i, opt := range opts {
		if opt == nil {
			errs = append(errs, fmt.Errorf("option %d is nil", i+1))
			continue
		}
		errs = append(errs, opt(s))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("sqlstore: %w", err)
	}
	if dialect == PostgreSQL {
		s.engine = newPostgres(s.table)
	} else {
		s.engine = newOptimistic(dialect, s.table)
	}
	return s, nil
}

// engine does the work in one dialect. It answers contention with the verdict, or
// with an error that isContention recognises.
type engine interface {
	acquire(ctx context.Context, db *sql.DB, c claim) (verdict, error)
	finish(ctx context.Context, db *sql.DB, c claim, keep int64) (finished, error)
	// inTransaction returns what FinishTx does in a merchant's transaction.
	inTransaction(c claim, keep int64) txStatements
	// confirm looks whether a claim is finished. If it is to wait, then until the
	// transaction in which it is being finished has ended.
	confirm(ctx context.Context, db *sql.DB, c claim, wait bool) (finished, error)
	release(ctx context.Context, db *sql.DB, c claim) (bool, error)
	// purge deletes some of what has expired and tells how many, and whether
	// there may be more.
	purge(ctx context.Context, db *sql.DB) (n int64, more bool, err error)
}

// Interface guards
var (
	_ midhook.Store = (*Store)(nil)

	_ engine = (*postgres)(nil)
	_ engine = (*optimistic)(nil)
)

// verdict is an answer to acquire.
type verdict struct {
	state     midhook.ClaimState // unless contended
	contended bool               // a row was changed meanwhile, or is locked
	own       bool               // and the claim is the caller's already
}

// finished is an answer to finish and confirm.
type finished int

const (
	notOwner  finished = iota
	marked             // now
	before             // by the same owner
	unmarked           // and held by the owner
	contended          // the row was changed meanwhile
)

// claim is a midhook.Claim as it is stored: its strings may be of any length, and
// the database is to learn nothing from them.
type claim struct {
	event, owner []byte
	subject      []byte // nil for none
	stage        int64  // 0 for none
	lease        int64  // microseconds, as all times here
	alternates   bool
}

func newClaim(c midhook.Claim) claim {
	stored := claim{event: hash(c.Key), owner: hash(c.Owner), lease: micros(c.Lease)}
	if c.Subject != "" {
		stored.subject, stored.stage, stored.alternates = hash(c.Subject), max(0, int64(c.Stage)), c.Alternates
	}
	return stored
}

func hash(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

func micros(d time.Duration) int64 { return d.Microseconds() }

// nobody owns a claim that was released: no text is known to have this digest.
var nobody = make([]byte, sha256.Size)

const (
	acquirePatience = time.Second
	settlePatience  = 5 * time.Second
)

// errLocked is the answer to an owner who renews a claim whose row is locked: it
// cannot be renewed and need not be, for it is nobody else's while it is locked.
var errLocked = errors.New("sqlstore: the claim is locked by the transaction that finishes it")

var errContended = errors.New("sqlstore: the claim changes all the time")

// Acquire is described at [midhook.Store].
func (s *Store) Acquire(ctx context.Context, c midhook.Claim) (midhook.ClaimState, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.purgeIfDue()
	stored := newClaim(c)
	var v verdict
	err := persist(ctx, acquirePatience, func() (again bool, err error) {
		v, err = s.engine.acquire(ctx, s.db, stored)
		return v.contended, err
	})
	switch {
	case err != nil && !isContention(err):
		return 0, fmt.Errorf("sqlstore: %w", err)
	case err == nil && !v.contended:
		return v.state, nil
	case v.own:
		return 0, errLocked
	default:
		return midhook.InFlight, nil
	}
}

// Finish is described at [midhook.Store]. For a claim that [Store.FinishTx] has worked
// on, Finish changes nothing and only looks whether the transaction was committed: if
// it was not, or if nobody can tell, the error is a [midhook.ErrUncommitted].
func (s *Store) Finish(ctx context.Context, c midhook.Claim, keep time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	stored := newClaim(c)
	if s.transactions.forget(stored) {
		return s.confirm(ctx, stored)
	}
	var f finished
	err := persist(ctx, settlePatience, func() (again bool, err error) {
		f, err = s.engine.finish(ctx, s.db, stored, micros(keep))
		return f == contended, err
	})
	switch {
	case err != nil:
		return fmt.Errorf("sqlstore: %w", err)
	case f == marked || f == before:
		return nil
	case f == contended:
		return errContended
	default:
		return midhook.ErrNotOwner
	}
}

// Release is described at [midhook.Store].
func (s *Store) Release(ctx context.Context, c midhook.Claim) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	stored := newClaim(c)
	s.transactions.forget(stored)
	var released bool
	err := persist(ctx, settlePatience, func() (again bool, err error) {
		released, err = s.engine.release(ctx, s.db, stored)
		return false, err
	})
	switch {
	case err != nil:
		return fmt.Errorf("sqlstore: %w", err)
	case !released:
		return midhook.ErrNotOwner
	default:
		return nil
	}
}
