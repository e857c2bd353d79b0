package store

import (
	"time"

	"github.com/fieldgate/fieldgate/gateway"
)

// An opening is when the store was opened, and whether the one before it had
// ended in a power cut or crash. A board whose clock was never set knows only
// for how long it has run since.
type opening struct {
	At      time.Time      `json:"at,omitzero"` // by the wall clock; zero: not known
	Unclean bool           `json:"unclean,omitempty"`
	Boot    gateway.BootID `json:"boot,omitzero"`
	Stamp   gateway.Stamp  `json:"stamp,omitempty"` // of that boot
	Ran     time.Duration  `json:"ran,omitempty"`   // for how long boards with this store had run before, as far as is known
}

// openingsKept is how many openings are remembered.
const openingsKept = 64

// noteOpening remembers when this opening was, for the figures.
func (s *Store) noteOpening() {
	anchor, stamp := s.o.Clock.Anchor(), s.o.Clock.Stamp()
	o := opening{Unclean: s.unclean, Boot: anchor.Boot, Stamp: stamp}
	if anchor.Quality > gateway.ClockNone {
		o.At = anchor.Wall(stamp).Truncate(time.Second)
	}
	all := s.facts.Openings
	if n := len(all); n > 0 {
		before := all[n-1]
		o.Ran = before.Ran + max(0, s.lastStampOf(before.Boot, stamp).Sub(before.Stamp))
	}
	all = append(all, o)
	s.facts.Openings = all[max(0, len(all)-openingsKept):]
}

// lastStampOf is the latest stamp that is known of a boot: now, or the one of
// its last reading on the card.
func (s *Store) lastStampOf(boot gateway.BootID, now gateway.Stamp) (last gateway.Stamp) {
	if boot == s.o.Clock.Anchor().Boot {
		return now
	}
	for _, e := range s.order {
		if e.Anchor.Boot == boot {
			last = max(last, e.Opened, e.LastAt)
		}
	}
	return last
}

// openingsLocked counts the openings of the last 24 h, and how many of them
// followed a power cut or crash. Where wall time does not tell, the time that
// boards have run since does: no opening is left out that may be of these 24 h.
func (s *Store) openingsLocked() (all, unclean int) {
	n := len(s.facts.Openings)
	if n == 0 {
		return 0, 0
	}
	anchor, stamp := s.o.Clock.Anchor(), s.o.Clock.Stamp()
	newest := s.facts.Openings[n-1]
	ran := newest.Ran + max(0, s.lastStampOf(newest.Boot, stamp).Sub(newest.Stamp))
	for _, o := range s.facts.Openings {
		age := ran - o.Ran
		switch known := anchor.Quality > gateway.ClockNone; {
		case known && o.Boot == anchor.Boot:
			age = stamp.Sub(o.Stamp)
		case known && !o.At.IsZero():
			age = anchor.Wall(stamp).Sub(o.At)
		}
		if age >= 24*time.Hour {
			continue
		}
		all++
		if o.Unclean {
			unclean++
		}
	}
	return all, unclean
}
