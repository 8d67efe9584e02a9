package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/midhook/midhook"
)

// optimistic does an operation in a read, which sees all of the table at one
// moment, and a write that changes the rows only if they are still as they were read.
// Several rows are written in one short transaction, which has nothing to wait for
// but others like it.
//
// Its statements are written out with their values, which are digests in
// hexadecimal and whole numbers: with a placeholder MySQL would need a further
// round trip to prepare each.
type optimistic struct {
	dialect           Dialect
	table, holds, now string
}

func newOptimistic(dialect Dialect, table string) *optimistic {
	// Both give the time of the statement. Neither depends on a time zone.
	now := `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))`
	if dialect == SQLite {
		now = `CAST(round((julianday('now') - 2440587.5) * 86400000) * 1000 AS INTEGER)` // to the millisecond
	}
	return &optimistic{dialect: dialect, table: dialect.quote(table), holds: dialect.quote(table + holdsSuffix), now: now}
}

// row is what there is of an event and its subject.
type row struct {
	exists  bool
	owner   []byte
	done    bool
	expires int64
	live    bool
	highest int64 // finished stage of the claim's subject
	hold    hold
	former  []byte // another event of the subject that the claim's owner has in flight
}

// hold is the row that says who holds a subject. It counts as long as its owner
// still has the event that it names, so that nothing but acquire writes it.
type hold struct {
	exists       bool
	owner, event []byte
	ends         int64
	live         bool
}

func (r row) ownedBy(owner []byte) bool { return r.exists && bytes.Equal(r.owner, owner) }

func (o *optimistic) read(ctx context.Context, db *sql.DB, c claim) (r row, err error) {
	var done, live, held sql.NullBool
	var expires, ends sql.NullInt64
	err = db.QueryRowContext(ctx, o.sql(`
SELECT e.owner, e.done, e.expires, e.expires > @now, @highest, h.owner, h.event, h.expires, h.expires > @now AND EXISTS (
		SELECT 1 FROM @table AS b WHERE b.event = h.event AND b.owner = h.owner AND b.done = 0
	), (SELECT f.event FROM @table AS f WHERE f.subject = @subject AND f.owner = @owner AND f.done = 0 AND f.event <> @event LIMIT 1)
FROM (SELECT 1 AS always) AS a LEFT JOIN @table AS e ON e.event = @event LEFT JOIN @holds AS h ON h.subject = @subject`, c)).
		Scan(&r.owner, &done, &expires, &live, &r.highest, &r.hold.owner, &r.hold.event, &ends, &held, &r.former)
	r.exists, r.done, r.expires, r.live = expires.Valid, done.Bool, expires.Int64, live.Bool
	r.hold.exists, r.hold.ends, r.hold.live = ends.Valid, ends.Int64, held.Bool
	return r, err
}

func (o *optimistic) acquire(ctx context.Context, db *sql.DB, c claim) (verdict, error) {
	seen, err := o.read(ctx, db, c)
	if err != nil {
		return verdict{}, err
	}
	own := seen.ownedBy(c.owner) && !seen.done
	holder := bytes.Equal(seen.hold.owner, c.owner)
	writes := []string{o.claimEvent(c, seen)}
	switch {
	case seen.done && seen.live:
		return verdict{state: midhook.Done}, nil
	case own:
	case seen.live && !seen.done && !seen.ownedBy(nobody):
		return verdict{state: midhook.InFlight}, nil
	case seen.former != nil:
		if seen.hold.live && holder {
			writes = slices.Insert(writes, 0, o.holdSubject(c, seen.hold, fmt.Sprint(seen.hold.ends)))
		}
		writes = append(writes, o.sql(`
UPDATE @table SET owner = @nobody, expires = @now WHERE event = `+literal(seen.former)+` AND owner = @owner AND done = 0`, c))
	case seen.hold.live && !holder && !bytes.Equal(seen.hold.event, c.event):
		return verdict{state: midhook.Busy}, nil
	case c.stage > 0 && seen.highest > c.stage:
		return verdict{state: midhook.Superseded}, nil
	case c.subject != nil:
		// Never the end that was seen: an owner that takes up again what it has given up
		// would leave the row as it was, and others would take it for unchanged.
		writes = slices.Insert(writes, 0, o.holdSubject(c, seen.hold, fmt.Sprintf(`@now + @lease + (@now + @lease = %d)`, seen.hold.ends)))
	}
	took, err := o.write(ctx, db, c, seen, writes)
	if isContention(err) {
		took, err = false, nil
	}
	return verdict{state: midhook.Acquired, contended: !took, own: own}, err
}

// claimEvent gives the event to the claim's owner if its row is still as it was seen.
func (o *optimistic) claimEvent(c claim, seen row) string {
	if !seen.exists {
		return o.sql(`
INSERT INTO @table (event, owner, done, subject, stage, expires) VALUES (@event, @owner, 0, @subject, 0, @now + @lease)`, c)
	}
	return o.sql(`
UPDATE @table SET owner = @owner, done = 0, subject = @subject, stage = 0, expires = @now + @lease
WHERE event = @event`, c) + fmt.Sprintf(` AND owner = %s AND done = %d AND expires = %d`, literal(seen.owner), number(seen.done), seen.expires)
}

