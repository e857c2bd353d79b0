package postgres_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fieldgate/fieldgate/gateway/files"
	"github.com/fieldgate/fieldgate/packaging/e2e"
	"github.com/fieldgate/fieldgate/uplink/cloud/postgres"
)

// A FIFO in the place of a file that the address of the database names is
// refused in words, however it is named; nothing waits for a writer.
func TestFilesOfTheAddressAreRegular(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	fifo, service := filepath.Join(dir, "a fifo"), filepath.Join(dir, "service")
	if err := errors.Join(unix.Mkfifo(fifo, 0o600), os.WriteFile(service,
		[]byte("[plants]\nhost=h\nsslmode=require\nsslrootcert="+filepath.Join(dir, "f")+"\n"), 0o600),
		os.Symlink(fifo, filepath.Join(dir, "f"))); err != nil {
		t.Fatal(err)
	}
	inURL, quoted := strings.ReplaceAll(fifo, " ", "%20"), "'"+fifo+"'"
	for name, c := range map[string]struct{ dsn, variable, value string }{
		"sslrootcert in a URL":     {dsn: "postgres://u@h/d?sslmode=verify-full&sslrootcert=" + inURL},
		"passfile in a URL":        {dsn: "postgresql://u@h/d?passfile=" + inURL},
		"sslrootcert as a keyword": {dsn: "host=h sslmode=verify-ca sslrootcert = " + quoted},
		"passfile as a keyword":    {dsn: "host=h passfile=" + strings.ReplaceAll(fifo, " ", `\ `)},
		"sslcert and its key":      {dsn: "host=h sslmode=require sslkey=/nowhere sslcert=" + quoted},
		"PGPASSFILE":               {dsn: "host=h", variable: "PGPASSFILE", value: fifo},
		"PGSSLROOTCERT":            {dsn: "host=h sslmode=require", variable: "PGSSLROOTCERT", value: fifo},
		"a service's file":         {dsn: "service=plants", variable: "PGSERVICEFILE", value: service},
		"PGSERVICEFILE":            {dsn: "service=plants", variable: "PGSERVICEFILE", value: fifo},
	} {
		t.Run(name, func(t *testing.T) {
			if c.variable != "" {
				t.Setenv(c.variable, c.value)
			}
			said := make(chan error, 1)
			go func() { // stays behind where the address waits
				_, err := postgres.ParseDSN(c.dsn)
				said <- err
			}()
			select {
			case err := <-said:
				if !errors.Is(err, files.ErrKind) || !strings.Contains(err.Error(), "FIFO") {
					t.Errorf("it says: %v", err)
				}
			case <-time.After(e2e.Patience):
				t.Error("it waits")
				if f, err := os.OpenFile(fifo, os.O_WRONLY|unix.O_NONBLOCK, 0); err == nil {
					f.Close() // ends the waiting
				}
			}
		})
	}
	t.Setenv("PGPASSFILE", os.DevNull)
	if _, err := postgres.ParseDSN("host=h dbname=d sslmode=disable"); err != nil {
		t.Errorf("PGPASSFILE=/dev/null: %v", err)
	}
}
