package gateway

// Timelines are the timelines of boots, by what is known now. The zero value
// knows nothing; make one before the first Learn.
type Timelines map[BootID]Timeline

// Learn takes an anchor in. An anchor of no boot (all zeros) counts for what it
// came with and for nothing else, so it is not kept.
func (l Timelines) Learn(a Anchor) {
	if a.Boot != (BootID{}) {
		l[a.Boot], _ = l[a.Boot].With(a)
	}
}

// Clock takes in the anchor that some stamps came with, and gives what makes
// wall times of these stamps.
func (l Timelines) Clock(a Anchor) *WallClock {
	if a.Boot == (BootID{}) {
		return NewWallClock(Timeline{a})
	}
	l.Learn(a)
	return NewWallClock(l[a.Boot])
}

// A WallClock makes wall times of the stamps of one boot. It remembers the piece
// of the timeline that it used last, because most stamps come in order.
// It is not for several goroutines at once.
type WallClock struct {
	Timeline
	piece        Anchor
	since, until Stamp // piece decides the stamps from since on, up to until
	// From plain on up to until, the wall time is the stamp and the offset: no
	// year before 1 or after 9999 is near.
	plain, plainEnd Stamp
}

// NewWallClock gives the wall clock of a timeline.
func NewWallClock(t Timeline) *WallClock {
	return &WallClock{Timeline: t, since: 1} // no stamp lies between 1 and 0
}

// Decides gives the anchor that decides the wall time of a stamp, the zero one
// if the timeline has none.
func (c *WallClock) Decides(s Stamp) Anchor {
	if s < c.since || s >= c.until {
		c.piece, c.until = c.At(s)
		c.since = s
		c.plain, c.plainEnd = c.piece.plain(c.since, c.until)
	}
	return c.piece
}

// Micros gives the wall time of a stamp in microseconds since 1970.
func (c *WallClock) Micros(s Stamp) int64 {
	if s >= c.plain && s < c.plainEnd { // nearly all
		return int64(s) + c.piece.Offset
	}
	return c.Decides(s).Micros(s)
}
