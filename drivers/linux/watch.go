package linux

import (
	"fmt"
	"time"

	"github.com/warthog618/go-gpiocdev"
	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/gpio"

	"github.com/fieldgate/fieldgate/drivers"
)

// buffered is how many edges the kernel is asked to keep until they are read.
// When they are more, it drops the oldest, and its numbers show a gap.
const buffered = 1024

var edges = map[gpio.Edge]gpiocdev.LineEdge{
	gpio.RisingEdge: gpiocdev.WithRisingEdge, gpio.FallingEdge: gpiocdev.WithFallingEdge, gpio.BothEdges: gpiocdev.WithBothEdges,
}

// Watch takes the line as an input and tells its edges, with the stamps and the
// numbers of the kernel, until Halt. The line must not be in use.
func (p *Pin) Watch(w drivers.Watch, told func(drivers.Edge)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	edge, ok := edges[w.Edge]
	switch {
	case !ok:
		return fmt.Errorf("watch line %s: no edge is asked for", p.name)
	case p.line != nil:
		return fmt.Errorf("watch line %s: it is in use", p.name)
	}
	options := []gpiocdev.LineReqOption{gpiocdev.AsInput, edge, gpiocdev.WithEventBufferSize(buffered),
		gpiocdev.WithEventHandler(func(e gpiocdev.LineEvent) { told(edgeOf(e, monotonic(), time.Now())) })}
	if bias, ok := biases[w.Pull]; ok {
		options = append(options, bias)
	}
	if w.Debounce > 0 {
		options = append(options, gpiocdev.WithDebounce(w.Debounce))
	}
	if err := p.takeLocked(options...); err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	p.output, p.pull = false, w.Pull
	return nil
}

// edgeOf tells an event of the kernel, read at now by both clocks. Its stamps are
// of CLOCK_MONOTONIC (Linux 5.7 and later).
func edgeOf(e gpiocdev.LineEvent, monotonic time.Duration, now time.Time) drivers.Edge {
	ago := monotonic - e.Timestamp
	if ago < 0 || ago > time.Hour {
		ago = 0 // not that clock
	}
	return drivers.Edge{Level: e.Type == gpiocdev.LineEventRisingEdge, At: now.Add(-ago), Seq: e.LineSeqno}
}

func monotonic() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0 // every Linux has it
	}
	return time.Duration(t.Nano())
}
