package cloud_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// lastSeq gives how far the gateway's chain has come.
func (s *site) lastSeq() uint64 {
	s.t.Helper()
	r, err := s.log.Last(s.t.Context(), s.id)
	if err != nil && !errors.Is(err, record.ErrNoRecord) {
		s.t.Fatal(err)
	}
	return r.Seq
}

func TestDuplicateIsAckedButNotStored(t *testing.T) {
	s := newSite(t, nil)
	e := gateway.NewEpochID()
	p, _ := s.open(e)
	p.acked(readings(t, e, 1, 10, 10))
	before := s.lastSeq()
	for _, u := range []*wire.Update{readings(t, e, 1, 10, 10), readings(t, e, 3, 4, 2), gap(e, 2, 5)} {
		if a := p.acked(u); a.Upto != 10 {
			t.Errorf("acked up to %d, want 10", a.Upto)
		}
	}
	if s.lastSeq() != before {
		t.Error("a duplicate was stored")
	}
	s.wantSeqs(e, 10)
}

func TestHoleIsRefused(t *testing.T) {
	s := newSite(t, nil)
	e := gateway.NewEpochID()
	p, _ := s.open(e)
	p.acked(readings(t, e, 1, 10, 10))
	for _, u := range []*wire.Update{readings(t, e, 12, 3, 3), gap(e, 12, 3), openEnd(e, 11), closedEnd(e, 12)} {
		p.send(u)
		n := recv[*wire.Nack](p)
		if n.Code != wire.NackSeq || !n.Retry || n.Expected != 11 || n.First != u.First || n.N != u.N {
			t.Errorf("nack %+v", n)
		}
	}
	p.acked(readings(t, e, 11, 3, 3))
	s.wantSeqs(e, 13)
}

func TestPartlyKnownUpdate(t *testing.T) {
	s := newSite(t, nil)
	e := gateway.NewEpochID()
	p, _ := s.open(e)
	p.acked(readings(t, e, 1, 10, 10))
	if a := p.acked(readings(t, e, 6, 10, 3)); a.Upto != 15 {
		t.Errorf("acked up to %d, want 15", a.Upto)
	}
	r, err := s.log.Last(t.Context(), s.id)
	if err != nil || r.First != 11 || r.N != 5 || r.Kind != record.KindUpdate {
		t.Errorf("record %+v, %v; want first 11, n 5", r, err)
	}
	if a := p.acked(gap(e, 14, 10)); a.Upto != 23 {
		t.Errorf("acked up to %d, want 23", a.Upto)
	}
	ls := s.lines("?from_seq=15")
	if len(ls) != 2 || ls[0].Seq != 15 || ls[1].Type != "gap" || ls[1].First != 16 || ls[1].N != 8 {
		t.Errorf("lines %+v", ls)
	}
	s.wantSeqs(e, 15)
}

func TestEnds(t *testing.T) {
	s := newSite(t, nil)
	e := gateway.NewEpochID()
	p, _ := s.open(e)
	p.acked(readings(t, e, 1, 3, 3))
	if a := p.acked(openEnd(e, 3)); a.Upto != 3 || !a.Done {
		t.Errorf("open end acked with %+v", a)
	}
	stored := s.lastSeq()
	if a := p.acked(openEnd(e, 3)); !a.Done || s.lastSeq() != stored {
		t.Errorf("the same end again: %+v, stored at %d", a, s.lastSeq())
	}
	if a := p.acked(readings(t, e, 4, 2, 2)); a.Upto != 5 || a.Done {
		t.Errorf("data behind an open end acked with %+v", a)
	}
	last := readings(t, e, 6, 2, 2)
	last.End = &wire.End{Closed: new(uint64(7))}
	if a := p.acked(last); a.Upto != 7 || !a.Done {
		t.Errorf("orderly end acked with %+v", a)
	}
	if a := p.acked(openEnd(e, 5)); a.Upto != 7 || !a.Done {
		t.Errorf("an open end from an older image acked with %+v", a)
	}
	p.send(readings(t, e, 8, 1, 1))
	if n := recv[*wire.Nack](p); n.Retry {
		t.Errorf("data behind an orderly end: %+v", n)
	}
	p.conn.Close()
	if _, w := s.open(e); w.Epochs[0].Upto != 7 || !w.Epochs[0].Done {
		t.Errorf("welcome %+v", w.Epochs)
	}
	s.wantSeqs(e, 7)
	var ends []string
	for _, l := range s.lines("") {
		if l.Type == "end" && l.Closed != nil {
			ends = append(ends, fmt.Sprintf("closed %d", *l.Closed))
		} else if l.Type == "end" {
			ends = append(ends, fmt.Sprintf("%s after %d at most %d", l.Why, l.After, l.AtMost))
		}
	}
	if got := fmt.Sprint(ends); got != "[unclean_stop after 3 at most 100 closed 7]" {
		t.Errorf("ends %s", got)
	}
}

