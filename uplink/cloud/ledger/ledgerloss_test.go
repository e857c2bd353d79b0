package ledger

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
)

// enterAll gives the entries to a new ledger on a kv, as after a restart,
// and returns what of them was saved of gateway g.
func enterAll(t *testing.T, h *cloudtest.History, kv record.KV, entries []record.Entry) *Gateway {
	t.Helper()
	touched := map[string]*Gateway{}
	if err := errors.Join(newLedger(h, kv).enter(t.Context(), entries, touched),
		save(t.Context(), kv, slices.Collect(maps.Values(touched)))); err != nil {
		t.Fatal(err)
	}
	b := newGateway("g", h, kv)
	if err := errors.Join(b.load(t.Context()), b.loadAll(t.Context())); err != nil {
		t.Fatal(err)
	}
	return b
}

// The log is lost as a whole; the gateway comes back with what it still holds.
// The ledger marks the discontinuity, keeps what was finished, and takes in again what
// comes again.
func TestLedgerOutlivesItsLog(t *testing.T) {
	h, kv := cloudtest.NewHistory(), &cloudtest.KV{}
	h.Name = "old"
	finished, growing := h.Epoch(), gateway.EpochID{9}
	h.Open("g", true, finished, growing)
	h.Send("g", h.Data(finished, 1, 4))
	h.Send("g", cloudtest.Gap(finished, 5, 2, gateway.WhyDropped))
	h.Send("g", cloudtest.End(finished, 6, true))
	h.Send("g", h.Data(growing, 1, 50))
	enterAll(t, h, kv, h.Entries)

	anew := cloudtest.NewHistory()
	anew.Name = "new"
	anew.Open("g", true, growing)
	b := enterAll(t, anew, kv, anew.Entries)
	old, now := b.accounts[finished], b.accounts[growing]
	if len(b.checkpoint.Discontinuities) != 1 || !b.checkpoint.Discontinuities[0].Anew || len(b.checkpoint.Discontinuities[0].Epochs) != 2 {
		t.Fatalf("joins %+v", b.checkpoint.Discontinuities)
	}
	if old.LogLost == nil || old.Upto != 6 || old.End != record.EndClosed || len(old.Spans) != 1 {
		t.Errorf("what was finished: %s, lost %v", old, old.LogLost)
	}
	if now.Upto != 0 || now.Claimed != 50 || now.LogLost != nil {
		t.Errorf("what grows: %s, claimed %d", now, now.Claimed)
	}

	anew.Send("g", cloudtest.Gap(growing, 1, 30, gateway.WhyForgottenAfterAck))
	anew.Send("g", anew.Data(growing, 31, 30))
	b = enterAll(t, anew, kv, anew.Entries) // the first record comes twice
	now = b.accounts[growing]
	if now.Upto != 60 || now.Claimed != 0 || now.Missing != 30 || now.Records != 1+2 || len(b.checkpoint.Discontinuities) != 1 {
		t.Errorf("after the gateway came back: %s, claimed %d, %d records, joins %+v",
			now, now.Claimed, now.Records, b.checkpoint.Discontinuities)
	}
}

