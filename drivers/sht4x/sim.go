package sht4x

import (
	"math"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/sensirion"
)

const (
	simSerial = 0x89
	simReset  = 0x94
	serial    = 0x0d206101
)

// A measure is a command that measures: how long it takes at most (§3.1), and by
// how much the chip is warmer then (a sketch: §4.9 gives about 60 degrees for
// 200 mW and a second).
type measure struct {
	takes time.Duration
	heats float64
}

var measures = map[byte]measure{
	0xfd: {8300 * time.Microsecond, 0}, 0xf6: {4500 * time.Microsecond, 0}, 0xe0: {1700 * time.Microsecond, 0},
	0x39: {1100 * time.Millisecond, 60}, 0x32: {110 * time.Millisecond, 35},
	0x2f: {1100 * time.Millisecond, 33}, 0x24: {110 * time.Millisecond, 20},
	0x1e: {1100 * time.Millisecond, 7}, 0x15: {110 * time.Millisecond, 4},
}

// What a read gives next.
const (
	nothing = iota
	measurement
	number
)

type chip struct {
	drivers.Simulation
	next   int
	ready  time.Duration // until then the chip is deaf
	warmth float64       // at ready
	broken bool
}

func simulate(s drivers.Simulation) drivers.Chip { return &chip{Simulation: s} }

// Reset is a power cycle.
func (c *chip) Reset() { c.Powered, c.next, c.ready = c.Clock(), nothing, 0 }

// Tx takes a command of one byte, then answers what the last one asked for.
func (c *chip) Tx(w, r []byte) error {
	now := c.Clock()
	if now-c.Powered < time.Millisecond || now < c.ready {
		return drivers.ErrAbsent
	}
	if len(w) > 0 {
		if err := c.command(w, now); err != nil {
			return err
		}
	}
	if len(r) == 0 {
		return nil
	}
	return c.answer(r, now)
}

func (c *chip) command(w []byte, now time.Duration) error {
	m := measures[w[0]]
	switch {
	case len(w) > 1: // nothing may follow a command
		return drivers.ErrAbsent
	case m.takes > 0:
		c.warmth = max(c.warmer(now), m.heats)
		c.next, c.ready = measurement, now+m.takes
	case w[0] == simSerial:
		c.next = number
	case w[0] == simReset:
		c.Reset()
	default:
		return drivers.ErrAbsent
	}
	return nil
}

// warmer gives by how much the chip is warmer than the air.
func (c *chip) warmer(at time.Duration) float64 {
	return c.warmth * math.Exp(-max(at-c.ready, 0).Seconds()/2)
}

func (c *chip) answer(r []byte, now time.Duration) error {
	next := c.next
	c.next = nothing
	switch {
	case next == number:
		sensirion.Answer(r, serial>>16, serial&0xffff)
	case next == measurement && now < c.ready: // the read came with the command
		c.next = next
		return drivers.ErrAbsent
	case next == measurement && c.broken:
		sensirion.Answer(r, 0, math.MaxUint16)
	case next == measurement:
		// Each degree takes about a twentieth of the relative humidity.
		t, rh := c.At("temperature", c.ready)+c.warmth, c.At("humidity", c.ready)*max(1-c.warmth/20, 0.05)
		sensirion.Answer(r, sensirion.FromCelsius(t), sensirion.FromPart((rh+6)/125))
	default:
		return drivers.ErrAbsent
	}
	return nil
}
