package drivers

import (
	"time"

	"periph.io/x/conn/v3/gpio"
)

// An Edge is one change of a line.
type Edge struct {
	Level gpio.Level // after it
	At    time.Time  // when it was seen; only the monotonic part is meant
	// Seq counts the edges of the line since Watch, from 1. Where two that
	// follow each other are not consecutive, edges between them were lost. 0: the
	// kernel does not count.
	Seq uint32
}

// A Watch says which edges are watched for.
type Watch struct {
	Pull     gpio.Pull
	Edge     gpio.Edge
	Debounce time.Duration // a level counts once it was held so long; 0: at once
}

// A Watcher is a Target.Pin that tells its edges.
type Watcher interface {
	// Watch makes the line an input and calls told for each edge, one at a
	// time. told returns soon and does not call the pin. Halt ends it: told is
	// not called after Halt has returned.
	Watch(w Watch, told func(Edge)) error
}

// A Counter is a Sensor that counts what happens between visits. Its quantities
// that are a Total begin at 0 with every Open.
type Counter interface {
	Sensor
	// Final gives, after Halt, the values as they are at the end. The slice is
	// the sensor's own.
	Final() []Value
	// Missed tells what is known to have happened without being counted, since
	// it was last asked.
	Missed() Missed
}

// Missed is how many events were not counted, and between which times.
type Missed struct {
	N        uint64
	From, To time.Time
}
