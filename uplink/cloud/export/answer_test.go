package export

import (
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/lines"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// BenchmarkLines is the cost of a reading from the block to the line.
func BenchmarkLines(b *testing.B) {
	h := cloudtest.NewHistory()
	e := gateway.EpochID{0xe}
	var rs []gateway.Reading
	for i := range 4000 {
		rs = append(rs, gateway.Reading{Channel: cloudtest.Channel, Value: 20 + float64(i%100)/100, At: gateway.Stamp(i * 1e6)})
	}
	data, err := block.NewEncoder().Append(nil,
		gateway.BlockHeader{Range: gateway.Range{Epoch: e, First: 1}, Anchor: cloudtest.BootAnchor(e)}, rs)
	if err != nil {
		b.Fatal(err)
	}
	h.Open("g", true, e)
	h.Send("g", &wire.Update{Lane: wire.LaneLive, Epoch: e, First: 1, N: 4000, Blocks: [][]byte{data}})
	p, err := Open(b.Context(), h, &cloudtest.KV{}, "g", &ledger.Question{Readings: true}, block.NewDecoder())
	if err != nil {
		b.Fatal(err)
	}
	p.out = lines.NewNDJSON(&discard{}, "g")
	for b.Loop() {
		if err := p.print(b.Context(), h.Entries[1].Record); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*4000/b.Elapsed().Seconds(), "readings/s")
}

type discard struct{}

func (*discard) Write(b []byte) (int, error) { return len(b), nil }
