package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/packaging/e2e"
)

// completeness is what these tests look at of the cloud's answer.
type completeness struct {
	Complete bool   `json:"complete"`
	Sentence string `json:"sentence"`
	Epochs   []struct {
		Epoch    string `json:"epoch"`
		Upto     uint64 `json:"upto"`
		End      string `json:"end"`
		Sentence string `json:"sentence"`
	} `json:"epochs"`
	Joins []any `json:"joins"`
}

// awaitComplete asks whether everything is there until the answer satisfies ok.
func awaitComplete(t *testing.T, cloud *e2e.Cloud, ok func(completeness) bool) completeness {
	t.Helper()
	deadline := time.After(e2e.Patience)
	for {
		var c completeness
		_, text, err := cloud.Ask(t.Context(), http.MethodGet, "/completeness", "")
		if err == nil && json.Unmarshal(text, &c) == nil && ok(c) {
			return c
		}
		select {
		case <-deadline:
			t.Fatalf("the cloud says %+v, %v", c, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (c completeness) end(epoch string) string {
	for _, e := range c.Epochs {
		if e.Epoch == epoch {
			return e.End
		}
	}
	return ""
}

func shell(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
}

// The drill of cloud.md: the cloud's folder is copied while it stands still,
// later lost, and restored from the copy. The gateway finds that the log has
// less than was acknowledged, goes back, and sends again what it still has; the
// ledger tells of the join, the database is not confused.
func TestCloudRestoredFromBackup(t *testing.T) {
	t.Parallel()
	pg := e2e.NewPostgres(t)
	cloud := newCloud(t, "plant-7")
	cloud.Flags = []string{"--postgres", pg.DSN()}
	addr := e2e.FreeAddr(t)
	st := newTestGateway(t, cloud, addr)
	cloud.Start(t)
	st.start(t)
	screen := e2e.Watch(t, addr)
	more := func(n int) {
		screen.Await(t, fmt.Sprintf("%d more readings", n), screen.Count(), func(rs []e2e.Reading, _ e2e.Status) bool { return len(rs) >= n })
	}
	allHeld := func() []e2e.Reading {
		seen, _, _ := screen.Snapshot()
		cloud.AwaitAll(t, seen)
		return seen
	}
	more(200)
	allHeld()
	cloud.Stop(t)
	backup := filepath.Join(t.TempDir(), "backup")
	shell(t, "cp", "-a", cloud.State, backup)
	cloud.Start(t)
	more(300)
	seen := allHeld()
	awaitDatabase(t, pg, seen)
	cloud.Kill(t)
	entries, err := os.ReadDir(cloud.State)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		shell(t, "rm", "-r", filepath.Join(cloud.State, e.Name()))
	}
	more(100)
	shell(t, "cp", "-a", backup+"/.", cloud.State)
	cloud.Start(t)
	more(100)
	seen = allHeld()
	held, err := cloud.Read(t.Context())
	if err != nil || len(held.Faults()) > 0 || len(held.Gaps) > 0 {
		t.Errorf("after the restore: %v, %v, gaps %v", err, held.Faults(), held.Gaps)
	}
	said := awaitComplete(t, cloud, func(c completeness) bool { return len(c.Epochs) > 0 })
	t.Logf("the ledger: %s (%d joins)", said.Sentence, len(said.Joins))
	log, err := os.ReadFile(filepath.Join(cloud.State, "stderr"))
	if err != nil || !strings.Contains(string(log), "lost readings that were acknowledged") {
		t.Errorf("the server does not tell of what its log had lost (%v):\n%s", err, log)
	}
	awaitDatabase(t, pg, seen)
	if twice := pg.Query(t, `select epoch, seq from readings_v group by 1, 2 having count(*) > 1`); len(twice) > 0 {
		t.Errorf("twice in the database: %v", twice)
	}
}

// awaitDatabase waits until the database holds all these readings.
func awaitDatabase(t *testing.T, pg *e2e.Postgres, rs []e2e.Reading) {
	t.Helper()
	deadline := time.After(e2e.Patience)
	for {
		held := map[e2e.Name]bool{}
		if pg.Number(t, `select count(*) from pg_class where relname = 'readings_v'`) > 0 {
			for _, row := range pg.Query(t, `select epoch, seq from readings_v`) {
				var n e2e.Name
				epoch, seq, _ := strings.Cut(row, "|")
				n.Epoch = epoch
				_, _ = fmt.Sscan(seq, &n.Seq)
				held[n] = true
			}
		}
		lacks := slices.ContainsFunc(rs, func(r e2e.Reading) bool { return !held[r.Name()] })
		if !lacks {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("the database holds %d readings, and not all of the %d seen", len(held), len(rs))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// A board dies and another takes its place under the same id, with a new card
// and a new token. What the dead one had not sent is lost with it: its last
// epoch is listed no more, which the ledger says, while what it had sent stays.
// Then the gateway is taken out of service: its credential goes, its readings
// stay.
func TestGatewayRemovedAfterBoardSwap(t *testing.T) {
	t.Parallel()
	cloud := newCloud(t, "plant-7")
	addr := e2e.FreeAddr(t)
	old := newTestGateway(t, cloud, addr)
	cloud.Start(t)
	old.start(t)
	screen := e2e.Watch(t, addr)
	more := func(n int) {
		screen.Await(t, fmt.Sprintf("%d more readings", n), screen.Count(), func(rs []e2e.Reading, _ e2e.Status) bool { return len(rs) >= n })
	}
	more(100)
	seen, _, _ := screen.Snapshot()
	cloud.AwaitAll(t, seen)
	old.end(t, syscall.SIGKILL)
	last := seen[len(seen)-1].Epoch

	shell(t, cloud.Program, "gateway", "remove", cloud.Gateway, "--state", cloud.State)
	fresh := newTestGateway(t, cloud, addr) // a new card; Enrol gives the id a new token
	fresh.start(t)
	screen.Await(t, "readings of the new board", len(seen), func(rs []e2e.Reading, _ e2e.Status) bool {
		return slices.ContainsFunc(rs, func(r e2e.Reading) bool { return r.Epoch != last })
	})
	more(50)
	all, _, _ := screen.Snapshot()
	cloud.AwaitAll(t, slices.DeleteFunc(all, func(r e2e.Reading) bool { return r.Epoch == last }))
	said := awaitComplete(t, cloud, func(c completeness) bool { return c.end(last) == "unlisted" })
	if said.Complete {
		t.Errorf("an epoch nobody knows the end of counts as complete: %+v", said)
	}
	t.Logf("the ledger: %s", said.Sentence)

	shell(t, cloud.Program, "gateway", "remove", cloud.Gateway, "--state", cloud.State)
	screen.Await(t, "the gateway to be turned away", screen.Count(),
		func(_ []e2e.Reading, s e2e.Status) bool { return s.Uplink.State != "online" })
	more(20) // it samples on
	held, err := cloud.Read(t.Context())
	if err != nil || len(held.Lacks(seen)) > 0 {
		t.Errorf("after the removal the cloud lacks %d readings (%v)", len(held.Lacks(seen)), err)
	}
	fresh.end(t, syscall.SIGTERM)
}
