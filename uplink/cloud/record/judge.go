package record

import (
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A Verdict says what becomes of an update.
type Verdict int

// The verdicts.
const (
	Repeat Verdict = iota // the log has all of it: acknowledge again
	Store                 // put it into the log, then acknowledge
	Refuse                // not contiguous: nack with the expected seq
	Final                 // behind an orderly end, where nothing can be
)

// Judge says what becomes of u, and what its epoch is after it. It compares
// nothing but sequence numbers and ends; u's shape has been checked.
func (s State) Judge(u *wire.Update) (Verdict, EpochState) {
	e := s.Get(u.Epoch)
	last := u.First + u.N - 1
	// A hole: what lies between must come first, or the log would hold a range
	// that nobody can tell from a loss.
	if u.First > e.Upto+1 {
		return Refuse, e
	}
	// Part of it may be there: the record then says which names are new.
	news := last > e.Upto
	if news && e.End == EndClosed {
		return Final, e
	}
	// What the epoch is after this update. Only an orderly end is final.
	after := e
	if news {
		after.Upto = last
	}
	if news || e.End == EndUnlisted {
		after.End, after.Sum = EndNone, 0 // data behind an open gap reopens the epoch
	}
	// An orderly end below what the log has is of a copy of the card, which knows
	// less: where the epoch ends it cannot say. It is acknowledged, not as done.
	ends := u.End != nil && e.End != EndClosed && (u.End.Closed == nil || last >= e.Upto)
	if ends {
		after.End, after.Sum = endingOf(u.End)
	}
	// An end alone is worth a record if it says something else than the log does;
	// all else the log has: it was acknowledged, and the ack was lost.
	if news || ends && (after.End != e.End || after.Sum != e.Sum) {
		return Store, after
	}
	return Repeat, after
}

func endingOf(end *wire.End) (Ending, uint32) {
	if end.Closed != nil {
		return EndClosed, 0
	}
	return EndOpen, end.Sum()
}
