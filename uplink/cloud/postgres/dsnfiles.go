package postgres

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/fieldgate/fieldgate/gateway/files"
)

// A dsnFile is a setting that names a file which pgx opens as it stands there:
// a FIFO in its place would be waited for without end.
type dsnFile struct{ setting, variable, home string }

var dsnFiles = []dsnFile{
	{"passfile", "PGPASSFILE", ".pgpass"},
	{"servicefile", "PGSERVICEFILE", ".pg_service.conf"},
	{"sslcert", "PGSSLCERT", ".postgresql/postgresql.crt"},
	{"sslkey", "PGSSLKEY", ".postgresql/postgresql.key"},
	{"sslrootcert", "PGSSLROOTCERT", ".postgresql/root.crt"},
}

// dsnSetting finds these settings in both forms of an address, and in a service
// file.
var dsnSetting = regexp.MustCompile(
	`(?:^|[\s?&])(passfile|servicefile|sslcert|sslkey|sslrootcert)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s&\\]|\\.)*)`)

var dsnEscape = regexp.MustCompile(`\\(.)`)

// checkFiles refuses an address of which some file is not a regular one. Whether
// it is there, and what it holds, is for pgx to say.
func checkFiles(dsn string) error {
	paths := pathsOf(dsn)
	home, homeErr := os.UserHomeDir()
	for _, f := range dsnFiles {
		switch {
		case paths[f.setting] != "":
		case os.Getenv(f.variable) != "":
			paths[f.setting] = os.Getenv(f.variable)
		case homeErr == nil:
			paths[f.setting] = filepath.Join(home, f.home)
		}
	}
	service := paths["servicefile"]
	if err := regularFile("servicefile", service); err != nil {
		return err
	}
	if text, err := files.Read(service, files.MostPEM); err == nil { // what a service names counts too
		for setting, path := range pathsOf(string(text)) {
			if err := regularFile(setting, path); err != nil {
				return err
			}
		}
	}
	for _, f := range dsnFiles {
		if err := regularFile(f.setting, paths[f.setting]); err != nil {
			return err
		}
	}
	return nil
}

// pathsOf gives the files that an address names, by their setting.
func pathsOf(dsn string) map[string]string {
	paths := map[string]string{}
	isURL := strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://")
	for _, m := range dsnSetting.FindAllStringSubmatch(dsn, -1) {
		value := m[2]
		if isURL {
			value, _ = url.QueryUnescape(value) // one that cannot be read, pgx refuses
		} else {
			value = dsnEscape.ReplaceAllString(strings.Trim(value, "'"), "$1")
		}
		paths[m[1]] = value
	}
	return paths
}

// regularFile refuses what is there and is no regular file. /dev/null is how
// people say that there is none.
func regularFile(setting, path string) error {
	if path == os.DevNull {
		return nil
	}
	if _, err := files.Read(path, files.MostPEM); errors.Is(err, files.ErrKind) || errors.Is(err, files.ErrSize) {
		return fmt.Errorf("%s: %w", setting, err)
	}
	return nil
}
