package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
)

// A connector as api.md describes it: it asks which epochs have more than
// it has, fetches the rest of each, and breaks off whenever it likes. It gets
// every reading once.
func TestConnectorResumes(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	token := add(t, state, "g")
	p := start(t, state)
	operator, err := os.ReadFile(filepath.Join(state, "operator.token"))
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{"Authorization": {"Bearer " + strings.TrimSpace(string(operator))}}
	last := map[string]uint64{} // of the connector, by epoch
	got := map[string]int{}
	fetch := func(most int) {
		var known struct {
			Epochs []struct {
				Epoch string
				Upto  uint64
			}
		}
		if err := json.NewDecoder(p.get("/v1/gateways/g/completeness", header).Body).Decode(&known); err != nil {
			t.Fatal(err)
		}
		for _, e := range known.Epochs {
			if e.Upto <= last[e.Epoch] {
				continue
			}
			lines := bufio.NewScanner(p.get(fmt.Sprintf("/v1/gateways/g/readings?epoch=%s&from_seq=%d", e.Epoch, last[e.Epoch]+1), header).Body)
			for n := 0; n < most && lines.Scan(); n++ {
				var r struct {
					Epoch string
					Seq   uint64
				}
				if err := json.Unmarshal(lines.Bytes(), &r); err != nil || r.Seq != last[e.Epoch]+1 {
					t.Fatalf("%s follows %d (%v)", lines.Bytes(), last[e.Epoch], err)
				}
				got[fmt.Sprintf("%s/%d", r.Epoch, r.Seq)]++
				last[e.Epoch] = r.Seq
			}
		}
	}
	epochs := []gateway.EpochID{gateway.NewEpochID(), gateway.NewEpochID()}
	for _, e := range epochs {
		conn, _ := p.open(token, "g", e)
		for first := uint64(1); first < 100; first += 5 {
			say(t, conn, five(t, e, first))
			if _, err := ackedBy(conn, first+4); err != nil {
				t.Fatal(err)
			}
			fetch(3)
		}
		conn.Close()
	}
	for n := -1; n < len(got); {
		n = len(got)
		fetch(50)
	}
	p.end(syscall.SIGTERM)
	if len(got) != 200 {
		t.Errorf("the connector has %d readings, want 200", len(got))
	}
	for name, n := range got {
		if n != 1 {
			t.Errorf("%s came %d times", name, n)
		}
	}
}
