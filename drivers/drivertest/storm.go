package drivertest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

// checkFlippedBit: each bit of each answer of a visit is wrong in turn. No
// value that is not true is given as good.
func checkFlippedBit(c Case) error {
	b := c.set()
	s, err := b.openWarm()
	if err != nil {
		return err
	}
	mark := b.transfers()
	if err := b.wantGood(s); err != nil {
		return err
	}
	for n, answer := range b.tape.Transfers[mark:] {
		for bit := range 8 * len(answer.R) {
			b.bus.Inject(c.Driver.Address, sim.Fault{After: n, Times: 1, Garble: sim.FlipBit(bit)})
			if s, err = b.tryVisit(s); err != nil {
				return fmt.Errorf("bit %d of the answer to transfer %d of a visit: %w", bit, n, err)
			}
			b.bus.Mend(c.Driver.Address)
		}
	}
	return nil
}

// tryVisit opens the device if it is not open and visits it. It gives nil if
// that fails, so that it is opened anew, and an error if a value that nobody
// doubts is not true.
func (b *bench) tryVisit(s drivers.Sensor) (drivers.Sensor, error) {
	if s == nil {
		var err error
		if s, err = b.open(); err != nil {
			b.tally.Failed++
			return nil, nil
		}
	}
	vs, err := b.read(s)
	if untrue := b.wantTrue(vs); untrue != nil {
		return s, untrue
	}
	b.tally.count(vs, err)
	if err != nil {
		_ = s.Halt() // it may not be reachable
		return nil, nil
	}
	return s, nil
}

// A Tally counts the visits of a storm.
type Tally struct {
	Visits, Faults        int
	Good, Doubted, Failed int // visits that gave a good value, only doubtful ones, none
}

func (t *Tally) count(vs []drivers.Value, err error) {
	switch {
	case err != nil || len(vs) == 0:
		t.Failed++
	case allInDoubt(vs):
		t.Doubted++
	default:
		t.Good++
	}
}

// Storm visits a simulated device many times, most of the times with a fault
// drawn by lot: all those that the chip's bytes can show. It fails if a value
// is given as good that is not true, and if the device does not come back when
// the storm is over. Call it in a bubble of testing/synctest.
func Storm(c Case, seed uint64, visits int) (Tally, error) {
	b := c.set()
	b.tape.off = true
	lot := rand.New(rand.NewPCG(seed, 0))
	faults := c.storm(lot)
	s, err := b.openWarm()
	if err != nil {
		return b.tally, err
	}
	b.tally = Tally{}
	for n := range visits {
		b.tally.Visits++
		if lot.IntN(4) > 0 {
			b.tally.Faults++
			f := faults[lot.IntN(len(faults))]()
			f.After, f.Times = lot.IntN(4), 1+lot.IntN(3)
			if f.PowerLoss {
				f.Times = 1 // nothing tells a power that fails at every transfer from a chip that is new
			}
			b.bus.Inject(c.Driver.Address, f)
		}
		if s, err = b.tryVisit(s); err != nil {
			return b.tally, fmt.Errorf("visit %d with seed %d: %w", n, seed, err)
		}
		b.bus.Mend(c.Driver.Address)
		time.Sleep(c.Driver.Interval)
	}
	for range 3 { // what the last faults left behind may cost a visit or two
		if s, err = b.tryVisit(s); err != nil {
			return b.tally, fmt.Errorf("after the storm with seed %d: %w", seed, err)
		}
		time.Sleep(c.Driver.Interval)
	}
	if s == nil {
		return b.tally, fmt.Errorf("after the storm with seed %d the device does not come back", seed)
	}
	return b.tally, s.Halt()
}

// storm gives the faults that can be drawn.
func (c Case) storm(lot *rand.Rand) []func() sim.Fault {
	always := func(f sim.Fault) func() sim.Fault { return func() sim.Fault { return f } }
	all := []func() sim.Fault{
		always(sim.Fault{Err: sim.ErrGone}),
		always(sim.Fault{Err: sim.ErrTimeout}),
		always(sim.Fault{Err: sim.ErrTimeout, Applied: true}),
		always(sim.Fault{Short: true}),
		always(sim.Fault{Delay: c.Driver.Timeout + time.Second}),
		always(sim.Fault{Delay: c.Driver.Timeout / 10}),
	}
	if c.Driver.Bus == drivers.BusI2C {
		all = append(all, always(sim.Fault{Err: sim.ErrNACK}), always(sim.Fault{Err: sim.ErrNACK, Applied: true}))
	}
	if !slices.Contains(c.Driver.Blind, "BrownOut") {
		all = append(all, always(sim.Fault{PowerLoss: true}))
	}
	if !slices.Contains(c.Driver.Blind, "FlippedBit") {
		all = append(all,
			func() sim.Fault { return sim.Fault{Garble: sim.FlipBit(lot.IntN(512))} },
			func() sim.Fault { return sim.Fault{Garble: sim.OnesFrom(lot.IntN(8))} })
	}
	return all
}
