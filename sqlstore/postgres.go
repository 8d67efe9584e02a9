package sqlstore

import (
	"context"
	"database/sql"
	"strings"

	"github.com/midhook/midhook"
)

// postgres does each operation in one statement, which is one round trip.
//
// A statement sees the table as it was when it began, and a row that it locks or
// writes as it is by then. So acquire decides by what it sees, all of one moment,
// and writes only if the row is still that version: the claim was then acquired at
// that moment, for whatever happened to the event since would have made another
// version.
type postgres struct {
	acquireSQL, finishSQL, releaseSQL, purgeSQL string
}

func newPostgres(table string) *postgres {
	sql := func(text string) string {
		return strings.NewReplacer(
			"@table", PostgreSQL.quote(table),
			"@now", "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint", // now() is when the transaction began
			"@began", "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint", // constant: an index can serve it
			"@nobody", `'\x`+strings.Repeat("00", len(nobody))+`'::bytea`,
		).Replace(text)
	}
	return &postgres{
		// A row that may be taken over but is locked is in the transaction of a
		// handler that finishes it: there is no point in waiting for it.
		acquireSQL: sql(`
WITH seen AS MATERIALIZED (
	SELECT xmin AS version, done, owner, expires > @now AS live FROM @table WHERE event = $1
), decided AS MATERIALIZED (
	SELECT seen.version, NOT seen.done AND seen.owner = $2::bytea AS own, CASE
		WHEN seen.done AND seen.live THEN 'done'
		WHEN NOT seen.done AND seen.owner = $2::bytea THEN 'acquired'
		WHEN NOT seen.done AND seen.owner <> @nobody AND seen.live THEN 'in flight'
		WHEN EXISTS (SELECT FROM @table WHERE subject = $3::bytea AND stage > $4::bigint AND done AND expires > @now) THEN 'superseded'
		ELSE 'acquired' END AS state
	FROM (SELECT) AS always LEFT JOIN seen ON true
), unlocked AS MATERIALIZED (
	SELECT e.event FROM @table AS e, decided WHERE e.event = $1 AND decided.state = 'acquired'
	FOR UPDATE OF e SKIP LOCKED
), taken AS (
	INSERT INTO @table AS e (event, owner, done, stage, expires)
	SELECT $1, $2::bytea, false, 0, @now + $5::bigint FROM decided
	WHERE state = 'acquired' AND (version IS NULL OR EXISTS (SELECT FROM unlocked))
	ON CONFLICT (event) DO UPDATE
	SET owner = EXCLUDED.owner, done = false, subject = NULL, stage = 0, expires = EXCLUDED.expires
	WHERE e.xmin = (SELECT version FROM decided)
	RETURNING 1
)
SELECT state, state = 'acquired' AND NOT EXISTS (SELECT FROM taken), COALESCE(own, false) FROM decided`),

		// The lock makes one who finishes the same claim at the same time wait, and
		// then see that it is done.
		finishSQL: sql(`
WITH locked AS MATERIALIZED (
	SELECT done FROM @table WHERE event = $1 AND owner = $2 FOR UPDATE
), marked AS (
	UPDATE @table SET done = true, subject = $3::bytea, expires = @now + $5::bigint, stage = GREATEST($4::bigint,
		(SELECT max(stage) FROM @table WHERE subject = $3::bytea AND done AND expires > @now))
	WHERE event = $1 AND owner = $2 AND NOT done AND EXISTS (SELECT FROM locked)
	RETURNING 1
)
SELECT EXISTS (SELECT FROM marked), EXISTS (SELECT FROM locked WHERE done)`),

		releaseSQL: sql(`UPDATE @table SET owner = @nobody, expires = @now WHERE event = $1 AND owner = $2 AND NOT done`),

		purgeSQL: sql(`
DELETE FROM @table WHERE event IN (
	SELECT event FROM @table WHERE expires < @began - $1::bigint LIMIT $2 FOR UPDATE SKIP LOCKED
)`),
	}
}

var states = map[string]midhook.ClaimState{
	"acquired":   midhook.Acquired,
	"in flight":  midhook.InFlight,
	"done":       midhook.Done,
	"superseded": midhook.Superseded,
}

func (p *postgres) acquire(ctx context.Context, db *sql.DB, c claim) (v verdict, err error) {
	var state string
	err = db.QueryRowContext(ctx, p.acquireSQL, c.event, c.owner, c.subject, c.stage, c.lease).Scan(&state, &v.contended, &v.own)
	v.state = states[state]
	return v, err
}

func (p *postgres) finish(ctx context.Context, db *sql.DB, tx *sql.Tx, c claim, keep int64) (finished, error) {
	var now, earlier bool
	err := on(db, tx).QueryRowContext(ctx, p.finishSQL, c.event, c.owner, c.subject, c.stage, keep).Scan(&now, &earlier)
	switch {
	case err != nil:
		return 0, err
	case now:
		return marked, nil
	case earlier:
		return before, nil
	default:
		return notOwner, nil
	}
}

func (p *postgres) release(ctx context.Context, db *sql.DB, c claim) (bool, error) {
	n, err := affected(db.ExecContext(ctx, p.releaseSQL, c.event, c.owner))
	return n > 0, err
}

func (p *postgres) purge(ctx context.Context, db *sql.DB) (int64, bool, error) {
	n, err := affected(db.ExecContext(ctx, p.purgeSQL, micros(purgeMargin), purgeBatch))
	return n, n == purgeBatch, err
}

// querier is what a database and a transaction have in common.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func on(db *sql.DB, tx *sql.Tx) querier {
	if tx != nil {
		return tx
	}
	return db
}

func affected(r sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}
