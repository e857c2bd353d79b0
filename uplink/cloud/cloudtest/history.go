package cloudtest

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A History is the log of several gateways, written as sessions write it, and
// beside it, in the simplest form, what a ledger must say of it.
type History struct {
	Enc      *block.Encoder
	Entries  []record.Entry
	Name     string // what the ids of its records begin with
	Seq      uint64
	Now      time.Time
	Gateways map[string]*Told
	Given    int // records that were given to readers
}

// A Told is what a history says of one gateway.
type Told struct {
	State  record.State
	Last   record.Place
	Epochs map[gateway.EpochID]*ToldEpoch
	Order  []gateway.EpochID
}

type ToldEpoch struct {
	What    []gateway.Why // of every seq from 1; "" is a reading
	End     record.Ending
	Open    *wire.End
	Records uint64
}

func NewHistory() *History {
	return &History{Enc: block.NewEncoder(), Gateways: map[string]*Told{}, Now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}
}

// Epoch gives a new epoch.
func (h *History) Epoch() gateway.EpochID {
	return gateway.EpochID{1: byte(h.Seq >> 8), 2: byte(h.Seq), 3: 1}
}

func (h *History) Gateway(id string) *Told {
	if h.Gateways[id] == nil {
		h.Gateways[id] = &Told{Epochs: map[gateway.EpochID]*ToldEpoch{}}
	}
	return h.Gateways[id]
}

func (h *History) Write(id string, r record.Record) {
	g := h.Gateway(id)
	h.Seq++
	h.Now = h.Now.Add(time.Second)
	r.Seq, r.At, r.ID = h.Seq, h.Now, fmt.Sprintf("%s%d", h.Name, h.Seq)
	if r.Prev == "" {
		r.Prev, r.PrevSeq = g.Last.ID, g.Last.Seq
		g.Last = r.Place()
	}
	h.Entries = append(h.Entries, record.Entry{GatewayID: id, Record: r})
}

func (h *History) Open(id string, all bool, epochs ...gateway.EpochID) {
	g := h.Gateway(id)
	hello := &wire.Hello{All: all}
	for _, e := range epochs {
		hello.Epochs = append(hello.Epochs, wire.HelloEpoch{Epoch: e})
		if g.Epochs[e] == nil {
			g.Epochs[e] = &ToldEpoch{End: record.EndNone}
			g.Order = append(g.Order, e)
		}
	}
	g.State = g.State.Opened(hello)
	for _, e := range g.State.Epochs {
		g.Epochs[e.ID].End = e.End
	}
	h.Write(id, record.Record{Kind: record.KindOpen, State: g.State.String()})
}

// Send stores u if the rules say so.
func (h *History) Send(id string, u *wire.Update) {
	g := h.Gateway(id)
	before := g.State.Get(u.Epoch)
	what, after := g.State.Judge(u)
	if what != record.Store {
		return
	}
	if g.Epochs[u.Epoch] == nil {
		g.Epochs[u.Epoch] = &ToldEpoch{}
		g.Order = append(g.Order, u.Epoch)
	}
	t := g.Epochs[u.Epoch]
	why := gateway.Why("")
	if u.Gap != nil {
		why = u.Gap.Why
	} else if u.Thinned != nil {
		why = "thinned"
	}
	for range after.Upto - before.Upto {
		t.What = append(t.What, why)
	}
	if t.End = after.End; u.End != nil && u.End.Closed == nil && after.End == record.EndOpen {
		t.Open = u.End
	} else if after.End == record.EndClosed {
		t.Open = nil
	}
	t.Records++
	g.State = g.State.With(after)
	body, err := wire.Encode(u)
	if err != nil {
		panic(err)
	}
	h.Write(id, record.Record{
		Kind: record.KindUpdate, State: g.State.String(), Epoch: u.Epoch, First: before.Upto + 1,
		N: after.Upto - before.Upto, Lane: u.Lane, Body: body,
	})
}

// Void writes a record whose predecessor was lost.
func (h *History) Void(id string) {
	h.Write(id, record.Record{Prev: "lost", PrevSeq: 1, Kind: record.KindUpdate, Epoch: h.Epoch(), First: 1, N: 7})
}

var Channel = &gateway.Channel{Device: "boiler", Quantity: "temperature", Unit: "Cel"}

// Data gives an update of readings, one every second from the stamp first.
func (h *History) Data(e gateway.EpochID, first, n uint64) *wire.Update {
	var rs []gateway.Reading
	for i := range n {
		rs = append(rs, gateway.Reading{Channel: Channel, Value: float64(first + i), At: gateway.Stamp((first + i) * 1e6)})
	}
	b, err := h.Enc.Append(nil, gateway.BlockHeader{Range: gateway.Range{Epoch: e, First: first}, Anchor: BootAnchor(e)}, rs)
	if err != nil {
		panic(err)
	}
	return &wire.Update{Lane: wire.LaneLive, Epoch: e, First: first, N: n, Blocks: [][]byte{b}}
}

// BootAnchor is that of a boot for every epoch.
func BootAnchor(e gateway.EpochID) gateway.Anchor {
	return gateway.Anchor{Boot: gateway.BootID(e), Offset: time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC).UnixMicro(), Quality: gateway.ClockNTP}
}

