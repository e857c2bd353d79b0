package sim

import "github.com/fieldgate/fieldgate/drivers"

// A Mux is a simulated PCA9548 (NXP PCA9548A data sheet, section 6.3): a
// control register with a bit for each channel, none selected at reset. What is
// behind a selected channel is joined to the bus.
type Mux struct {
	control  byte
	channels [8]map[uint16]drivers.Chip
}

// Mux gives the multiplexer at an address of the bus, and puts one there if
// there is none.
func (b *Bus) Mux(addr uint16) *Mux {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m, ok := b.chips[addr].(*Mux); ok {
		return m
	}
	m := &Mux{}
	b.chips[addr] = m
	b.muxes = append(b.muxes, m)
	return m
}

// Attach joins a chip to a channel, 0 to 7, before the bus is used.
func (m *Mux) Attach(channel int, addr uint16, c drivers.Chip) {
	if m.channels[channel] == nil {
		m.channels[channel] = map[uint16]drivers.Chip{}
	}
	m.channels[channel][addr] = c
}

// Reset is a power cycle.
func (m *Mux) Reset() { m.control = 0 }

// Tx writes and reads the control register.
func (m *Mux) Tx(w, r []byte) error {
	if len(w) > 0 {
		m.control = w[len(w)-1]
	}
	for i := range r {
		r[i] = m.control
	}
	return nil
}

// behind gives the chip that a transfer with addr reaches, nil if there is
// none.
func (m *Mux) behind(addr uint16) drivers.Chip {
	for n, chips := range m.channels {
		if m.control&(1<<n) != 0 && chips[addr] != nil {
			return chips[addr]
		}
	}
	return nil
}
