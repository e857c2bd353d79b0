package cloud_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

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

func (m *model) compare(rt *rapid.T, ls []exportedLine) {
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
