package main

import (
	"hash/fnv"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/sim"
	"github.com/fieldgate/fieldgate/gateway/config"
)

// simulation is what the simulated device c is told of the world. Its power
// came long ago.
func (r *rack) simulation(c config.Device, drv drivers.Driver) drivers.Simulation {
	curves := make(map[string]drivers.Curve, len(drv.Quantities))
	for _, q := range drv.Quantities {
		curves[q.Name] = r.scene(c, q)
	}
	return drivers.Simulation{
		Clock: r.clock, Powered: r.clock() - time.Hour, Curves: curves, Address: uint16(c.Address), Options: c.Options,
	}
}

// scene says how a quantity of a simulated device moves.
func scene(c config.Device, q drivers.Quantity) drivers.Curve {
	switch {
	case c.Line != "":
		return door
	case c.Address>>2 == 0x48>>2 && q.Unit == "Cel":
		// Each address of the first four has a temperature of its own: 0x48 a hot one, then ever colder.
		return sim.Wander(61-17*float64(c.Address&7), 4, 10*time.Minute)
	}
	// No two devices show the same.
	h := fnv.New32a()
	_, _ = h.Write([]byte(c.ID + "/" + q.Name))
	apart := float64(h.Sum32()%100) / 1000
	mean := q.Usual() * (1 + apart)
	return sim.Wander(mean, mean/20, 8*time.Minute+time.Duration(apart*float64(time.Hour)))
}

// door is open for 20 s in every two minutes.
func door(at time.Duration) float64 {
	if at%(2*time.Minute) < 20*time.Second {
		return 1
	}
	return 0
}
