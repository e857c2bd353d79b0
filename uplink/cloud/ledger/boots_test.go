package ledger

import (
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A ledger of an older version has wall times in an epoch of a boot. They are
// still wall times, and its index bounds nothing.
func TestWallTimesInAnOldAccountOfABoot(t *testing.T) {
	b := newGateway("g", cloudtest.NewHistory(), nil)
	if err := b.learn(t.Context(), []wire.Anchor{record.WireAnchor(cloudtest.BootAnchor(gateway.EpochID{7}))}); err != nil {
		t.Fatal(err)
	}
	old := &account{
		Epoch: gateway.EpochID{7}, Boot: gateway.BootID{7}, Timed: true, T0: cloudtest.At(1).UnixMicro(),
		T1: cloudtest.At(2).UnixMicro(), Worst: gateway.ClockNTP,
		Spans: []span{{First: 3, N: 5, Why: gateway.WhyDropped, T0: 3e6, T1: 8e6,
			Anchor: record.WireAnchor(cloudtest.BootAnchor(gateway.EpochID{7}))}},
	}
	b.accounts[old.Epoch] = old
	list, err := b.Times(t.Context())
	if err != nil || len(list) != 1 || !list[0].known || !list[0].First.Equal(cloudtest.At(1)) ||
		list[0].Last.Before(cloudtest.At(2)) || list[0].Last.After(cloudtest.At(10)) {
		t.Errorf("%+v %v", list, err)
	}
}

// Two boards tell of the end of the same readings, each with stamps of its boot.
func TestOpenEndsOfTwoBootsKeepTheirTimes(t *testing.T) {
	id := gateway.EpochID{7}
	h := cloudtest.NewHistory()
	h.Open("g", true, id)
	h.Send("g", h.Data(id, 1, 2))
	h.Send("g", cloudtest.End(id, 2, false)) // from 2 to 7
	u := cloudtest.End(id, 2, false)         // from 4 to 9
	a := wire.Anchor{Boot: gateway.BootID{8}, Offset: cloudtest.At(-1000).UnixMicro(), Quality: gateway.ClockNTP}
	u.End.T0, u.End.T1, u.End.Anchor = 1004e6, 1009e6, &a
	h.Send("g", u)
	c := ask(t, h, -1, -1, &id)
	g := c.Epochs[0].Gaps[0]
	if g.T0 == nil || !g.T0.Equal(cloudtest.At(2)) || g.T1 == nil || !g.T1.Equal(cloudtest.At(9)) {
		t.Errorf("%+v", g)
	}
}

// An epoch begins with so many gaps of one boot that the index of them is
// stored, and its readings are of another boot: a range of time finds both.
func TestIndexStoredBeforeTheBootIsKnown(t *testing.T) {
	const gaps = 2*segmentSize + 10
	id := gateway.EpochID{7}
	h, kv := cloudtest.NewHistory(), &cloudtest.KV{}
	h.Open("g", true, id)
	for i := range uint64(gaps) {
		u := cloudtest.Gap(id, 1+i, 1, gateway.WhyDropped)
		u.Gap.Anchor.Boot, u.Gap.Anchor.Offset = gateway.BootID{8}, cloudtest.At(-100_000).UnixMicro()
		h.Send("g", u)
	}
	enterAll(t, h, kv, h.Entries) // stores two full segments
	h.Send("g", h.Data(id, gaps+1, 3))
	b := enterAll(t, h, kv, h.Entries[len(h.Entries)-1:])
	span := func(from, to int) TimeRange { return TimeRange{From: cloudtest.At(from), To: cloudtest.At(to)} }
	if n := recordsOf(t, b, id, span(-100_000, -100_000+segmentSize)); n < segmentSize {
		t.Errorf("%d records in the time of the first gaps, want at least %d", n, segmentSize)
	}
	if n := recordsOf(t, b, id, span(gaps, gaps+10)); n < 1 {
		t.Error("the record of the readings is not found by their time")
	}
}
