package cloud_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/cloud"
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

// BenchmarkLedger measures how many records a second the ledger enters that
// has fallen behind: of how many gateways, whose records come in turn.
func BenchmarkLedger(b *testing.B) {
	for _, gateways := range []int{16, 500} {
		b.Run(fmt.Sprintf("gateways=%d", gateways), func(b *testing.B) {
			s := newSite(b, nil)
			each := b.N/gateways + 1
			peers, epochs := make([]*peer, gateways), make([]gateway.EpochID, gateways)
			for g := range peers {
				s.add(fmt.Sprintf("g%d", g))
				epochs[g] = gateway.NewEpochID()
				peers[g], _ = s.open(epochs[g])
			}
			for i := range each {
				for g, p := range peers {
					p.send(gap(epochs[g], uint64(i)+1, 1))
				}
				for _, p := range peers {
					recv[*wire.Ack](p)
				}
			}
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			ctx, stop := context.WithCancel(b.Context())
			reader := cloud.New(cloud.Options{Log: s.log, Feed: s.log, Gauge: s.log, KV: s.log, PubSub: s.log, Credentials: s.creds,
				OperatorToken: operatorToken, Health: s.log.Health, Logger: quiet(b)})
			var serving sync.WaitGroup
			b.ResetTimer()
			serving.Go(func() { _ = reader.Serve(ctx, ln, tls.Certificate{}) })
			tick := time.NewTicker(20 * time.Millisecond)
			for behind := true; behind; <-tick.C {
				list, err := s.log.Consumers(ctx)
				if err != nil {
					b.Fatal(err)
				}
				behind = len(list) == 0 || list[0].Behind > 0
			}
			b.ReportMetric(float64((each+1)*gateways)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(0, "ns/op")
			stop()
			serving.Wait()
		})
	}
}
