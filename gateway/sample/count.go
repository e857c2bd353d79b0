package sample

import (
	"maps"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/gateway"
)

// tellMissed is how often it is told that a counter missed events.
const tellMissed = time.Minute

// A Loss is a span in which events of a total were not counted.
type Loss struct {
	Channel  *gateway.Channel
	From, To gateway.Stamp // From 0: since before this run
	N        uint64        // 0: not known how many, perhaps none
	Total    float64       // goes on from here
}

// A count is what a device knows of its totals. A sensor counts from 0 with
// every Open; what was counted before is added here.
type count struct {
	base   map[string]float64 // by quantity: what the sensor's count is added to
	last   map[string]float64 // by quantity: the last reading
	away   gateway.Stamp      // nobody counts since then; 0: since before this run
	missed drivers.Missed
	told   time.Time // when something missed was told last
}

// newCount gives what the totals of a device go on from.
func newCount(o Device) count {
	c := count{base: map[string]float64{}, last: map[string]float64{}}
	for _, q := range o.Quantities {
		if q.Total {
			c.base[q.Name], c.last[q.Name] = o.Totals[q.Name], o.Totals[q.Name]
		}
	}
	return c
}

// resume tells that a counter counts from now on, and that nobody did before.
func (d *device) resume() {
	if _, ok := d.sensor.(drivers.Counter); ok {
		d.lost(Loss{From: d.count.away, To: d.s.opts.Stamp()})
	}
}

// lost tells a loss of every total.
func (d *device) lost(l Loss) {
	if d.s.opts.Lost == nil {
		return
	}
	for _, c := range d.channels {
		if last, total := d.count.last[c.Quantity]; total {
			l.Channel, l.Total = c, last
			d.s.opts.Lost(l)
		}
	}
}

// missed tells, now and then, what the counter saw and could not count.
func (d *device) missed(now bool) {
	c, ok := d.sensor.(drivers.Counter)
	if !ok {
		return
	}
	sum, m := &d.count.missed, c.Missed()
	if m.N > 0 {
		if sum.N == 0 {
			sum.From = m.From
		}
		sum.N, sum.To = sum.N+m.N, m.To
	}
	if sum.N == 0 || !now && time.Since(d.count.told) < tellMissed {
		return
	}
	d.lost(Loss{From: d.ago(sum.From), To: d.ago(sum.To), N: sum.N})
	d.count.told, *sum = time.Now(), drivers.Missed{}
}

// sum gives a reading of a total, and others as they are.
func (c *count) sum(v drivers.Value) float64 {
	base, total := c.base[v.Quantity]
	if total {
		c.last[v.Quantity] = base + v.Value
	}
	return base + v.Value
}

// ago gives the stamp of a time not long ago.
func (d *device) ago(t time.Time) gateway.Stamp { return d.s.opts.Stamp().Add(-time.Since(t)) }

// settle takes over what a counter that was halted had counted.
func (d *device) settle() {
	c, ok := d.sensor.(drivers.Counter)
	if !ok {
		return
	}
	if d.note(c.Final()) == nil && len(d.readings) > 0 && d.s.opts.Sink != nil {
		d.missed(true)
		d.s.opts.Sink.Take(d.readings)
	}
	maps.Copy(d.count.base, d.count.last)
	d.count.away = d.s.opts.Stamp()
}
