package main

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A sampleAnswer is the part of the answer to a question for completeness that
// does not depend on who puts it into words.
type sampleAnswer struct {
	Complete bool `json:"complete"`
	Epochs   []struct {
		Epoch gateway.EpochID `json:"epoch"`
		First time.Time       `json:"first"`
		Last  time.Time       `json:"last"`
		Time  string          `json:"time"`
		Upto  uint64          `json:"upto"`
		Held  uint64          `json:"held"`
		End   string          `json:"end"`
		Gaps  []struct {
			After  uint64    `json:"after"`
			AtMost uint64    `json:"at_most"`
			Why    string    `json:"why"`
			T0     time.Time `json:"t0"`
			T1     time.Time `json:"t1"`
		} `json:"gaps"`
	} `json:"epochs"`
}

func readAnswer(t *testing.T, text string) (a sampleAnswer) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return a
}

// unpackSample unpacks testdata/NAME.zip: the state folder of a server that an
// earlier version left after a kill, what it had answered just before
// (readings.ndjson, completeness.json, gateways.json, audit.ndjson), and the
// token of its gateway. ea0f42d is the cloud of store/testdata/ea0f42d.zip.
func unpackSample(t *testing.T, name string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	r, err := zip.OpenReader(filepath.Join("testdata", name+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.CopyFS(dir, r); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"token", "state/operator.token", "state/ca.key", "state/server.key", "state/gateway-ca.key"} {
		if err := os.Chmod(filepath.Join(dir, secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func readText(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// The state of an earlier version is opened as it was left: its readings,
// completeness, gateways, audit log and credentials. Then its gateway goes on
// where the cloud says, in the epoch that grew and in a new one; over two
// kills nothing is missing and nothing is held twice.
func TestSampleOfAnEarlierVersionGoesOn(t *testing.T) {
	t.Parallel()
	dir := unpackSample(t, "ea0f42d")
	state, token, ca := filepath.Join(dir, "state"), readText(t, dir, "token"), readText(t, dir, "state/ca.pem")
	p := start(t, state)
	before := readText(t, dir, "readings.ndjson")
	if now := strings.TrimSpace(p.asOperator("/v1/gateways/plant-7/readings")); now != before {
		t.Errorf("the readings differ: %s", firstDifference(now, before))
	}
	was, now := readAnswer(t, readText(t, dir, "completeness.json")), readAnswer(t, p.asOperator("/v1/gateways/plant-7/completeness"))
	if !reflect.DeepEqual(now, was) {
		t.Errorf("completeness is\n%+v, was\n%+v", now, was)
	}
	for line := range strings.Lines(readText(t, dir, "audit.ndjson")) {
		if audit := p.asOperator("/v1/audit"); !strings.Contains(audit, strings.TrimSpace(line)) {
			t.Errorf("the audit log lacks %s: %s", line, audit)
		}
	}
	if readText(t, state, "ca.pem") != ca {
		t.Error("the cloud has another certificate authority")
	}
	p.deliverSample(token, was, 1)
	p.end(syscall.SIGKILL)
	p = start(t, state)
	p.deliverSample(token, was, 2)
	p.end(syscall.SIGKILL)
	p = start(t, state)
	after := strings.Split(strings.TrimSpace(p.asOperator("/v1/gateways/plant-7/readings")), "\n")
	old := strings.Split(before, "\n")
	added := slices.DeleteFunc(slices.Clone(after), func(line string) bool { return slices.Contains(old, line) })
	if len(after) != len(old)+20 || len(added) != 20 {
		t.Errorf("%d lines, %d of them new, were %d; want 20 new ones", len(after), len(added), len(old))
	}
	p.end(syscall.SIGTERM)
}

// sampleEpoch is the epoch that begins after the sample was made.
var sampleEpoch = gateway.EpochID{0xea, 0x0f, 0x42, 0xd0}

// deliverSample connects as the gateway of the sample and sends, in the epoch
// that grew when the sample was made and in a new one, the readings of a
// round, five in each; those of the round before it sends again.
func (p *process) deliverSample(token string, was sampleAnswer, round int) {
	p.t.Helper()
	grew := was.Epochs[len(was.Epochs)-1]
	upto := map[gateway.EpochID]uint64{grew.Epoch: grew.Upto + 5*uint64(round-1), sampleEpoch: 5 * uint64(round-1)}
	hello := &wire.Hello{GatewayID: "plant-7", All: true}
	for _, e := range was.Epochs[:len(was.Epochs)-1] {
		growth := map[string]gateway.EpochGrowth{"closed": gateway.Closed, "open": gateway.OpenEnded}[e.End]
		hello.Epochs = append(hello.Epochs, wire.HelloEpoch{Epoch: e.Epoch, Oldest: 1, Last: e.Upto, Growth: growth, Acked: e.Upto})
	}
	for _, id := range []gateway.EpochID{grew.Epoch, sampleEpoch} {
		hello.Epochs = append(hello.Epochs, wire.HelloEpoch{Epoch: id, Oldest: 1, Last: upto[id] + 5})
	}
	conn, welcome := p.openWith(token, hello)
	for _, e := range welcome.Epochs {
		if want, new := upto[e.Epoch]; new && e.Upto != want {
			p.t.Errorf("round %d: the cloud has %v up to %d, want %d", round, e.Epoch, e.Upto, want)
		}
	}
	for _, id := range []gateway.EpochID{grew.Epoch, sampleEpoch} {
		if upto[id] >= 5 { // as after a lost ack
			say(p.t, conn, five(p.t, id, upto[id]-4))
		}
		say(p.t, conn, five(p.t, id, upto[id]+1))
		p.awaitAck(conn, id, upto[id]+5)
	}
	_ = conn.Close()
}

func (p *process) awaitAck(conn *websocket.Conn, id gateway.EpochID, upto uint64) {
	p.t.Helper()
	for {
		m, err := hear(conn)
		if err != nil {
			p.t.Fatal(err)
		}
		ack, ok := m.(*wire.Ack)
		if ok && slices.ContainsFunc(ack.Epochs, func(e wire.EpochAck) bool { return e.Epoch == id && e.Upto >= upto }) {
			return
		}
	}
}

// firstDifference gives the first line in which two texts differ.
func firstDifference(now, was string) string {
	a, b := strings.Split(now, "\n"), strings.Split(was, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d is\n%s, was\n%s", i+1, a[i], b[i])
		}
	}
	return fmt.Sprintf("%d lines, were %d", len(a), len(b))
}
