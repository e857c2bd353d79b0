package mcp23017

import (
	"fmt"

	"github.com/fieldgate/fieldgate/drivers"
)

const (
	regFlags   = 0x0e // INTF and INTCAP are there, read only
	regLatches = 0x14 // OLAT
	registers  = 0x16
)

// A chip is a simulated MCP23017. It has no interrupts. A pin that the device's
// option pulls up has a contact to ground: open, it is high with the resistor
// and low without. The other pins are driven.
type chip struct {
	drivers.Simulation
	pointer byte
	regs    [registers]byte // at the addresses of BANK = 0
	pulled  uint32
}

func simulate(s drivers.Simulation) drivers.Chip {
	c := &chip{Simulation: s}
	c.pulled, _ = drivers.Pins(fmt.Sprint(s.Options["pull_up"]), names) // Open tells what is wrong with it
	c.Reset()
	return c
}

// Reset is a power cycle: all pins are inputs.
func (c *chip) Reset() {
	c.pointer, c.regs = 0, [registers]byte{0xff, 0xff}
}

// Tx writes an address and registers from there on, then it reads from there on.
func (c *chip) Tx(w, r []byte) error {
	if len(w) > 0 {
		c.pointer = w[0]
		for _, v := range w[1:] {
			c.write(c.register(), v)
			c.next()
		}
	}
	for i := range r {
		r[i] = c.read(c.register())
		c.next()
	}
	return nil
}

// register gives the address that the pointer has with BANK = 0; -1: none.
func (c *chip) register() int {
	p := int(c.pointer)
	switch {
	case c.regs[regControl]&bank == 0 && p < registers:
		return p
	case c.regs[regControl]&bank != 0 && p&0x0f < registers/2 && p < 0x20:
		return p&0x0f<<1 | p>>4
	}
	return -1
}

// next moves the pointer on; in byte mode it toggles within the pair, or stays
// if the pair is apart.
func (c *chip) next() {
	control := c.regs[regControl]
	switch {
	case control&sequential == 0 && control&bank == 0:
		c.pointer = (c.pointer + 1) % registers
	case control&sequential == 0:
		c.pointer++
	case control&bank == 0:
		c.pointer ^= 1
	}
}

func (c *chip) write(reg int, v byte) {
	switch {
	case reg < 0, reg >= regFlags && reg < regLevels:
	case reg&^1 == regControl:
		c.regs[regControl], c.regs[regControl+1] = v&^unused, v&^unused
	case reg&^1 == regLevels:
		c.regs[reg+regLatches-regLevels] = v
	default:
		c.regs[reg] = v
	}
}

func (c *chip) read(reg int) byte {
	switch {
	case reg < 0:
		return 0
	case reg&^1 == regControl:
		return c.regs[regControl]
	case reg&^1 == regLevels:
		return c.levels(reg & 1)
	}
	return c.regs[reg]
}

// levels gives GPIO of a port: what the latch says at outputs, and what there is
// at inputs.
func (c *chip) levels(port int) byte {
	v := byte(0)
	for i := range 8 {
		if c.high(port, i) {
			v |= 1 << i
		}
	}
	return v ^ c.regs[regPolarity+port]
}

func (c *chip) high(port, i int) bool {
	n, bit := 8*port+i, byte(1)<<i
	if c.regs[regDirection+port]&bit == 0 {
		return c.regs[regLatches+port]&bit != 0
	}
	if c.pulled>>n&1 != 0 && c.regs[regPullUp+port]&bit == 0 {
		return false
	}
	return c.Now(names[n]) >= 0.5
}
