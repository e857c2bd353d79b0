package main

import (
	"strings"
	"testing"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/builtin"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/config"
)

// simulatedPlace puts a device where its driver wants it.
func simulatedPlace(d drivers.Driver) config.Device {
	c := config.Device{ID: d.Name, Driver: d.Name, Interval: d.Interval, Timeout: d.Timeout, Options: d.Defaults()}
	switch d.Bus {
	case drivers.BusI2C:
		c.Bus, c.Address = "sim-1/0x70/3", int64(d.Address)
	case drivers.BusSPI:
		c.Bus = "sim-spi-0.0"
	case drivers.BusGPIO:
		c.Line, c.Chip = "GPIO17", simChip
	}
	return c
}

// The simulated buses carry every chip of the table, behind a multiplexer too.
func TestEveryChipIsSimulated(t *testing.T) {
	for _, drv := range builtin.Drivers() {
		if drv.Bus == drivers.BusNone || drv.Open == nil {
			continue
		}
		t.Run(drv.Name, func(t *testing.T) {
			r := newRack([]config.Device{simulatedPlace(drv)})
			d := r.plan()[0]
			if d.Quality != gateway.Simulated {
				t.Errorf("quality %v", d.Quality)
			}
			bus, err := r.openBus(d.Bus)
			if err != nil {
				t.Fatal(err)
			}
			s, err := d.Open(t.Context(), bus)
			if err != nil {
				t.Fatal(err)
			}
			if two, ok := s.(drivers.Starter); ok {
				wait, err := two.Start(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(wait)
			}
			if vs, err := s.Read(t.Context()); err != nil || len(vs) == 0 || vs[0].Doubt != "" {
				t.Errorf("read %v, %v", vs, err)
			}
		})
	}
}

// Two chips with one address behind two channels are two chips.
func TestSimulatedMultiplexer(t *testing.T) {
	lm75 := func(bus string, address int64) config.Device {
		return config.Device{ID: strings.ReplaceAll(bus, "/", "-"), Driver: "lm75", Bus: bus, Address: address,
			Options: map[string]any{"model": "tmp105"}}
	}
	r := newRack([]config.Device{lm75("sim-1/0x70/0", 0x48), lm75("sim-1/0x70/1", 0x4a), lm75("sim-1", 0x4b)})
	for _, d := range r.plan() {
		bus, err := r.openBus(d.Bus)
		if err != nil {
			t.Fatal(err)
		}
		s, err := d.Open(t.Context(), bus)
		if err != nil {
			t.Fatalf("%s: %v", d.ID, err)
		}
		if _, err := s.Read(t.Context()); err != nil {
			t.Errorf("%s: %v", d.ID, err)
		}
	}
	for _, name := range []string{"sim-1/0x70/0", "sim-1/0x70/1"} {
		bus, err := r.openBus(name)
		if err != nil {
			t.Fatal(err)
		}
		// The address of the other channel's chip is empty here.
		other := map[string]uint16{"sim-1/0x70/0": 0x4a, "sim-1/0x70/1": 0x48}[name]
		if err := bus.(i2c.Bus).Tx(other, []byte{0}, make([]byte, 2)); err == nil {
			t.Errorf("%s reaches the chip of the other channel", name)
		}
	}
}
