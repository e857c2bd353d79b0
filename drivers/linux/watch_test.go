package linux

import (
	"errors"
	"testing"
	"time"

	"github.com/warthog618/go-gpiocdev"
	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/gpio"

	"github.com/fieldgate/fieldgate/drivers"
)

var _ drivers.Watcher = (*Pin)(nil)

func TestEdgeOfTheKernel(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		event gpiocdev.LineEvent
		want  drivers.Edge
	}{
		{gpiocdev.LineEvent{Timestamp: 90 * time.Second, Type: gpiocdev.LineEventRisingEdge, Seqno: 9, LineSeqno: 7},
			drivers.Edge{Level: gpio.High, At: now.Add(-10 * time.Second), Seq: 7}},
		{gpiocdev.LineEvent{Timestamp: 100 * time.Second, Type: gpiocdev.LineEventFallingEdge}, drivers.Edge{At: now}},
		{gpiocdev.LineEvent{Timestamp: 101 * time.Second}, drivers.Edge{At: now}},           // ahead of the clock
		{gpiocdev.LineEvent{Timestamp: -3600 * time.Second}, drivers.Edge{At: now}},         // another clock
		{gpiocdev.LineEvent{Timestamp: 1_700_000_000 * time.Second}, drivers.Edge{At: now}}, // CLOCK_REALTIME, before Linux 5.7
	} {
		if got := edgeOf(c.event, 100*time.Second, now); got != c.want {
			t.Errorf("%+v: %+v, want %+v", c.event, got, c.want)
		}
	}
}

func TestWatch(t *testing.T) {
	b := &board{}
	p := pin(t, b)
	told := func(drivers.Edge) {}
	if err := p.Watch(drivers.Watch{}, told); err == nil {
		t.Error("no edge is watched")
	}
	must(t, p.Watch(drivers.Watch{Pull: gpio.PullUp, Edge: gpio.FallingEdge, Debounce: time.Millisecond}, told))
	if len(b.options) != 7 || b.options[1] != gpiocdev.WithFallingEdge || b.options[4] != gpiocdev.WithPullUp ||
		b.options[5] != gpiocdev.WithDebounce(time.Millisecond) {
		t.Errorf("requested with %v", b.options)
	}
	if err := p.Watch(drivers.Watch{Edge: gpio.RisingEdge}, told); err == nil {
		t.Error("watched twice")
	}
	must(t, p.Halt())
	b.lerr = unix.ENODEV
	if err := p.Watch(drivers.Watch{Edge: gpio.RisingEdge}, told); !errors.Is(err, drivers.ErrBus) {
		t.Errorf("chip gone: %v", err)
	}
}
