// Package pipeline is the path from a raw value to a stored reading:
// calibration, plausibility, deadband, then the store and the screens.
package pipeline

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
)

// An Outbox takes readings for good.
type Outbox interface {
	// Append names the readings and puts them where they survive, within the
	// loss window; it does not wait for the card. They get consecutive names
	// of one epoch, of which it gives the last. It keeps nothing of the slice.
	// After an error none of them has a name.
	Append(rs []gateway.Reading) (last gateway.Name, err error)
}

// Live shows readings to local clients.
type Live interface {
	// Publish is told readings in the order of their names; the first is
	// called first, the others follow. It never blocks and keeps nothing of
	// the slice.
	Publish(first gateway.Name, rs []gateway.Reading)
}

// A Channel says how the readings of one channel are treated. A channel
// without one is stored as it is read.
type Channel struct {
	Device, Quantity string
	Scale, Offset    float64       // value = raw*Scale + Offset; a Scale of 0 counts as 1
	Range            *[2]float64   // lowest and highest plausible value; nil: any
	Deadband         float64       // values no further than this from the last stored one are left out; 0: none
	MaxSilence       time.Duration // longest that the deadband leaves values out; 0: without limit
}

// Options are what a Pipeline works with.
type Options struct {
	Channels []Channel
	Outbox   Outbox
	Live     Live
	Health   *health.Table
}

// A Pipeline treats readings and passes them on.
type Pipeline struct {
	opts Options

	mu       sync.Mutex // held from naming to publishing, so that names reach Live in order
	channels map[*gateway.Channel]*channel
	out      []gateway.Reading // reused from call to call
	used     []*channel        // of the readings in out
	failing  bool              // the last Append failed
}

// A channel is a Channel with the last reading that was stored.
type channel struct {
	Channel
	stored bool
	last   gateway.Reading
}

// New makes a Pipeline.
func New(opts Options) *Pipeline {
	return &Pipeline{opts: opts, channels: map[*gateway.Channel]*channel{}}
}

// Take treats the readings of one visit, stores them and shows them. It may be
// called from several goroutines and keeps nothing of the slice.
func (p *Pipeline) Take(rs []gateway.Reading) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out, p.used = p.out[:0], p.used[:0]
	for _, r := range rs {
		c := p.channelLocked(r.Channel)
		c.calibrate(&r)
		if c.leaveOut(r) {
			continue
		}
		p.out, p.used = append(p.out, r), append(p.used, c)
	}
	if len(p.out) > 0 {
		p.passLocked()
	}
}

// Treat gives a reading as Take would store it: calibrated, and with the quality
// that this value has. It stores nothing.
func (p *Pipeline) Treat(r gateway.Reading) gateway.Reading {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.channelLocked(r.Channel).calibrate(&r)
	return r
}

// passLocked stores and shows what is in out.
func (p *Pipeline) passLocked() {
	last, err := p.opts.Outbox.Append(p.out)
	if err != nil {
		p.failing = true
		p.opts.Health.Raise("store_append", "", health.Error, fmt.Sprintf(
			"Readings are lost because the store does not take them: %s. Look at the other conditions for the reason.", err))
		return // a deadband compares with what is stored, so last stays
	}
	if p.failing {
		p.failing = false
		p.opts.Health.Clear("store_append", "", "The store takes readings again.")
	}
	for i, c := range p.used {
		c.stored, c.last = true, p.out[i]
	}
	first := gateway.Name{Epoch: last.Epoch, Seq: last.Seq - uint64(len(p.out)) + 1}
	p.opts.Live.Publish(first, p.out)
}

func (p *Pipeline) channelLocked(key *gateway.Channel) *channel {
	if c := p.channels[key]; c != nil {
		return c
	}
	c := &channel{}
	for _, o := range p.opts.Channels {
		if o.Device == key.Device && o.Quantity == key.Quantity {
			c.Channel = o
		}
	}
	if c.Scale == 0 {
		c.Scale = 1
	}
	p.channels[key] = c
	return c
}

// calibrate turns a raw value into one of the channel's unit and marks it when
// it is not plausible, or greater than any number. What is simulated stays marked as that.
func (c *channel) calibrate(r *gateway.Reading) {
	r.Value = r.Value*c.Scale + c.Offset
	if math.IsInf(r.Value, 0) {
		r.Value = math.Copysign(math.MaxFloat64, r.Value) // JSON has no infinity
		if r.Quality == gateway.Good {
			r.Quality = gateway.OutOfRange
		}
	}
	if c.Range == nil || r.Quality != gateway.Good {
		return
	}
	if r.Value < c.Range[0] || r.Value > c.Range[1] {
		r.Quality = gateway.OutOfRange
	}
}

// leaveOut says whether the deadband swallows r. A change of quality always
// passes.
func (c *channel) leaveOut(r gateway.Reading) bool {
	if c.Deadband <= 0 || !c.stored || r.Quality != c.last.Quality {
		return false
	}
	if c.MaxSilence > 0 && r.At.Sub(c.last.At) >= c.MaxSilence {
		return false
	}
	return math.Abs(r.Value-c.last.Value) <= c.Deadband
}
