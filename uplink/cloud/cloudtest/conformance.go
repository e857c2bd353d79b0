package cloudtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// What every Log, KV and PubSub must do, whatever it is made of. fresh gives an
// empty one for each sub-test.

// TestLog is the suite of a record.Log.
func TestLog(t *testing.T, fresh func(t *testing.T) record.Log) {
	t.Run("a record comes back as it was", func(t *testing.T) { comesBack(t, fresh(t)) })
	t.Run("a record goes behind the last alone", func(t *testing.T) { behindTheLast(t, fresh(t)) })
	t.Run("gateways have chains of their own", func(t *testing.T) { ownChains(t, fresh(t)) })
	t.Run("who has gone appends nothing", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := fresh(t).Append(ctx, "g", 0, record.Record{ID: "a", Kind: record.KindOpen}); !errors.Is(err, record.ErrUnavailable) {
			t.Errorf("said %v", err)
		}
	})
}

func comesBack(t *testing.T, l record.Log) {
	ctx := t.Context()
	if _, err := l.Last(ctx, "g"); !errors.Is(err, record.ErrNoRecord) {
		t.Errorf("the last of an empty log: %v", err)
	}
	want := record.Record{
		ID: "a", Prev: "z", PrevSeq: 7, Kind: record.KindUpdate, Gen: 3, State: "x:1:-,y:2:c",
		Epoch: gateway.EpochID{1, 2}, First: 5, N: 6, Lane: wire.LaneBacklog, Body: []byte("body"),
	}
	seq := mustAppend(t, l, "g", 0, want)
	got, err := l.Last(ctx, "g")
	if err != nil || got.Seq != seq || got.At.IsZero() {
		t.Fatalf("the last is %+v, %v", got, err)
	}
	want.Seq, want.At = got.Seq, got.At
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
}

func behindTheLast(t *testing.T, l record.Log) {
	seq := mustAppend(t, l, "g", 0, record.Record{ID: "a", Kind: record.KindOpen})
	for i, after := range []uint64{0, seq + 1, seq + 7} {
		r := record.Record{ID: fmt.Sprint("b", i), Kind: record.KindOpen}
		if _, err := l.Append(t.Context(), "g", after, r); !errors.Is(err, record.ErrFenced) {
			t.Errorf("behind %d: %v", after, err)
		}
	}
	next := mustAppend(t, l, "g", seq, record.Record{ID: "c", Kind: record.KindOpen, Prev: "a", PrevSeq: seq})
	if _, err := l.Append(t.Context(), "g", seq, record.Record{ID: "d", Kind: record.KindOpen}); !errors.Is(err, record.ErrFenced) {
		t.Errorf("in the place of the last: %v", err)
	}
	if got := idsFrom(t, l, "g", 0); got != "a c" {
		t.Errorf("the chain is %s", got)
	}
	if got := idsFrom(t, l, "g", next); got != "c" {
		t.Errorf("from %d on it is %s", next, got)
	}
	if got := idsFrom(t, l, "g", next+1); got != "" {
		t.Errorf("behind the last there is %s", got)
	}
}

func ownChains(t *testing.T, l record.Log) {
	one := mustAppend(t, l, "g", 0, record.Record{ID: "a", Kind: record.KindOpen})
	two := mustAppend(t, l, "h", 0, record.Record{ID: "b", Kind: record.KindOpen})
	if two <= one {
		t.Errorf("sequences %d and %d: a later record has a higher one", one, two)
	}
	mustAppend(t, l, "g", one, record.Record{ID: "c", Kind: record.KindOpen})
	if g, h := idsFrom(t, l, "g", 0), idsFrom(t, l, "h", 0); g != "a c" || h != "b" {
		t.Errorf("the chains are %s and %s", g, h)
	}
	if _, err := l.Last(t.Context(), "none"); !errors.Is(err, record.ErrNoRecord) {
		t.Errorf("the last of nobody: %v", err)
	}
}

func mustAppend(t *testing.T, l record.Log, id string, after uint64, r record.Record) uint64 {
	t.Helper()
	seq, err := l.Append(t.Context(), id, after, r)
	if err != nil || seq == 0 {
		t.Fatalf("append %s: %d, %v", r.ID, seq, err)
	}
	return seq
}

func idsFrom(t *testing.T, l record.Log, id string, from uint64) string {
	t.Helper()
	var ids []string
	for r, err := range l.Read(t.Context(), id, from) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.ID)
	}
	return strings.Join(ids, " ")
}

