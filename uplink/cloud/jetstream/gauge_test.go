package jetstream_test

import (
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/uplink/cloud/jetstream"
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
	if err != nil || len(list) != 1 || list[0].Behind != 2 || list[0].Oldest.Before(began.Add(-time.Second)) || list[0].Oldest.After(time.Now()) {
		t.Errorf("two behind: %+v, %v", list, err)
	}
}
