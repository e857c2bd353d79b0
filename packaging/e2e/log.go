package e2e

import "fmt"

// A span is a run of seqs of one epoch that will never come.
type span struct {
	epoch    string
	first, n uint64
	why      string
}

// A Log is what the cloud's log holds of the gateway.
type Log struct {
	Readings map[Name][]Reading // all that have this name: one, or promise 3 is broken
	Last     map[string]uint64  // by epoch: the highest seq held
	Gaps     []span             // for an open end: as many as there may be at most
	Ended    map[string]string  // by epoch: "closed" or the reason of an open end
	Events   map[Name][]string  // the kinds of all events that have this name: one
}

func newLog() Log {
	return Log{Readings: map[Name][]Reading{}, Last: map[string]uint64{}, Ended: map[string]string{}, Events: map[Name][]string{}}
}

// Explained reports whether a gap covers the name.
func (h Log) Explained(n Name) bool {
	for _, g := range h.Gaps {
		if g.epoch == n.Epoch && n.Seq >= g.first && n.Seq < g.first+g.n {
			return true
		}
	}
	return false
}

// Lacks returns those of the readings that are not in the log.
func (h Log) Lacks(rs []Reading) []Reading {
	var missing []Reading
	for _, r := range rs {
		if len(h.Readings[r.Name()]) == 0 {
			missing = append(missing, r)
		}
	}
	return missing
}

// Boots counts the events that say that the gateway's store was opened.
func (h Log) Boots() (n int) {
	for _, kinds := range h.Events {
		if kinds[0] == "boot" {
			n++
		}
	}
	return n
}

// Faults names every reading and event that is held twice and every hole that no gap explains.
func (h Log) Faults() []string {
	var found []string
	for n, held := range h.Readings {
		if len(held) > 1 {
			found = append(found, fmt.Sprintf("%s/%d is held %d times", n.Epoch, n.Seq, len(held)))
		}
	}
	for n, kinds := range h.Events {
		if len(kinds) > 1 {
			found = append(found, fmt.Sprintf("the event %s/%d is held %d times", n.Epoch, n.Seq, len(kinds)))
		}
	}
	for epoch, last := range h.Last {
		for seq := uint64(1); seq <= last; seq++ {
			n := Name{epoch, seq}
			if len(h.Readings[n]) == 0 && !h.Explained(n) {
				found = append(found, fmt.Sprintf("%s/%d is a hole that nothing explains", epoch, seq))
			}
		}
	}
	return found
}

// A logLine is a line of any kind in the cloud's answer.
type logLine struct {
	Type string `json:"type"`
	Reading
	Kind   string  `json:"kind"` // of an event
	First  uint64  `json:"first"`
	From   uint64  `json:"from"` // of a thinned range, what the log does not hold as it was
	N      uint64  `json:"n"`
	Why    string  `json:"why"`
	Closed *uint64 `json:"closed"`
	After  uint64  `json:"after"`
	AtMost uint64  `json:"at_most"`
}

func (h *Log) add(l logLine) {
	switch {
	case l.Type == "event":
		h.Events[l.Name()] = append(h.Events[l.Name()], l.Kind)
	case l.Type == "thinned": // a line for each channel and interval
		h.Gaps = append(h.Gaps, span{l.Epoch, l.From, l.First + l.N - l.From, l.Type})
		h.Last[l.Epoch] = max(h.Last[l.Epoch], l.First+l.N-1)
	case l.Type == "gap":
		h.Gaps = append(h.Gaps, span{l.Epoch, l.First, l.N, l.Why})
	case l.Type == "end" && l.Closed != nil:
		h.Ended[l.Epoch] = "closed"
	case l.Type == "end":
		h.Ended[l.Epoch] = l.Why
		h.Gaps = append(h.Gaps, span{l.Epoch, l.After + 1, l.AtMost, l.Why})
	default:
		h.Readings[l.Name()] = append(h.Readings[l.Name()], l.Reading)
		h.Last[l.Epoch] = max(h.Last[l.Epoch], l.Seq)
	}
}
