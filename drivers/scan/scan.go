// Package scan finds what is connected: chips on I2C, and the devices that
// Linux shows by drivers of its own. It changes nothing: a bus is only asked who
// answers, and a chip who it is.
package scan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
)

// The addresses that chips can have; the others are reserved (I2C specification
// UM10204, table 4).
const (
	first    = 0x08
	last     = 0x77
	firstMux = 0x70 // of multiplexers
)

const (
	perTurn      = 8           // addresses that are asked before others may use the bus: some milliseconds
	maxTroubles  = 3           // failed transfers after which a bus is given up: each may take 0.2 s
	maxAnswers   = 64          // more chips than this are none: the wires are shorted or not there
	identifyTime = time.Second // for a chip to say who it is
)

// What is known of an address.
const (
	Configured = "configured" // the gateway reads it
	Held       = "held"       // a driver of Linux reads it
	Answers    = "answers"    // something is there
)

// A Chip is what was found at an address.
type Chip struct {
	Address uint16   `json:"address"`
	State   string   `json:"state"`             // Configured, Held, Answers
	Device  string   `json:"device,omitempty"`  // its id in the configuration
	Driver  string   `json:"driver,omitempty"`  // ours if it is Configured or said who it is, that of Linux if it is Held
	Chip    string   `json:"chip,omitempty"`    // who it said it is
	Guesses []string `json:"guesses,omitempty"` // drivers whose chips may be there and cannot say so
	Health  string   `json:"health,omitempty"`  // of a configured device, as the caller knows it
	Read    bool     `json:"read,omitempty"`    // a byte was read to find it
}

// A Bus is what was found on it.
type Bus struct {
	Name    string  `json:"bus"`
	Adapter string  `json:"adapter,omitempty"` // what Linux calls it
	Chips   []Chip  `json:"chips"`             // by address
	Error   string  `json:"error,omitempty"`   // why it was not scanned, or not to its end
	Took    float64 `json:"took_ms"`
}

// Options say how a bus is scanned.
type Options struct {
	Bus     string
	Adapter string
	Table   []drivers.Driver
	Held    map[uint16]string // addresses with their drivers of Linux
	Devices map[uint16]Chip   // those that are configured: they are not asked
	Beside  map[uint16]bool   // addresses of the bus that this one is a channel of: they are not asked and not listed
	// Turn runs f with the bus while nobody else of the gateway uses it. It is
	// called often, for a few milliseconds each time.
	Turn func(ctx context.Context, f func(bus drivers.Prober) error) error
}

// I2C scans one bus.
func I2C(ctx context.Context, o Options) Bus {
	began := time.Now()
	s := &scanner{Options: o, bus: Bus{Name: o.Bus, Adapter: o.Adapter, Chips: []Chip{}}}
	if err := s.run(ctx); err != nil {
		s.bus.Error = err.Error()
	}
	s.bus.Took = float64(time.Since(began).Microseconds()) / 1000
	return s.bus
}

type scanner struct {
	Options
	bus      Bus
	troubles int
}

func (s *scanner) run(ctx context.Context) error {
	for from := uint16(first); from <= last; from += perTurn {
		if err := s.Turn(ctx, func(bus drivers.Prober) error { return s.some(ctx, bus, from) }); err != nil {
			return err
		}
	}
	return nil
}

// some asks as many addresses as one turn may.
func (s *scanner) some(ctx context.Context, bus drivers.Prober, from uint16) error {
	for addr := from; addr < from+perTurn && addr <= last; addr++ {
		if err := s.ask(ctx, bus, addr); err != nil {
			return err
		}
	}
	return nil
}