// Two boards with one card end its epoch, each by what it knows: welcome says
// done to the one whose end is there, and both ends stay.
func TestEndOfACopy(t *testing.T) {
	s := newSite(t, nil)
	e := gateway.NewEpochID()
	p, _ := s.open(e)
	p.acked(readings(t, e, 1, 3, 3))
	copys, own := openEnd(e, 3), openEnd(e, 3)
	copys.End.T0, copys.End.T1 = 4e6, 5e6
	p.acked(copys)
	p.conn.Close()
	hello := func(growth gateway.EpochGrowth, ends ...uint32) bool {
		t.Helper()
		p = s.dial()
		p.send(&wire.Hello{GatewayID: s.id, All: true, Software: "test",
			Epochs: []wire.HelloEpoch{{Epoch: e, Oldest: 1, Last: 3, Growth: growth}}, Ends: ends})
		defer p.conn.Close()
		return recv[*wire.Welcome](p).Epochs[0].Done
	}
	if !hello(gateway.OpenEnded) || !hello(gateway.OpenEnded, copys.End.Sum()) || hello(gateway.OpenEnded, own.End.Sum()) ||
		hello(gateway.Closed) {
		t.Error("welcome says done of an end that is not the gateway's, or not of one that is")
	}
	p, _ = s.open(e)
	if a := p.acked(own); !a.Done {
		t.Errorf("the other end is acked with %+v", a)
	}
	p.conn.Close()
	if !hello(gateway.OpenEnded, own.End.Sum()) {
		t.Error("welcome does not say done of the end that is there now")
	}
	var ends []string
	for _, l := range s.lines("") {
		if l.Type == "end" {
			ends = append(ends, l.T0)
		}
	}
	if len(ends) != 2 {
		t.Errorf("ends %q, want both", ends)
	}
}

func TestEmptyEpochIsClosed(t *testing.T) {
	s := newSite(t, nil)
	e := gateway.NewEpochID()
	p, _ := s.open(e)
	if a := p.acked(closedEnd(e, 0)); a.Upto != 0 || !a.Done {
		t.Errorf("acked with %+v", a)
	}
}

func TestBadUpdates(t *testing.T) {
	e := gateway.NewEpochID()
	cases := map[string]func(*wire.Update){
		"damaged":         func(u *wire.Update) { u.Blocks[0][len(u.Blocks[0])-1] ^= 1 },
		"not a block":     func(u *wire.Update) { u.Blocks[0] = []byte("no block at all") },
		"count":           func(u *wire.Update) { u.N++ },
		"other epoch":     func(u *wire.Update) { u.Epoch[0] ^= 1; u.First = 1 },
		"not consecutive": func(u *wire.Update) { u.Blocks[1] = u.Blocks[0] },
		"in 2099":         func(u *wire.Update) { u.Blocks = readingsIn2099(t, e).Blocks },
	}
	s := newSite(t, nil)
	p, _ := s.open(e)
	before := s.lastSeq()
	for name, spoil := range cases {
		u := readings(t, e, 1, 4, 2)
		spoil(u)
		p.send(u)
		n := recv[*wire.Nack](p)
		want := wire.NackBlock
		if name == "in 2099" {
			want = wire.NackTime
		}
		if n.Code != want || n.Retry || n.First != u.First || n.N != u.N {
			t.Errorf("%s: nack %+v", name, n)
		}
	}
	if s.lastSeq() != before {
		t.Error("a bad update was stored")
	}
	p.acked(readings(t, e, 1, 4, 2))
	s.wantSeqs(e, 4)
}

func TestUpdateThatCannotBe(t *testing.T) {
	s := newSite(t, nil)
	p, _ := s.open()
	u := readings(t, gateway.NewEpochID(), 1, 4, 2)
	u.Gap = &wire.Gap{Why: gateway.WhyUnknown}
	for range 2 {
		p.send(u)
		if m := recv[*wire.Error](p); m.Code != "malformed" {
			t.Errorf("answered with %+v", m)
		}
	}
	p.send(u)
	if code := p.closed(); code != wire.CloseUndecodable {
		t.Errorf("the third time closed with %d", code)
	}
}
