package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/packaging/e2e"
	"github.com/fieldgate/fieldgate/uplink/cloud/natstest"
)

// From one machine to a cluster, by the steps of cloud.md: the credentials
// and the certificate authority are copied, the log is not. The gateway keeps
// its token and its trust, goes back to what it still holds, and the database
// has every reading once.
func TestFromOneMachineToACluster(t *testing.T) {
	t.Parallel()
	pg := e2e.NewPostgres(t)
	alone := t.TempDir()
	token := add(t, alone, "g")
	one := start(t, alone, "--postgres", pg.DSN())
	e := gateway.NewEpochID()
	conn, _ := one.open(token, "g", e)
	send := func(upto uint64) {
		for first := uint64(1); first < upto; first += 5 {
			say(t, conn, five(t, e, first))
			if _, err := ackedBy(conn, first+4); err != nil {
				t.Fatal(err)
			}
		}
	}
	send(100)
	awaitReadings(t, pg, 100)
	one.end(syscall.SIGTERM)
	conn.Close()

	_, urls := natstest.Cluster(t, 3)
	if code, out, errs := do(t, "copy-log", "--credentials-only", "--state", alone, "--nats",
		urls); code != 0 || out != "1 credentials copied\n" {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	if code, out, _ := do(t, "copy-log", "--credentials-only", "--state", alone, "--nats",
		urls); code != 0 || out != "0 credentials copied\n" {
		t.Errorf("again: exit %d: %s", code, out)
	}
	var servers [2]*process
	for i := range servers {
		state := t.TempDir()
		for _, name := range []string{"ca.pem", "ca.key", "gateway-ca.pem", "gateway-ca.key", "operator.token"} {
			text, err := os.ReadFile(filepath.Join(alone, name))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(state, name), string(text))
		}
		servers[i] = start(t, state, "--nats", urls, "--postgres", pg.DSN())
	}
	servers[0].state = alone // whose ca.pem the gateway trusts
	conn, w := servers[0].open(token, "g", e)
	if w.Epochs[0].Upto != 0 {
		t.Fatalf("the new log holds %d already", w.Epochs[0].Upto)
	}
	send(200)
	awaitReadings(t, pg, 200)
	servers[0].end(syscall.SIGTERM) // the other server takes over the sink, too
	conn.Close()
	servers[1].state = alone
	conn, w = servers[1].open(token, "g", e)
	if w.Epochs[0].Upto != 200 {
		t.Errorf("the cluster holds %d, want 200", w.Epochs[0].Upto)
	}
	say(t, conn, five(t, e, 201))
	awaitReadings(t, pg, 205)
	servers[1].end(syscall.SIGTERM)
	row := pg.Query(t, `select count(*), count(distinct (gateway, epoch, seq)), max(seq), bool_and(value = seq) from readings_v`)
	if want := fmt.Sprintf("%d|%d|%d|t", 205, 205, 205); len(row) != 1 || row[0] != want {
		t.Errorf("the database holds %q, want %q", row, want)
	}
}
