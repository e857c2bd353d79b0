package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/lines"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A TimeRange is from when to when; a zero time is no bound. Both ends belong
// to it.
type TimeRange struct{ From, To time.Time }

// ParseRange reads ?from= and ?to=.
func ParseRange(q url.Values, now time.Time) (r TimeRange, err error) {
	if r.From, err = parseTime(q.Get("from"), now); err != nil {
		return r, fmt.Errorf("from: %w", err)
	}
	if r.To, err = parseTime(q.Get("to"), now); err != nil {
		return r, fmt.Errorf("to: %w", err)
	}
	if !r.From.IsZero() && !r.To.IsZero() && r.To.Before(r.From) {
		return r, fmt.Errorf("to (%s) lies before from (%s)", r.To.Format(TimeLayout), r.From.Format(TimeLayout))
	}
	return r, nil
}

// ParseEpoch reads ?epoch=; nil if it is not there.
func ParseEpoch(q url.Values) (*gateway.EpochID, error) {
	v := q.Get("epoch")
	if v == "" {
		return nil, nil
	}
	e := new(gateway.EpochID)
	return e, e.UnmarshalText([]byte(v))
}

// parseTime takes what gateway.ParseMoment does; "" is no time.
func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	return gateway.ParseMoment(text, now)
}

func (r TimeRange) Bounded() bool { return !r.From.IsZero() || !r.To.IsZero() }

// Meets tells whether any of t0 … t1 lies in the range; zero times are no
// bounds.
func (r TimeRange) Meets(t0, t1 time.Time) bool {
	return (r.To.IsZero() || t0.IsZero() || !t0.After(r.To)) && (r.From.IsZero() || t1.IsZero() || !t1.Before(r.From))
}

func (r TimeRange) Holds(t time.Time) bool { return r.Meets(t, t) }

// A Clock derives wall time from the stamps of one boot by all its anchors
// that are known now, those that came after the readings included.
type Clock struct {
	Boot gateway.BootID
	gateway.Timeline
}

// The document of a clock says anchors as they are on the wire.
type clockDoc struct {
	Boot    gateway.BootID `json:"boot"`
	Anchors []wire.Anchor  `json:"anchors"` // by From
}

// MarshalJSON implements json.Marshaler.
func (c *Clock) MarshalJSON() ([]byte, error) {
	doc := clockDoc{Boot: c.Boot}
	for _, a := range c.Timeline {
		doc.Anchors = append(doc.Anchors, record.WireAnchor(a))
	}
	return json.Marshal(doc)
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *Clock) UnmarshalJSON(b []byte) error {
	var doc clockDoc
	if err := json.Unmarshal(b, &doc); err != nil {
		return err
	}
	c.Boot, c.Timeline = doc.Boot, nil
	for _, a := range doc.Anchors {
		c.Add(a)
	}
	return nil
}

// Add takes an anchor in and tells whether that changed anything.
func (c *Clock) Add(a wire.Anchor) (changed bool) {
	c.Timeline, changed = c.With(record.AnchorOf(a))
	return changed
}

// Bounds is that of the timeline for stamps as they are on the wire.
func (c *Clock) Bounds(t0, t1 int64) (w0, w1 time.Time, q gateway.ClockQuality) {
	return c.Timeline.Bounds(gateway.Stamp(t0), gateway.Stamp(t1))
}

// Wall is likewise.
func (c *Clock) Wall(s int64) (time.Time, gateway.ClockQuality) {
	return c.Timeline.Wall(gateway.Stamp(s))
}

const maxUptime = 1e15 // µs; no board runs for 31 years

// An EpochTime is when the readings of an epoch were taken. If the clock of
// its boot was never set, t0 and t1 are what the epochs beside it and the
// arrival of its readings leave possible; zero is no bound.
type EpochTime struct {
	*account
	clock       *Clock
	First, Last time.Time
	quality     gateway.ClockQuality // the worst
	known       bool
	next        time.Time // when the following epoch began; zero: there is none that is known
	sent        time.Time // all that the gateway measured up to here has come; zero: not known
}

// Times gives the epochs of the ledger of a gateway in their order, with their times.
func (b *Gateway) Times(ctx context.Context) ([]EpochTime, error) {
	var list []EpochTime
	for _, a := range b.sorted() {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		e := EpochTime{account: a, sent: b.sent, clock: &Clock{Timeline: gateway.Timeline{{Quality: a.Worst}}}}
		if a.Boot != (gateway.BootID{}) {
			c, err := b.Clock(ctx, a.Boot)
			if err != nil {
				return nil, err
			}
			e.clock = c
		}
		e.measure()
		list = append(list, e)
	}
	// An epoch without a time lies between those beside it: first forwards, for the
	// earliest that it can be, then backwards, for the latest.
	var before time.Time
	for i := range list {
		e := &list[i]
		switch {
		case !e.known:
			e.First, e.Last = before, e.Until
		case !e.Apart: // what is heard of after one that lies apart may have been before it
			before = Latest(before, e.Last)
		}
	}
	var after time.Time
	for i := len(list) - 1; i >= 0; i-- {
		e := &list[i]
		e.next = after
		switch {
		case e.known && (after.IsZero() || e.First.Before(after)):
			after = e.First
		case !e.known && !after.IsZero() && (e.Last.IsZero() || after.Before(e.Last)):
			e.Last = after
		}
	}
	return list, nil
}

// measure takes the times of the epoch's readings; without any, those of its
// gaps and its end.
func (e *EpochTime) measure() {
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
		own.T0, own.T1, own.Quality = e.clock.Bounds(s0, s1)
		all = all.with(own)
	} else if some || others == (walls{}) {
		return
	}
	e.First, e.Last, e.quality = all.T0, all.T1, all.Quality
	e.known = e.quality > gateway.ClockNone
}

// mistimed tells that an older version put stamps of no boot, which are µs
// since 1970, into an account of a boot.
func (e *EpochTime) mistimed() bool {
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
	return walls{w.T0, Latest(w.T1, x.T1), min(w.Quality, x.Quality)}
}

// Between gives between which times something lies that was told with an anchor.
// A board that lost its power does not know how long it went on: t1 is then
// when the following epoch began, and zero if that is not known.
func (e *EpochTime) Between(anchor wire.Anchor, s0, s1 int64) (t0, t1 time.Time, q gateway.ClockQuality) {
	if s1 < s0 {
		t0, _, q = e.Between(anchor, s0, s0)
		if t1 = e.next; t1.Before(t0) {
			t1 = time.Time{}
		}
		return t0, t1, q
	}
	switch {
	case anchor.Boot == e.Boot && anchor.Boot != (gateway.BootID{}) && len(e.clock.Timeline) > 0:
		t0, t1, q = e.clock.Bounds(s0, s1)
	default:
		a := record.AnchorOf(anchor)
		t0, t1, q = a.Wall(gateway.Stamp(s0)), a.Wall(gateway.Stamp(s1)), a.Quality
	}
	if q == gateway.ClockNone {
		return e.First, e.Last, q // not known any better than the epoch's
	}
	return t0, t1, q
}

func Latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// UTC gives t in whole milliseconds, nil for no time at all.
func UTC(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}

// TimeLayout is RFC 3339 in UTC with milliseconds.
const TimeLayout = lines.TimeLayout
