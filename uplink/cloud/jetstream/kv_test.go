package jetstream_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// put puts a document that must be taken.
func put(t *testing.T, l *jetstream.Log, key, body string, rev uint64) uint64 {
	t.Helper()
	now, err := l.Put(t.Context(), key, []byte(body), rev, 0)
	if err != nil {
		t.Fatal(err)
	}
	return now
}

func list(t *testing.T, l *jetstream.Log, prefix string) string {
	t.Helper()
	var docs []string
	for d, err := range l.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, d.Key+"="+string(d.Body))
	}
	return strings.Join(docs, " ")
}

func TestKV(t *testing.T) {
	dir := t.TempDir()
	l := open(t, jetstream.Options{Dir: dir})
	ctx := t.Context()
	if _, err := l.Get(ctx, "ledger.g"); !errors.Is(err, record.ErrNoDoc) {
		t.Errorf("of nothing: %v", err)
	}
	if err := l.Delete(ctx, "ledger.g"); err != nil {
		t.Errorf("deleting nothing: %v", err)
	}
	rev := put(t, l, "ledger.g", "1", 0)
	for _, wrong := range []uint64{0, rev + 1} {
		if _, err := l.Put(ctx, "ledger.g", nil, wrong, 0); !errors.Is(err, record.ErrRevision) {
			t.Errorf("put at %d: %v", wrong, err)
		}
	}
	rev = put(t, l, "ledger.g", "2", rev)
	put(t, l, "ledger.g", "3", record.AnyRev)
	if _, err := l.Put(ctx, "ledger.g", nil, rev, 0); !errors.Is(err, record.ErrRevision) {
		t.Errorf("put at an old revision: %v", err)
	}
	put(t, l, "ledger.empty", "", 0)
	put(t, l, "gone", "1", 0)
	if err := l.Delete(ctx, "gone"); err != nil {
		t.Fatal(err)
	}
	l.Close()
	l = open(t, jetstream.Options{Dir: dir})
	if d, err := l.Get(ctx, "ledger.g"); err != nil || string(d.Body) != "3" || d.Key != "ledger.g" || d.At.IsZero() || d.Rev == 0 {
		t.Errorf("got %+v, %v", d, err)
	}
	if d, err := l.Get(ctx, "ledger.empty"); err != nil || d.Body == nil {
		t.Errorf("an empty document is %+v, %v", d, err)
	}
	if _, err := l.Get(ctx, "gone"); !errors.Is(err, record.ErrNoDoc) {
		t.Errorf("of a deleted document: %v", err)
	}
	put(t, l, "gone", "again", 0)
	if d, err := l.Get(ctx, "gone"); err != nil || string(d.Body) != "again" {
		t.Errorf("got %+v, %v", d, err)
	}
}

func TestKeys(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	for _, key := range []string{"", ".", "a.", ".a", "a..b", "a.*", "a.>", ">", "a b", "a\nb", "ä", "$JS", strings.Repeat("a", 257)} {
		if _, err := l.Put(t.Context(), key, nil, 0, 0); err == nil {
			t.Errorf("put %q is accepted", key)
		}
		if _, err := l.Get(t.Context(), key); err == nil || errors.Is(err, record.ErrNoDoc) {
			t.Errorf("get %q: %v", key, err)
		}
		if err := l.Delete(t.Context(), key); err == nil {
			t.Errorf("delete %q is accepted", key)
		}
		if key == "" {
			continue // as a prefix it is every document
		}
		if err := l.Watch(t.Context(), key, nil); err == nil {
			t.Errorf("watch %q is accepted", key)
		}
		for _, err := range l.List(t.Context(), key) {
			if err == nil {
				t.Errorf("list %q is accepted", key)
			}
		}
	}
}

func TestList(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	for _, key := range []string{"cfg.a", "ledger.a.1", "ledger.a.2", "ledger.ab.1", "ledger"} {
		put(t, l, key, "1", 0)
	}
	put(t, l, "ledger.a.1", "2", record.AnyRev)
	if err := l.Delete(t.Context(), "ledger.a.2"); err != nil {
		t.Fatal(err)
	}
	for prefix, want := range map[string]string{
		"":         "cfg.a=1 ledger.ab.1=1 ledger=1 ledger.a.1=2",
		"ledger":   "ledger.ab.1=1 ledger=1 ledger.a.1=2",
		"ledger.a": "ledger.a.1=2",
		"cfg.a":    "cfg.a=1",
		"none":     "",
	} {
		if got := list(t, l, prefix); got != want {
			t.Errorf("list of %q: %s, want %s", prefix, got, want)
		}
	}
}

// TestListWhileChanging: a document that changes meanwhile is not missed.
func TestListWhileChanging(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	keys := strings.Fields("k.a k.b k.c k.d k.e k.f")
	for _, key := range keys {
		put(t, l, key, "old", 0)
	}
	got := map[string]string{}
	first := true
	for d, err := range l.List(t.Context(), "k") {
		if err != nil {
			t.Fatal(err)
		}
		if first {
			for _, key := range keys {
				put(t, l, key, "new", record.AnyRev)
			}
		}
		first = false
		got[d.Key] = string(d.Body)
	}
	if len(got) != len(keys) {
		t.Errorf("listed %v", got)
	}
}

// TestWatch sees what is there, changes, a deletion, and the end of a ttl.
func TestWatch(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	put(t, l, "cmd.g.1", "a", 0)
	put(t, l, "other.g", "a", 0)
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan string, 10)
	done := make(chan error)
	go func() {
		done <- l.Watch(ctx, "cmd", func(d record.Doc) {
			text := d.Key + "=" + string(d.Body)
			if d.Body == nil {
				text = d.Key + " gone"
			}
			told <- text
		})
	}()
	want := func(s string) {
		t.Helper()
		if got := <-told; got != s {
			t.Errorf("told of %s, want %s", got, s)
		}
	}
	want("cmd.g.1=a")
	put(t, l, "cmd.g.1", "b", record.AnyRev)
	want("cmd.g.1=b")
	if err := l.Delete(t.Context(), "cmd.g.1"); err != nil {
		t.Fatal(err)
	}
	want("cmd.g.1 gone")
	if _, err := l.Put(t.Context(), "cmd.g.2", []byte("short"), 0, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	want("cmd.g.2=short")
	want("cmd.g.2 gone") // by itself, after a second
	if _, err := l.Get(t.Context(), "cmd.g.2"); !errors.Is(err, record.ErrNoDoc) {
		t.Errorf("after its ttl: %v", err)
	}
	put(t, l, "cmd.g.2", "again", 0)
	want("cmd.g.2=again")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
