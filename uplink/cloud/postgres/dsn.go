package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/fieldgate/fieldgate/gateway/files"
)

// ErrFileMode is what ParseDSN says of a file that everybody may read.
var ErrFileMode = errors.New("everybody may read it, and it may hold a password: chmod o= it")

// ParseDSN reads where the database is: "postgres://user@host/name", or
// "host=… dbname=…", or "@FILE" for a file that holds one of these. What it
// leaves out comes from the environment and the files that psql takes it from
// (PGHOST, PGPASSWORD, ~/.pgpass, …). No error shows a password.
func ParseDSN(dsn string) (*pgx.ConnConfig, error) {
	if path, ok := strings.CutPrefix(dsn, "@"); ok {
		var err error
		if dsn, err = readDSN(path); err != nil {
			return nil, fmt.Errorf("read the address of the database: %w", err)
		}
	}
	if err := checkFiles(dsn); err != nil {
		return nil, fmt.Errorf("the address of the database: %w", err)
	}
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("the address of the database: %w", err)
	}
	cfg.RuntimeParams["application_name"] = "fieldgate-cloud"
	cfg.RuntimeParams["search_path"] = schemaName
	cfg.RuntimeParams["timezone"] = "UTC"
	return cfg, nil
}

func readDSN(path string) (string, error) {
	text, err := files.Text(path, files.MostLine)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Mode()&0o007 != 0 {
		return "", &fs.PathError{Op: "open", Path: path, Err: ErrFileMode}
	}
	return strings.TrimSpace(string(text)), nil
}

// displayName names the database for people.
func displayName(cfg *pgx.ConnConfig) string {
	return fmt.Sprintf("database %q on %s", cfg.Database, cfg.Host)
}

// renew takes the address anew, with what it names: its own file, certificates,
// authorities, passwords. What cannot be taken is told once, and what was there
// before is used. It is called before every connection, and gives the address.
func (s *Sink) renew() *pgx.ConnConfig {
	cfg, err := ParseDSN(s.opt.DSN)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && !s.unread {
		s.log.Warn("the address of the database, or a file that it names, cannot be used; what was there before is used", "error", err)
	}
	if s.unread = err != nil; err == nil {
		s.cfg = cfg
	}
	return s.cfg
}

// where is the database, for people.
func (s *Sink) where() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return displayName(s.cfg)
}