// TestKV is the suite of a record.KV.
func TestKV(t *testing.T, fresh func(t *testing.T) record.KV) {
	t.Run("revisions", func(t *testing.T) { revisions(t, fresh(t)) })
	t.Run("keys", func(t *testing.T) { keys(t, fresh(t)) })
	t.Run("list", func(t *testing.T) { lists(t, fresh(t)) })
	t.Run("watch", func(t *testing.T) { watches(t, fresh(t)) })
	t.Run("ttl", func(t *testing.T) { expires(t, fresh(t)) })
}

func revisions(t *testing.T, kv record.KV) {
	ctx := t.Context()
	if _, err := kv.Get(ctx, "ledger.g"); !errors.Is(err, record.ErrNoDoc) {
		t.Errorf("get of nothing: %v", err)
	}
	if err := kv.Delete(ctx, "ledger.g"); err != nil {
		t.Errorf("delete of nothing: %v", err)
	}
	rev := mustPut(t, kv, "ledger.g", "1", 0)
	for _, wrong := range []uint64{0, rev + 1} {
		if _, err := kv.Put(ctx, "ledger.g", nil, wrong, 0); !errors.Is(err, record.ErrRevision) {
			t.Errorf("put at %d: %v", wrong, err)
		}
	}
	old := rev
	rev = mustPut(t, kv, "ledger.g", "2", rev)
	if _, err := kv.Put(ctx, "ledger.g", nil, old, 0); !errors.Is(err, record.ErrRevision) || rev == old {
		t.Errorf("put at the revision before: %v", err)
	}
	rev = mustPut(t, kv, "ledger.g", "3", record.AnyRev)
	if d, err := kv.Get(ctx, "ledger.g"); err != nil || d.Key != "ledger.g" || string(d.Body) != "3" || d.Rev != rev || d.At.IsZero() {
		t.Errorf("got %+v, %v", d, err)
	}
	mustPut(t, kv, "ledger.empty", "", 0)
	if d, err := kv.Get(ctx, "ledger.empty"); err != nil || d.Body == nil {
		t.Errorf("an empty document is %+v, %v", d, err)
	}
	if err := kv.Delete(ctx, "ledger.g"); err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Get(ctx, "ledger.g"); !errors.Is(err, record.ErrNoDoc) {
		t.Errorf("get of what was deleted: %v", err)
	}
	mustPut(t, kv, "ledger.g", "again", 0)
}

func keys(t *testing.T, kv record.KV) {
	for _, key := range []string{"", ".", "a.", ".a", "a..b", "a.*", "a.>", "a b", "ä", strings.Repeat("a", 257)} {
		if _, err := kv.Put(t.Context(), key, nil, 0, 0); err == nil {
			t.Errorf("put %q is accepted", key)
		}
		if _, err := kv.Get(t.Context(), key); err == nil || errors.Is(err, record.ErrNoDoc) {
			t.Errorf("get %q: %v", key, err)
		}
		if err := kv.Delete(t.Context(), key); err == nil {
			t.Errorf("delete %q is accepted", key)
		}
	}
}

func lists(t *testing.T, kv record.KV) {
	for _, key := range []string{"cfg.a", "ledger.a.1", "ledger.a.2", "ledger.ab.1", "ledger"} {
		mustPut(t, kv, key, "1", 0)
	}
	mustPut(t, kv, "ledger.a.1", "2", record.AnyRev)
	if err := kv.Delete(t.Context(), "ledger.a.2"); err != nil {
		t.Fatal(err)
	}
	for prefix, want := range map[string]string{
		"":         "cfg.a=1 ledger.a.1=2 ledger.ab.1=1 ledger=1",
		"ledger":   "ledger.a.1=2 ledger.ab.1=1 ledger=1",
		"ledger.a": "ledger.a.1=2",
		"cfg.a":    "cfg.a=1",
		"none":     "",
	} {
		var got []string
		for d, err := range kv.List(t.Context(), prefix) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, d.Key+"="+string(d.Body))
		}
		slices.Sort(got)
		if all := strings.Join(got, " "); all != want {
			t.Errorf("list of %q: %s, want %s", prefix, all, want)
		}
	}
}

