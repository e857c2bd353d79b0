package cloud

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A history is the log of several gateways, written as sessions write it, and
// beside it, in the simplest form, what a ledger must say of it.
type history struct {
	enc     *block.Encoder
	entries []record.Entry
	name    string // what the ids of its records begin with
	seq     uint64
	now     time.Time
	gws     map[string]*told
	read    int // records that were given to readers
}

// A told is what a history says of one gateway.
type told struct {
	state  record.State
	last   mark
	epochs map[gateway.EpochID]*toldEpoch
	order  []gateway.EpochID
}

type toldEpoch struct {
	what    []gateway.Why // of every seq from 1; "" is a reading
	end     record.Ending
	open    *wire.End
	records uint64
}

func newHistory() *history {
	return &history{enc: block.NewEncoder(), gws: map[string]*told{}, now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}
}

// epoch gives a new epoch.
func (h *history) epoch() gateway.EpochID {
	return gateway.EpochID{1: byte(h.seq >> 8), 2: byte(h.seq), 3: 1}
}

func (h *history) gw(id string) *told {
	if h.gws[id] == nil {
		h.gws[id] = &told{epochs: map[gateway.EpochID]*toldEpoch{}}
	}
	return h.gws[id]
}

func (h *history) write(id string, r record.Record) {
	g := h.gw(id)
	h.seq++
	h.now = h.now.Add(time.Second)
	r.Seq, r.At, r.ID = h.seq, h.now, fmt.Sprintf("%s%d", h.name, h.seq)
	if r.Prev == "" {
		r.Prev, r.PrevSeq = g.last.ID, g.last.Seq
		g.last = mark{r.Seq, r.ID}
	}
	h.entries = append(h.entries, record.Entry{GatewayID: id, Record: r})
}

func (h *history) open(id string, all bool, epochs ...gateway.EpochID) {
	g := h.gw(id)
	hello := &wire.Hello{All: all}
	for _, e := range epochs {
		hello.Epochs = append(hello.Epochs, wire.HelloEpoch{Epoch: e})
		if g.epochs[e] == nil {
			g.epochs[e] = &toldEpoch{end: record.EndNone}
			g.order = append(g.order, e)
		}
	}
	g.state = g.state.Opened(hello)
	for _, e := range g.state.Epochs {
		g.epochs[e.ID].end = e.End
	}
	h.write(id, record.Record{Kind: record.KindOpen, State: g.state.String()})
}

// send stores u if the rules say so.
func (h *history) send(id string, u *wire.Update) {
	g := h.gw(id)
	before := g.state.Get(u.Epoch)
	what, after := g.state.Judge(u)
	if what != record.Store {
		return
	}
	if g.epochs[u.Epoch] == nil {
		g.epochs[u.Epoch] = &toldEpoch{}
		g.order = append(g.order, u.Epoch)
	}
	t := g.epochs[u.Epoch]
	why := gateway.Why("")
	if u.Gap != nil {
		why = u.Gap.Why
	} else if u.Thinned != nil {
		why = whyThinned
	}
	for range after.Upto - before.Upto {
		t.what = append(t.what, why)
	}
	if t.end = after.End; u.End != nil && u.End.Closed == nil && after.End == record.EndOpen {
		t.open = u.End
	} else if after.End == record.EndClosed {
		t.open = nil
	}
	t.records++
	g.state = g.state.With(after)
	body, err := wire.Encode(u)
	if err != nil {
		panic(err)
	}
	h.write(id, record.Record{
		Kind: record.KindUpdate, State: g.state.String(), Epoch: u.Epoch, First: before.Upto + 1, N: after.Upto - before.Upto, Lane: u.Lane, Body: body,
	})
}

// void writes a record whose predecessor was lost.
func (h *history) void(id string) {
	h.write(id, record.Record{Prev: "lost", PrevSeq: 1, Kind: record.KindUpdate, Epoch: h.epoch(), First: 1, N: 7})
}

var aChannel = &gateway.Channel{Device: "boiler", Quantity: "temperature", Unit: "Cel"}

// data gives an update of readings, one every second from the stamp first.
func (h *history) data(e gateway.EpochID, first, n uint64) *wire.Update {
	var rs []gateway.Reading
	for i := range n {
		rs = append(rs, gateway.Reading{Channel: aChannel, Value: float64(first + i), At: gateway.Stamp((first + i) * 1e6)})
	}
	b, err := h.enc.Append(nil, gateway.BlockHeader{Range: gateway.Range{Epoch: e, First: first}, Anchor: bootAnchor(e)}, rs)
	if err != nil {
		panic(err)
	}
	return &wire.Update{Lane: wire.LaneLive, Epoch: e, First: first, N: n, Blocks: [][]byte{b}}
}