// holdSubject gives the subject to the claim's owner if its row is still as it was
// seen.
func (o *optimistic) holdSubject(c claim, seen hold, ends string) string {
	if !seen.exists {
		return o.sql(`
INSERT INTO @holds (subject, owner, event, expires) VALUES (@subject, @owner, @event, `+ends+`)`, c)
	}
	return o.sql(`
UPDATE @holds SET owner = @owner, event = @event, expires = `+ends+`
WHERE subject = @subject`, c) + fmt.Sprintf(` AND owner = %s AND event = %s AND expires = %d`, literal(seen.owner), literal(seen.event), seen.ends)
}

// write does all of the writes, and reports false if one of them has found its row
// changed: then it does none.
func (o *optimistic) write(ctx context.Context, db *sql.DB, c claim, seen row, writes []string) (bool, error) {
	// In SQLite nobody waits longer than the busy timeout.
	mayBeLocked := seen.exists && o.dialect != SQLite
	if len(writes) == 1 && !mayBeLocked {
		n, err := affected(db.ExecContext(ctx, writes[0]))
		return n > 0, err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	if mayBeLocked {
		// A row that may be taken over but is locked is in the transaction of a handler
		// that finishes it: there is no point in waiting for it.
		if _, err := tx.ExecContext(ctx, o.sql(`SELECT 1 FROM @table WHERE event = @event FOR UPDATE NOWAIT`, c)); err != nil {
			return false, err
		}
	}
	for _, write := range writes {
		if n, err := affected(tx.ExecContext(ctx, write)); err != nil || n == 0 {
			return false, err
		}
	}
	return true, tx.Commit()
}

func (o *optimistic) finish(ctx context.Context, db *sql.DB, c claim, keep int64) (finished, error) {
	seen, err := o.read(ctx, db, c)
	if err != nil || !seen.ownedBy(c.owner) || seen.done {
		return seen.finishedBy(c.owner), err
	}
	if !c.alternates {
		c.stage = max(c.stage, seen.highest)
		n, err := affected(db.ExecContext(ctx, o.mark(c, keep)))
		if err != nil || n == 0 {
			return contended, err
		}
		return marked, nil
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	if n, err := affected(tx.ExecContext(ctx, o.mark(c, keep))); err != nil || n == 0 {
		return contended, err
	}
	if _, err := tx.ExecContext(ctx, o.forget(c)); err != nil {
		return 0, err
	}
	return marked, tx.Commit()
}

func (o *optimistic) mark(c claim, keep int64) string {
	return o.sql(`
UPDATE @table SET done = 1, subject = @subject, stage = @stage, expires = @now + `+fmt.Sprint(keep)+`
WHERE event = @event AND owner = @owner AND done = 0`, c)
}

// forget deletes the subject's other handled events.
func (o *optimistic) forget(c claim) string {
	return o.sql(`DELETE FROM @table WHERE subject = @subject AND done = 1 AND event <> @event`, c)
}

func (o *optimistic) inTransaction(c claim, keep int64) txStatements {
	return txStatements{
		mark:   statement{text: o.mark(c, keep)},
		touch:  statement{text: o.sql(`UPDATE @table SET expires = expires + 1 WHERE event = @event AND owner = @owner AND done = 1`, c)},
		forget: statement{text: o.forget(c)},
	}
}

func (o *optimistic) confirm(ctx context.Context, db *sql.DB, c claim, wait bool) (finished, error) {
	text := o.sql(`SELECT done FROM @table WHERE event = @event AND owner = @owner`, c)
	if wait && o.dialect == MySQL { // in SQLite a transaction has ended when Commit has returned
		text += ` FOR UPDATE`
	}
	return confirmed(db.QueryRowContext(ctx, text))
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

func (o *optimistic) purge(ctx context.Context, db *sql.DB) (int64, bool, error) {
	events, more, err := o.purgeTable(ctx, db, o.table, "event")
	if err != nil {
		return events, false, err
	}
	_, moreHolds, err := o.purgeTable(ctx, db, o.holds, "subject")
	return events, more || moreHolds, err
}

// purgeTable deletes by primary key: a range would have MySQL lock what is beside it.
func (o *optimistic) purgeTable(ctx context.Context, db *sql.DB, table, key string) (int64, bool, error) {
	expired := o.sql(` expires < @now - `, claim{}) + fmt.Sprint(micros(purgeMargin))
	rows, err := db.QueryContext(ctx, `SELECT `+key+` FROM `+table+` WHERE`+expired+fmt.Sprintf(` LIMIT %d`, purgeBatch))
	if err != nil {
		return 0, false, err
	}
	defer rows.Close()
	var keys []string
	for rows.Next() {
		var digest []byte
		if err := rows.Scan(&digest); err != nil {
			return 0, false, err
		}
		keys = append(keys, literal(digest))
	}
	if err := rows.Err(); err != nil || len(keys) == 0 {
		return 0, false, err
	}
	n, err := affected(db.ExecContext(ctx, `DELETE FROM `+table+` WHERE `+key+` IN (`+strings.Join(keys, ", ")+`) AND`+expired))
	return n, len(keys) == purgeBatch, err
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
		"@holds", o.holds,
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
