package mcp3008

import (
	"math"

	"github.com/fieldgate/fieldgate/drivers"
)

// A chip is a simulated MCP3008.
type chip struct {
	drivers.Simulation
	clipped bool // there is always more than the reference
}

func simulate(s drivers.Simulation) drivers.Chip { return &chip{Simulation: s} }

// Reset is a power cycle: the chip keeps nothing.
func (c *chip) Reset() { c.Powered = c.Clock() }

// Tx answers bit by bit: after the start bit come the mode and the input, and
// after one clock a 0 and ten bits (DS21295D figure 5-1). Behind them come the
// bits again, last first, and zeros.
func (c *chip) Tx(w, r []byte) error {
	clear(r)
	start := -1
	for i := range len(w) * 8 {
		if w[i/8]&(0x80>>(i%8)) != 0 {
			start = i
			break
		}
	}
	if start < 0 || start+5 > len(w)*8 {
		return nil
	}
	bit := func(i int) int { return int(w[i/8]>>(7-i%8)) & 1 }
	input := bit(start+2)<<2 | bit(start+3)<<1 | bit(start+4)
	code := c.code(input, bit(start+1) == 1)
	for n := range 19 {
		at := start + 7 + n
		if at >= len(r)*8 {
			break
		}
		shift := 9 - n
		if shift < 0 {
			shift = -shift
		}
		r[at/8] |= byte(code>>shift&1) << (7 - at%8)
	}
	return nil
}

// code converts an input, or the difference of it and its neighbour, which is
// never below 0 (DS21295D table 5-2).
func (c *chip) code(input int, alone bool) int {
	if c.clipped {
		return highest
	}
	volts := c.Now(quantities[input].Name)
	if !alone {
		volts -= c.Now(quantities[input^1].Name)
	}
	return int(min(max(math.Round(volts/c.Options["reference"].(float64)*1024), 0), highest))
}
