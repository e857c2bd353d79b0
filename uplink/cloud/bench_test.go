package cloud_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// noisy gives an update of n readings of 20 channels at 1 Hz with noise, as
// one block.
func noisy(b *testing.B, e gateway.EpochID, first, n uint64) []byte {
	b.Helper()
	channels := make([]*gateway.Channel, 20)
	for i := range channels {
		channels[i] = &gateway.Channel{Device: fmt.Sprintf("sensor-%d", i), Quantity: "temperature", Unit: "Cel"}
	}
	rng := rand.New(rand.NewPCG(1, first))
	rs := make([]gateway.Reading, n)
	for i := range rs {
		at := first + uint64(i)
		rs[i] = gateway.Reading{Channel: channels[at%20], Value: float64(2000+rng.IntN(30)) / 100, At: gateway.Stamp(at / 20 * 1e6)}
	}
	blk, err := block.NewEncoder().Append(nil, gateway.BlockHeader{Range: gateway.Range{Epoch: e, First: first}, Anchor: anchor}, rs)
	if err != nil {
		b.Fatal(err)
	}
	u := &wire.Update{Lane: wire.LaneBacklog, Epoch: e, First: first, N: n, Blocks: [][]byte{blk}}
	raw, err := wire.Encode(u)
	if err != nil {
		b.Fatal(err)
	}
	return raw
}

// BenchmarkDurableAcks measures updates that are stored, synced and
// acknowledged: by how many gateways, readings per block, updates under way.
func BenchmarkDurableAcks(b *testing.B) {
	for _, c := range []struct{ gateways, readings, window int }{
		{1, 20, 1}, {1, 4096, 1}, {1, 4096, 4}, {16, 20, 1}, {16, 4096, 4},
	} {
		b.Run(fmt.Sprintf("gateways=%d/readings=%d/window=%d", c.gateways, c.readings, c.window), func(b *testing.B) {
			s := newSite(b, nil)
			each := b.N/c.gateways + 1
			var all sync.WaitGroup
			var runs []func()
			for g := range c.gateways {
				s.add(fmt.Sprintf("g%d", g))
				e := gateway.NewEpochID()
				p, _ := s.open(e)
				raws := make([][]byte, each)
				for i := range raws {
					raws[i] = noisy(b, e, uint64(i*c.readings)+1, uint64(c.readings))
				}
				runs = append(runs, func() { drain(p, raws, uint64(c.readings), c.window) })
			}
			b.ResetTimer()
			for _, run := range runs {
				all.Go(run)
			}
			all.Wait()
			acks := float64(each * c.gateways)
			b.ReportMetric(acks/b.Elapsed().Seconds(), "acks/s")
			b.ReportMetric(acks*float64(c.readings)/b.Elapsed().Seconds(), "readings/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// drain sends updates of n readings each with at most window of them
// unacknowledged.
func drain(p *peer, raws [][]byte, n uint64, window int) {
	sent, acked := 0, 0
	for acked < len(raws) {
		for ; sent < len(raws) && sent < acked+window; sent++ {
			p.sendRaw(2, raws[sent])
		}
		if a := recv[*wire.Ack](p); len(a.Epochs) > 0 { // else it is about the windows
			acked = int(a.Epochs[0].Upto / n)
		}
	}
}
