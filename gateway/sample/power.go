package sample

import (
	"errors"
	"fmt"
	"time"

	"github.com/fieldgate/fieldgate/gateway/health"
)

// wakes is how long a chip is left alone when its supply was switched on: the
// slowest of them needs less after its power came.
const wakes = 100 * time.Millisecond

var errSupplyOff = errors.New("its supply is switched off for a moment, because it did not answer")

// A Supply is a line that switches the power of a device. A sick device that
// does not come back by itself is switched off and on.
type Supply struct {
	Line string // its name, for people
	// Switch drives the line to on or off. The first call takes the line: it
	// is on from then on, or off, and nothing else in between.
	Switch func(on bool) error
	// Release gives the line back. It stays as it is, as far as that is for
	// us to choose.
	Release func() error
	Off     time.Duration // how long it is off
	After   int           // how many times it is opened in vain before; above 0
	Most    int           // so often it is switched off, at most, …
	Within  time.Duration // … in this time
}

// supply is what a bus knows of the supply of a device. Owned by its goroutine.
type supply struct {
	*Supply             // nil: it has none
	on, off bool        // as it was driven last; neither: the line was not taken
	again   time.Time   // the line is not driven on before
	ready   time.Time   // the device is not visited before
	vain    int         // times it was opened in vain since it was well, or off
	cuts    []time.Time // when it was switched off, the last Most times
	failed  bool        // told that the line cannot be switched
}

// power sees to it that the supply is on, and says after which time the device
// can be visited, 0 if it can be now. Where the line cannot be taken, the device
// is visited all the same: its power may be on.
func (d *device) power() time.Duration {
	p := &d.supply
	if p.Supply == nil {
		return 0
	}
	now := time.Now()
	if !p.on && !now.Before(p.again) {
		p.again = now.Add(time.Second)
		switch {
		case d.drive(true):
			p.ready = now.Add(wakes)
		case p.off:
			p.ready = p.again
		}
	}
	return max(p.ready.Sub(now), 0)
}

// drive switches the supply, and tells if that fails.
func (d *device) drive(on bool) bool {
	p := &d.supply
	if err := p.Switch(on); err != nil {
		d.s.opts.Health.Raise("supply_stuck", d.ID, health.Error, fmt.Sprintf(
			"The supply of device %s on line %s cannot be switched: %s. Check the name of the line and who uses it.", d.where(), p.Line, err))
		if !p.failed {
			d.s.tell(Event{Device: d.ID, Bus: d.Bus, State: SupplyStuck, Supply: p.Line, Error: err.Error()})
		}
		p.failed = true
		return false
	}
	if p.failed {
		p.failed = false
		d.s.opts.Health.Clear("supply_stuck", d.ID, fmt.Sprintf("The supply of device %s can be switched.", d.where()))
	}
	p.on, p.off = on, !on
	return true
}

// vainly counts that the device was opened in vain, and cuts its supply if that
// was often enough. The device is due then when the supply comes back.
func (d *device) vainly(err error) {
	p := &d.supply
	if p.Supply == nil || p.off {
		return
	}
	p.vain++
	now := time.Now()
	if p.vain < p.After || len(p.cuts) >= p.Most && now.Sub(p.cuts[len(p.cuts)-p.Most]) < p.Within {
		return
	}
	if !d.drive(false) {
		return
	}
	if p.cuts = append(p.cuts, now); len(p.cuts) > p.Most {
		p.cuts = p.cuts[1:]
	}
	p.vain, p.again, p.ready = 0, now.Add(p.Off), now.Add(p.Off)
	d.next = p.ready
	d.s.tell(Event{Device: d.ID, Bus: d.Bus, State: SupplyCut, Supply: p.Line, Error: err.Error()})
}

// leave switches the supply on, and gives its line back.
func (d *device) leave() {
	if d.supply.Supply == nil {
		return
	}
	if d.supply.off {
		d.drive(true)
	}
	_ = d.supply.Release() // the process ends, or takes it again
}
