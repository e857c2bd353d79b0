package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A Postgres is a PostgreSQL server of Debian's on a socket in a folder of its
// own, with the settings that Debian ships: what it commits is synced. It runs
// as user postgres if the test is root, which PostgreSQL refuses to be.
type Postgres struct {
	bin    string
	dir    string // short: the path of a socket has at most 107 bytes
	as     *syscall.Credential
	server *exec.Cmd // nil: stopped
}

// owner is the superuser. There is no schema of that name: PostgreSQL looks
// first in the schema that is named like who asks, and a test that asked as
// "fieldgate" would find the tables where others do not.
const owner = "plant"

// NewPostgres makes and starts a server that ends with the test.
func NewPostgres(t *testing.T, settings ...string) *Postgres {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		Skip(t, "Debian's package postgresql is not installed")
	}
	slices.Sort(found)
	p := &Postgres{bin: filepath.Dir(found[len(found)-1])}
	if p.dir, err = os.MkdirTemp("", "pg"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Stop(t)
		_ = os.RemoveAll(p.dir)
	})
	if os.Getuid() == 0 {
		p.as = credential(t, "postgres")
		if err := os.Chown(p.dir, int(p.as.Uid), int(p.as.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := p.command("initdb", "-D", p.data(), "-U", owner,
		"--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	conf := strings.Join(append(settings, "listen_addresses = ''", fmt.Sprintf("unix_socket_directories = '%s'", p.dir)), "\n")
	if err := os.WriteFile(filepath.Join(p.data(), "postgresql.auto.conf"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	p.Start(t)
	return p
}

func credential(t *testing.T, name string) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		Skip(t, err.Error())
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func (p *Postgres) data() string { return filepath.Join(p.dir, "data") }

func (p *Postgres) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, program), args...)
	cmd.Dir = p.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as}
	return cmd
}

// DSN is the address of the database as its superuser.
func (p *Postgres) DSN() string {
	return fmt.Sprintf("host=%s user=%s dbname=postgres", p.dir, owner)
}

// Start starts the server and waits until it takes connections.
func (p *Postgres) Start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(p.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p.server = p.command("postgres", "-D", p.data())
	p.server.SysProcAttr.Pdeathsig = syscall.SIGQUIT
	p.server.Stdout, p.server.Stderr = log, log
	if err := p.server.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(Patience)
	for p.command("pg_isready", "-q", "-h", p.dir).Run() != nil {
		select {
		case <-deadline:
			text, _ := os.ReadFile(filepath.Join(p.dir, "log"))
			t.Fatalf("PostgreSQL does not start:\n%s", text)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Stop ends the server in order, with its clients.
func (p *Postgres) Stop(t *testing.T) { p.end(t, syscall.SIGINT) }

// Kill ends the server at once, as a power cut would, its disk excepted.
func (p *Postgres) Kill(t *testing.T) { p.end(t, syscall.SIGQUIT) }

func (p *Postgres) end(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if p.server == nil {
		return
	}
	if err := p.server.Process.Signal(signal); err != nil {
		t.Error(err)
	}
	_ = p.server.Wait() // 2 after SIGQUIT
	p.server = nil
}

// Dump gives the database as pg_dump writes it.
func (p *Postgres) Dump(t *testing.T) string {
	t.Helper()
	out, err := exec.Command(filepath.Join(p.bin, "pg_dump"), "-d", p.DSN()).Output()
	if err != nil {
		t.Fatalf("pg_dump: %v", err)
	}
	return string(out)
}

// Replace ends all clients and puts a new database in the place of this one:
// what a dump holds, nothing if it is empty.
func (p *Postgres) Replace(t *testing.T, dump string) {
	t.Helper()
	maintenance := strings.Replace(p.DSN(), "dbname=postgres", "dbname=template1", 1)
	for _, sql := range []string{
		// Made beside it and then renamed, so that no client finds half of it.
		`create database made template template0`,
		`alter database postgres allow_connections false`,
		`select pg_terminate_backend(pid) from pg_stat_activity where datname = 'postgres'`,
	} {
		p.psql(t, maintenance, sql)
		if strings.HasPrefix(sql, "create") {
			p.read(t, strings.Replace(p.DSN(), "dbname=postgres", "dbname=made", 1), dump)
		}
	}
	p.psql(t, maintenance, `drop database postgres with (force)`)
	p.psql(t, maintenance, `alter database made rename to postgres`)
}

// ReplaceWithin puts what a dump holds in the place of the tables, in one
// transaction; clients stay connected.
func (p *Postgres) ReplaceWithin(t *testing.T, dump string) {
	t.Helper()
	p.read(t, p.DSN(), "drop schema fieldgate cascade;\n"+dump)
}

func (p *Postgres) read(t *testing.T, dsn, text string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(p.bin, "psql"), "-Xq1", "-v", "ON_ERROR_STOP=1", "-d", dsn)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("psql: %v\n%s", err, out)
	}
}

// Query gives the rows of a query of the tables: fields parted by |.
func (p *Postgres) Query(t *testing.T, sql string) []string {
	t.Helper()
	return p.psql(t, p.DSN()+" options=-csearch_path=fieldgate", sql)
}

// Ask gives the rows of a query as anybody would run it in psql, with nothing
// set.
func (p *Postgres) Ask(t *testing.T, sql string) []string {
	t.Helper()
	return p.psql(t, p.DSN(), sql)
}

func (p *Postgres) psql(t *testing.T, dsn, sql string) []string {
	t.Helper()
	out, err := exec.Command(filepath.Join(p.bin, "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", dsn, "-c", sql).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", sql, err, out)
	}
	if len(out) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

// Number gives the one number that a query gives.
func (p *Postgres) Number(t *testing.T, sql string) int64 {
	t.Helper()
	rows := p.Query(t, sql)
	n, err := strconv.ParseInt(strings.Join(rows, "\n"), 10, 64)
	if err != nil {
		t.Fatalf("%s gives %q", sql, rows)
	}
	return n
}