// ask finds out what is at one address. An error ends the scan.
func (s *scanner) ask(ctx context.Context, bus drivers.Prober, addr uint16) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("scan %s: %w", s.Bus, err)
	}
	c, known := s.known(addr)
	if s.Beside[addr] {
		return nil
	}
	if known {
		s.bus.Chips = append(s.bus.Chips, c)
		return nil
	}
	err := bus.Probe(addr)
	switch {
	case err == nil:
		s.troubles = 0
	case errors.Is(err, drivers.ErrAbsent):
		s.troubles = 0
		return nil
	case errors.Is(err, drivers.ErrHeld):
		s.bus.Chips = append(s.bus.Chips, Chip{Address: addr, State: Held})
		return nil
	case errors.Is(err, drivers.ErrBus):
		return err
	default:
		if s.troubles++; s.troubles == maxTroubles {
			return fmt.Errorf("%w: %d transfers in a row failed, the last: %w", drivers.ErrBus, maxTroubles, err)
		}
		return nil
	}
	c = Chip{Address: addr, State: Answers, Read: drivers.ProbeReads(addr)}
	s.identify(ctx, bus, &c)
	if s.bus.Chips = append(s.bus.Chips, c); len(s.bus.Chips) > maxAnswers {
		s.bus.Chips = []Chip{}
		return fmt.Errorf("%w: more than %d addresses answer: look at the wires and their resistors", drivers.ErrBus, maxAnswers)
	}
	return nil
}

// known gives what needs no asking.
func (s *scanner) known(addr uint16) (Chip, bool) {
	if c, ok := s.Devices[addr]; ok {
		c.Address, c.State = addr, Configured
		return c, true
	}
	driver, held := s.Held[addr]
	return Chip{Address: addr, State: Held, Driver: driver}, held
}

// Multiplexer is the Chip of a multiplexer. Nothing is known of what is behind.
const Multiplexer = "multiplexer"

// identify asks the chip who it is, by every driver that has its address. Those
// whose chips cannot say are guesses, and count only if no other fits.
//
// A multiplexer (0x70 to 0x77) takes the number of a register for the channels
// that it shall open, and answers with it. It gets back what it had before.
func (s *scanner) identify(ctx context.Context, bus drivers.Prober, c *Chip) {
	ctx, cancel := context.WithTimeout(ctx, identifyTime)
	defer cancel()
	dev := &i2c.Dev{Bus: bus, Addr: c.Address}
	var before [1]byte
	if c.Address >= firstMux {
		_ = drivers.Transfer(ctx, dev, nil, before[:]) // a chip that cannot be read so is no multiplexer
	}
	asked, echoes := 0, 0
	for _, d := range s.Table {
		switch {
		case d.Bus != drivers.BusI2C || !slices.Contains(d.Addresses, c.Address):
		case d.Identity == nil:
			c.Guesses = append(c.Guesses, d.Name)
		default:
			chip, echo := who(ctx, dev, d)
			if chip != "" {
				c.Driver, c.Chip, c.Guesses = d.Name, chip, nil
				return
			}
			asked, echoes = asked+len(d.Identity), echoes+echo
		}
	}
	if asked > 0 && echoes == asked && c.Address >= firstMux {
		_ = drivers.Transfer(ctx, dev, before[:], nil) // what fails now is seen by who uses the bus
		c.Chip, c.Guesses = Multiplexer, nil
	}
}

// who gives the name of the chip, if it is one of the driver's; and how often it
// only gave back what it was told.
func who(ctx context.Context, dev *i2c.Dev, d drivers.Driver) (chip string, echoes int) {
	for _, id := range d.Identity {
		answer := make([]byte, len(id.Is))
		if drivers.Transfer(ctx, dev, id.Ask, answer) != nil {
			continue
		}
		if bytes.Equal(answer, bytes.Repeat(id.Ask[len(id.Ask)-1:], len(answer))) {
			echoes++
		}
		if fits(id, answer) {
			return id.Chip, echoes
		}
	}
	return "", echoes
}

func fits(id drivers.Identity, answer []byte) bool {
	for i := range id.Mask {
		answer[i] &= id.Mask[i]
	}
	return bytes.Equal(answer, id.Is)
}
