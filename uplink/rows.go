package uplink

import (
	"math"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// rowSize is what one reading takes in JSON at most, in bytes: two names of 64,
// a unit, a number, a time, and what stands between.
const rowSize = 384

// rows puts the readings of a block into an update one by one, for a cloud
// that reads JSON.
func (s *session) rows(m *wire.Update, b gateway.Block, from uint64) error {
	if s.dec == nil {
		s.dec, s.enc = block.NewDecoder(), block.NewEncoder()
	}
	if b.Thinned {
		h, sums, err := s.dec.Summaries(b.Data)
		for i := range sums {
			m.ThinnedRows = append(m.ThinnedRows, thinnedRow(h.Anchor, &sums[i]))
		}
		return err
	}
	h, rs, err := s.dec.Decode(b.Data)
	m.Readings = make([]wire.Row, 0, len(rs))
	if s.plain() && m.First < from { // these were sent, and nobody there would know them again
		rs = rs[min(from-m.First, uint64(len(rs))):]
		m.First, m.N = from, m.First+m.N-from
	}
	for i := range rs {
		m.Readings = append(m.Readings, row(h.Anchor, &rs[i]))
	}
	return err
}

func row(a gateway.Anchor, r *gateway.Reading) wire.Row {
	return wire.Row{
		Device: r.Channel.Device, Quantity: r.Channel.Quantity, Value: number(r.Value), Unit: r.Channel.Unit,
		Timestamp: wire.Time(int64(r.At) + a.Offset), Quality: r.Quality.String(), Time: a.Quality.String(),
	}
}

func thinnedRow(a gateway.Anchor, sum *gateway.Summary) wire.ThinnedRow {
	return wire.ThinnedRow{
		Device: sum.Channel.Device, Quantity: sum.Channel.Quantity, Unit: sum.Channel.Unit,
		Timestamp: wire.Time(int64(sum.From) + a.Offset), IntervalS: sum.Interval.Seconds(), Count: sum.N,
		Min: number(sum.Min), Max: number(sum.Max), Mean: number(sum.Mean), Quality: sum.Worst.String(), Time: a.Quality.String(),
	}
}

// number gives nil for what JSON has no number for.
func number(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}
