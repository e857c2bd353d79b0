// Package pulses counts the pulses of a line: a meter for water, gas or
// electricity, a rain gauge, a flow sensor.
package pulses

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/fieldgate/fieldgate/drivers"
)

var (
	pulls = map[string]gpio.Pull{"none": gpio.Float, "up": gpio.PullUp, "down": gpio.PullDown}
	edges = map[string]gpio.Edge{"rising": gpio.RisingEdge, "falling": gpio.FallingEdge}
)

// shortest is the least time over which a rate says something.
const shortest = 100 * time.Millisecond

// Driver is the row for the table.
func Driver() drivers.Driver {
	return drivers.Driver{
		Name:     "pulse-counter",
		Doc:      "pulses of a GPIO line: how many, and how many per second",
		Bus:      drivers.BusGPIO,
		Interval: 10 * time.Second,
		Timeout:  time.Second,
		Quantities: []drivers.Quantity{
			{Name: "count", Unit: "count", Total: true},
			{Name: "rate", Unit: "1/s"},
		},
		Options: []drivers.Option{
			{
				Name: "pull", Default: "none", OneOf: []any{"none", "up", "down"},
				Doc: "The board's own resistor on the line: none for what drives it both ways, up for a contact to ground, down for one to 3.3 V.",
			},
			{
				Name: "edge", Default: "rising", OneOf: []any{"rising", "falling"},
				Doc: "Which change of the line's voltage counts: falling where a contact to ground closes, rising where it opens.",
			},
			{
				Name: "debounce_ms", Default: int64(0),
				Doc: "How many milliseconds a level must hold before it counts. 0: every edge counts, also those of a contact that bounces. " +
					"A reed contact wants 5 to 50; pulses shorter than that are not counted.",
			},
		},
		Open:         open,
		SimulateLine: simulate,
	}
}

// simulate gives pulses of the rate that there is now.
func simulate(s drivers.Simulation) gpio.Level {
	_, part := math.Modf(s.Clock().Seconds() * s.Now("rate"))
	return part >= 0.5
}

// A line is a pin that tells its edges.
type line interface {
	gpio.PinIO
	drivers.Watcher
	ReadLevel() (gpio.Level, error)
}

var errNoEdges = errors.New("this line does not tell its edges")

type sensor struct {
	pin    line
	values [2]drivers.Value

	mu     sync.Mutex // guards what follows; not held while the pin is called
	n      uint64     // edges counted
	seq    uint32     // of the last one
	seen   time.Time  // when the last one was, at first when the watch began
	missed drivers.Missed

	// Of visits, one at a time.
	since   time.Time // the span of the next rate begins here …
	counted uint64    // … with so many edges
	short   bool      // edges are missing in that span
	rate    float64
	rated   bool
}

func open(ctx context.Context, t drivers.Target) (drivers.Sensor, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open %s: %w", t.Pin, err)
	}
	pin, can := t.Pin.(line)
	if !can {
		return nil, fmt.Errorf("open %s: %w", t.Pin, errNoEdges)
	}
	now := time.Now()
	s := &sensor{pin: pin, seen: now, since: now}
	debounce, _ := t.Options["debounce_ms"].(int64)
	if debounce < 0 || debounce > 10_000 {
		return nil, fmt.Errorf("open %s: debounce_ms is %d, must be from 0 to 10000", t.Pin, debounce)
	}
	err := s.pin.Watch(drivers.Watch{
		Pull: pulls[t.Options["pull"].(string)], Edge: edges[t.Options["edge"].(string)],
		Debounce: time.Duration(debounce) * time.Millisecond,
	}, s.count)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", t.Pin, err)
	}
	return s, nil
}

// count takes one edge. Those that the kernel saw and could not keep show as a gap
// of its numbers; the total does not hold them.
func (s *sensor) count(e drivers.Edge) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if lost := e.Seq - s.seq - 1; e.Seq != 0 && lost != 0 {
		if s.missed.N == 0 {
			s.missed.From = s.seen
		}
		s.missed.N += uint64(lost)
		s.missed.To = e.At
	}
	s.n, s.seq, s.seen = s.n+1, e.Seq, e.At
}

// Read gives the pulses since Open, and their rate since the visit before. A
// line that can no longer be read is an error.
func (s *sensor) Read(ctx context.Context) ([]drivers.Value, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", s.pin, err)
	}
	if _, err := s.pin.ReadLevel(); err != nil {
		return nil, fmt.Errorf("read %s: %w", s.pin, err)
	}
	return s.now(), nil
}

func (s *sensor) now() []drivers.Value {
	s.mu.Lock()
	n := s.n
	s.short = s.short || s.missed.N > 0
	s.mu.Unlock()
	s.values = [2]drivers.Value{{Quantity: "count", Value: float64(n)}, {Quantity: "rate"}}
	if span := time.Since(s.since); span >= shortest {
		s.rate, s.rated = float64(n-s.counted)/span.Seconds(), true
		s.since, s.counted = s.since.Add(span), n
		if s.short {
			s.values[1].Doubt, s.short = "edges were lost", false
		}
	}
	if !s.rated {
		return s.values[:1]
	}
	s.values[1].Value = s.rate
	return s.values[:]
}

// Final gives the count at the end.
func (s *sensor) Final() []drivers.Value { return s.now()[:1] }

// Missed tells of edges that the kernel saw and could not keep.
func (s *sensor) Missed() drivers.Missed {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.missed
	s.missed = drivers.Missed{}
	return m
}

// Halt gives the line back.
func (s *sensor) Halt() error {
	if err := s.pin.Halt(); err != nil {
		return fmt.Errorf("give back %s: %w", s.pin, err)
	}
	return nil
}
