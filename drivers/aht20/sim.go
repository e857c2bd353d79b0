package aht20

import (
	"math"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
)

const (
	simStatus  = 0x71
	simInit    = 0xbe
	simMeasure = 0xac
	simReset   = 0xba
	always     = 0x10 // a reserved bit, 1 in every chip that was seen

	full = 1<<20 - 1 // the largest signal
)

type chip struct {
	drivers.Simulation
	calibrated bool
	data       [5]byte // of the last measurement
	measuring  bool
	ready      time.Duration
	onlyStatus bool // the next read is of the status

	slow  bool // the next measurement takes far too long
	fails bool // the power will fail in the next measurement
}

func simulate(s drivers.Simulation) drivers.Chip { return &chip{Simulation: s} }

// Reset is a power cycle: the calibration is not loaded by itself.
func (c *chip) Reset() {
	c.Powered = c.Clock()
	c.calibrated, c.data, c.measuring, c.onlyStatus = false, [5]byte{}, false, false
}

// Tx takes a command, then gives the status alone or before the data, and a
// checksum behind them.
func (c *chip) Tx(w, r []byte) error {
	now := c.Clock()
	if now-c.Powered < 40*time.Millisecond {
		return drivers.ErrAbsent
	}
	if c.measuring && now >= c.ready {
		c.finish()
	}
	if len(w) > 0 {
		c.command(w, now)
	}
	status := byte(always)
	if c.calibrated {
		status |= calibrated
	}
	if c.measuring {
		status |= busy
	}
	answer := [7]byte{status}
	copy(answer[1:], c.data[:])
	answer[6] = drivers.CRC8(answer[:6], 0x31, 0xff)
	for i := range r {
		r[i] = 0xff
		if i < len(answer) && (i == 0 || !c.onlyStatus) {
			r[i] = answer[i]
		}
	}
	if len(r) > 0 {
		c.onlyStatus = false
	}
	return nil
}

func (c *chip) command(w []byte, now time.Duration) {
	c.onlyStatus = w[0] == simStatus
	switch {
	case w[0] == simReset:
		c.Reset()
	case len(w) == 3 && w[0] == simInit && w[1] == 0x08 && w[2] == 0:
		c.calibrated = true
	case len(w) == 3 && w[0] == simMeasure && w[1] == 0x33 && w[2] == 0:
		c.measuring, c.ready = true, now+75*time.Millisecond
		if c.slow {
			c.slow, c.ready = false, now+time.Second
		}
	}
}

// finish ends the measurement under way.
func (c *chip) finish() {
	c.measuring = false
	if c.fails { // the power came back, and something loaded the calibration
		c.fails = false
		c.data = [5]byte{}
		return
	}
	t, rh := c.At("temperature", c.ready), c.At("humidity", c.ready)
	if !c.calibrated { // as if it knew nothing of itself
		t, rh = t+7, rh/2
	}
	celsius, humidity := signal((t+50)/200), signal(rh/100)
	c.data = [5]byte{byte(humidity >> 12), byte(humidity >> 4), byte(humidity<<4) | byte(celsius>>16), byte(celsius >> 8), byte(celsius)}
}

func signal(part float64) uint32 { return uint32(min(max(math.Round(part*(1<<20)), 0), full)) }
