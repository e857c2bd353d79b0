package main

import (
	"math"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/sim"
	"github.com/fieldgate/fieldgate/gateway/config"
)

// The heating cellar of the demo: a boiler heats for burnFor in every
// burnEvery, a pump carries the heat to the house, oil is used up.
const (
	burnEvery = 6 * time.Minute
	burnFor   = 150 * time.Second
	warming   = 90 * time.Second // time constant of the water in the boiler
	piping    = 25 * time.Second // from the flow pipe to the return pipe
	pumpOff   = 60 * time.Second // the pump rests so long, just before the burner starts

	coldest, hottest = 45.0, 85.0 // what the water tends to, in Cel
	roomCel          = 21.0
)

const demoConfig = `version = 1
[gateway]
id = %q
[uplink]
url = "wss://%s/v1/gateway"
token_file = %q
ca = %q
[store]
dir = %q
[local]
listen = %q
view = "open"
[[device]]
id = "boiler"
driver = "lm75"
model = "tmp105"
bus = "sim-1"
address = 0x48
interval = "1s"
[[device]]
id = "flow-pipe"
driver = "max31865"
bus = "sim-spi-0.0"
interval = "1s"
[[device]]
id = "return-pipe"
driver = "mcp9808"
bus = "sim-1"
address = 0x18
interval = "1s"
[[device]]
id = "flue-gas"
driver = "max31855"
bus = "sim-spi-0.1"
interval = "1s"
[[device]]
id = "pump"
driver = "ina219"
bus = "sim-1"
address = 0x40
interval = "1s"
[[device]]
id = "tank"
driver = "ads1115"
bus = "sim-2"
address = 0x49
interval = "5s"
[[device]]
id = "cellar-climate"
driver = "bme280"
bus = "sim-1"
address = 0x76
interval = "2s"
[[device]]
id = "living-room"
driver = "sht4x"
bus = "sim-2"
address = 0x44
interval = "2s"
[[device]]
id = "outdoor"
driver = "tmp117"
bus = "sim-2"
address = 0x4a
interval = "2s"
[[device]]
id = "cabinet"
driver = "ds3231"
bus = "sim-2"
address = 0x68
interval = "5s"
[[device]]
id = "cellar-door"
driver = "gpio-in"
chip = "sim"
line = "GPIO17"
interval = "1s"
[[device]]
id = "board"
driver = "hostsys"
interval = "5s"
`

// cellar says how a quantity of a device of the demo moves: of a house where
// everything hangs together.
func cellar(c config.Device, q drivers.Quantity) drivers.Curve {
	if curve := cellarCurves[c.ID][q.Name]; curve != nil {
		return curve
	}
	return scene(c, q)
}

var cellarCurves = map[string]map[string]drivers.Curve{
	"boiler":      {"temperature": flow},
	"flow-pipe":   {"temperature": below(sim.Noise(flow, 0.1), 1.5)},
	"return-pipe": {"temperature": returns},
	"flue-gas":    {"temperature": sim.Noise(flue, 0.8), "cold-junction": sim.Wander(28, 1.5, 20*time.Minute)},
	"pump":        {"voltage": sim.Noise(sim.Steady(24.1), 0.05), "current": pumpCurrent},
	"tank": {
		"voltage0": sim.Noise(tankLevel, 0.004), "voltage1": waterPressure,
		"voltage2": sim.Noise(sim.Steady(0.002), 0.001), "voltage3": sim.Noise(sim.Steady(0.002), 0.001),
	},
	"cellar-climate": {
		"temperature": sim.Wander(17.5, 0.6, 40*time.Minute), "humidity": sim.Wander(58, 3, 25*time.Minute),
		"pressure": sim.Wander(100_800, 150, 3*time.Hour),
	},
	"living-room": {"temperature": sim.Wander(roomCel, 0.4, burnEvery), "humidity": sim.Wander(44, 2, 30*time.Minute)},
	"outdoor":     {"temperature": sim.Wander(3.5, 1.5, 2*time.Hour)},
	"cabinet":     {"temperature": sim.Wander(26, 1, 30*time.Minute)},
}

// flow is the water in the boiler. It comes nearer to what it tends to, as a
// body does that is heated and cooled, and meets itself after one turn.
func flow(at time.Duration) float64 {
	turn := phase(at)
	rest := burnEvery - burnFor
	// The lowest temperature repeats itself: low = coldest + (high-coldest)*cool, high = hottest + (low-hottest)*heat.
	heat, cool := decay(burnFor), decay(rest)
	low := (coldest*(1-cool) + hottest*(1-heat)*cool) / (1 - heat*cool)
	if turn < burnFor {
		return hottest + (low-hottest)*decay(turn)
	}
	high := hottest + (low-hottest)*heat
	return coldest + (high-coldest)*decay(turn-burnFor)
}

// returns is what the house left of the heat, a little later.
func returns(at time.Duration) float64 { return roomCel + 0.68*(flow(at-piping)-roomCel) }

// flue is the gas behind the burner: hot while it burns.
func flue(at time.Duration) float64 {
	turn := phase(at)
	const fast = 20.0 // seconds
	if turn < burnFor {
		return 165 - 100*math.Exp(-turn.Seconds()/fast)
	}
	return 65 + 100*math.Exp(-(turn-burnFor).Seconds()/fast)
}

// pumpCurrent is 0.62 A while the pump runs.
func pumpCurrent(at time.Duration) float64 {
	if phase(at) > burnEvery-pumpOff {
		return 0.004
	}
	return 0.62 + 0.01*math.Sin(at.Seconds()/7)
}

// tankLevel is the voltage of the level transmitter: 4 V when full. Oil is
// delivered once a day.
func tankLevel(at time.Duration) float64 {
	const day = 24 * time.Hour
	return 3.2 - 1.6*float64((at%day+day)%day)/float64(day)
}

// waterPressure is the voltage of a transmitter of 1 V/bar: warm water needs
// more room.
func waterPressure(at time.Duration) float64 { return 1.55 + 0.004*(flow(at)-60) }

// below is a curve that stays so much below another.
func below(c drivers.Curve, by float64) drivers.Curve {
	return func(at time.Duration) float64 { return c(at) - by }
}

// phase is how long ago the burner started.
func phase(at time.Duration) time.Duration { return (at%burnEvery + burnEvery) % burnEvery }

func decay(d time.Duration) float64 { return math.Exp(-d.Seconds() / warming.Seconds()) }
