package cloud_test

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

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

// modelEpoch is what an epoch must be, as a page of plain Go: for each name
// whether it is a reading or lost, and how the epoch ended.
type modelEpoch struct {
	id    gateway.EpochID
	names []byte // 'r' or 'g'
	end   string // "", "open …", "closed", "unlisted"
}

// model is what the log must hold, line by line.
type model struct {
	epochs []*modelEpoch
	lines  []string
}

// take gives the ack or nack that u must have, and notes what must be stored.
func (m *model) take(e *modelEpoch, u *wire.Update) string {
	upto := uint64(len(e.names))
	if u.First > upto+1 {
		return fmt.Sprintf("nack %d", upto+1)
	}
	last := u.First + u.N - 1
	if e.end == "closed" && last > upto {
		return "final"
	}
	if last > upto || e.end == "unlisted" {
		e.end = ""
	}
	if last > upto && u.Gap != nil {
		m.lines = append(m.lines, fmt.Sprintf("%s gap %d+%d", e.id, upto+1, last-upto))
	}
	for seq := upto + 1; seq <= last; seq++ {
		kind := byte('g')
		if u.Gap == nil {
			kind = 'r'
			m.lines = append(m.lines, fmt.Sprintf("%s reading %d", e.id, seq))
		}
		e.names = append(e.names, kind)
	}
	// An orderly end below what is there comes from a copy of the card: it ends nothing.
	if u.End != nil && e.end != "closed" && (u.End.Closed == nil || last >= upto) {
		end := "closed"
		if u.End.Closed == nil {
			end = fmt.Sprintf("open %d", u.End.AtMost)
		}
		if end != e.end || last > upto {
			m.lines = append(m.lines, e.id.String()+" end "+end)
		}
		e.end = end
	}
	return fmt.Sprintf("ack %d %v", len(e.names), e.done())
}

func (e *modelEpoch) done() bool { return e.end != "" && e.end != "unlisted" }

func answer(t testing.TB, p *peer) string {
	switch m := recv[wire.Message](p).(type) {
	case *wire.Ack:
		return fmt.Sprintf("ack %d %v", m.Epochs[0].Upto, m.Epochs[0].Done)
	case *wire.Nack:
		if m.Code == wire.NackSeq && m.Retry {
			return fmt.Sprintf("nack %d", m.Expected)
		}
		if m.Code == wire.NackSeq {
			return "final"
		}
		t.Fatalf("nack %+v", m)
	default:
		t.Fatalf("%T", m)
	}
	return ""
}

func drawUpdate(rt *rapid.T, t testing.TB, e *modelEpoch) *wire.Update {
	upto := uint64(len(e.names))
	first := rapid.Uint64Range(max(4, upto)-3, upto+2).Draw(rt, "first")
	n := rapid.Uint64Range(0, 6).Draw(rt, "n")
	var u *wire.Update
	switch {
	case n == 0:
		u = openEnd(e.id, first-1)
	case rapid.IntRange(0, 3).Draw(rt, "gap") == 0:
		u = gap(e.id, first, n)
	default:
		u = readings(t, e.id, first, n, rapid.Uint64Range(1, 4).Draw(rt, "block size"))
	}
	end := rapid.IntRange(0, 9).Draw(rt, "end")
	if n == 0 || end > 7 {
		u.End = openEnd(e.id, 0).End
		u.End.AtMost = uint64(end % 2)
	}
	if end == 7 {
		u.End = &wire.End{Closed: new(first + n - 1)}
	}
	return u
}

// hello opens a session that names some of the epochs, and checks the welcome.
func (m *model) hello(rt *rapid.T, s *site) *peer {
	p := s.dial()
	h := &wire.Hello{GatewayID: s.id, All: rapid.Bool().Draw(rt, "all")}
	want := ""
	for _, e := range m.epochs {
		if rapid.IntRange(0, 3).Draw(rt, "named") > 0 {
			h.Epochs = append(h.Epochs, wire.HelloEpoch{Epoch: e.id, Oldest: 1})
			if e.end == "unlisted" {
				e.end = ""
			}
			want += fmt.Sprintf("%s %d %v\n", e.id, len(e.names), e.done())
			continue
		}
		if h.All && e.end == "" {
			e.end = "unlisted"
		}
	}
	p.send(h)
	got := ""
	for _, e := range recv[*wire.Welcome](p).Epochs {
		got += fmt.Sprintf("%s %d %v\n", e.Epoch, e.Upto, e.Done)
	}
	if got != want {
		rt.Fatalf("welcome\n%swant\n%s", got, want)
	}
	return p
}

// TestRandomUpdatesAgainstModel sends what a gateway may and may not send, over
// sessions that break and servers that restart.
func TestRandomUpdatesAgainstModel(t *testing.T) {
	s := newSite(t, nil)
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		s.add(fmt.Sprintf("random_%d", round))
		m := &model{}
		for range 3 {
			m.epochs = append(m.epochs, &modelEpoch{id: gateway.NewEpochID()})
		}
		p := m.hello(rt, s)
		sessions := 1
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			switch step := rapid.IntRange(0, 199).Draw(rt, "step"); {
			case step == 0:
				s.stop()
				s.start(nil)
				p, sessions = m.hello(rt, s), 1
			case step < 16 && sessions < 20:
				p = m.hello(rt, s)
				sessions++
			default:
				e := rapid.SampledFrom(m.epochs).Draw(rt, "epoch")
				u := drawUpdate(rt, t, e)
				p.send(u)
				if got, want := answer(t, p), m.take(e, u); got != want {
					rt.Fatalf("answer %q, want %q", got, want)
				}
			}
		}
		m.compare(rt, s.lines(""))
	})
}

func (m *model) compare(rt *rapid.T, ls []gatewayEntry) {
	if len(ls) != len(m.lines) {
		rt.Fatalf("the log holds %d lines, want %d", len(ls), len(m.lines))
	}
	for i, l := range ls {
		got := fmt.Sprintf("%s reading %d", l.Epoch, l.Seq)
		switch {
		case l.Type == "gap":
			got = fmt.Sprintf("%s gap %d+%d", l.Epoch, l.First, l.N)
		case l.Type == "end" && l.Closed != nil:
			got = l.Epoch.String() + " end closed"
		case l.Type == "end":
			got = fmt.Sprintf("%s end open %d", l.Epoch, l.AtMost)
		}
		if got != m.lines[i] {
			rt.Fatalf("line %d is %q, want %q", i, got, m.lines[i])
		}
	}
}
