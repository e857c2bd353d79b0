package sgp40

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/sensirion"
)

const (
	simMeasure   = 0x260f
	simTest      = 0x280e
	simHeaterOff = 0x3615
	simSerial    = 0x3682

	passed = 0xd400 // the result of the test (table 13)
	// missing is how many ticks a cold plate lacks. It is a sketch: a tenth is
	// left after 23 s.
	missing, tau = 8000, 10
)

type chip struct {
	drivers.Simulation
	hot   bool          // the plate is on
	since time.Duration // … since then
	deaf  time.Duration // until then the chip acknowledges nothing
	next  uint16        // the command that a read answers; 0: it does not acknowledge one

	clipped bool
}

func simulate(s drivers.Simulation) drivers.Chip { return &chip{Simulation: s} }

// Reset is a power cycle.
func (c *chip) Reset() { c.Powered, c.hot, c.next, c.deaf = c.Clock(), false, 0, 0 }

// Tx takes a command with its words, then answers what the last one asked for.
func (c *chip) Tx(w, r []byte) error {
	now := c.Clock()
	if now-c.Powered < 600*time.Microsecond || now < c.deaf {
		return drivers.ErrAbsent
	}
	if len(w) >= 2 {
		c.next = 0
		if err := c.command(w, now); err != nil {
			return err
		}
	}
	if len(r) == 0 {
		return nil
	}
	if c.next == 0 || now < c.deaf {
		return drivers.ErrAbsent
	}
	switch c.next {
	case simSerial:
		sensirion.Answer(r, 0, 0x1234, 0x5678)
	case simTest:
		sensirion.Answer(r, passed)
	default:
		sensirion.Answer(r, c.ticks(c.deaf))
	}
	c.next = 0
	return nil
}

func (c *chip) command(w []byte, now time.Duration) error {
	cmd, words := binary.BigEndian.Uint16(w), w[2:]
	switch cmd {
	case simMeasure:
		if !rightChecksums(words) {
			return drivers.ErrAbsent
		}
		if !c.hot {
			c.hot, c.since = true, now
		}
		c.next, c.deaf = cmd, now+25*time.Millisecond
	case simTest:
		c.next, c.deaf = cmd, now+240*time.Millisecond
	case simSerial:
		c.next = cmd
	case simHeaterOff:
		c.hot = false
	default:
		return drivers.ErrAbsent
	}
	return nil
}

// rightChecksums says whether two words came, each with its checksum.
func rightChecksums(p []byte) bool {
	var words [2]uint16
	return len(p) == 6 && sensirion.Words(words[:], p) == nil
}

// ticks gives the signal at a moment.
func (c *chip) ticks(at time.Duration) uint16 {
	if c.clipped {
		return math.MaxUint16
	}
	cold := missing * math.Exp(-(at-c.since).Seconds()/tau)
	return uint16(math.Round(min(max(c.At("voc_raw", at)-cold, 0), math.MaxUint16)))
}
