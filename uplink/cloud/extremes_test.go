package cloud_test

import (
	"context"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"pgregory.net/rapid"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store/block"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// ends are where whole numbers run out, and what lies in between.
var ends = rapid.SampledFrom([]int64{
	math.MinInt64, math.MinInt64 + 1, -1 << 53, -1, 0, 1, 1e6, 1 << 52, 1 << 53, 253_402_300_799_999_999, math.MaxInt64 - 1, math.MaxInt64,
})

var counts = rapid.SampledFrom([]uint64{1, 2, 1 << 31, 1 << 53, 1<<62 + 1, 1<<63 - 3})

func anyAnchor(t *rapid.T, boot gateway.BootID) gateway.Anchor {
	return gateway.Anchor{
		Boot: boot, From: gateway.Stamp(ends.Draw(t, "from")), Offset: ends.Draw(t, "offset"),
		Quality: gateway.ClockQuality(rapid.IntRange(0, 3).Draw(t, "clock")), Error: time.Duration(max(0, ends.Draw(t, "error"))),
	}
}

// extremes draws messages that PROTOCOL.md allows, of stamps, offsets and
// counts up to where whole numbers end.
func extremes(t *rapid.T, e gateway.EpochID) (all []wire.Message) {
	boot, next, event := gateway.BootID(gateway.NewEpochID()), uint64(1), uint64(1)
	for range rapid.IntRange(1, 8).Draw(t, "messages") {
		a := anyAnchor(t, boot)
		w := wire.Anchor{Boot: a.Boot, From: int64(a.From), Offset: a.Offset, Quality: a.Quality, ErrUS: int64(a.Error)}
		u := &wire.Update{Lane: wire.LaneBacklog, Epoch: e, First: next}
		n := min(counts.Draw(t, "count"), 1<<63-20-min(next, 1<<63-21))
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0:
			u.N, u.Gap = n, &wire.Gap{Why: gateway.WhyDropped, T0: ends.Draw(t, "t0"), T1: ends.Draw(t, "t1"), Anchor: w}
		case 1:
			u.End = &wire.End{Why: gateway.WhyUncleanStop, AtMost: n, T0: ends.Draw(t, "t0"), T1: ends.Draw(t, "t1"), Anchor: &w}
		case 2:
			all = append(all, &wire.Event{Epoch: e, Seq: event, Kind: gateway.EventAnchor, At: ends.Draw(t, "at"), Anchor: w, N: n})
			event = min(2*event, 1<<62)
			continue
		default:
			if !anyBlock(t, u, a) {
				continue
			}
		}
		if next += u.N; next > 1<<63-20 {
			return all
		}
		all = append(all, u)
	}
	return all
}

// anyBlock puts readings or a summary into an update, if there is a block of
// such stamps.
func anyBlock(t *rapid.T, u *wire.Update, a gateway.Anchor) bool {
	t0, t1 := gateway.Stamp(ends.Draw(t, "t0")), gateway.Stamp(ends.Draw(t, "t1"))
	h := gateway.BlockHeader{Range: gateway.Range{Epoch: u.Epoch, First: u.First}, Anchor: a, T0: min(t0, t1), T1: max(t0, t1)}
	var err error
	if rapid.Bool().Draw(t, "thinned") {
		u.N = 7
		u.Thinned, err = block.NewEncoder().AppendThinned(nil, h, []gateway.Summary{
			{Channel: channel, From: t0, Interval: gateway.Micros(max(1, ends.Draw(t, "interval"))), N: 7, Min: 1, Max: 2, Mean: 1.5}})
		return err == nil
	}
	u.N, u.Lane, u.Blocks = 2, wire.LaneLive, make([][]byte, 1)
	u.Blocks[0], err = block.NewEncoder().Append(nil, h, []gateway.Reading{{Channel: channel, Value: 1, At: t0},
		{Channel: channel, Value: 2, At: t1}})
	return err == nil
}

// TestExtremes sends what is allowed to the ends of whole numbers. Whatever was
// acknowledged is answered by every request of that gateway, with every range.
func TestExtremes(t *testing.T) {
	s := newSite(t, nil)
	rapid.Check(t, func(rt *rapid.T) {
		id := "g" + gateway.NewEpochID().String()
		s.add(id)
		e := gateway.NewEpochID()
		p, _ := s.open(e)
		for _, m := range extremes(rt, e) {
			p.send(m)
		}
		// The answer to a ping comes behind all that were before it.
		if err := p.conn.WriteMessage(websocket.BinaryMessage, mustEncode(t, &wire.Ping{T0: 1})); err != nil {
			rt.Fatal(err)
		}
		s.settle(p, e)
		for _, query := range []string{"", "?from=1969-01-01T00:00:00Z&to=2300-01-01T00:00:00Z", "?to=0001-01-01T00:00:01Z",
			"?from=9999-12-31T23:59:59Z", "?epoch=" + e.String()} {
			for _, what := range []string{"/readings", "/completeness", "/events"} {
				if what == "/events" && strings.Contains(query, "epoch") {
					continue
				}
				s.answers(rt, "/v1/gateways/"+id+what+query)
			}
		}
		s.answers(rt, "/v1/gateways/"+id+"/readings?format=csv")
		s.answers(rt, "/v1/gateways/"+id+"/last")
		s.answers(rt, "/v1/gateways/"+id)
	})
	s.answers(t, "/v1/gateways")
}

func mustEncode(t testing.TB, m wire.Message) []byte {
	b, err := wire.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// settle closes the session in order: all that was sent before is stored, or
// was refused.
func (s *site) settle(p *peer, e gateway.EpochID) {
	s.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(answerWithin))
	for {
		_, b, err := p.conn.ReadMessage()
		if err != nil {
			s.t.Fatalf("epoch %s: %v", e, err)
		}
		if m, err := p.codec.Decode(b); err == nil {
			if _, ok := m.(*wire.Pong); ok {
				break
			}
		}
	}
	_ = p.conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""))
	p.closed()
}

// answers asks the operator's API, and wants the whole answer in time.
func (s *site) answers(t interface {
	Helper()
	Fatalf(string, ...any)
}, path string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), answerWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", s.http.URL+path, nil)
	if err != nil {
		t.Fatalf("%v", err)
	}
	req.Header.Set("Authorization", "Bearer "+operatorToken)
	resp, err := s.http.Client().Do(req)
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v", path, resp.Status, err)
	}
}
