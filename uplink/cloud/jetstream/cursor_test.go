package jetstream_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud"
	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
)

// TestOneConsumes: of two servers one consumes, and says again and again that
// it is there; the other goes on when it has ended.
func TestOneConsumes(t *testing.T) {
	t.Parallel() // most of it is waiting
	s := serve(t, nil)
	first, second := open(t, jetstream.Options{URL: s.ClientURL(), Replicas: 1}), open(t, jetstream.Options{URL: s.ClientURL(), Replicas: 1})
	w := newWriter(t, first)
	w.add("a", "a", "a")
	consume := func(l *jetstream.Log, got chan<- string) (end func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- l.Consume(ctx, "sink", 1, func(_ context.Context, es []cloud.Entry) error {
				got <- es[0].ID
				return nil
			})
		}()
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	held := func() (holder string, rev uint64) {
		d, err := first.Get(t.Context(), "cursor.sink")
		var at struct{ Holder string }
		if err == nil {
			err = json.Unmarshal(d.Body, &at)
		}
		if err != nil {
			t.Fatal(err)
		}
		return at.Holder, d.Rev
	}
	mine, theirs := make(chan string), make(chan string, 10)
	end := consume(first, mine)
	if got := <-mine; got != "a1" {
		t.Errorf("got %s", got)
	}
	endSecond := consume(second, theirs)
	defer endSecond()
	for _, want := range []string{"a2", "a3"} { // the second is there, and gets none of these
		<-time.After(jetstream.RenewEvery * 6 / 10)
		if got := <-mine; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	holder, rev := held()
	for start := time.Now(); ; <-time.After(50 * time.Millisecond) { // without a record
		now, at := held()
		if now != holder || holder == "" {
			t.Fatalf("held by %q, then by %q", holder, now)
		}
		if at > rev+1 {
			break
		}
		if time.Since(start) > 3*jetstream.RenewEvery {
			t.Fatal("the holder does not say that it is there")
		}
	}
	end()
	if holder, _ := held(); holder != "" && len(theirs) == 0 {
		t.Errorf("held by %q after the end", holder)
	}
	w.add("a")
	if got := <-theirs; got != "a4" {
		t.Errorf("the second got %s", got)
	}
}

// TestCursorMovedWithoutAnAnswer: the same move again is no move of another's.
func TestCursorMovedWithoutAnAnswer(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	newWriter(t, l).add("a", "a", "a")
	consumeUntil(t, l, 1, 1)
	if err := l.MoveTwice(t.Context(), "sink", func() {}); err != nil {
		t.Errorf("moved twice: %v", err)
	}
	err := l.MoveTwice(t.Context(), "sink", func() { put(t, l, "cursor.sink", `{"seq":1}`, cloud.AnyRev) })
	if err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("with another's move between: %v", err)
	}
}
