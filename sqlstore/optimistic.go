package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/midhook/midhook"
)

// optimistic does an operation in a read, which sees all of the table at one
// moment, and a write that changes the row only if it is still as it was read. No
// transaction is open between the two, so nobody waits for a process that dies
// there.
//
// Its statements are written out with their values, which are digests in
// hexadecimal and whole numbers: with a placeholder MySQL would need a further
// round trip to prepare each.
type optimistic struct {
	dialect    Dialect
	table, now string
}

func newOptimistic(dialect Dialect, table string) *optimistic {
	// Both give the time of the statement. Neither depends on a time zone.
	now := `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))`
	if dialect == SQLite {
		now = `CAST(round((julianday('now') - 2440587.5) * 86400000) * 1000 AS INTEGER)` // to the millisecond
	}
	return &optimistic{dialect: dialect, table: dialect.quote(table), now: now}
}

// row is what there is of an event.
type row struct {
	exists  bool
	owner   []byte
	done    bool
	expires int64
	live    bool
	highest int64 // finished stage of the claim's subject
}

func (r row) ownedBy(owner []byte) bool { return r.exists && bytes.Equal(r.owner, owner) }

func (o *optimistic) read(ctx context.Context, q querier, c claim) (r row, err error) {
	var done, live sql.NullBool
	var expires sql.NullInt64
	err = q.QueryRowContext(ctx, o.sql(`
SELECT e.owner, e.done, e.expires, e.expires > @now, @highest
FROM (SELECT 1 AS always) AS a LEFT JOIN @table AS e ON e.event = @event`, c)).
		Scan(&r.owner, &done, &expires, &live, &r.highest)
	r.exists, r.done, r.expires, r.live = expires.Valid, done.Bool, expires.Int64, live.Bool
	return r, err
}

func (o *optimistic) acquire(ctx context.Context, db *sql.DB, c claim) (verdict, error) {
	seen, err := o.read(ctx, db, c)
	if err != nil {
		return verdict{}, err
	}
	own := seen.ownedBy(c.owner) && !seen.done
	switch {
	case seen.done && seen.live:
		return verdict{state: midhook.Done}, nil
	case own:
	case seen.live && !seen.ownedBy(nobody):
		return verdict{state: midhook.InFlight}, nil
	case c.subject != nil && seen.highest > c.stage:
		return verdict{state: midhook.Superseded}, nil
	}
	took, err := o.take(ctx, db, c, seen)
	if isContention(err) {
		took, err = false, nil
	}
	return verdict{state: midhook.Acquired, contended: !took, own: own}, err
}

// take writes the claim if its row is still as it was seen.
func (o *optimistic) take(ctx context.Context, db *sql.DB, c claim, seen row) (bool, error) {
	if !seen.exists {
		n, err := affected(db.ExecContext(ctx, o.sql(`
INSERT INTO @table (event, owner, done, stage, expires) VALUES (@event, @owner, 0, 0, @now + @lease)`, c)))
		return n > 0, err
	}
	update := o.sql(`
UPDATE @table SET owner = @owner, done = 0, subject = NULL, stage = 0, expires = @now + @lease
WHERE event = @event`, c) + fmt.Sprintf(` AND owner = %s AND done = %d AND expires = %d`, literal(seen.owner), number(seen.done), seen.expires)
	if o.dialect == SQLite { // where nobody waits longer than the busy timeout
		n, err := affected(db.ExecContext(ctx, update))
		return n > 0, err
	}
	// A row that may be taken over but is locked is in the transaction of a handler
	// that finishes it: there is no point in waiting for it.
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	if _, err := tx.ExecContext(ctx, o.sql(`SELECT 1 FROM @table WHERE event = @event FOR UPDATE NOWAIT`, c)); err != nil {
		return false, err
	}
	n, err := affected(tx.ExecContext(ctx, update))
	if err != nil {
		return false, err
	}
	return n > 0, tx.Commit()
}

func (o *optimistic) finish(ctx context.Context, db *sql.DB, tx *sql.Tx, c claim, keep int64) (finished, error) {
	// In SQLite a transaction that reads before it writes is refused when another
	// has written in between.
	readFirst := o.dialect == MySQL || tx == nil
	if readFirst {
		seen, err := o.read(ctx, on(db, tx), c)
		if err != nil || !seen.ownedBy(c.owner) || seen.done {
			return seen.finishedBy(c.owner), err
		}
		c.stage = max(c.stage, seen.highest)
	}
	stage := `@stage`
	if !readFirst { // in MySQL it would lock what it reads
		stage = `max(@stage, @highest)`
	}
	n, err := affected(on(db, tx).ExecContext(ctx, o.sql(`
UPDATE @table SET done = 1, subject = @subject, stage = `+stage+`, expires = @now + `+fmt.Sprint(keep)+`
WHERE event = @event AND owner = @owner AND done = 0`, c)))
	switch {
	case err != nil:
		return 0, err
	case n > 0:
		return marked, nil
	case readFirst:
		return contended, nil
	}
	seen, err := o.read(ctx, on(db, tx), c)
	return seen.finishedBy(c.owner), err
}

func (r row) finishedBy(owner []byte) finished {
	if r.ownedBy(owner) && r.done {
		return before
	}
	return notOwner
}

func (o *optimistic) release(ctx context.Context, db *sql.DB, c claim) (bool, error) {
	n, err := affected(db.ExecContext(ctx, o.sql(`
UPDATE @table SET owner = @nobody, expires = @now WHERE event = @event AND owner = @owner AND done = 0`, c)))
	return n > 0, err
}

// purge deletes by primary key: a range would have MySQL lock what is beside it.
func (o *optimistic) purge(ctx context.Context, db *sql.DB) (int64, bool, error) {
	expired := o.sql(` expires < @now - `, claim{}) + fmt.Sprint(micros(purgeMargin))
	rows, err := db.QueryContext(ctx, o.sql(`SELECT event FROM @table WHERE`, claim{})+expired+fmt.Sprintf(` LIMIT %d`, purgeBatch))
	if err != nil {
		return 0, false, err
	}
	defer rows.Close()
	var events []string
	for rows.Next() {
		var event []byte
		if err := rows.Scan(&event); err != nil {
			return 0, false, err
		}
		events = append(events, literal(event))
	}
	if err := rows.Err(); err != nil || len(events) == 0 {
		return 0, false, err
	}
	n, err := affected(db.ExecContext(ctx, o.sql(`DELETE FROM @table WHERE event IN (`, claim{})+strings.Join(events, ", ")+`) AND`+expired))
	return n, len(events) == purgeBatch, err
}

// sql fills a statement in.
func (o *optimistic) sql(text string, c claim) string {
	highest := "0"
	if c.subject != nil {
		highest = `(SELECT COALESCE(MAX(stage), 0) FROM ` + o.table + ` WHERE subject = ` + literal(c.subject) +
			` AND done = 1 AND expires > ` + o.now + `)`
	}
	return strings.NewReplacer(
		"@table", o.table,
		"@now", o.now,
		"@nobody", literal(nobody),
		"@event", literal(c.event),
		"@owner", literal(c.owner),
		"@subject", literal(c.subject),
		"@stage", fmt.Sprint(c.stage),
		"@lease", fmt.Sprint(c.lease),
		"@highest", highest,
	).Replace(text)
}

// literal is a binary string in SQL.
func literal(b []byte) string {
	if b == nil {
		return "NULL"
	}
	return "x'" + hex.EncodeToString(b) + "'"
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}