// The log loses its newest records, and others take their places; what an
// older session had under way is void.
func TestLedgerSeesALostTail(t *testing.T) {
	h, kv := cloudtest.NewHistory(), &cloudtest.KV{}
	h.Name = "a"
	e := h.Epoch()
	h.Open("g", true, e)
	h.Send("g", h.Data(e, 1, 4))
	h.Send("g", cloudtest.Gap(e, 5, 3, gateway.WhyDropped))
	h.Send("g", h.Data(e, 8, 4))
	g := h.Gateway("g")
	lost, kept := g.Last, *g
	enterAll(t, h, kv, h.Entries)

	h.Entries = h.Entries[:2]
	h.Seq, h.Name = 2, "b"
	kept.Last = record.Place{Seq: 2, ID: "a2"}
	kept.State = record.State{Epochs: []record.EpochState{{ID: e, Upto: 4, End: record.EndNone}}}
	kept.Epochs[e].What = kept.Epochs[e].What[:4]
	*g = kept
	h.Open("g", true, e)
	h.Open("g", true, e) // in the place of the newest that was lost
	h.Write("g", record.Record{Prev: lost.ID, PrevSeq: lost.Seq, Kind: record.KindUpdate, Epoch: e, First: 12, N: 9})
	b := enterAll(t, h, kv, h.Entries[2:])
	a := b.accounts[e]
	if a.Upto != 4 || a.Claimed != 11 || a.Missing != 0 || len(a.Spans) != 0 {
		t.Errorf("after the loss: %s, claimed %d, spans %v", a, a.Claimed, a.Spans)
	}
	if j := b.checkpoint.Discontinuities; len(j) != 1 || j[0].Anew || len(j[0].Epochs) != 1 || j[0].Epochs[0] != (lostRange{e, 5, 11}) {
		t.Errorf("joins %+v", j)
	}
	h.Send("g", h.Data(e, 5, 3))
	b = enterAll(t, h, kv, h.Entries[2:])
	if a := b.accounts[e]; a.Upto != 7 || a.Missing != 0 {
		t.Errorf("after resending: %s", a)
	}
}