// bootAnchor is that of a boot for every epoch.
func bootAnchor(e gateway.EpochID) gateway.Anchor {
	return gateway.Anchor{Boot: gateway.BootID(e), Offset: time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC).UnixMicro(), Quality: gateway.ClockNTP}
}

func aGap(e gateway.EpochID, first, n uint64, why gateway.Why) *wire.Update {
	a := record.WireAnchor(bootAnchor(e))
	return &wire.Update{Lane: wire.LaneBacklog, Epoch: e, First: first, N: n, Gap: &wire.Gap{Why: why, T0: int64(first * 1e6), T1: int64((first + n) * 1e6), Anchor: a}}
}

func anEnd(e gateway.EpochID, last uint64, closed bool) *wire.Update {
	u := &wire.Update{Lane: wire.LaneBacklog, Epoch: e, First: last + 1, End: &wire.End{}}
	if closed {
		u.End.Closed = &last
		return u
	}
	a := record.WireAnchor(bootAnchor(e))
	u.End = &wire.End{Why: gateway.WhyUncleanStop, AtMost: 10 + last, T0: int64(last * 1e6), T1: int64(last*1e6 + 5e6), Anchor: &a}
	return u
}

func (h *history) aThinned(e gateway.EpochID, first, n uint64) *wire.Update {
	from := gateway.Stamp(first * 1e6)
	b, err := h.enc.AppendThinned(nil, gateway.BlockHeader{Range: gateway.Range{Epoch: e, First: first, N: n}, Anchor: bootAnchor(e), T0: from, T1: from + 60e6},
		[]gateway.Summary{{Channel: aChannel, From: from, Interval: time.Minute, N: n, Min: 1, Max: 2, Mean: 1.5}})
	if err != nil {
		panic(err)
	}
	return &wire.Update{Lane: wire.LaneBacklog, Epoch: e, First: first, N: n, Thinned: b}
}

// step does something that gateways and sessions do.
func (h *history) step(rt *rapid.T) {
	id := rapid.SampledFrom([]string{"g", "h"}).Draw(rt, "gateway")
	g := h.gw(id)
	if len(g.order) == 0 || rapid.IntRange(0, 9).Draw(rt, "reopen") == 0 {
		var named []gateway.EpochID
		for _, e := range g.order[max(0, len(g.order)-3):] {
			if rapid.Bool().Draw(rt, "named") {
				named = append(named, e)
			}
		}
		h.open(id, rapid.Bool().Draw(rt, "all"), append(named, h.epoch())...)
		return
	}
	e := rapid.SampledFrom(g.order[max(0, len(g.order)-3):]).Draw(rt, "epoch")
	n := uint64(rapid.IntRange(1, 5).Draw(rt, "n"))
	first := g.state.Get(e).Upto + 1
	if back := uint64(rapid.IntRange(0, 2).Draw(rt, "overlap")); back < first {
		first -= back
	}
	switch rapid.IntRange(0, 9).Draw(rt, "what") {
	case 0, 1, 2, 3:
		h.send(id, h.data(e, first, n))
	case 4, 5:
		h.send(id, aGap(e, first, n, rapid.SampledFrom([]gateway.Why{gateway.WhyDropped, gateway.WhyForgottenAfterAck}).Draw(rt, "why")))
	case 6:
		h.send(id, h.aThinned(e, first, n))
	case 7:
		h.send(id, anEnd(e, g.state.Get(e).Upto, rapid.Bool().Draw(rt, "closed")))
	case 8:
		h.void(id)
	case 9:
		h.now = h.now.Add(time.Duration(rapid.IntRange(0, 20).Draw(rt, "minutes")) * time.Minute)
	}
}

// Read makes a history a Log to read from.
func (h *history) Read(_ context.Context, id string, from uint64) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		for _, e := range h.entries {
			if e.GatewayID == id && e.Seq >= from {
				h.read++
				if !yield(e.Record, nil) {
					return
				}
			}
		}
	}
}

func (h *history) Last(_ context.Context, id string) (record.Record, error) {
	for _, e := range slices.Backward(h.entries) {
		if e.GatewayID == id {
			return e.Record, nil
		}
	}
	return record.Record{}, record.ErrNoRecord
}

func (h *history) Append(context.Context, string, uint64, record.Record) (uint64, error) {
	panic("not asked")
}
func (h *history) Level() wire.Level { return wire.LevelFsynced }

var errCrash = errors.New("crash")

func newLedger(h *history, shelf record.KV) *ledger {
	return &ledger{log: h, shelf: shelf, logger: slog.New(slog.DiscardHandler), pause: ledgerPause, books: map[string]*book{}}
}

