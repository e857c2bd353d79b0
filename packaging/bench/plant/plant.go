// Package plant makes up readings like those of a real plant: for the demo,
// the figures and the tests.
package plant

import (
	"math"
	"math/rand/v2"

	"github.com/fieldgate/fieldgate/gateway"
)

// A Plant gives the readings of 20 channels of 8 devices, each device visited
// once a second with the jitter of a busy scheduler. Values wander and carry
// the noise and the resolution of real chips.
type Plant struct {
	random *rand.Rand
	probes []probe
	now    gateway.Stamp
	due    []gateway.Reading
}

type probe struct {
	channel      *gateway.Channel
	level        float64
	drift, noise float64 // a second
	step         float64 // readings a unit
	counts       bool    // only grows
}

// New makes a plant whose readings depend on the seed alone.
func New(seed uint64) *Plant {
	p := &Plant{random: rand.New(rand.NewPCG(seed, 20)), now: 1_000_000}
	climate := func(device string) {
		p.probe(device, "temperature", "Cel", probe{level: 21, drift: 0.005, noise: 0.012, step: 100})
		p.probe(device, "humidity", "%RH", probe{level: 45, drift: 0.01, noise: 0.03, step: 100})
		p.probe(device, "pressure", "Pa", probe{level: 98_500, drift: 0.3, noise: 1.5, step: 1})
	}
	climate("hall")
	climate("office")
	climate("cellar")
	p.probe("boiler", "temperature", "Cel", probe{level: 61, drift: 0.02, noise: 0.06, step: 16})
	p.probe("return", "temperature", "Cel", probe{level: 44, drift: 0.02, noise: 0.06, step: 16})
	for _, phase := range []string{"l1", "l2"} {
		p.probe("meter", "voltage-"+phase, "V", probe{level: 230, drift: 0.02, noise: 0.25, step: 10})
		p.probe("meter", "current-"+phase, "A", probe{level: 6, drift: 0.01, noise: 0.04, step: 100})
	}
	p.probe("meter", "energy", "J", probe{level: 7_200_000, noise: 1400, step: 1, counts: true})
	p.probe("board", "load", "/", probe{level: 0.4, drift: 0.01, step: 100})
	p.probe("board", "temperature", "Cel", probe{level: 48, noise: 0.3, step: 2})
	p.probe("door", "open", "/", probe{step: 1})
	p.probe("door", "tamper", "/", probe{step: 1})
	return p
}

func (p *Plant) probe(device, quantity, unit string, pr probe) {
	pr.channel = &gateway.Channel{Device: device, Quantity: quantity, Unit: unit}
	p.probes = append(p.probes, pr)
}

// Append appends the next n readings to rs.
func (p *Plant) Append(rs []gateway.Reading, n int) []gateway.Reading {
	for range n {
		if len(p.due) == 0 {
			p.round()
		}
		rs = append(rs, p.due[0])
		p.due = p.due[1:]
	}
	return rs
}

// round reads every device once.
func (p *Plant) round() {
	p.due = p.due[:0]
	at := p.now
	for i := range p.probes {
		pr := &p.probes[i]
		if i == 0 || pr.channel.Device != p.probes[i-1].channel.Device {
			at = p.now + gateway.Stamp(20_000*i) + gateway.Stamp(math.Abs(p.random.NormFloat64())*300)
		}
		p.due = append(p.due, gateway.Reading{Channel: pr.channel, Value: p.value(pr), At: at})
	}
	p.now += 1_000_000
}

func (p *Plant) value(pr *probe) float64 {
	noise := p.random.NormFloat64() * pr.noise
	if pr.counts {
		pr.level += math.Abs(noise)
		noise = 0
	}
	pr.level += p.random.NormFloat64() * pr.drift
	return math.Round((pr.level+noise)*pr.step) / pr.step
}
