package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// asOperator reads a page of the operator's API.
func (p *process) asOperator(path string) string {
	p.t.Helper()
	operator, err := os.ReadFile(filepath.Join(p.state, "operator.token"))
	if err != nil {
		p.t.Fatal(err)
	}
	b, err := io.ReadAll(p.get(path, http.Header{"Authorization": {"Bearer " + strings.TrimSpace(string(operator))}}).Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}

// A database that is no longer wanted holds the log back until the operator
// has it forgotten.
func TestForgetDatabase(t *testing.T) {
	t.Parallel()
	pg := e2e.NewPostgres(t)
	dsn := write(t, filepath.Join(t.TempDir(), "dsn"), pg.DSN())
	state := t.TempDir()
	token := add(t, state, "g")
	p := start(t, state, "--postgres", "@"+dsn)
	e := gateway.NewEpochID()
	conn, _ := p.open(token, "g", e)
	say(t, conn, five(t, e, 1))
	awaitReadings(t, pg, 5)
	wants := func(code int, says string, args ...string) string {
		t.Helper()
		got, out, errs := do(t, append(append([]string{"consumer"}, args...), "--state", state)...)
		if got != code || !strings.Contains(out+errs, says) {
			t.Errorf("%q: exit %d, want %d and %q:\n%s%s", args, got, code, says, out, errs)
		}
		return out
	}
	wants(1, "start them without --postgres", "forget", "postgres")
	wants(1, "the server itself needs", "forget", "ledger")
	wants(1, "no consumer of this name", "forget", "none")
	wants(1, "no consumer of this name", "forget", "a/b")
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Fatalf("ended with %d: %s", code, p.lines)
	}

	p = start(t, state) // without the database
	conn, _ = p.open(token, "g", e)
	say(t, conn, five(t, e, 6))
	if _, err := hear(conn); err != nil {
		t.Fatal(err)
	}
	table := wants(0, "postgres", "list")
	fields := strings.Fields(table[strings.Index(table, "\npostgres")+1:])
	if len(fields) < 5 || fields[1] != "no" || fields[2] != "2" { // the session and the update
		t.Errorf("got %q of\n%s", fields, table)
	}
	var list []consumer
	if err := json.Unmarshal([]byte(wants(0, "postgres", "list", "--json")), &list); err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, x := range list {
		if x.Needed != (x.Name == "ledger") || x.Used != x.Needed || x.Seen == nil ||
			x.Name == "postgres" && (x.Since == nil || time.Since(*x.Since) > answerWithin) {
			t.Errorf("%+v", x)
		}
	}
	wants(0, "postgres is forgotten; it had not passed 2 records", "forget", "postgres")
	wants(1, "no consumer of this name", "forget", "postgres")
	if out := wants(0, "ledger", "list"); strings.Contains(out, "postgres") {
		t.Errorf("it is still there:\n%s", out)
	}
	p.audited("consumer_forgotten", "postgres")
	if text := p.asOperator("/metrics"); !strings.Contains(text, "fieldgate_cloud_consumers_forgotten_total 1\n") {
		t.Errorf("the metrics do not count it:\n%s", text)
	}
	p.end(syscall.SIGTERM)

	p = start(t, state, "--postgres", "@"+dsn) // wanted again, it takes everything again, once
	awaitReadings(t, pg, 10)
	if n := pg.Number(t, `select count(*) from readings_v`); n != 10 {
		t.Errorf("the database holds %d readings", n)
	}
	p.end(syscall.SIGTERM)
}

// audited waits for an entry of the audit log with this event and detail.
func (p *process) audited(event, detail string) (e struct {
	Event, Sentence string
	Gateway         string `json:"gateway_id"`
	Details         map[string]string
}) {
	p.t.Helper()
	for end := time.Now().Add(answerWithin); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		for sc := bufio.NewScanner(strings.NewReader(p.asOperator("/v1/audit?event=" + event))); sc.Scan(); {
			if strings.Contains(sc.Text(), detail) {
				if err := json.Unmarshal(sc.Bytes(), &e); err != nil || e.Event != event {
					p.t.Errorf("%s: %v", sc.Text(), err)
				}
				return e
			}
		}
	}
	p.t.Errorf("the audit log has no %s of %s: %s", event, detail, p.asOperator("/v1/audit"))
	return e
}