// wantAccounts compares what is saved with what the history tells.
func (h *history) wantAccounts(t interface {
	Helper()
	Fatalf(string, ...any)
}, shelf record.KV) {
	t.Helper()
	for id, g := range h.gws {
		b := newBook(id, h, shelf)
		if err := errors.Join(b.open(context.Background()), b.loadAll(context.Background())); err != nil {
			t.Fatalf("%v", err)
		}
		if len(b.accounts) != len(g.order) {
			t.Fatalf("%s: %d accounts, want %d", id, len(b.accounts), len(g.order))
		}
		for i, a := range b.sorted() {
			if e := g.order[i]; a.Epoch != e {
				t.Fatalf("%s: epoch %s is number %d, want %s", id, a.Epoch, i, e)
			}
			if wrong := g.epochs[a.Epoch].differs(b, a); wrong != "" {
				t.Fatalf("%s: %s: %s", id, a, wrong)
			}
		}
	}
}

func (w *toldEpoch) differs(b *book, a *account) string {
	spans, err := b.spans(context.Background(), a)
	if err != nil {
		return err.Error()
	}
	got := make([]gateway.Why, a.Upto)
	for _, s := range spans {
		for seq := s.First; seq <= s.last(); seq++ {
			if seq > a.Upto || got[seq-1] != "" {
				return fmt.Sprintf("span %+v lies above upto or over another", s)
			}
			got[seq-1] = s.Why
		}
	}
	var open *openGap
	if w.open != nil {
		open = &openGap{record.OpenEnd{Why: w.open.Why, AtMost: w.open.AtMost, T0: w.open.T0, T1: w.open.T1, Anchor: *w.open.Anchor}, w.open.Sum()}
	}
	held := uint64(0)
	for _, why := range w.what {
		if why == "" {
			held++
		}
	}
	switch {
	case !slices.Equal(got, w.what):
		return fmt.Sprintf("holds %q, want %q", got, w.what)
	case a.End != w.end && !(a.End == record.EndUnlisted && w.end == record.EndNone):
		return fmt.Sprintf("end %c, want %c", a.End, w.end)
	case (open == nil) != (a.Open == nil) || open != nil && *open != *a.Open:
		return fmt.Sprintf("open gap %+v, want %+v", a.Open, open)
	case a.Records != w.records:
		return fmt.Sprintf("%d records, want %d", a.Records, w.records)
	case a.held() != held:
		return fmt.Sprintf("%d readings, want %d", a.held(), held)
	}
	return ""
}

// A ledger that dies at any moment, with any document of a save written or
// not, says the same as one that read the whole log at once, and that is what
// happened.
func TestLedgerFollowsFromTheLog(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory()
		shelf := &memShelf{}
		steps := rapid.IntRange(1, 80).Draw(rt, "steps")
		for range steps {
			h.step(rt)
		}
		l, passed := newLedger(h, shelf), 0
		for passed < len(h.entries) {
			batch := h.entries[passed:min(len(h.entries), passed+rapid.IntRange(1, 12).Draw(rt, "batch"))]
			left := rapid.IntRange(0, 12).Draw(rt, "puts before a crash")
			if left < 10 {
				shelf.fault = func() (bool, error) { left--; return left >= -1, map[bool]error{true: nil, false: errCrash}[left >= 0] }
			}
			touched := map[string]*book{}
			err := l.enter(t.Context(), batch, touched)
			if err == nil {
				err = save(t.Context(), shelf, slices.Collect(maps.Values(touched)))
			}
			shelf.fault = nil
			switch {
			case errors.Is(err, errCrash), rapid.IntRange(0, 5).Draw(rt, "crash before the feed knows") == 0:
				l = newLedger(h, shelf)
			case err != nil:
				rt.Fatal(err)
			default:
				passed += len(batch)
			}
		}
		h.wantAccounts(rt, shelf)
		fresh := &memShelf{}
		once := newLedger(h, fresh)
		touched := map[string]*book{}
		if err := errors.Join(once.enter(t.Context(), h.entries, touched), save(t.Context(), fresh, slices.Collect(maps.Values(touched)))); err != nil {
			rt.Fatal(err)
		}
		for key, d := range fresh.docs {
			if got := shelf.docs[key]; string(got.Body) != string(d.Body) {
				rt.Fatalf("%s holds\n%s, at once it is\n%s", key, got.Body, d.Body)
			}
		}
	})
}

func TestLedgerWritesSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHistory()
		shelf := &memShelf{}
		e := gateway.NewEpochID()
		h.open("g", true, e)
		for i := range uint64(100) {
			h.send("g", h.data(e, 5*i+1, 5))
		}
		l := newLedger(h, shelf)
		began := time.Now()
		for _, entry := range h.entries {
			if err := l.take(t.Context(), []record.Entry{entry}); err != nil {
				t.Fatal(err)
			}
		}
		h.wantAccounts(t, shelf)
		if took := time.Since(began); took < 100*ledgerPause || shelf.puts > 102*3 {
			t.Errorf("%d documents written in %s", shelf.puts, took)
		}
	})
}
