package sqlstore

import (
	"context"
	"fmt"
	"strings"
)

// Dialect is a kind of database.
type Dialect int

const (
	PostgreSQL Dialect = iota + 1
	MySQL              // and MariaDB
	SQLite
)

func (d Dialect) valid() bool { return d >= PostgreSQL && d <= SQLite }

// String is the dialect's name.
func (d Dialect) String() string {
	if !d.valid() {
		return fmt.Sprintf("Dialect(%d)", int(d))
	}
	return [...]string{"PostgreSQL", "MySQL", "SQLite"}[d-1]
}

// Schema returns the SQL that creates the table under its default name, for those
// who keep their schema in migrations of their own. It may be run again. It is ""
// for a Dialect that is none.
//
// Columns are only ever added in later versions, and each with a default.
func Schema(dialect Dialect) string {
	return script(statements(dialect, defaultTable))
}

// Schema is the SQL that [Store.Migrate] runs.
func (s *Store) Schema() string { return script(statements(s.dialect, s.table)) }

func script(statements []string) string {
	if len(statements) == 0 {
		return ""
	}
	return strings.Join(statements, ";\n") + ";\n"
}

// statements make the table. There is a row for each event: expires is the end of
// its lease or, once it is done, of its keep, in microseconds of Unix time by the
// database's clock. A row has a subject only when it is done; its stage is then the
// highest that was reached.
func statements(dialect Dialect, table string) []string {
	quoted := dialect.quote(table)
	name := table[strings.LastIndexByte(table, '.')+1:] // an index is in its table's schema
	switch dialect {
	case PostgreSQL:
		return []string{
			`CREATE TABLE IF NOT EXISTS ` + quoted + ` (
	event   bytea   PRIMARY KEY,
	owner   bytea   NOT NULL,
	done    boolean NOT NULL,
	subject bytea,
	stage   bigint  NOT NULL,
	expires bigint  NOT NULL,
	holds   bytea
)`,
			`CREATE INDEX IF NOT EXISTS "` + name + `_subject" ON ` + quoted + ` (subject) WHERE subject IS NOT NULL`,
			`CREATE INDEX IF NOT EXISTS "` + name + `_expires" ON ` + quoted + ` (expires)`,
		}
	case MySQL:
		return []string{
			`CREATE TABLE IF NOT EXISTS ` + quoted + ` (
	event   BINARY(32) NOT NULL PRIMARY KEY,
	owner   BINARY(32) NOT NULL,
	done    BOOLEAN    NOT NULL,
	subject BINARY(32),
	stage   BIGINT     NOT NULL,
	expires BIGINT     NOT NULL,
	holds   BINARY(32),
	KEY ` + dialect.quote(name+"_subject") + ` (subject),
	KEY ` + dialect.quote(name+"_expires") + ` (expires)
) ENGINE=InnoDB`,
		}
	case SQLite:
		schema := strings.TrimSuffix(table, name)
		return []string{
			`CREATE TABLE IF NOT EXISTS ` + quoted + ` (
	event   BLOB    NOT NULL PRIMARY KEY,
	owner   BLOB    NOT NULL,
	done    INTEGER NOT NULL,
	subject BLOB,
	stage   INTEGER NOT NULL,
	expires INTEGER NOT NULL,
	holds   BLOB
) WITHOUT ROWID`,
			`CREATE INDEX IF NOT EXISTS ` + dialect.quote(schema+name+"_subject") + ` ON "` + name + `" (subject) WHERE subject IS NOT NULL`,
			`CREATE INDEX IF NOT EXISTS ` + dialect.quote(schema+name+"_expires") + ` ON "` + name + `" (expires)`,
		}
	}
	return nil
}

// quote makes identifiers of a name of one or two parts, which holds no quotes.
func (d Dialect) quote(name string) string {
	q := `"`
	if d == MySQL {
		q = "`"
	}
	return q + strings.ReplaceAll(name, ".", q+"."+q) + q
}

// migration is the key of the advisory lock that keeps processes that start
// together from creating the table at once, which PostgreSQL answers with an error.
const migration = 0x6d6964686f6f6b // "midhook"

// Migrate creates the table and its indexes unless they exist. Any number of
// processes may call it at once, each time they start. It needs the right to create
// tables; without it, run [Store.Schema] once as someone who has it.
func (s *Store) Migrate(ctx context.Context) error {
	err := persist(ctx, settlePatience, func() (bool, error) { return false, s.migrate(ctx) })
	if err != nil {
		return fmt.Errorf("sqlstore: creating table %s: %w", s.table, err)
	}
	return nil
}

func (s *Store) migrate(ctx context.Context) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	if s.dialect == PostgreSQL {
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(migration)); err != nil {
			return err
		}
	}
	for _, statement := range statements(s.dialect, s.table) {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return tx.Commit()
}
