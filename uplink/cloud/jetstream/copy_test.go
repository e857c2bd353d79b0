package jetstream_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
	"github.com/fieldgate/fieldgate/uplink/cloud/natstest"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// TestCopyToCluster moves a log with holes, documents and a consumer to three
// real servers, and goes on there.
func TestCopyToCluster(t *testing.T) {
	_, urls := natstest.Cluster(t, 3)
	to := jetstream.Options{URL: urls, Logger: slog.New(slog.DiscardHandler)}
	empty := open(t, to) // a server was there, but nobody has used it
	empty.Close()
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	w := newWriter(t, l)
	w.add("quiet")
	for range 20 {
		w.add("a", "b")
	}
	big := record.Record{ID: "c42", Kind: record.KindOpen, Body: make([]byte, 900<<10)} // more than a piece
	for i := range big.Body {
		big.Body[i] = byte(i * i >> 8)
	}
	if _, err := l.Append(t.Context(), "c", 0, big); err != nil {
		t.Fatal(err)
	}
	consumeUntil(t, l, 10, 20)
	if err := l.Purge(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	rev := put(t, l, "ledger.a", "1", 0)
	if n, err := l.CopyTo(t.Context(), to); err != nil || n.Records == 0 || n.Documents != 2 {
		t.Fatal(n, err)
	}
	copied := open(t, to)
	if got, want := scan(t, copied, 0), scan(t, l, 0); got != want || !strings.HasPrefix(got, "quiet1 b21 ") {
		t.Errorf("got %s, want %s", got, want)
	}
	if d, err := copied.Get(t.Context(), "ledger.a"); err != nil || d.Rev != rev {
		t.Errorf("got %+v, %v", d, err)
	}
	w.l = copied
	w.n++
	w.add("a", "quiet") // the chains go on
	if got := strings.Fields(strings.Join(consumeUntil(t, copied, 100, 24), " ")); got[0] != "b21" || got[len(got)-1] != "quiet44" {
		t.Errorf("consumed %s", got)
	}
	if _, err := l.CopyTo(t.Context(), to); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("over a log that is there: %v", err)
	}
}

// TestCopyOfManyRecords has more than a window of pieces.
func TestCopyOfManyRecords(t *testing.T) {
	_, urls := natstest.Cluster(t, 3)
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	body := make([]byte, 200<<10)
	for i := range body {
		body[i] = byte(i * i * i >> 7)
	}
	var seq uint64
	for i := range 100 {
		var err error
		copy(body, fmt.Sprint(i))
		if seq, err = l.Append(t.Context(), "g", seq,
			record.Record{ID: fmt.Sprint("g", i), PrevSeq: seq, Kind: record.KindOpen, Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := l.CopyTo(t.Context(), jetstream.Options{URL: urls}); err != nil || n.Records != 100 {
		t.Fatal(n, err)
	}
}
