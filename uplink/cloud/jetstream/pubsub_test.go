package jetstream_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// A request that nobody answers ends by itself.
func TestRequestEndsInTime(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir(), Timeout: 2 * time.Second})
	stop, err := l.Subscribe("cmd.g", func(string, []byte) []byte { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if _, err := l.Request(t.Context(), "cmd.g", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no answer: %v", err)
	}
}

// What the streams keep, and what the engine says to itself, is no subject.
func TestSubjectsOfStreamsAreRefused(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	for _, s := range []string{"raw.default.g", "doc.a"} {
		if err := l.Publish(s, nil); err == nil {
			t.Errorf("publish %q is accepted", s)
		}
		if _, err := l.Request(t.Context(), s, nil); err == nil || errors.Is(err, record.ErrNobody) {
			t.Errorf("request %q: %v", s, err)
		}
	}
	for _, s := range []string{"raw.>", "doc.*", "$JS.>"} {
		if _, err := l.Subscribe(s, nil); err == nil {
			t.Errorf("subscribe to %q is accepted", s)
		}
	}
}
