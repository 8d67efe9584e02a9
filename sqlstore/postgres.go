package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/midhook/midhook"
)

// postgres does each operation in one statement, which is one round trip.
//
// A statement sees the table as it was when it began, and a row that it locks or
// writes as it is by then. So acquire decides by what it sees, all of one moment,
// and writes only if the rows are still those versions: the claim was then acquired
// at that moment, for whatever happened to the event or to its subject's hold since
// would have made other versions.
type postgres struct {
	acquireSQL, finishSQL, confirmSQL, releaseSQL, purgeSQL string
	markSQL, touchSQL, forgetSQL                            string // in a merchant's transaction
}

func newPostgres(table string) *postgres {
	sql := func(text string) string {
		return strings.NewReplacer(
			"@table", PostgreSQL.quote(table),
			"@holds", PostgreSQL.quote(table+holdsSuffix),
			"@now", "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint", // now() is when the transaction began
			"@began", "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint", // constant: an index can serve it
			"@nobody", `'\x`+strings.Repeat("00", len(nobody))+`'::bytea`,
		).Replace(text)
	}
	return &postgres{
		// The row of the subject's hold is written only as the version that was seen,
		// and the row of the event only together with it: of two owners who acquire two
		// events of one subject at once, one gets neither. A hold counts as long as its
		// owner still has the event that it names, so that nothing but acquire writes it.
		//
		// A row that may be taken over but is locked is in the transaction of a
		// handler that finishes it: there is no point in waiting for it.
		acquireSQL: sql(`
WITH seen AS MATERIALIZED (
	SELECT xmin AS version, done, owner, expires > @now AS live FROM @table WHERE event = $1
), hold AS MATERIALIZED (
	SELECT h.xmin AS version, h.owner, h.event, h.expires, h.expires > @now AND EXISTS (
		SELECT FROM @table AS held WHERE held.event = h.event AND held.owner = h.owner AND NOT held.done
	) AS live FROM @holds AS h WHERE h.subject = $3::bytea
), former AS MATERIALIZED (
	SELECT event FROM @table WHERE subject = $3::bytea AND owner = $2::bytea AND NOT done AND event <> $1
), answered AS MATERIALIZED (
	SELECT seen.version, hold.version AS hold_version, hold.expires AS hold_ends,
		COALESCE(hold.live AND hold.owner = $2::bytea, false) AS holder, CASE
		WHEN seen.done AND seen.live THEN 'done'
		WHEN NOT seen.done AND seen.owner = $2::bytea THEN 'renewed'
		WHEN NOT seen.done AND seen.owner <> @nobody AND seen.live THEN 'in flight'
		WHEN EXISTS (SELECT FROM former) THEN 'moved'
		WHEN hold.live AND hold.owner <> $2::bytea AND hold.event <> $1 THEN 'busy'
		WHEN $4::bigint > 0 AND EXISTS (SELECT FROM @table WHERE subject = $3::bytea AND stage > $4::bigint AND done AND expires > @now) THEN 'superseded'
		ELSE 'acquired' END AS state
	FROM (SELECT) AS always LEFT JOIN seen ON true LEFT JOIN hold ON true
), decided AS MATERIALIZED (
	SELECT *, state IN ('renewed', 'moved', 'acquired') AS takes,
		$3::bytea IS NOT NULL AND (state = 'acquired' OR state = 'moved' AND holder) AS takes_hold
	FROM answered
), unlocked AS MATERIALIZED (
	SELECT e.event FROM @table AS e, decided WHERE e.event = $1 AND decided.takes
	FOR UPDATE OF e SKIP LOCKED
), held AS (
	INSERT INTO @holds AS h (subject, owner, event, expires)
	SELECT $3::bytea, $2::bytea, $1, CASE state WHEN 'moved' THEN hold_ends ELSE @now + $5::bigint END FROM decided
	WHERE takes_hold AND (version IS NULL OR EXISTS (SELECT FROM unlocked))
	ON CONFLICT (subject) DO UPDATE SET owner = EXCLUDED.owner, event = EXCLUDED.event, expires = EXCLUDED.expires
	WHERE h.xmin = (SELECT hold_version FROM decided)
	RETURNING 1
), taken AS (
	INSERT INTO @table AS e (event, owner, done, subject, stage, expires)
	SELECT $1, $2::bytea, false, $3::bytea, 0, @now + $5::bigint FROM decided
	WHERE takes AND (version IS NULL OR EXISTS (SELECT FROM unlocked)) AND (NOT takes_hold OR EXISTS (SELECT FROM held))
	ON CONFLICT (event) DO UPDATE
	SET owner = EXCLUDED.owner, done = false, subject = EXCLUDED.subject, stage = 0, expires = EXCLUDED.expires
	WHERE e.xmin = (SELECT version FROM decided)
	RETURNING 1
), vacated AS (
	UPDATE @table SET owner = @nobody, expires = @now
	WHERE event IN (SELECT event FROM former) AND owner = $2::bytea AND NOT done
	AND EXISTS (SELECT FROM decided WHERE state = 'moved') AND EXISTS (SELECT FROM taken)
)
SELECT state, takes AND NOT EXISTS (SELECT FROM taken), state = 'renewed' FROM decided`),

		// The lock makes one who finishes the same claim at the same time wait, and
		// then see that it is done.
		finishSQL: sql(`
WITH locked AS MATERIALIZED (
	SELECT done FROM @table WHERE event = $1 AND owner = $2 FOR UPDATE
), marked AS (
	UPDATE @table SET done = true, subject = $3::bytea, expires = @now + $5::bigint,
		stage = CASE WHEN $6::boolean THEN $4::bigint ELSE GREATEST($4::bigint,
			(SELECT max(stage) FROM @table WHERE subject = $3::bytea AND done AND expires > @now)) END
	WHERE event = $1 AND owner = $2 AND NOT done AND EXISTS (SELECT FROM locked)
	RETURNING 1
), forgotten AS (
	DELETE FROM @table WHERE $6::boolean AND subject = $3::bytea AND done AND event <> $1 AND EXISTS (SELECT FROM marked)
)
SELECT EXISTS (SELECT FROM marked), EXISTS (SELECT FROM locked WHERE done)`),

		// An INSERT that meets a conflict reads nothing in the sense of serializable
		// isolation, and an UPDATE would: transactions that finish unrelated events
		// would fail each other. Where there is no row, which is where the claim is not
		// in this table, one of nobody's is inserted, which FinishTx answers with an
		// error and the handler therefore rolls back.
		markSQL: sql(`
WITH marked AS (
	INSERT INTO @table AS e (event, owner, done, stage, expires) VALUES ($1, @nobody, false, 0, 0)
	ON CONFLICT (event) DO UPDATE SET done = true, subject = $3::bytea, stage = $4::bigint, expires = @now + $5::bigint
	WHERE e.owner = $2::bytea AND NOT e.done
	RETURNING e.owner
)
SELECT 1 FROM marked WHERE owner = $2::bytea`),
		touchSQL:  sql(`UPDATE @table SET expires = expires + 1 WHERE event = $1 AND owner = $2 AND done`),
		forgetSQL: sql(`DELETE FROM @table WHERE subject = $2 AND done AND event <> $1`),

		confirmSQL: sql(`SELECT done FROM @table WHERE event = $1 AND owner = $2`),

		releaseSQL: sql(`UPDATE @table SET owner = @nobody, expires = @now WHERE event = $1 AND owner = $2 AND NOT done`),

		purgeSQL: sql(`
WITH events AS (
	DELETE FROM @table WHERE event IN (
		SELECT event FROM @table WHERE expires < @began - $1::bigint LIMIT $2 FOR UPDATE SKIP LOCKED
	) RETURNING 1
), holds AS (
	DELETE FROM @holds WHERE subject IN (
		SELECT subject FROM @holds WHERE expires < @began - $1::bigint LIMIT $2 FOR UPDATE SKIP LOCKED
	) RETURNING 1
)
SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM holds)`),
	}
}

