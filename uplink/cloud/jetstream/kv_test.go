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

// Documents outlive the engine, and so does what was deleted.
func TestDocumentsOutliveAClose(t *testing.T) {
	dir := t.TempDir()
	l := open(t, jetstream.Options{Dir: dir})
	ctx := t.Context()
	put(t, l, "ledger.g", "2", 0)
	put(t, l, "ledger.g", "3", record.AnyRev)
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

// What is no key of NATS is none of a document, and no prefix of one either.
func TestKeysOfNATS(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	for _, key := range []string{">", "a\nb", "$JS"} { // the others are in the suite
		if _, err := l.Put(t.Context(), key, nil, 0, 0); err == nil {
			t.Errorf("put %q is accepted", key)
		}
	}
	for _, key := range []string{".", "a.", ".a", "a..b", "a.*", "a.>", ">", "a b", "a\nb", "ä", "$JS", strings.Repeat("a", 257)} {
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

// TestWatchSeesTheEndOfATTL: a document that goes by itself is noticed.
func TestWatchSeesTheEndOfATTL(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir()})
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
