package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
	"github.com/fieldgate/fieldgate/uplink/cloud/natstest"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

func TestMain(m *testing.M) {
	natstest.Main()
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, opt jetstream.Options) *jetstream.Log {
	t.Helper()
	opt.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	l, err := jetstream.Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

var example = record.Record{
	ID: "a", Prev: "z", PrevSeq: 7, Kind: record.KindUpdate, Gen: 3, State: "x:1:-,y:2:c",
	Epoch: gateway.EpochID{1, 2}, First: 5, N: 6, Lane: wire.LaneBacklog, Body: []byte("body"),
}

func TestRecordRoundTrip(t *testing.T) {
	dir := t.TempDir() + "/log"
	l := open(t, jetstream.Options{Dir: dir})
	ctx := t.Context()
	if _, err := l.Last(ctx, "g"); !errors.Is(err, record.ErrNoRecord) {
		t.Errorf("of an empty log: %v", err)
	}
	first := record.Record{ID: "o", Kind: record.KindOpen, Gen: 1}
	seq, err := l.Append(ctx, "g", 0, first)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(ctx, "other", 0, record.Record{ID: "p", Kind: record.KindOpen}); err != nil {
		t.Fatal(err)
	}
	second, err := l.Append(ctx, "g", seq, example)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if fi, err := os.Stat(dir); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("mode of the directory: %v, %v", fi.Mode(), err)
	}

	l = open(t, jetstream.Options{Dir: dir})
	got, err := l.Last(ctx, "g")
	if err != nil || got.At.IsZero() || got.Seq != second {
		t.Fatalf("%+v, %v", got, err)
	}
	want := example
	want.At, want.Seq = got.At, got.Seq
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
	var ids string
	for r, err := range l.Read(ctx, "g", 0) {
		if err != nil {
			t.Fatal(err)
		}
		ids += r.ID
	}
	for r := range l.Read(ctx, "g", seq+1) {
		ids += r.ID
		break
	}
	if ids != "oaa" {
		t.Errorf("read %q", ids)
	}
}

func TestOnlyBehindTheLast(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	seq, err := l.Append(t.Context(), "g", 0, record.Record{ID: "a", Kind: record.KindOpen})
	if err != nil {
		t.Fatal(err)
	}
	for i, after := range []uint64{0, seq + 1, seq - 1} {
		r := record.Record{ID: fmt.Sprint(i), Kind: record.KindOpen}
		if _, err := l.Append(t.Context(), "g", after, r); !errors.Is(err, record.ErrFenced) {
			t.Errorf("behind %d: %v", after, err)
		}
	}
	if _, err := l.Append(t.Context(), "g", seq, record.Record{ID: "a", Kind: record.KindOpen}); !errors.Is(err, record.ErrFenced) {
		t.Errorf("the same record again: %v", err)
	}
	if got, err := l.Last(t.Context(), "g"); err != nil || got.Seq != seq {
		t.Errorf("last is %+v, %v", got, err)
	}
}

func TestFullLogKeepsWhatItHas(t *testing.T) {
	dir := t.TempDir()
	l := open(t, jetstream.Options{Dir: dir, MaxBytes: 8 << 10})
	r := record.Record{Kind: record.KindOpen, Body: make([]byte, 1000)}
	var seq uint64
	var err error
	n := 0
	for ; err == nil && n < 100; n++ {
		r.ID = fmt.Sprint(n)
		var next uint64
		if next, err = l.Append(t.Context(), "g", seq, r); err == nil {
			seq = next
		}
	}
	if !errors.Is(err, record.ErrFull) || n < 5 {
		t.Errorf("after %d records: %v", n, err)
	}
	if l.Health() != nil {
		t.Errorf("a full log is healthy, it says %v", l.Health())
	}
	l.Close()
	l = open(t, jetstream.Options{Dir: dir, MaxBytes: 1 << 10})
	l.Close() // a lower limit takes nothing away
	l = open(t, jetstream.Options{Dir: dir})
	if _, err := l.Append(t.Context(), "g", seq, r); err != nil {
		t.Errorf("with room again: %v", err)
	}
	got := 0
	for range l.Read(t.Context(), "g", 0) {
		got++
	}
	if got != n {
		t.Errorf("%d of %d records are left", got, n)
	}
}

func TestNoAnswer(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Append(ctx, "g", 0, record.Record{ID: "a", Kind: record.KindOpen}); !errors.Is(err, record.ErrUnavailable) {
		t.Errorf("append without time: %v", err)
	}
	l.Close()
	if _, err := l.Append(t.Context(), "g", 0, record.Record{ID: "b", Kind: record.KindOpen}); !errors.Is(err, record.ErrUnavailable) {
		t.Errorf("append to a closed log: %v", err)
	}
	if _, err := l.Last(t.Context(), "g"); !errors.Is(err, record.ErrUnavailable) {
		t.Errorf("last of a closed log: %v", err)
	}
	if l.Health() == nil {
		t.Error("a closed log says that it is healthy")
	}
}

func TestDirectoryThatCannotBe(t *testing.T) {
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := jetstream.Open(t.Context(), jetstream.Options{Dir: file + "/log"}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
}

// TestStream pins what the promises rest on.
func TestStream(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir(), MaxBytes: 1 << 20})
	c := l.StreamConfig()
	if c.Storage != natsjs.FileStorage || c.Retention != natsjs.LimitsPolicy || c.Discard != natsjs.DiscardNew ||
		c.MaxBytes != 1<<20 || c.MaxAge != 0 || c.AllowDirect || c.MaxMsgSize != 1<<20 || c.Replicas != 1 ||
		c.MaxMsgsPerSubject > 0 || c.MaxMsgs > 0 || c.Duplicates.Minutes() != 2 {
		t.Errorf("stream %+v", c)
	}
	if o := jetstream.ServerOptions("dir"); !o.SyncAlways || !o.DontListen || !o.NoSigs || o.JetStreamMaxStore == 0 {
		t.Errorf("server %+v", o)
	}
}

func openB(b *testing.B) *jetstream.Log {
	b.Helper()
	l, err := jetstream.Open(b.Context(), jetstream.Options{Dir: b.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(l.Close)
	return l
}

// A server that had no time to answer is not broken; one that is broken says
// so every time.
func TestBusyIsNotBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		busy := func() string {
			if asked++; asked < 5 {
				return "failed to be ready for connections after 1ms: startup did not complete"
			}
			return ""
		}
		if err := jetstream.Healthy(busy); err != nil {
			t.Error(err)
		}
		if err := jetstream.Healthy(func() string { return "write error\n" }); err == nil ||
			err.Error() != "nats-server is not healthy: write error" {
			t.Error(err)
		}
	})
}