func watches(t *testing.T, kv record.KV) {
	mustPut(t, kv, "cmd.g.1", "a", 0)
	mustPut(t, kv, "other.g", "a", 0)
	ctx, cancel := context.WithCancel(t.Context())
	told, done := make(chan string, 10), make(chan error)
	go func() {
		done <- kv.Watch(ctx, "cmd", func(d record.Doc) {
			if d.Body == nil {
				told <- d.Key + " gone"
				return
			}
			told <- d.Key + "=" + string(d.Body)
		})
	}()
	want := func(s string) {
		t.Helper()
		if got := <-told; got != s {
			t.Errorf("told of %s, want %s", got, s)
		}
	}
	want("cmd.g.1=a")
	mustPut(t, kv, "cmd.g.1", "b", record.AnyRev)
	want("cmd.g.1=b")
	mustPut(t, kv, "other.g", "b", record.AnyRev)
	if err := kv.Delete(t.Context(), "cmd.g.1"); err != nil {
		t.Fatal(err)
	}
	want("cmd.g.1 gone")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func expires(t *testing.T, kv record.KV) {
	if _, err := kv.Put(t.Context(), "cmd.g", []byte("short"), 0, time.Second); err != nil {
		t.Fatal(err)
	}
	mustPut(t, kv, "cmd.h", "long", 0)
	if d, err := kv.Get(t.Context(), "cmd.g"); err != nil || string(d.Body) != "short" {
		t.Errorf("before its end: %+v, %v", d, err)
	}
	for range 3000 {
		if _, err := kv.Get(t.Context(), "cmd.g"); errors.Is(err, record.ErrNoDoc) {
			mustPut(t, kv, "cmd.g", "again", 0)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("a document outlives its end by half a minute")
}

func mustPut(t *testing.T, kv record.KV, key, body string, rev uint64) uint64 {
	t.Helper()
	now, err := kv.Put(t.Context(), key, []byte(body), rev, 0)
	if err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
	return now
}

// TestPubSub is the suite of a record.PubSub.
func TestPubSub(t *testing.T, fresh func(t *testing.T) record.PubSub) {
	t.Run("publish", func(t *testing.T) { publishes(t, fresh(t)) })
	t.Run("request", func(t *testing.T) { requests(t, fresh(t)) })
	t.Run("subjects", func(t *testing.T) { subjects(t, fresh(t)) })
}

func publishes(t *testing.T, p record.PubSub) {
	heard := make(chan string, 10)
	listen := func(subject string) func() {
		t.Helper()
		stop, err := p.Subscribe(subject, func(s string, data []byte) []byte {
			heard <- s + ":" + string(data)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return stop
	}
	stopOne, stopAll := listen("live.*.temperature"), listen("live.>")
	publish := func(subject string) {
		t.Helper()
		if err := p.Publish(subject, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	publish("live.boiler.temperature")
	for range 2 {
		if got := <-heard; got != "live.boiler.temperature:x" {
			t.Errorf("heard %s", got)
		}
	}
	stopOne()
	publish("live.boiler.temperature")
	publish("other.boiler")
	publish("live.end")
	for _, want := range []string{"live.boiler.temperature:x", "live.end:x"} {
		if got := <-heard; got != want {
			t.Errorf("heard %s, want %s", got, want)
		}
	}
	stopAll()
	publish("live.end")
	if len(heard) != 0 {
		t.Errorf("heard %s after the end", <-heard)
	}
}

func requests(t *testing.T, p record.PubSub) {
	if _, err := p.Request(t.Context(), "cmd.g", nil); !errors.Is(err, record.ErrNobody) {
		t.Errorf("nobody there: %v", err)
	}
	stop, err := p.Subscribe("cmd.g", func(_ string, data []byte) []byte { return append([]byte("re: "), data...) })
	if err != nil {
		t.Fatal(err)
	}
	if got, err := p.Request(t.Context(), "cmd.g", []byte("hello")); err != nil || string(got) != "re: hello" {
		t.Errorf("got %q, %v", got, err)
	}
	stop()
	if _, err := p.Request(t.Context(), "cmd.g", nil); !errors.Is(err, record.ErrNobody) {
		t.Errorf("nobody there any more: %v", err)
	}
	stop, err = p.Subscribe("cmd.g", func(string, []byte) []byte { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := p.Request(ctx, "cmd.g", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no answer: %v", err)
	}
}

func subjects(t *testing.T, p record.PubSub) {
	for _, s := range []string{"", "a.*", "a.>", "a b", "a..b", ">", "*"} {
		if err := p.Publish(s, nil); err == nil {
			t.Errorf("publish %q is accepted", s)
		}
		if _, err := p.Request(t.Context(), s, nil); err == nil || errors.Is(err, record.ErrNobody) {
			t.Errorf("request %q: %v", s, err)
		}
	}
	for _, s := range []string{"", ">", "*", "a.>.b", "a.b*"} {
		if _, err := p.Subscribe(s, nil); err == nil {
			t.Errorf("subscribe to %q is accepted", s)
		}
	}
}