// Long lists of gaps lie in parts, which going back takes up again.
func TestLedgerSplitsLongLists(t *testing.T) {
	h, kv := cloudtest.NewHistory(), &cloudtest.KV{}
	e := h.Epoch()
	h.Open("g", true, e)
	for i := range uint64(5 * maxSpans) {
		h.Send("g", h.Data(e, 2*i+1, 1))
		h.Send("g", cloudtest.Gap(e, 2*i+2, 1, gateway.WhyDropped))
	}
	for batch := range slices.Chunk(h.Entries, 300) {
		enterAll(t, h, kv, batch)
	}
	wantAccounts(t, h, kv)
	for key, d := range kv.Docs {
		if len(d.Body) > 64<<10 {
			t.Errorf("%s has %d bytes", key, len(d.Body))
		}
	}
	b := enterAll(t, h, kv, nil)
	a := b.accounts[e]
	if a.Parts < 3 {
		t.Fatalf("%d parts", a.Parts)
	}
	if err := b.unsplit(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	a.rewind(record.EpochState{ID: e, Upto: 7, End: record.EndNone})
	if a.Missing != 3 || len(a.Spans) != 3 || a.held() != 4 {
		t.Errorf("gone back to %s, %d spans", a, len(a.Spans))
	}
}

// A ledger that begins on a log whose oldest records were purged says so.
func TestLedgerBegunLate(t *testing.T) {
	h, kv := cloudtest.NewHistory(), &cloudtest.KV{}
	e := h.Epoch()
	h.Open("g", true, e)
	h.Send("g", h.Data(e, 1, 4))
	h.Send("g", h.Data(e, 5, 4))
	b := enterAll(t, h, kv, h.Entries[2:])
	if a := b.accounts[e]; a.Upto != 8 || a.held() != 4 || a.Spans[0].Why != whyUnwitnessed || a.Spans[0].N != 4 {
		t.Errorf("%s, spans %+v", a, a.Spans)
	}
}

// An older copy of the log takes its place, and the ledger is as new as it was:
// what ended behind that copy's end is believed no more, neither before the
// ledger has seen the loss nor after. What the copy has is, and what was purged.
func TestOlderLogUnderTheLedger(t *testing.T) {
	h, kv := cloudtest.NewHistory(), &cloudtest.KV{}
	h.Name = "a"
	purged, kept, lost, last := gateway.EpochID{1}, gateway.EpochID{2}, gateway.EpochID{3}, gateway.EpochID{4}
	ended := func(e gateway.EpochID) {
		h.Open("g", true, e)
		h.Send("g", h.Data(e, 1, 4))
		h.Send("g", cloudtest.End(e, 4, true))
		h.Now = h.Now.Add(2 * record.Retain)
		h.Open("g", true) // proves it; hello names no more of it
	}
	ended(purged)
	first := len(h.Entries)
	ended(kept)
	end, at := len(h.Entries), *h.Gateway("g")
	ended(lost)
	h.Open("g", true, last)
	enterAll(t, h, kv, h.Entries)

	believed := func(when string, want ...gateway.EpochID) {
		t.Helper()
		ask := Settled(h, kv)
		for _, e := range []gateway.EpochID{purged, kept, lost} {
			got, ok, err := ask(t.Context(), "g", e)
			if err != nil || ok != slices.Contains(want, e) || ok && (got.Upto != 4 || got.End != record.EndClosed) {
				t.Errorf("%s: epoch %v: %v %+v %v", when, e, ok, got, err)
			}
		}
	}
	believed("as it was", purged, kept, lost)
	h.Entries = h.Entries[first:]
	believed("after a purge", purged, kept, lost)
	h.Entries = h.Entries[:end-first]
	believed("with the older log", purged, kept)

	h.Seq, h.Name = uint64(end), "b"
	*h.Gateway("g") = at
	h.Open("g", true, last)
	b := enterAll(t, h, kv, h.Entries[len(h.Entries)-1:])
	if j := b.checkpoint.Discontinuities; len(j) != 1 || j[0].Anew || len(j[0].Epochs) != 1 || j[0].Epochs[0] != (lostRange{lost, 1, 4}) {
		t.Errorf("joins %+v", j)
	}
	if a := b.accounts[lost]; a.LogLost == nil || b.accounts[kept].LogLost != nil || b.accounts[purged].LogLost != nil {
		t.Errorf("lost %s %v, kept %v, purged %v", a, a.LogLost, b.accounts[kept].LogLost, b.accounts[purged].LogLost)
	}
	believed("when the ledger knows", purged, kept)
}

// A log that lost its newest records still has the older ones: they are found
// by epoch and by time as before, and of an epoch that lost some, what is left.
func TestPlacesInALogThatLostItsTail(t *testing.T) {
	h, kv := cloudtest.NewHistory(), &cloudtest.KV{}
	h.Name = "a"
	whole, torn := gateway.EpochID{1}, gateway.EpochID{2}
	h.Open("g", true, whole)
	for i := range uint64(segmentSize + 10) {
		h.Send("g", h.Data(whole, 1+i, 1))
	}
	h.Send("g", cloudtest.End(whole, segmentSize+10, true))
	h.Open("g", true, torn)
	h.Send("g", h.Data(torn, 1, 4))
	end, at := uint64(len(h.Entries)), *h.Gateway("g")
	for i := range uint64(2 * segmentSize) {
		h.Send("g", h.Data(torn, 5+i, 1))
	}
	before := enterAll(t, h, kv, h.Entries)

	h.Entries = h.Entries[:end]
	h.Seq, h.Name = end, "b"
	*h.Gateway("g") = at
	h.Open("g", true, torn)
	after := enterAll(t, h, kv, h.Entries[end:])
	found := func(b *Gateway, e gateway.EpochID, span TimeRange) int { return recordsOf(t, b, e, span) }
	all := TimeRange{From: time.Unix(0, 0)}
	if n := found(before, whole, all); n != segmentSize+10 {
		t.Fatalf("%d records before the loss", n)
	}
	for _, span := range []TimeRange{{}, all} {
		if n := found(after, whole, span); n != segmentSize+10 {
			t.Errorf("%d records of the epoch that is whole, in %+v", n, span)
		}
		if n := found(after, torn, span); n != 1 {
			t.Errorf("%d records of the epoch that lost some, in %+v", n, span)
		}
	}
	h.Send("g", h.Data(torn, 5, 3))
	after = enterAll(t, h, kv, h.Entries[end:])
	if n := found(after, torn, all); n != 2 {
		t.Errorf("%d records of it when more have come", n)
	}
}

// recordsOf counts the records of an epoch with readings, or what stands in their
// place, to which a question for a range of time leads.
func recordsOf(t *testing.T, b *Gateway, e gateway.EpochID, span TimeRange) (n int) {
	t.Helper()
	ts, err := b.Times(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	q := &Question{Readings: true, Epoch: &e, Span: span}
	list, err := b.Plan(t.Context(), q, ts)
	if err != nil {
		t.Fatal(err)
	}
	for r, err := range b.Records(t.Context(), list) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Epoch == e && r.N > 0 {
			n++
		}
	}
	return n
}
