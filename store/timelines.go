package store

import "github.com/fieldgate/fieldgate/gateway"

// Timelines gives the anchors of every boot, as far as they are known without a
// look into blocks: those of epochs, files, events and the clock. Who reads
// blocks adds theirs with Clock.
func (s *Store) Timelines() gateway.Timelines {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.timelinesLocked()
}

func (s *Store) timelinesLocked() gateway.Timelines {
	lines := gateway.Timelines{}
	for _, e := range s.order {
		for _, a := range e.Earlier {
			lines.Learn(a)
		}
		lines.Learn(e.Anchor)
	}
	for _, v := range s.volumes {
		lines.Learn(v.oldest.Anchor)
		lines.Learn(v.newest.Anchor)
	}
	for i := range s.journal.pieces {
		lines.Learn(s.journal.pieces[i].Anchor)
	}
	var last gateway.Anchor
	for _, h := range s.lane.held { // an opening that kept no readings may have learned the time
		if a := h.Anchor; a != last {
			lines.Learn(a)
			last = a
		}
	}
	lines.Learn(s.o.Clock.Anchor())
	return lines
}
