package record_test

import (
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// What becomes of an orderly end, alone or with readings, when the log has ten
// readings of its epoch. One below them comes from a copy of the card: the other
// board goes on behind it, so the epoch is not ended.
func TestOrderlyEndsAndWhatTheLogHas(t *testing.T) {
	id := gateway.EpochID{7}
	for _, c := range []struct {
		name     string
		before   record.Ending
		first, n uint64
		verdict  record.Verdict
		upto     uint64
		after    record.Ending
	}{
		{"right behind them", record.EndNone, 11, 0, record.Store, 10, record.EndClosed},
		{"with the last of them", record.EndNone, 8, 3, record.Store, 10, record.EndClosed},
		{"with more", record.EndNone, 11, 2, record.Store, 12, record.EndClosed},
		{"below them, alone", record.EndNone, 5, 0, record.Repeat, 10, record.EndNone},
		{"below them, with readings", record.EndNone, 3, 2, record.Repeat, 10, record.EndNone},
		{"below them, of no readings", record.EndNone, 1, 0, record.Repeat, 10, record.EndNone},
		{"below them, the epoch ended open", record.EndOpen, 5, 0, record.Repeat, 10, record.EndOpen},
		{"behind an open gap", record.EndOpen, 11, 0, record.Store, 10, record.EndClosed},
		{"below an orderly end", record.EndClosed, 5, 0, record.Repeat, 10, record.EndClosed},
		{"behind a hole", record.EndNone, 13, 0, record.Refuse, 10, record.EndNone},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := record.State{}.With(record.EpochState{ID: id, Upto: 10, End: c.before})
			closed := c.first + c.n - 1
			u := &wire.Update{Lane: wire.LaneBacklog, Epoch: id, First: c.first, N: c.n, End: &wire.End{Closed: &closed}}
			if v, e := s.Judge(u); v != c.verdict || e.Upto != c.upto || e.End != c.after {
				t.Errorf("verdict %d, %+v; want %d, upto %d, end %c", v, e, c.verdict, c.upto, c.after)
			}
		})
	}
}
