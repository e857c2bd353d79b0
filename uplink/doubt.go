package uplink

import (
	"fmt"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// maxRejected readings of a session become gaps because the cloud refuses
// them. More of them is not a bad reading but a disagreement, and people decide.
const maxRejected = 16

// A doubt is about readings that the cloud refused: they are sent again in
// smaller parts, until those that it takes are through and the one that it
// does not take is alone.
type doubt struct {
	last  uint64 // seq of the last one refused
	take  uint64 // readings to send at once
	bad   uint64 // seq of a reading that was refused alone: a gap goes in its place
	guess uint64 // up to this seq the wall time was refused: send it as a guess
}

// refuse remembers that the cloud does not want what was under way.
func (s *session) refuse(t *track, f flight, code wire.NackCode) {
	if t.doubt == nil || f.pos > t.doubt.last {
		t.doubt = &doubt{last: f.last}
	}
	d := t.doubt
	n := f.last + 1 - f.first
	d.take = n
	switch {
	case !f.data:
		s.holdRefused(f, code)
	case f.blocks > 1: // one of them: block by block from now on
	case code == wire.NackTime && f.pos > d.guess:
		d.guess = f.last
	case n > 1:
		d.take = n / 2
	case s.rejected >= maxRejected:
		s.holdRefused(f, code)
	default:
		d.bad = f.pos
	}
}

func (s *session) holdRefused(f flight, code wire.NackCode) {
	s.hold(f.epoch, refuseFor, fmt.Sprintf("the cloud refuses what this gateway has at %d of epoch %v (%s); "+
		"it stays stored, and what follows in this epoch waits", f.pos, f.epoch, s.u.plain(string(code))))
}

// trusted gives back to an epoch what an ack has proved.
func (s *session) trusted(t *track, f flight) {
	switch d := t.doubt; {
	case d == nil:
	case f.last >= d.last:
		t.doubt = nil
	default:
		d.take *= 2
	}
}

// tailored makes of blocks of the store what the cloud takes: if the first must
// be parted, that part alone.
func (s *session) tailored(blocks []gateway.Block, seq uint64) ([]gateway.Block, error) {
	first, err := s.tailor(blocks[0], seq)
	if err != nil || first.N != blocks[0].N || first.Data == nil || s.tracks[first.Epoch].doubt != nil {
		return []gateway.Block{first}, err
	}
	n := 1
	for n < len(blocks) && blocks[n].N <= s.blockN {
		n++
	}
	return append([]gateway.Block{first}, blocks[1:n]...), nil
}

// tailor makes of what the store gave what the cloud takes: as a rule the very
// same bytes, and a part from seq on if they are too much or in doubt.
func (s *session) tailor(b gateway.Block, seq uint64) (gateway.Block, error) {
	d := s.tracks[b.Epoch].doubt
	if d == nil || seq > d.last {
		d = &doubt{take: s.blockN}
	}
	whole := s.maxMsg - envelope
	if b.Thinned { // cannot be parted
		if len(b.Data) > whole {
			return b, fmt.Errorf("thinned readings take %d bytes, the cloud takes %d", len(b.Data), whole)
		}
		return b, nil
	}
	distrust := seq <= d.guess
	if b.Data == nil || !distrust && b.N <= min(d.take, s.blockN) && len(b.Data) <= whole {
		return b, nil
	}
	if s.dec == nil {
		s.dec, s.enc = block.NewDecoder(), block.NewEncoder() // rare, and kept no longer than the session
	}
	h, rs, err := s.dec.Decode(b.Data)
	if err != nil {
		return b, err
	}
	if h.Range != b.Range || h.N != uint64(len(rs)) {
		return b, fmt.Errorf("%d readings from %d, in a block of %d from %d", b.N, b.First, h.N, h.First)
	}
	if distrust {
		h.Anchor.Quality = gateway.ClockNone
	}
	rs = rs[seq-b.First:]
	b.First = seq
	if d.bad == seq {
		return s.reject(b, h, rs[0]), nil
	}
	for take := min(d.take, s.blockN, uint64(len(rs))); take > 0; take /= 2 {
		b.N, h.Range = take, gateway.Range{Epoch: b.Epoch, First: seq, N: take}
		if b.Data, err = s.enc.Append(nil, h, rs[:take]); err != nil {
			return b, err
		}
		if len(b.Data) <= whole {
			return b, nil
		}
	}
	return b, fmt.Errorf("one reading takes %d bytes, the cloud takes %d", len(b.Data), whole)
}

// reject puts a gap in the place of one reading. The reading itself is told
// here, for nobody else will hear of it.
func (s *session) reject(b gateway.Block, h gateway.BlockHeader, r gateway.Reading) gateway.Block {
	s.rejected++
	s.u.o.Log.Error("the cloud refuses this reading; a gap goes in its place",
		"device", r.Channel.Device, "quantity", r.Channel.Quantity, "value", r.Value, "unit", r.Channel.Unit,
		"quality", r.Quality.String(), "at", h.Anchor.Wall(r.At), "epoch", b.Epoch.String(), "seq", b.First)
	b.N, b.Data = 1, nil
	b.Gap = &gateway.Gap{Why: gateway.WhyRejected, T0: r.At, T1: r.At, Anchor: h.Anchor}
	return b
}
