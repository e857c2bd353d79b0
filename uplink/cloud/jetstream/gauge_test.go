package jetstream_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// How far a consumer is behind is told in records and in time, also when the
// log is another than the one that it has consumed.
func TestConsumersAreGauged(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	if list, err := l.Consumers(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("without consumers: %+v, %v", list, err)
	}
	w := newWriter(t, l)
	w.add("a", "b", "a")
	consumeUntil(t, l, 10, 3)
	if list, err := l.Consumers(t.Context()); err != nil || len(list) != 1 || list[0].Behind != 0 || !list[0].Oldest.IsZero() {
		t.Errorf("passed everything: %+v, %v", list, err)
	}
	began := time.Now()
	w.add("b", "a")
	list, err := l.Consumers(t.Context())
	if err != nil || len(list) != 1 || list[0].Behind != 2 || list[0].Oldest.Before(began.Add(-time.Second)) ||
		list[0].Oldest.After(time.Now()) {
		t.Errorf("two behind: %+v, %v", list, err)
	}
}

// What nobody uses any more is forgotten, and then the log goes; what is used
// is not.
func TestForget(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	w := newWriter(t, l)
	for range 10 {
		w.add("a", "b")
	}
	consumeUntil(t, l, 4, 4)
	if err := l.Purge(t.Context(), 0); err != nil || !strings.HasPrefix(scan(t, l, 0), "a5 b6 ") {
		t.Fatalf("the sink does not hold the log back: %s, %v", scan(t, l, 0), err)
	}
	list, err := l.Consumers(t.Context())
	if err != nil || len(list) != 1 || list[0].Used || list[0].Behind != 16 || time.Since(list[0].Seen) > time.Minute {
		t.Errorf("after it ended: %+v, %v", list, err)
	}
	for _, name := range []string{"none", "", "*", "a.b", "nats:none", "nats:*"} {
		if err := l.Forget(t.Context(), name); !errors.Is(err, record.ErrNoConsumer) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := l.Forget(t.Context(), "sink"); err != nil {
		t.Fatal(err)
	}
	if list, err := l.Consumers(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("it is still there: %+v, %v", list, err)
	}
	if err := l.Purge(t.Context(), 0); err != nil || !strings.HasPrefix(scan(t, l, 0), "a17 b18 ") {
		t.Errorf("left: %s, %v", scan(t, l, 0), err)
	}
	if got := strings.Join(consumeUntil(t, l, 10, 4), "|"); got != "a17 b18 a19 b20" {
		t.Errorf("used again, it begins with %s", got)
	}
}

func TestForgetRefusesWhatIsUsed(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	w := newWriter(t, l)
	w.add("a", "b")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	came, done := make(chan int), make(chan error)
	go func() {
		done <- l.Consume(ctx, "sink", 10, func(_ context.Context, es []record.Entry) error {
			came <- len(es)
			return nil
		})
	}()
	<-came
	if list, err := l.Consumers(t.Context()); err != nil || len(list) != 1 || !list[0].Used {
		t.Errorf("%+v, %v", list, err)
	}
	if err := l.Forget(t.Context(), "sink"); !errors.Is(err, record.ErrConsumerUsed) {
		t.Errorf("in use: %v", err)
	}
	w.add("a")
	if n := <-came; n != 1 { // it goes on where it was
		t.Errorf("%d records", n)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A durable consumer that another program has made holds the log back like any
// other, and is seen and forgotten like it.
func TestForgetForeign(t *testing.T) {
	l := open(t, jetstream.Options{Dir: t.TempDir()})
	w := newWriter(t, l)
	for range 5 {
		w.add("a", "b")
	}
	c, err := l.Stream().CreateConsumer(t.Context(), natsjs.ConsumerConfig{Durable: "archive", AckPolicy: natsjs.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	first, err := c.Next()
	if err != nil || first.DoubleAck(t.Context()) != nil {
		t.Fatal(err)
	}
	list, err := l.Consumers(t.Context())
	if err != nil || len(list) != 1 || list[0].Name != "nats:archive" || list[0].Behind != 9 || list[0].Used || list[0].Seen.IsZero() {
		t.Errorf("%+v, %v", list, err)
	}
	waits := func(want bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if list, err = l.Consumers(t.Context()); err == nil && list[0].Used == want {
				return
			}
		}
		t.Fatalf("want used: %t, got %+v, %v", want, list, err)
	}
	it, err := c.Consume(func(natsjs.Msg) {})
	if err != nil {
		t.Fatal(err)
	}
	defer it.Stop()
	waits(true)
	if err := l.Forget(t.Context(), "nats:archive"); !errors.Is(err, record.ErrConsumerUsed) {
		t.Errorf("in use: %v", err)
	}
	it.Stop()
	waits(false)
	if err := l.Forget(t.Context(), "nats:archive"); err != nil {
		t.Error(err)
	}
	if list, err := l.Consumers(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}
