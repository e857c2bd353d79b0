package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"
)

const schemaName = "fieldgate"

// lockKey is that of the advisory lock which the one sink of a database holds.
const lockKey = 0x6669656c64 // "field"

//go:embed migrations/*.sql
var migrations embed.FS

var (
	// ErrNewer: the tables are of a later version of this program.
	ErrNewer = errors.New("its tables were made by a newer version of fieldgate-cloud")
	// ErrTaken: another sink writes into this database.
	ErrTaken = errors.New("another fieldgate-cloud writes into it")
	// ErrEncoding: the database cannot hold every text.
	ErrEncoding = errors.New("its encoding is not UTF8")
)

// A migration is one step of the tables from version to version.
type migration struct{ name, sql string }

// steps gives the migrations in order; the first makes version 1.
func steps() ([]migration, error) {
	files, err := fs.ReadDir(migrations, "migrations") // sorted by name
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	var all []migration
	for _, f := range files {
		text, err := migrations.ReadFile("migrations/" + f.Name())
		if err != nil {
			return nil, fmt.Errorf("read migration: %w", err)
		}
		all = append(all, migration{f.Name(), string(text)})
	}
	return all, nil
}

// migrate brings the tables to the version with number upto, each step in a
// transaction of its own. The caller holds the lock.
func migrate(ctx context.Context, conn *pgx.Conn, all []migration) error {
	var encoding string
	if err := conn.QueryRow(ctx, `show server_encoding`).Scan(&encoding); err != nil {
		return fmt.Errorf("ask for the encoding: %w", err)
	}
	if !strings.EqualFold(encoding, "UTF8") {
		return fmt.Errorf("%w but %s: create the database with encoding UTF8", ErrEncoding, encoding)
	}
	version, err := schemaVersion(ctx, conn)
	if err != nil {
		return err
	}
	if version > len(all) {
		return fmt.Errorf("%w (version %d, this one knows %d): run that one, or give this one a database of its own", ErrNewer, version, len(all))
	}
	for i := version; i < len(all); i++ {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, all[i].sql); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `insert into schema_version (version) values ($1)`, i+1)
			return err
		})
		if err != nil {
			return fmt.Errorf("make the tables, step %s: %w", all[i].name, err)
		}
	}
	return nil
}

// schemaVersion gives the newest version of the tables; 0 if there are none.
func schemaVersion(ctx context.Context, conn *pgx.Conn) (version int, err error) {
	var schema, table bool
	err = conn.QueryRow(ctx,
		`select to_regnamespace('fieldgate') is not null, to_regclass('fieldgate.schema_version') is not null`).Scan(&schema, &table)
	if err == nil && !schema {
		_, err = conn.Exec(ctx, `create schema fieldgate`)
	}
	if err == nil && !table {
		_, err = conn.Exec(ctx, `create table fieldgate.schema_version (version integer primary key, at timestamptz not null default now())`)
	}
	if err != nil {
		return 0, fmt.Errorf("make schema %s (the user needs the right: grant create on database … to …): %w", schemaName, err)
	}
	if err := conn.QueryRow(ctx, `select coalesce(max(version), 0) from schema_version`).Scan(&version); err != nil {
		return 0, fmt.Errorf("read the version of the tables: %w", err)
	}
	return version, nil
}
