package main

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/cmd/cli"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/clock"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/gateway/lines"
	"github.com/fieldgate/fieldgate/store"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/export"
	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// TestExportsAreTheSame: of the same readings, gaps and ends the export of a
// store and the cloud write the same bytes, in both formats. The store was
// killed, and old readings of it were dropped.
func TestExportsAreTheSame(t *testing.T) {
	dir, s := storeOf(t, 20_000)
	killed := filepath.Join(t.TempDir(), "killed")
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	half := clock.NewFake(gateway.BootID{1}).Anchor().Wall(gateway.Stamp(501 * 1e6)) // 500 s of 1,000
	if code, out, errs := outcome(t, "buffer", "drop", "--dir", killed, "--before", half.Format(time.RFC3339), "--yes"); code != cli.ExitOK {
		t.Fatalf("drop: %d %s%s", code, out, errs)
	}
	log := logOf(t, killed)
	for format, open := range map[string]func(io.Writer, string) lines.Writer{"ndjson": lines.NewNDJSON, "csv": lines.NewCSV} {
		code, ours, errs := outcome(t, "buffer", "export", "--dir", killed, "--gateway", "g", "--format", format)
		if code != cli.ExitOK {
			t.Fatalf("export: %d %s", code, errs)
		}
		a, err := export.Open(t.Context(), log, &cloudtest.KV{}, "g", &ledger.Question{Readings: true}, block.NewDecoder())
		if err != nil {
			t.Fatal(err)
		}
		var theirs bytes.Buffer
		w := open(&theirs, "g")
		if err := a.WriteLines(t.Context(), w); err != nil || w.Flush() != nil {
			t.Fatal(err)
		}
		for _, kind := range []string{"boiler", "dropped", "unclean_stop"} {
			if !strings.Contains(ours, kind) {
				t.Errorf("there is no %s in the %s", kind, format)
			}
		}
		if ours != theirs.String() {
			at := 0
			for at < min(len(ours), theirs.Len()) && ours[at] == theirs.Bytes()[at] {
				at++
			}
			t.Errorf("%s: from byte %d on the store's export is\n%.400q\nand the cloud's\n%.400q", format, at, ours[at:], theirs.Bytes()[at:])
		}
	}
}

// logOf gives a log that has got all that a store holds.
func logOf(t *testing.T, dir string) *cloudtest.History {
	t.Helper()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	board, err := clock.New("/", quiet) // that of the command: what an open end says depends on it
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Inspect(store.Options{
		Dir: dir, FlushInterval: time.Second, HistoryFlush: time.Minute, Rate: 1e6, Burst: 100,
		Clock: board, Conditions: health.New(quiet), Log: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Leave()
	h, epochs := cloudtest.NewHistory(), s.Epochs()
	var ids []gateway.EpochID
	for _, e := range epochs {
		ids = append(ids, e.ID)
	}
	h.Open("g", true, ids...)
	for _, e := range epochs[:len(epochs)-1] { // the last is that of this look
		for seq, ended := uint64(1), false; !ended; {
			b, err := s.Next(t.Context(), e.ID, seq, 0)
			if err != nil {
				t.Fatal(err)
			}
			h.Send("g", updateOf(b))
			seq, ended = b.Last()+1, b.End != nil
		}
	}
	return h
}

// updateOf gives the message that the uplink makes of a block.
func updateOf(b gateway.Block) *wire.Update {
	u := &wire.Update{Lane: wire.LaneBacklog, Epoch: b.Epoch, First: b.First, N: b.N}
	switch {
	case b.Gap != nil:
		u.Gap = &wire.Gap{Why: b.Gap.Why, T0: int64(b.Gap.T0), T1: int64(b.Gap.T1), Anchor: record.WireAnchor(b.Gap.Anchor)}
	case b.End != nil && b.End.Closed:
		u.End = &wire.End{Closed: &b.End.Last}
	case b.End != nil:
		a := record.WireAnchor(b.End.Anchor)
		u.End = &wire.End{Why: b.End.Why, AtMost: b.End.AtMost, T0: int64(b.End.T0), T1: int64(b.End.T1), Anchor: &a}
	default:
		u.Blocks = [][]byte{b.Data}
	}
	return u
}
