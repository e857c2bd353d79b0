package jetstream_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

func TestBus(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	heard := make(chan string, 10)
	listen := func(subject string) func() {
		t.Helper()
		stop, err := l.Subscribe(subject, func(s string, data []byte) []byte {
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
		if err := l.Publish(subject, []byte("x")); err != nil {
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

func TestAsk(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir(), Timeout: 2 * time.Second})
	if _, err := l.Request(t.Context(), "cmd.g", nil); !errors.Is(err, record.ErrNobody) {
		t.Errorf("nobody there: %v", err)
	}
	stop, err := l.Subscribe("cmd.g", func(_ string, data []byte) []byte { return append([]byte("re: "), data...) })
	if err != nil {
		t.Fatal(err)
	}
	if got, err := l.Request(t.Context(), "cmd.g", []byte("hello")); err != nil || string(got) != "re: hello" {
		t.Errorf("got %q, %v", got, err)
	}
	stop()
	if _, err := l.Request(t.Context(), "cmd.g", nil); !errors.Is(err, record.ErrNobody) {
		t.Errorf("nobody there any more: %v", err)
	}
	stop, err = l.Subscribe("cmd.g", func(string, []byte) []byte { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if _, err := l.Request(t.Context(), "cmd.g", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no answer: %v", err)
	}
}

func TestSubjectsOfTheBus(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	for _, s := range []string{"", "a.*", "a.>", "raw.default.g", "doc.a", "a b", "a..b", ">", "*"} {
		if err := l.Publish(s, nil); err == nil {
			t.Errorf("publish %q is accepted", s)
		}
		if _, err := l.Request(t.Context(), s, nil); err == nil || errors.Is(err, record.ErrNobody) {
			t.Errorf("ask %q: %v", s, err)
		}
	}
	for _, s := range []string{"", ">", "*", "raw.>", "doc.*", "a.>.b", "a.b*", "$JS.>"} {
		if _, err := l.Subscribe(s, nil); err == nil {
			t.Errorf("on %q is accepted", s)
		}
	}
}
