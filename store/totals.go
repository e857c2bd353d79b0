package store

import (
	"cmp"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
)

// maxTotals is how many channels state.db remembers a total of.
const maxTotals = 256

// maxTotalBlocks is how many blocks of volumes an opening looks through for
// totals, the newest first: more are there only if state.db is lost.
const maxTotalBlocks = 64

// A Total is the last reading of a channel that counts, as far as the store
// knows.
type Total struct {
	gateway.Reading
	Name   gateway.Name
	Anchor gateway.Anchor // of its boot
}

// A place is where a reading stands among all.
type place struct {
	Ordinal uint64 `json:"ordinal"`
	Seq     uint64 `json:"seq"`
}

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.Ordinal, q.Ordinal), cmp.Compare(p.Seq, q.Seq))
}

// total is what state.db says of a channel. What stands behind Totals.Upto says
// more.
type total struct {
	Device   string          `json:"device"`
	Quantity string          `json:"quantity"`
	Value    float64         `json:"value"`
	Quality  gateway.Quality `json:"quality"`
	At       gateway.Stamp   `json:"at"`
	Epoch    gateway.EpochID `json:"epoch"`
	Anchor   gateway.Anchor  `json:"anchor"`
	place
}

// totals are the last readings of the channels that count. The readings
// themselves are the state that survives a power cut: they stand in the journal
// or in a volume. What state.db repeats is for when they are discarded.
type totals struct {
	Upto place   `json:"upto"` // nothing up to here is newer than Last
	Last []total `json:"last,omitempty"`
}

func (t *totals) find(device, quantity string) *total {
	for i := range t.Last {
		if t.Last[i].Device == device && t.Last[i].Quantity == quantity {
			return &t.Last[i]
		}
	}
	return nil
}

// note keeps n if it is newer than what is known of its channel.
func (t *totals) note(n total) {
	switch old := t.find(n.Device, n.Quantity); {
	case old == nil && len(t.Last) < maxTotals:
		t.Last = append(t.Last, n)
	case old != nil && n.compare(old.place) > 0:
		*old = n
	}
}

// Total gives the last reading of a channel of Options.Totals. sure is false if
// something that could know a later one cannot be read, or is lost.
func (s *Store) Total(device, quantity string) (last Total, found, sure bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sure = s.absent == nil && !s.stateLost && len(s.damaged) == 0 && s.unread.journal == nil && len(s.unread.volumes) == 0
	if s.facts.Totals == nil {
		return last, false, sure
	}
	t := s.facts.Totals.find(device, quantity)
	if t == nil {
		return last, false, sure
	}
	last.Reading = gateway.Reading{Value: t.Value, At: t.At, Quality: t.Quality}
	last.Name, last.Anchor = gateway.Name{Epoch: t.Epoch, Seq: t.Seq}, t.Anchor
	return last, true, sure
}

// noteTotalsLocked notes readings that were just appended, the last under the
// name seq.
func (s *Store) noteTotalsLocked(rs []gateway.Reading, seq uint64) {
	if len(s.o.Totals) == 0 {
		return
	}
	first := seq + 1 - uint64(len(rs))
	for i, r := range rs {
		counts, known := s.counting[r.Channel]
		if !known {
			counts = s.isTotal(r.Channel)
			s.counting[r.Channel] = counts
		}
		if counts {
			s.facts.Totals.note(newTotal(s.growing, first+uint64(i), r))
		}
	}
}

func (s *Store) isTotal(c *gateway.Channel) bool {
	return slices.ContainsFunc(s.o.Totals, func(t gateway.Channel) bool { return t.Device == c.Device && t.Quantity == c.Quantity })
}

func newTotal(e *epoch, seq uint64, r gateway.Reading) total {
	return total{
		Device: r.Channel.Device, Quantity: r.Channel.Quantity, Value: r.Value, Quality: r.Quality, At: r.At,
		Epoch: e.ID, Anchor: e.Anchor, place: place{e.ordinal, seq},
	}
}

// totalsLocked gives a copy of the totals, to be saved. They may be ahead of the
// readings on the card, and never of what was counted.
func (s *Store) totalsLocked() *totals {
	if s.facts.Totals == nil || s.growing == nil {
		return s.facts.Totals
	}
	return &totals{Upto: place{s.growing.ordinal, s.growing.head.last}, Last: slices.Clone(s.facts.Totals.Last)}
}

// findTotals finds at the opening what the readings on the card say of totals: in
// what was stored since state.db was saved. The newest reading of a channel
// counts.
func (s *Store) findTotals() error {
	if len(s.o.Totals) == 0 {
		return nil
	}
	older := s.facts.Totals == nil && !s.stateLost && !s.stateOld // no version before knew of totals
	if s.facts.Totals == nil {
		s.facts.Totals = &totals{}
	}
	if older {
		return nil
	}
	f := totalFinder{s: s, since: s.facts.Totals.Upto, wanted: slices.Clone(s.o.Totals), dec: block.NewDecoder(), left: maxTotalBlocks}
	for _, p := range slices.Backward(s.journal.pieces) {
		f.look(p.record())
	}
	for _, v := range slices.Backward(s.volumes) {
		if len(f.wanted) == 0 || f.left == 0 {
			return nil
		}
		if err := f.volume(v); err != nil && !isDamage(err) {
			return err
		}
	}
	return nil
}

// A totalFinder looks through blocks, the newest first.
type totalFinder struct {
	s      *Store
	since  place             // what stands up to here is known
	wanted []gateway.Channel // not yet found
	dec    *block.Decoder
	left   int // blocks of volumes that it looks at
}

func (f *totalFinder) volume(v *volume) error {
	return f.s.shelf.read(v, func(b *bbolt.Bucket) error {
		if b == nil {
			return nil
		}
		c := b.Cursor()
		for k, value := c.Last(); k != nil && len(f.wanted) > 0 && f.left > 0; k, value = c.Prev() {
			r, err := parseRecord(k, value)
			if err != nil || r.gap != "" || r.Thinned {
				continue // the uplink finds damage, and has it salvaged
			}
			if (place{r.ordinal, r.Last()}).compare(f.since) <= 0 {
				f.left = 0 // all before is older still
				return nil
			}
			f.left--
			f.look(r)
		}
		return nil
	})
}

// look takes the newest readings of the wanted channels out of a block.
func (f *totalFinder) look(r record) {
	if (place{r.ordinal, r.Last()}).compare(f.since) <= 0 || len(f.wanted) == 0 {
		return
	}
	h, rs, err := f.dec.Decode(r.value)
	if err != nil {
		return
	}
	e := &epoch{ordinal: r.ordinal, entry: entry{ID: h.Epoch, Anchor: h.Anchor}}
	for i, x := range slices.Backward(rs) {
		at := slices.IndexFunc(f.wanted, func(c gateway.Channel) bool { return c.Device == x.Channel.Device && c.Quantity == x.Channel.Quantity })
		if at < 0 {
			continue
		}
		f.s.facts.Totals.note(newTotal(e, h.First+uint64(i), x))
		f.wanted = slices.Delete(f.wanted, at, at+1)
	}
}

// takeOverTotals keeps what this run counted before the store could be opened.
func (s *Store) takeOverTotals(mine *totals) {
	if mine == nil {
		return
	}
	if s.facts.Totals == nil {
		s.facts.Totals = &totals{}
	}
	for _, t := range mine.Last {
		t.Ordinal = s.growing.ordinal
		s.facts.Totals.note(t)
	}
}
