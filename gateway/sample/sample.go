// Package sample decides when devices are read, and turns what they give into
// readings. Each bus has a goroutine of its own, so that a dead sensor delays
// its own bus at most. Devices that fail are opened anew until they answer.
package sample

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
)

// MaxListed is the most quantities that a sensor may list by itself
// (drivers.Lister); what it lists beyond is left out.
const MaxListed = 64

// stopGrace is how long Run waits, once it was told to stop, for a visit that
// does not return.
const stopGrace = 2 * time.Second

// A Device is one sensor to be read.
type Device struct {
	ID       string
	Driver   string        // its name, for people
	Bus      string        // devices of one bus are read one after the other; "": on its own
	Interval time.Duration // between visits; above 0
	Timeout  time.Duration // of one visit, and of opening; above 0
	Quality  gateway.Quality
	// Quantities are the channels it has; nil: the sensor is a
	// drivers.Lister.
	Quantities []drivers.Quantity
	Totals     map[string]float64 // what the quantities that are a Total go on from; 0 if they are not there
	// Open finds and prepares the device, as drivers.Driver.Open does. bus is
	// what Options.OpenBus gave, nil if the device has none. It is called
	// again after every failure.
	Open   func(ctx context.Context, bus io.Closer) (drivers.Sensor, error)
	Supply *Supply // what switches its power; nil: nothing
}

// A Sink takes the readings of one visit.
type Sink interface {
	// Take must not wait for anything, and keeps nothing of the slice. It is
	// called from several goroutines.
	Take(rs []gateway.Reading)
}

// Options are what a Sampler works with. All but Tell and Lost are needed.
type Options struct {
	Devices []Device
	OpenBus func(name string) (io.Closer, error) // "i2c-1"; called again after the bus was lost
	Sink    Sink
	Stamp   func() gateway.Stamp
	Health  *health.Table
	// Tell gets every change of a device or a bus. It must not wait for
	// anything, and is called from several goroutines.
	Tell func(Event)
	// Lost is told what a total lacks, before the next reading of it goes to Sink:
	// also each time that counting begins. It must not wait for anything. It is
	// called from several goroutines. nil: nobody is told.
	Lost func(Loss)
}

// A State is how a device is.
type State string

// The states.
const (
	Starting State = "starting" // not yet read
	OK       State = "ok"
	Absent   State = "absent"  // does not answer, or its bus is gone
	Failing  State = "failing" // answers, but not as it should
)

// A DeviceState is what is known of a device at present.
type DeviceState struct {
	ID, Driver, Bus string
	State           State
	Error           string    // of the last visit; "" if it was good
	Since           time.Time // when State began
	Interval        time.Duration
	Skipped         uint64             // visits left out because the bus was busy
	Channels        []*gateway.Channel // empty until a sensor that lists its own was open
}

// A Sampler reads devices. Make one with New; Run it once.
type Sampler struct {
	opts  Options
	buses []*bus

	mu      sync.Mutex
	devices []*device // in the order of Options; their shown fields are guarded by mu
}

// New prepares a Sampler; nothing is opened before Run.
func New(opts Options) *Sampler {
	s := &Sampler{opts: opts}
	byName := map[string]*bus{}
	for _, o := range opts.Devices {
		d := &device{Device: o, s: s, supply: supply{Supply: o.Supply}, count: newCount(o)}
		d.hang = d.onHang
		d.shown = DeviceState{ID: o.ID, Driver: o.Driver, Bus: o.Bus, State: Starting, Since: time.Now(), Interval: o.Interval}
		d.list(o.Quantities)
		b := byName[o.Bus]
		if b == nil {
			b = &bus{s: s, name: o.Bus, tasks: make(chan func()), ended: make(chan struct{})}
			s.buses = append(s.buses, b)
		}
		if o.Bus != "" {
			byName[o.Bus] = b
		}
		b.devices = append(b.devices, d)
		s.devices = append(s.devices, d)
	}
	return s
}

// Run reads all devices until ctx is done, then halts them and closes the
// buses. It returns when every goroutine has ended; an error says which bus
// did not, because a visit would not return.
func (s *Sampler) Run(ctx context.Context) error {
	ended := make(chan *bus, len(s.buses))
	running := slices.Clone(s.buses)
	for _, b := range s.buses {
		go func() {
			b.run(ctx)
			ended <- b
		}()
	}
	<-ctx.Done()
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	for len(running) > 0 {
		select {
		case b := <-ended:
			running = slices.DeleteFunc(running, func(r *bus) bool { return r == b })
		case <-grace.C:
			var names []string
			for _, b := range running {
				names = append(names, b.label())
			}
			return fmt.Errorf("stop sampling: %w: %s", errStuck, strings.Join(names, ", "))
		}
	}
	return nil
}

var errStuck = errors.New("a visit does not return")

// States gives the state of every device, in the order of Options.
func (s *Sampler) States() []DeviceState {
	s.mu.Lock()
	defer s.mu.Unlock()
	states := make([]DeviceState, len(s.devices))
	for i, d := range s.devices {
		states[i] = d.shown
		states[i].Channels = slices.Clone(d.shown.Channels)
	}
	return states
}
