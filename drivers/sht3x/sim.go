package sht3x

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/sensirion"
)

// The commands beside those that the driver sends.
const (
	simMeasureHigh   = 0x2400
	simMeasureMedium = 0x240b
	simMeasureLow    = 0x2416
	simFetch         = 0xe000
	simBreak         = 0x3093
	simHeaterOn      = 0x306d
	simHeaterOff     = 0x3066
	simStatus        = 0xf32d
	simClearStatus   = 0x3041
	simSoftReset     = 0x30a2
)

// durations of a single measurement at most (table 4).
var durations = map[uint16]time.Duration{
	simMeasureHigh: 15 * time.Millisecond, simMeasureMedium: 6 * time.Millisecond, simMeasureLow: 4 * time.Millisecond,
}

// periods of periodic measurement by the upper byte of the command (table 10).
var periods = map[byte]time.Duration{
	0x20: 2 * time.Second, 0x21: time.Second, 0x22: 500 * time.Millisecond, 0x23: 250 * time.Millisecond, 0x27: 100 * time.Millisecond,
}

const (
	alertPending  = 1 << 15
	resetDetected = 1 << 4
	commandFailed = 1 << 1
	// heats is by how much the heater warms the chip: "a few degrees" (§4.10).
	heats = 3
)

// What a read gives next.
const (
	nothing = iota
	measurement
	status
)

type chip struct {
	drivers.Simulation
	flags uint16 // the status register
	next  int
	ready time.Duration // when the measurement is done
	// period is 0 unless the chip measures by itself, since begun.
	period, begun time.Duration
	fetched       time.Duration // the last sample that was fetched
	heater        bool
	heated        bool          // the heater was on, until off
	off           time.Duration // when the heater went off
}

func simulate(s drivers.Simulation) drivers.Chip {
	c := &chip{Simulation: s}
	c.reset()
	return c
}

// Reset is a power cycle.
func (c *chip) Reset() {
	c.Powered = c.Clock()
	c.reset()
}

// reset gives the registers their values after a reset. What is warm stays so.
func (c *chip) reset() {
	c.setHeater(false)
	c.flags, c.next, c.period = alertPending|resetDetected, nothing, 0
}

// Tx takes a command, then answers what the last one asked for.
func (c *chip) Tx(w, r []byte) error {
	if c.Clock()-c.Powered < time.Millisecond {
		return drivers.ErrAbsent
	}
	if len(w) >= 2 {
		if err := c.command(binary.BigEndian.Uint16(w)); err != nil {
			return err
		}
	}
	if len(r) == 0 {
		return nil
	}
	return c.answer(r)
}

func (c *chip) command(cmd uint16) error {
	if c.period > 0 && cmd != simFetch && cmd != simBreak && cmd != simStatus {
		c.flags |= commandFailed
		return drivers.ErrAbsent
	}
	now := c.Clock()
	c.flags &^= commandFailed
	switch period := periods[byte(cmd>>8)]; cmd {
	case simMeasureHigh, simMeasureMedium, simMeasureLow:
		c.next, c.ready = measurement, now+durations[cmd]
	case simFetch:
		c.fetch(now)
	case simBreak:
		c.period, c.next = 0, nothing
	case simHeaterOn, simHeaterOff:
		c.setHeater(cmd == simHeaterOn)
	case simStatus:
		c.next = status
	case simClearStatus:
		c.flags = 0
	case simSoftReset:
		c.Reset()
	default:
		if period == 0 {
			c.flags |= commandFailed
			return drivers.ErrAbsent
		}
		c.measureEvery(period)
	}
	return nil
}

// measureEvery makes the chip measure by itself.
func (c *chip) measureEvery(period time.Duration) {
	now := c.Clock()
	c.period, c.begun, c.fetched, c.next = period, now, now, nothing
}

// fetch offers the last sample of the periodic measurement, once.
func (c *chip) fetch(now time.Duration) {
	c.next = nothing
	if c.period == 0 {
		return
	}
	if sample := c.begun + (now-c.begun)/c.period*c.period; sample > c.fetched {
		c.next, c.ready, c.fetched = measurement, sample, sample
	}
}

func (c *chip) setHeater(on bool) {
	if c.heater && !on {
		c.heated, c.off = true, c.Clock()
	}
	c.heater = on
}

// warmer gives by how much the chip is warmer than the air.
func (c *chip) warmer(at time.Duration) float64 {
	switch {
	case c.heater:
		return heats
	case c.heated:
		return heats * math.Exp(-(at-c.off).Seconds()/8)
	}
	return 0
}

func (c *chip) answer(r []byte) error {
	switch {
	case c.next == status:
		flags := c.flags
		if c.heater {
			flags |= heaterOn
		}
		sensirion.Answer(r, flags)
		c.next = nothing
	case c.next == measurement && c.Clock() >= c.ready:
		// Each degree takes about a twentieth of the relative humidity.
		more := c.warmer(c.ready)
		t, rh := c.At("temperature", c.ready)+more, c.At("humidity", c.ready)*(1-more/20)
		sensirion.Answer(r, sensirion.FromCelsius(t), sensirion.FromPart(rh/100))
		c.next = nothing
	default:
		return drivers.ErrAbsent // no data, or not yet (§4.4)
	}
	return nil
}
