package sqlstore

import (
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

// Schema returns the SQL that creates the tables under their default names, for those
// who keep their schema in migrations of their own. It may be run again. It is ""
// for an unknown Dialect.
//
// Tables and columns are only ever added in later versions, and each column with a
// default.
func Schema(dialect Dialect) string { return script(dialect, defaultTable) }

// Schema is the SQL with which [Store.Migrate] creates the tables.
func (s *Store) Schema() string { return script(s.dialect, s.table) }

func script(dialect Dialect, table string) string {
	var script strings.Builder
	for _, p := range parts(dialect, table) {
		script.WriteString(p.create + ";\n")
	}
	return script.String()
}

// part is a table or an index. Only a table has columns.
type part struct {
	table, index string
	columns      []string
	create       string
}

// holdsSuffix follows the table's name in the name of the table of holds.
const holdsSuffix = "_holds"

// parts are a table with a row for each event and one with a row for each subject.
// An event's expires is the end of its lease or, once it is done, of its keep, in
// microseconds of Unix time by the database's clock. Its stage is 0 until it is done
// and then the highest that its subject has reached. A subject's row names the owner
// who holds it, and the event by which.
func parts(dialect Dialect, table string) []part {
	holds := table + holdsSuffix
	all := []part{
		{table: table, columns: []string{"event", "owner", "done", "subject", "stage", "expires"}},
		{table: table, index: indexName(table, "subject")},
		{table: table, index: indexName(table, "expires")},
		{table: holds, columns: []string{"subject", "owner", "event", "expires"}},
		{table: holds, index: indexName(holds, "expires")},
	}
	switch dialect {
	case PostgreSQL:
		all[0].create = `CREATE TABLE IF NOT EXISTS ` + dialect.quote(table) + ` (
	event   bytea   PRIMARY KEY,
	owner   bytea   NOT NULL,
	done    boolean NOT NULL,
	subject bytea,
	stage   bigint  NOT NULL,
	expires bigint  NOT NULL
)`
		all[3].create = `CREATE TABLE IF NOT EXISTS ` + dialect.quote(holds) + ` (
	subject bytea  PRIMARY KEY,
	owner   bytea  NOT NULL,
	event   bytea  NOT NULL,
	expires bigint NOT NULL
)`
	case MySQL:
		all[0].create = `CREATE TABLE IF NOT EXISTS ` + dialect.quote(table) + ` (
	event   BINARY(32) NOT NULL PRIMARY KEY,
	owner   BINARY(32) NOT NULL,
	done    BOOLEAN    NOT NULL,
	subject BINARY(32),
	stage   BIGINT     NOT NULL,
	expires BIGINT     NOT NULL,
	KEY ` + dialect.quote(all[1].index) + ` (subject),
	KEY ` + dialect.quote(all[2].index) + ` (expires)
) ENGINE=InnoDB`
		all[3].create = `CREATE TABLE IF NOT EXISTS ` + dialect.quote(holds) + ` (
	subject BINARY(32) NOT NULL PRIMARY KEY,
	owner   BINARY(32) NOT NULL,
	event   BINARY(32) NOT NULL,
	expires BIGINT     NOT NULL,
	KEY ` + dialect.quote(all[4].index) + ` (expires)
) ENGINE=InnoDB`
		return []part{all[0], all[3]}
	case SQLite:
		all[0].create = `CREATE TABLE IF NOT EXISTS ` + dialect.quote(table) + ` (
	event   BLOB    NOT NULL PRIMARY KEY,
	owner   BLOB    NOT NULL,
	done    INTEGER NOT NULL,
	subject BLOB,
	stage   INTEGER NOT NULL,
	expires INTEGER NOT NULL
) WITHOUT ROWID`
		all[3].create = `CREATE TABLE IF NOT EXISTS ` + dialect.quote(holds) + ` (
	subject BLOB    NOT NULL PRIMARY KEY,
	owner   BLOB    NOT NULL,
	event   BLOB    NOT NULL,
	expires INTEGER NOT NULL
) WITHOUT ROWID`
	default:
		return nil
	}
	all[1].create = createIndex(dialect, all[1], `(subject) WHERE subject IS NOT NULL`)
	all[2].create = createIndex(dialect, all[2], `(expires)`)
	all[4].create = createIndex(dialect, all[4], `(expires)`)
	return all
}

func createIndex(dialect Dialect, p part, on string) string {
	schema, table := split(p.table)
	if dialect == SQLite { // where the index is qualified and the table is not
		return `CREATE INDEX IF NOT EXISTS ` + dialect.quote(join(schema, p.index)) + ` ON ` + dialect.quote(table) + ` ` + on
	}
	return `CREATE INDEX IF NOT EXISTS ` + dialect.quote(p.index) + ` ON ` + dialect.quote(p.table) + ` ` + on
}

// indexName is without a schema: an index is in its table's.
func indexName(table, column string) string {
	_, name := split(table)
	return name + "_" + column
}

func split(table string) (schema, name string) {
	if schema, name, ok := strings.Cut(table, "."); ok {
		return schema, name
	}
	return "", table
}

func join(schema, name string) string {
	if schema == "" {
		return name
	}
	return schema + "." + name
}

// quote makes identifiers of a name of one or two parts, which holds no quotes.
func (d Dialect) quote(name string) string {
	q := `"`
	if d == MySQL {
		q = "`"
	}
	return q + strings.ReplaceAll(name, ".", q+"."+q) + q
}