func Gap(e gateway.EpochID, first, n uint64, why gateway.Why) *wire.Update {
	a := record.WireAnchor(BootAnchor(e))
	return &wire.Update{Lane: wire.LaneBacklog, Epoch: e, First: first, N: n, Gap: &wire.Gap{Why: why, T0: int64(first * 1e6),
		T1: int64((first + n) * 1e6), Anchor: a}}
}

func End(e gateway.EpochID, last uint64, closed bool) *wire.Update {
	u := &wire.Update{Lane: wire.LaneBacklog, Epoch: e, First: last + 1, End: &wire.End{}}
	if closed {
		u.End.Closed = &last
		return u
	}
	a := record.WireAnchor(BootAnchor(e))
	u.End = &wire.End{Why: gateway.WhyUncleanStop, AtMost: 10 + last, T0: int64(last * 1e6), T1: int64(last*1e6 + 5e6), Anchor: &a}
	return u
}

func (h *History) Thinned(e gateway.EpochID, first, n uint64) *wire.Update {
	from := gateway.Stamp(first * 1e6)
	b, err := h.Enc.AppendThinned(nil, gateway.BlockHeader{Range: gateway.Range{Epoch: e, First: first, N: n},
		Anchor: BootAnchor(e), T0: from, T1: from + 60e6},
		[]gateway.Summary{{Channel: Channel, From: from, Interval: time.Minute, N: n, Min: 1, Max: 2, Mean: 1.5}})
	if err != nil {
		panic(err)
	}
	return &wire.Update{Lane: wire.LaneBacklog, Epoch: e, First: first, N: n, Thinned: b}
}

// Step does something that gateways and sessions do.
func (h *History) Step(rt *rapid.T) {
	id := rapid.SampledFrom([]string{"g", "h"}).Draw(rt, "gateway")
	g := h.Gateway(id)
	if len(g.Order) == 0 || rapid.IntRange(0, 9).Draw(rt, "reopen") == 0 {
		var named []gateway.EpochID
		for _, e := range g.Order[max(0, len(g.Order)-3):] {
			if rapid.Bool().Draw(rt, "named") {
				named = append(named, e)
			}
		}
		h.Open(id, rapid.Bool().Draw(rt, "all"), append(named, h.Epoch())...)
		return
	}
	e := rapid.SampledFrom(g.Order[max(0, len(g.Order)-3):]).Draw(rt, "epoch")
	n := uint64(rapid.IntRange(1, 5).Draw(rt, "n"))
	first := g.State.Get(e).Upto + 1
	if back := uint64(rapid.IntRange(0, 2).Draw(rt, "overlap")); back < first {
		first -= back
	}
	switch rapid.IntRange(0, 9).Draw(rt, "what") {
	case 0, 1, 2, 3:
		h.Send(id, h.Data(e, first, n))
	case 4, 5:
		h.Send(id, Gap(e, first, n, rapid.SampledFrom([]gateway.Why{gateway.WhyDropped, gateway.WhyForgottenAfterAck}).Draw(rt, "why")))
	case 6:
		h.Send(id, h.Thinned(e, first, n))
	case 7:
		h.Send(id, End(e, g.State.Get(e).Upto, rapid.Bool().Draw(rt, "closed")))
	case 8:
		h.Void(id)
	case 9:
		h.Now = h.Now.Add(time.Duration(rapid.IntRange(0, 20).Draw(rt, "minutes")) * time.Minute)
	}
}

// Read makes a history a Log to read from.
func (h *History) Read(_ context.Context, id string, from uint64) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		for _, e := range h.Entries {
			if e.GatewayID != id || e.Seq < from {
				continue
			}
			if h.Given++; !yield(e.Record, nil) {
				return
			}
		}
	}
}

func (h *History) Last(_ context.Context, id string) (record.Record, error) {
	for _, e := range slices.Backward(h.Entries) {
		if e.GatewayID == id {
			return e.Record, nil
		}
	}
	return record.Record{}, record.ErrNoRecord
}

func (h *History) Append(context.Context, string, uint64, record.Record) (uint64, error) {
	panic("not asked")
}

func (h *History) Level() wire.Level { return wire.LevelFsynced }

// DataAt gives n readings, one every second from second s of the boot on.
func (h *History) DataAt(e gateway.EpochID, first, n uint64, s int64) *wire.Update {
	return &wire.Update{Lane: wire.LaneLive, Epoch: e, First: first, N: n, Blocks: [][]byte{h.Block(e, first, n, s, BootAnchor(e))}}
}

func (h *History) Block(e gateway.EpochID, first, n uint64, s int64, a gateway.Anchor) []byte {
	var rs []gateway.Reading
	for i := range n {
		rs = append(rs, gateway.Reading{Channel: Channel, Value: float64(first + i), At: gateway.Stamp((s + int64(i)) * 1e6)})
	}
	b, err := block.NewEncoder().Append(nil, gateway.BlockHeader{Range: gateway.Range{Epoch: e, First: first}, Anchor: a}, rs)
	if err != nil {
		panic(err)
	}
	return b
}

// Day0 is when every boot of a history begins.
var Day0 = time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)

// At gives second s of every boot of a history.
func At(s int) time.Time { return Day0.Add(time.Duration(s) * time.Second) }
