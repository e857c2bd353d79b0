package cloud

import (
	"context"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

const maxUptime = 1e15 // µs; no board runs for 31 years

// An epochTime is when the readings of an epoch were taken. If the clock of
// its boot was never set, t0 and t1 are what the epochs beside it and the
// arrival of its readings leave possible; zero is no bound.
type epochTime struct {
	*account
	clock   *bootClock
	t0, t1  time.Time
	quality gateway.ClockQuality // the worst
	known   bool
	next    time.Time // when the following epoch began; zero: there is none that is known
	sent    time.Time // all that the gateway measured up to here has come; zero: not known
}

// times gives the epochs of a book in their order, with their times.
func (b *book) times(ctx context.Context) ([]epochTime, error) {
	var list []epochTime
	for _, a := range b.sorted() {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		e := epochTime{account: a, sent: b.sent, clock: &bootClock{Timeline: gateway.Timeline{{Quality: a.Worst}}}}
		if a.Boot != (gateway.BootID{}) {
			c, err := b.clock(ctx, a.Boot)
			if err != nil {
				return nil, err
			}
			e.clock = c
		}
		e.measure()
		list = append(list, e)
	}
	var before time.Time
	for i := range list {
		e := &list[i]
		if e.known {
			before = latest(before, e.t1)
		} else {
			e.t0, e.t1 = before, e.Until
		}
	}
	var after time.Time
	for i := len(list) - 1; i >= 0; i-- {
		e := &list[i]
		e.next = after
		switch {
		case e.known && (after.IsZero() || e.t0.Before(after)):
			after = e.t0
		case !e.known && !after.IsZero() && (e.t1.IsZero() || after.Before(e.t1)):
			e.t1 = after
		}
	}
	return list, nil
}

// measure takes the times of the epoch's readings; without any, those of its
// gaps and its end.
func (e *epochTime) measure() {
	a := e.account
	s0, s1, some := a.T0, a.T1, a.Timed
	others := a.Others
	if e.mistimed() {
		if some = false; s0 <= maxUptime {
			return // they are joined with stamps of the boot
		}
		others = others.with(wallsOf(gateway.Anchor{Quality: a.Worst}, s0, s1))
	}
	widen := func(anchor wire.Anchor, t0, t1 int64) {
		switch {
		case t0 == 0 && t1 == 0:
			return
		case anchor.Boot != a.Boot:
			if anchor.Quality > gateway.ClockNone {
				others = others.with(wallsOf(record.AnchorOf(anchor), t0, t1))
			}
			return
		}
		if !some {
			s0, s1, some = t0, t1, true
		}
		s0, s1 = min(s0, t0), max(s1, t1)
	}
	for _, s := range a.Spans {
		widen(s.Anchor, s.T0, s.T1)
	}
	if !some && a.Open != nil {
		widen(a.Open.Anchor, a.Open.T0, max(a.Open.T0, a.Open.T1))
	}
	all := others
	if some && len(e.clock.Timeline) > 0 {
		var own walls
		own.T0, own.T1, own.Quality = e.clock.bounds(s0, s1)
		all = all.with(own)
	} else if some || others == (walls{}) {
		return
	}
	e.t0, e.t1, e.quality = all.T0, all.T1, all.Quality
	e.known = e.quality > gateway.ClockNone
}

// mistimed tells that an older version put stamps of no boot, which are µs
// since 1970, into an account of a boot.
func (e *epochTime) mistimed() bool {
	return e.Boot != (gateway.BootID{}) && e.Timed && e.T1 > maxUptime
}

// walls is a stretch of wall time; the zero one is none.
type walls struct {
	T0      time.Time            `json:"t0"`
	T1      time.Time            `json:"t1"`
	Quality gateway.ClockQuality `json:"quality"` // the worst
}

// wallsOf gives the wall time of stamps by one anchor.
func wallsOf(a gateway.Anchor, t0, t1 int64) walls {
	return walls{a.Wall(gateway.Stamp(t0)), a.Wall(gateway.Stamp(t1)), a.Quality}
}

// with gives the stretch that has both.
func (w walls) with(x walls) walls {
	if w == (walls{}) {
		return x
	}
	if x.T0.Before(w.T0) {
		w.T0 = x.T0
	}
	return walls{w.T0, latest(w.T1, x.T1), min(w.Quality, x.Quality)}
}

// span gives between which times something lies that was told with an anchor.
// A board that lost its power does not know how long it went on: t1 is then
// when the following epoch began, and zero if that is not known.
func (e *epochTime) span(anchor wire.Anchor, s0, s1 int64) (t0, t1 time.Time, q gateway.ClockQuality) {
	if s1 < s0 {
		t0, _, q = e.span(anchor, s0, s0)
		if t1 = e.next; t1.Before(t0) {
			t1 = time.Time{}
		}
		return t0, t1, q
	}
	switch {
	case anchor.Boot == e.Boot && anchor.Boot != (gateway.BootID{}) && len(e.clock.Timeline) > 0:
		t0, t1, q = e.clock.bounds(s0, s1)
	default:
		a := record.AnchorOf(anchor)
		t0, t1, q = a.Wall(gateway.Stamp(s0)), a.Wall(gateway.Stamp(s1)), a.Quality
	}
	if q == gateway.ClockNone {
		return e.t0, e.t1, q // not known any better than the epoch's
	}
	return t0, t1, q
}
