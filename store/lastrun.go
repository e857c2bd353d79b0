package store

import (
	"fmt"

	"github.com/fieldgate/fieldgate/gateway"
)

// reportLastRun says in one line how the last run ended, and what that cost, if
// it did not end in order.
func (s *Store) reportLastRun() {
	if !s.unclean {
		return
	}
	var lost uint64
	var first gateway.Name
	for _, e := range s.order {
		if n := e.atMost(); e.interrupted && n > 0 {
			if lost == 0 {
				first = gateway.Name{Epoch: e.ID, Seq: max(e.Known, e.Last) + 1}
			}
			if lost += n; lost > gateway.AtMostUnknown {
				lost = gateway.AtMostUnknown
			}
		}
	}
	s.o.Log.Warn(lastRun(lost, first))
}

// lastRun puts a cost into words; first names the gap.
func lastRun(lost uint64, first gateway.Name) string {
	const ended = "the last run ended without order, by a power cut, a crash or a kill"
	switch {
	case lost == 0:
		return ended + "; no reading is lost"
	case lost >= gateway.AtMostUnknown:
		return fmt.Sprintf("%s; how many readings are lost is not known; "+
			"the gap begins at reading %d of epoch %v", ended, first.Seq, first.Epoch)
	}
	return fmt.Sprintf("%s; at most %d readings are lost, in the gap that begins at reading %d "+
		"of epoch %v", ended, lost, first.Seq, first.Epoch)
}
