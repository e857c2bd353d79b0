package cloud

import (
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// doorSeeds gives envelopes of every kind that a gateway stores by, in CBOR and
// in JSON.
func doorSeeds(f *testing.F) (cbor, text [][]byte) {
	f.Helper()
	e := gateway.EpochID{1, 2}
	a := gateway.Anchor{Boot: gateway.BootID{3}, Offset: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).UnixMicro(), Quality: gateway.ClockNTP}
	ch := &gateway.Channel{Device: "boiler", Quantity: "temperature", Unit: "Cel"}
	enc := block.NewEncoder()
	h := gateway.BlockHeader{Range: gateway.Range{Epoch: e, First: 1}, Anchor: a}
	plain, err := enc.Append(nil, h, []gateway.Reading{{Channel: ch, Value: 1, At: 1e6},
		{Channel: ch, Value: 2.5, At: 2e6, Quality: gateway.Suspect}})
	if err != nil {
		f.Fatal(err)
	}
	h.First, h.N, h.T0, h.T1 = 1, 2, 0, 60e6
	thinned, err := enc.AppendThinned(nil, h, []gateway.Summary{{Channel: ch, Interval: time.Minute, N: 2, Min: 1, Max: 2, Mean: 1.5}})
	if err != nil {
		f.Fatal(err)
	}
	anchor := record.WireAnchor(a)
	closed := uint64(2)
	for _, m := range []wire.Message{
		&wire.Update{Lane: wire.LaneLive, Epoch: e, First: 1, N: 2, Blocks: [][]byte{plain}},
		&wire.Update{Lane: wire.LaneBacklog, Epoch: e, First: 1, N: 2, Thinned: thinned},
		&wire.Update{Lane: wire.LaneBacklog, Epoch: e, First: 1, N: 9, Gap: &wire.Gap{Why: gateway.WhyDropped, T0: 1, T1: 2, Anchor: anchor}},
		&wire.Update{Lane: wire.LaneLive, Epoch: e, First: 3, End: &wire.End{Closed: &closed}},
		&wire.Update{Lane: wire.LaneBacklog, Epoch: e, First: 3,
			End: &wire.End{Why: gateway.WhyUncleanStop, AtMost: 7, T0: 1, T1: 2, Anchor: &anchor}},
	} {
		b, err := wire.CBOR.Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		cbor = append(cbor, b)
		if j, err := wire.JSON.Encode(m); err == nil { // blocks are for CBOR alone
			text = append(text, j)
		}
	}
	text = append(text, []byte(`{"type":"update","lane":"live","epoch":"01020000000000000000000000000000","first":1,"n":2,"readings":[`+
		`{"device_id":"boiler","quantity":"temperature","value":23.5,"unit":"Cel","timestamp":"2026-05-29T12:45:00.000Z","quality":"good","time":"ntp"},`+
		`{"device_id":"boiler","quantity":"temperature","value":null,"unit":"Cel","timestamp":"2026-05-29T12:45:01.000Z","quality":"stale","time":"none"}]}`))
	return cbor, text
}

// FuzzDoor feeds what stands between a gateway and the log: whatever update is
// taken is read by all who come later, as what it says it is.
func FuzzDoor(f *testing.F) {
	cbor, text := doorSeeds(f)
	for _, b := range cbor {
		f.Add(false, b)
	}
	for _, b := range text {
		f.Add(true, b)
	}
	now := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, inText bool, raw []byte) {
		codec := wire.CBOR
		if inText {
			codec = wire.JSON
		}
		m, err := codec.Decode(raw)
		u, ok := m.(*wire.Update)
		if err != nil || !ok || u.Packed != nil {
			return
		}
		what, after := record.State{}.Judge(u)
		if what != record.Store {
			return
		}
		u, flaw := asBlocks(u)
		if flaw == nil {
			flaw = checkBlocks(u, now)
		}
		if flaw != nil {
			return
		}
		body := raw
		if inText {
			if body, err = wire.Encode(u); err != nil {
				t.Fatalf("what was taken cannot be stored: %v", err)
			}
		}
		stored(t, body, after)
	})
}

// stored reads a body as those do who read the log.
func stored(t *testing.T, body []byte, after record.EpochState) {
	t.Helper()
	m, err := wire.Decode(body)
	if err != nil {
		t.Fatalf("what was stored cannot be read: %v", err)
	}
	u := m.(*wire.Update)
	next, d := u.First, block.NewDecoder()
	for _, b := range u.Blocks {
		h, rs, err := d.Decode(b)
		if err != nil || h.First != next || uint64(len(rs)) != h.N {
			t.Fatalf("a block of %d readings from %d where %d comes (%v)", len(rs), h.First, next, err)
		}
		next += h.N
	}
	if u.Gap == nil && u.Thinned == nil && u.End == nil && after.Upto != next-1 {
		t.Fatalf("the state says %d, the blocks end before %d", after.Upto, next)
	}
	h := cloudtest.NewHistory()
	h.Write("g", record.Record{Kind: kindOf(u), Epoch: u.Epoch, First: 1, N: after.Upto, Lane: u.Lane, Body: body})
	if _, err := ledger.Open(t.Context(), h, &cloudtest.KV{}, "g"); err != nil {
		t.Fatalf("the ledger does not take what was stored: %v", err)
	}
}
