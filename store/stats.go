package store

import (
	"time"
	"unsafe"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/files"
)

// Stats are the metrics of a store. Counts are of readings.
type Stats struct {
	Head         uint64 // in RAM, not yet committed
	Journal      uint64 // on the card, in the journal
	Stored       uint64 // on the card, in volumes
	Appended     uint64 // since the opening
	HeadBytes    int64  // of RAM that the head takes
	JournalBytes int64  // of slots in use
	// until max_size, if the readings go on coming as since the opening and none are acknowledged;
	// 0: no limit, or not known yet
	TimeToFull   time.Duration
	Openings     int // of the store in the last 24 h, …
	UncleanStops int // … and how many of them followed a power cut or crash
	// readings at most, in gaps that arose since the opening or that the cloud does not know of
	// yet, as far as their number is bounded
	GapReadings      map[gateway.Why]uint64
	Unacked          uint64        // not yet acknowledged by the cloud, head included
	OldestUnackedAge time.Duration // of the oldest of these; 0 if there is none, or its time is not known
	Bytes            int64         // of the volumes on the card
	Written          uint64        // bytes of blocks written since the opening
	Commits          uint64        // since the opening
	LastCommit       time.Duration // how long the last one took
	// a power cut costs at most the unacknowledged readings of this time: flush_interval and the
	// longest commit so far
	LossWindow time.Duration
	Dropped    uint64 // discarded since the opening, before the cloud had them
	Thinned    uint64 // of Stored: reduced to summaries
	Gaps       uint64 // epochs that ended in an open gap the cloud does not know of yet
	// what a power cut leaves of the store: if not Durable, LossWindow is the age of the oldest
	// unacknowledged reading
	Keeping files.Keeping
	Failing bool // the card takes no writes at present
}

// Stats gives the present metrics.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	f := s.metrics
	st := Stats{
		Head: uint64(s.growing.head.len()), Journal: s.journal.readings(), Written: f.written, Commits: f.commits, LastCommit: f.lastCommit,
		LossWindow: s.o.FlushInterval + f.longest, Dropped: f.dropped, Failing: f.failing, Keeping: s.keeping,
	}
	if h := s.growing.head; max(h.first, s.growing.Acked+1) <= h.last {
		waited := time.Since(s.start) - h.get(max(h.first, s.growing.Acked+1)).came
		st.LossWindow = max(st.LossWindow, waited) // longer only while the card takes no writes
	}
	for _, v := range s.volumes {
		st.Bytes += v.bytes
	}
	var oldest *epoch
	for _, e := range s.order {
		stored, thinned := e.stored()
		st.Stored, st.Thinned = st.Stored+stored, st.Thinned+thinned
		last, waiting := s.lastLocked(e), s.unackedLocked(e)
		st.Unacked += waiting
		if waiting > 0 && oldest == nil && last > 0 {
			oldest = e
		}
		if e.Growth == gateway.OpenEnded && !e.Done {
			st.Gaps++
		}
	}
	s.fillStatsLocked(&st)
	var id gateway.EpochID
	var seq uint64
	if oldest != nil {
		id, seq = oldest.ID, max(oldest.Acked, oldest.Forgotten, oldest.Dropped)+1
	}
	s.mu.Unlock()
	if seq > 0 {
		st.OldestUnackedAge = s.ageOf(id, seq)
	}
	if st.Keeping != files.Durable {
		st.LossWindow = max(st.LossWindow, st.OldestUnackedAge)
	}
	return st
}

// fillStatsLocked adds what is reckoned from the rest.
func (s *Store) fillStatsLocked(st *Stats) {
	now := time.Since(s.start)
	st.Appended = s.metrics.appended
	st.HeadBytes = int64(len(s.growing.head.ring)) * int64(unsafe.Sizeof(waiting{}))
	st.JournalBytes = int64(len(s.journal.pieces)) * slotSize
	st.GapReadings = map[gateway.Why]uint64{
		gateway.WhyCardFailed: s.metrics.cardFailed,
		gateway.WhyDropped:    s.metrics.dropped - s.metrics.cardFailed,
	}
	for _, e := range s.order {
		if end := e.ending(); e.Growth == gateway.OpenEnded && !e.Done && end.AtMost < gateway.AtMostUnknown {
			st.GapReadings[end.Why] += end.AtMost
		}
		st.GapReadings[gateway.WhyUnknown] += e.Holes
	}
	if s.o.MaxSize > 0 && now >= time.Minute && st.Appended > 0 && st.Stored > 0 {
		each := max(1, float64(st.Bytes)/float64(st.Stored))
		room := float64(s.o.MaxSize-s.beside) - each*float64(st.Unacked)
		st.TimeToFull = time.Duration(max(0, room) / each / (float64(st.Appended) / float64(now)))
	}
	st.Openings, st.UncleanStops = s.openingsLocked()
}

func (s *Store) lastLocked(e *epoch) uint64 {
	if e.head != nil {
		return e.head.last
	}
	return e.Last
}

// unackedLocked is how many readings of an epoch the cloud still has to get.
func (s *Store) unackedLocked(e *epoch) uint64 {
	last, done := s.lastLocked(e), max(e.Acked, e.Forgotten, e.Dropped)
	if last <= done {
		return 0
	}
	return last - done
}

// ageOf is how long ago a reading was taken.
func (s *Store) ageOf(id gateway.EpochID, seq uint64) time.Duration {
	s.mu.Lock()
	e := s.epochs[id]
	if e == nil {
		s.mu.Unlock()
		return 0
	}
	if h := e.head; h != nil && seq >= h.first && seq <= h.last {
		came := h.get(seq).came
		s.mu.Unlock()
		return time.Since(s.start) - came
	}
	if s.oldest.name == (gateway.Name{Epoch: id, Seq: seq}) {
		at, then := s.oldest.at, s.oldest.anchor
		s.mu.Unlock()
		return s.since(at, then, s.o.Clock.Anchor())
	}
	in, _ := e.find(seq)
	p, ordinal := s.journal.find(e.ordinal, seq), e.ordinal
	s.mu.Unlock()
	var r record
	switch {
	case len(in) > 0:
		r, _ = s.readRecord(in[0].volume, ordinal, seq) // its error gives no record
	case p != nil:
		r = p.record()
	}
	if r.N == 0 {
		return 0
	}
	at := s.stampOf(r, seq)
	s.mu.Lock()
	s.oldest = oldestReading{gateway.Name{Epoch: id, Seq: seq}, at, r.Anchor}
	s.mu.Unlock()
	return s.since(at, r.Anchor, s.o.Clock.Anchor())
}

// stampOf is when a reading of a record was taken; of a gap, when the first
// was.
func (s *Store) stampOf(r record, seq uint64) gateway.Stamp {
	s.encMu.Lock()
	defer s.encMu.Unlock()
	if r.gap != "" {
		return r.T0
	}
	h, rs, err := s.dec.Decode(r.value)
	if err != nil {
		return r.T0
	}
	return rs[seq-h.First].At
}

// oldestReading remembers when the oldest unacknowledged reading on the card
// was taken, so that looking at the figures does not read the card each time.
type oldestReading struct {
	name   gateway.Name
	at     gateway.Stamp
	anchor gateway.Anchor
}