var states = map[string]midhook.ClaimState{
	"acquired":   midhook.Acquired,
	"renewed":    midhook.Acquired,
	"moved":      midhook.Acquired,
	"in flight":  midhook.InFlight,
	"done":       midhook.Done,
	"superseded": midhook.Superseded,
	"busy":       midhook.Busy,
}

func (p *postgres) acquire(ctx context.Context, db *sql.DB, c claim) (v verdict, err error) {
	var state string
	err = db.QueryRowContext(ctx, p.acquireSQL, c.event, c.owner, c.subject, c.stage, c.lease).Scan(&state, &v.contended, &v.own)
	v.state = states[state]
	return v, err
}

func (p *postgres) finish(ctx context.Context, db *sql.DB, c claim, keep int64) (finished, error) {
	var now, earlier bool
	err := db.QueryRowContext(ctx, p.finishSQL, c.event, c.owner, c.subject, c.stage, keep, c.alternates).Scan(&now, &earlier)
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

func (p *postgres) inTransaction(c claim, keep int64) txStatements {
	return txStatements{
		mark:   statement{p.markSQL, []any{c.event, c.owner, c.subject, c.stage, keep}},
		touch:  statement{p.touchSQL, []any{c.event, c.owner}},
		forget: statement{p.forgetSQL, []any{c.event, c.subject}},
	}
}

func (p *postgres) confirm(ctx context.Context, db *sql.DB, c claim, wait bool) (finished, error) {
	text := p.confirmSQL
	if wait {
		text += ` FOR UPDATE`
	}
	return confirmed(db.QueryRowContext(ctx, text, c.event, c.owner))
}

func (p *postgres) release(ctx context.Context, db *sql.DB, c claim) (bool, error) {
	n, err := affected(db.ExecContext(ctx, p.releaseSQL, c.event, c.owner))
	return n > 0, err
}

func (p *postgres) purge(ctx context.Context, db *sql.DB) (events int64, more bool, err error) {
	var holds int64
	err = db.QueryRowContext(ctx, p.purgeSQL, micros(purgeMargin), purgeBatch).Scan(&events, &holds)
	return events, events == purgeBatch || holds == purgeBatch, err
}

// confirmed is what a row says of an event that FinishTx has marked in a transaction.
func confirmed(row *sql.Row) (finished, error) {
	var done bool
	switch err := row.Scan(&done); {
	case errors.Is(err, sql.ErrNoRows):
		return notOwner, nil
	case err != nil:
		return 0, err
	case done:
		return before, nil
	default:
		return unmarked, nil
	}
}

func affected(r sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}
