package scd4x

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/sensirion"
)

// The commands beside those that the driver sends (table 9).
const (
	simSerial   = 0x3682
	simStart    = 0x21b1
	simLowPower = 0x21ac
	simStop     = 0x3f86
	simReady    = 0xe4b8
	simRead     = 0xec05
	simReinit   = 0x3646
	simSleep    = 0x36e0
	simWake     = 0x36f6
)

// answers of a chip that does not measure, by command.
var answers = map[uint16][]uint16{
	simSerial: {0xf896, 0x9f07, 0x3bbe}, // the example of §3.9.2
	0x2318:    {0x05da},                 // temperature offset: 4 °C
	0x2322:    {0},                      // altitude
	0x2313:    {1},                      // automatic self-calibration is on
}

// A mode is what the chip does.
type mode int

const (
	idle mode = iota
	periodic
	lowPower
	asleep
)

var periods = map[mode]time.Duration{periodic: 5 * time.Second, lowPower: 30 * time.Second}

type chip struct {
	drivers.Simulation
	mode  mode
	begun time.Duration // to measure
	taken time.Duration // the last measurement that was read
	deaf  time.Duration // until then it acknowledges nothing
	words [3]uint16     // what a read gives next
	count int           // how many of them; 0: it does not acknowledge a read

	blind bool // it measures no CO2
}

func simulate(s drivers.Simulation) drivers.Chip { return &chip{Simulation: s} }

// Reset is a power cycle.
func (c *chip) Reset() { c.Powered, c.mode, c.count, c.deaf = c.Clock(), idle, 0, 0 }

// Tx takes a command, then answers it. Recordings of real chips show that the
// answer may be read with a repeated start, without the millisecond of table 9.
func (c *chip) Tx(w, r []byte) error {
	now := c.Clock()
	if now-c.Powered < 30*time.Millisecond || now < c.deaf {
		return drivers.ErrAbsent
	}
	if len(w) >= 2 {
		c.count = 0
		if err := c.command(binary.BigEndian.Uint16(w), now); err != nil {
			return err
		}
	}
	if len(r) == 0 {
		return nil
	}
	if c.count == 0 {
		return drivers.ErrAbsent
	}
	sensirion.Answer(r, c.words[:c.count]...)
	c.count = 0
	return nil
}

func (c *chip) command(cmd uint16, now time.Duration) error {
	if c.mode == asleep || cmd == simWake {
		if cmd == simWake && c.mode == asleep {
			c.mode, c.deaf = idle, now+20*time.Millisecond
		}
		return drivers.ErrAbsent
	}
	switch cmd {
	case simReady:
		c.words[0], c.count = 0x8000, 1
		if c.newest(now) > c.taken {
			c.words[0] = 0x8006 // as real chips say it
		}
	case simRead:
		c.read(now)
	case simStop:
		c.mode, c.deaf = idle, now+500*time.Millisecond
	default:
		if c.mode != idle {
			return drivers.ErrAbsent
		}
		return c.idleCommand(cmd, now)
	}
	return nil
}

// idleCommand does what is refused while the chip measures.
func (c *chip) idleCommand(cmd uint16, now time.Duration) error {
	switch words := answers[cmd]; {
	case words != nil:
		c.count = copy(c.words[:], words)
	case cmd == simStart:
		c.mode, c.begun, c.taken = periodic, now, now
	case cmd == simLowPower:
		c.mode, c.begun, c.taken = lowPower, now, now
	case cmd == simReinit:
		c.deaf = now + 20*time.Millisecond
	case cmd == simSleep:
		c.mode = asleep
	default:
		return drivers.ErrAbsent
	}
	return nil
}

// newest gives the time of the newest measurement.
func (c *chip) newest(now time.Duration) time.Duration {
	if periods[c.mode] == 0 {
		return c.taken
	}
	return c.begun + (now-c.begun)/periods[c.mode]*periods[c.mode]
}

// read offers the newest measurement, once.
func (c *chip) read(now time.Duration) {
	at := c.newest(now)
	if at <= c.taken {
		return
	}
	c.taken, c.count = at, 3
	ppm := math.Round(min(max(c.At("co2", at)*1e6, 0), 40000))
	if c.blind {
		ppm = 0
	}
	c.words = [3]uint16{uint16(ppm), sensirion.FromCelsius(c.At("temperature", at)), sensirion.FromPart(c.At("humidity", at) / 100)}
}
