package sqlstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/midhook/midhook"
)

// migration is the key of the advisory lock that keeps processes that start
// together from creating the tables at once, which PostgreSQL answers with an error.
const migration = 0x6d6964686f6f6b // "midhook"

// migratePatience is how long Migrate tries again while others' locks are in its way.
const migratePatience = 30 * time.Second

// Migrate creates the tables and indexes that are missing. Any number of processes
// may call it at once, each time they start: where nothing is missing it only reads
// the catalogue, which takes no lock that anyone waits for, and needs no right to
// create tables. Where something is, it tries for 30 seconds, on PostgreSQL with a
// lock_timeout of a fifth of a second, so that no operation of another process waits
// behind it for longer.
//
// Without the right to create tables, run [Store.Schema] once as someone who has it.
func (s *Store) Migrate(ctx context.Context) error {
	err := persist(ctx, migratePatience, func() (again bool, err error) {
		missing, err := s.missing(ctx)
		if err != nil || len(missing) == 0 {
			return false, err
		}
		err = s.create(ctx, missing)
		return isContention(err), err
	})
	if err != nil {
		return fmt.Errorf("sqlstore: creating table %s: %w", s.table, err)
	}
	return nil
}

func (s *Store) create(ctx context.Context, missing []part) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	if s.dialect == PostgreSQL {
		for _, statement := range []string{
			`SET LOCAL lock_timeout = '200ms'`,
			fmt.Sprintf(`SELECT pg_advisory_xact_lock(%d)`, migration),
		} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
	}
	for _, p := range missing {
		if _, err := tx.ExecContext(ctx, p.create); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// missing returns the parts that are not there. A table that lacks a column is an
// error: what has made it is not midhook.
func (s *Store) missing(ctx context.Context) ([]part, error) {
	var missing []part
	var errs []error
	columns, indexes := map[string][]string{}, map[string][]string{}
	for _, p := range parts(s.dialect, s.table) {
		if columns[p.table] == nil {
			var err error
			if columns[p.table], indexes[p.table], err = s.catalogue(ctx, p.table); err != nil {
				return nil, err
			}
		}
		has := columns[p.table]
		if p.index != "" && !slices.Contains(indexes[p.table], p.index) || len(has) == 0 {
			missing = append(missing, p)
			continue
		}
		for _, column := range p.columns {
			if !slices.Contains(has, column) {
				errs = append(errs, fmt.Errorf("table %s has no column %s", p.table, column))
			}
		}
	}
	return missing, errors.Join(errs...)
}

// catalogue returns the names of a table's columns and indexes.
func (s *Store) catalogue(ctx context.Context, table string) (columns, indexes []string, err error) {
	schema, name := split(table)
	var query string
	switch s.dialect {
	case PostgreSQL:
		oid := `to_regclass('` + PostgreSQL.quote(table) + `')`
		query = `
SELECT 'column', attname::text FROM pg_attribute WHERE attrelid = ` + oid + ` AND attnum > 0 AND NOT attisdropped
UNION ALL SELECT 'index', relname::text FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE indrelid = ` + oid
	case MySQL:
		where := ` WHERE table_name = '` + name + `' AND table_schema = DATABASE()`
		if schema != "" {
			where = ` WHERE table_name = '` + name + `' AND table_schema = '` + schema + `'`
		}
		query = `
SELECT 'column', column_name FROM information_schema.columns` + where + `
UNION ALL SELECT 'index', index_name FROM information_schema.statistics` + where
	default:
		if schema == "" {
			schema = "main"
		}
		query = `
SELECT 'column', name FROM pragma_table_info('` + name + `', '` + schema + `')
UNION ALL SELECT 'index', name FROM pragma_index_list('` + name + `', '` + schema + `')`
	}
	rows, err := s.db.QueryContext(ctx, query)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var kind, name string
		if err := rows.Scan(&kind, &name); err != nil {
			return nil, nil, err
		}
		if kind == "column" {
			columns = append(columns, strings.ToLower(name))
		} else {
			indexes = append(indexes, name)
		}
	}
	return columns, indexes, rows.Err()
}

// Check returns nil if the store can do its work: the server is there, the tables
// are, and this process may read and write them, which it may not on a replica. It
// acquires and releases a claim of its own. Call it at start-up, where an error is
// cheaper than at the first notification.
func (s *Store) Check(ctx context.Context) error {
	missing, err := s.missing(ctx)
	if err != nil {
		return fmt.Errorf("sqlstore: %w", err)
	}
	for _, p := range missing {
		what := "table " + p.table
		if p.index != "" {
			what = "index " + p.index + " of table " + p.table
		}
		err = errors.Join(err, fmt.Errorf("sqlstore: %s is missing: call Migrate, or run Schema", what))
	}
	if err != nil {
		return err
	}
	probe := "midhook check " + rand.Text()
	c := midhook.Claim{Key: probe, Subject: probe, Owner: probe, Lease: time.Second}
	switch state, err := s.Acquire(ctx, c); {
	case err != nil:
		return err
	case state != midhook.Acquired:
		return fmt.Errorf("sqlstore: a claim that is nobody's is %v", state)
	}
	if err := s.Release(ctx, c); err != nil {
		return fmt.Errorf("releasing a claim that was acquired: %w", err)
	}
	return nil
}
