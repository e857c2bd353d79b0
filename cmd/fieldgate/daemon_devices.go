package main

import (
	"context"
	"io"
	"strings"
	"sync"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/spi"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/builtin"
	"github.com/fieldgate/fieldgate/drivers/linux"
	"github.com/fieldgate/fieldgate/drivers/sim"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/config"
	"github.com/fieldgate/fieldgate/gateway/pipeline"
	"github.com/fieldgate/fieldgate/gateway/sample"
)

// simChip is the GPIO chip whose lines are simulated; simulated I2C buses are
// sim-0, sim-1, …, simulated SPI ports sim-spi-0.0, …
const simChip = "sim"

// A rack joins the configured devices to the buses of this board, or to
// simulated ones.
type rack struct {
	devices []config.Device
	clock   drivers.Clock
	table   map[string]drivers.Driver // by name
	buses   linux.Buses
	scene   func(config.Device, drivers.Quantity) drivers.Curve // how simulated devices move

	mu        sync.Mutex          // guards what follows
	simulated map[string]*sim.Bus // by name
}

func newRack(devices []config.Device) *rack {
	r := &rack{devices: devices, clock: sim.SinceStart(), table: map[string]drivers.Driver{}, scene: scene,
		simulated: map[string]*sim.Bus{}}
	for _, d := range builtin.Drivers() {
		r.table[d.Name] = d
	}
	return r
}

// plan gives the sampler its devices. cfg has been checked against the same
// table of drivers.
func (r *rack) plan() []sample.Device {
	var all []sample.Device
	for _, c := range r.devices {
		all = append(all, r.device(c, r.table[c.Driver]))
	}
	return all
}

func (r *rack) device(c config.Device, drv drivers.Driver) sample.Device {
	d := sample.Device{
		ID: c.ID, Driver: c.Driver, Bus: busName(c, drv), Interval: c.Interval, Timeout: c.Timeout,
		Quality: gateway.Good, Quantities: drv.Quantities, Supply: r.supply(c),
	}
	if strings.HasPrefix(d.Bus, "sim") {
		d.Quality = gateway.Simulated
	}
	d.Open = func(ctx context.Context, bus io.Closer) (drivers.Sensor, error) {
		target := drivers.Target{Address: uint16(c.Address), ActiveLow: c.ActiveLow, SysRoot: "/", Options: c.Options}
		var err error
		switch drv.Bus {
		case drivers.BusI2C:
			target.I2C = bus.(i2c.Bus) // openBus gave it
		case drivers.BusSPI:
			target.SPI, err = bus.(spi.Port).Connect(drv.SPI.Speed, drv.SPI.Mode, 8)
		case drivers.BusGPIO:
			target.Pin, err = r.openPin(c, drv)
		}
		if err != nil {
			return nil, err
		}
		return drv.Open(ctx, target)
	}
	return d
}

// busName groups what shares a bus: devices of one name are read one after
// the other.
func busName(c config.Device, drv drivers.Driver) string {
	if drv.Bus != drivers.BusGPIO {
		return c.Bus
	}
	if c.Chip == simChip {
		return "sim-gpio"
	}
	return strings.TrimSuffix("gpio-"+c.Chip, "-")
}

// openBus opens an I2C bus or an SPI port by name. A GPIO chip needs no
// opening: each line is taken by itself.
func (r *rack) openBus(name string) (io.Closer, error) {
	switch {
	case strings.HasPrefix(name, "gpio"), name == "sim-gpio":
		return io.NopCloser(nil), nil
	case strings.HasPrefix(name, "sim-spi-"):
		return sim.NewSPI(r.simBus(name)), nil
	case strings.HasPrefix(name, "sim-"):
		if c, ok := drivers.ParseChannel(name); ok {
			return c.Behind(r.simBus(c.Bus)), nil
		}
		return r.simBus(name), nil
	case strings.HasPrefix(name, "spi-"):
		return linux.OpenSPI(name)
	}
	return r.buses.OpenI2C(name)
}

func (r *rack) openPin(c config.Device, drv drivers.Driver) (gpio.PinIO, error) {
	if c.Chip != simChip {
		return linux.OpenPin(c.Chip, c.Line)
	}
	if strings.HasPrefix(c.Line, "/") {
		return sim.NewPipePin(c.Line), nil
	}
	world := r.simulation(c, drv)
	return sim.NewPin(c.Line, func() gpio.Level { return drv.SimulateLine(world) }), nil
}

// simBus gives simulated wires with a chip for every device that is configured
// on them, behind a multiplexer too.
func (r *rack) simBus(name string) *sim.Bus {
	r.mu.Lock()
	defer r.mu.Unlock()
	if bus := r.simulated[name]; bus != nil {
		return bus
	}
	bus := sim.NewBus(name)
	r.simulated[name] = bus
	for _, d := range r.devices {
		drv, address := r.table[d.Driver], uint16(d.Address)
		if d.Bus == name {
			bus.Attach(address, drv.Simulate(r.simulation(d, drv)))
		} else if c, ok := drivers.ParseChannel(d.Bus); ok && c.Bus == name {
			bus.Mux(c.Mux).Attach(c.Channel, address, drv.Simulate(r.simulation(d, drv)))
		}
	}
	return bus
}

// treatments are what the configuration says of single channels.
func treatments(cfg *config.Config) []pipeline.Channel {
	var all []pipeline.Channel
	for _, d := range cfg.Devices {
		for _, c := range d.Channels {
			all = append(all, pipeline.Channel{
				Device: d.ID, Quantity: c.Quantity, Scale: c.Scale, Offset: c.Offset,
				Range: (*[2]float64)(c.Range), Deadband: c.Deadband, MaxSilence: c.MaxSilence,
			})
		}
	}
	return all
}
