package cloud

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/ledger"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// A board that lost its power does not know until when it went on. What it may
// have lost lies before the next epoch began: a range in between is not
// complete, one behind it is.
func TestAnEndOfUnknownTimeIsNotForgotten(t *testing.T) {
	h := cloudtest.NewHistory()
	ended, next := h.Epoch(), gateway.EpochID{9}
	h.Open("g", true, ended)
	h.Send("g", h.Data(ended, 1, 100))
	end := cloudtest.End(ended, 100, false)
	end.End.T1 = 0
	h.Send("g", end)
	if c := isComplete(t, h, 102, 110, nil); c.Complete || len(c.Epochs) != 1 || len(c.Epochs[0].Gaps) != 1 || c.Epochs[0].Gaps[0].T1 != nil {
		t.Errorf("nothing is known to have followed: %+v", c)
	}
	h.Open("g", true, next)
	h.Send("g", h.DataAt(next, 1, 10, 200))
	for name, c := range map[string]struct {
		from, to int
		complete bool
	}{
		"before the end":                {10, 90, true},
		"behind the end":                {102, 110, false},
		"up to the next epoch":          {90, 205, false},
		"behind the next epoch's begin": {201, 205, true},
		"all of it":                     {-1, -1, false},
	} {
		if got := isComplete(t, h, c.from, c.to, nil); got.Complete != c.complete {
			b, _ := json.MarshalIndent(got, "", " ")
			t.Errorf("%s: %s", name, b)
		}
	}
	if g := isComplete(t, h, 102, 110, nil).Epochs[0].Gaps[0]; g.T1 == nil || !g.T1.Equal(cloudtest.At(200)) {
		t.Errorf("it ends at %v", g.T1)
	}
	lines := fetch(t, h, &cloudtest.KV{}, "/v1/gateways/g/readings?from="+cloudtest.At(102).Format(time.RFC3339)+
		"&to="+cloudtest.At(110).Format(time.RFC3339)).Body.String()
	if !strings.Contains(lines, `"type":"end"`) || strings.Contains(lines, `"t1"`) {
		t.Errorf("the lines of that time: %s", lines)
	}
}

// TestStampsOfTwoBootsInOneEpoch: rows tell wall times and are of no boot, what
// else is told of their epoch has stamps of one. None of them may be read with
// the clock of the other, in whatever order they come.
func TestStampsOfTwoBootsInOneEpoch(t *testing.T) {
	anchor := gateway.Anchor{Boot: gateway.BootID{7}, Offset: cloudtest.At(0).UnixMicro(), Quality: gateway.ClockNTP}
	wa, rowsAnchor := record.WireAnchor(anchor), gateway.Anchor{Quality: gateway.ClockNTP}
	update := func(e gateway.EpochID, first, n uint64) *wire.Update {
		return &wire.Update{Lane: wire.LaneBacklog, Epoch: e, First: first, N: n}
	}
	wallRows := func(h *cloudtest.History, e gateway.EpochID, first, n uint64, s int64) *wire.Update {
		u := update(e, first, n)
		u.Blocks = [][]byte{h.Block(e, first, n, s+cloudtest.At(0).Unix(), rowsAnchor)}
		return u
	}
	lost := func(e gateway.EpochID, first uint64, s int64) *wire.Update {
		u := update(e, first, 5)
		u.Gap = &wire.Gap{Why: gateway.WhyDropped, T0: s * 1e6, T1: (s + 1) * 1e6, Anchor: wa}
		return u
	}
	for name, says := range map[string]func(h *cloudtest.History, e gateway.EpochID) []*wire.Update{
		"rows, then a gap": func(h *cloudtest.History, e gateway.EpochID) []*wire.Update {
			return []*wire.Update{wallRows(h, e, 1, 5, 600), lost(e, 6, 610)}
		},
		"a gap, then rows": func(h *cloudtest.History, e gateway.EpochID) []*wire.Update {
			return []*wire.Update{lost(e, 1, 600), wallRows(h, e, 6, 6, 606)}
		},
		"rows, then an open end": func(h *cloudtest.History, e gateway.EpochID) []*wire.Update {
			u := update(e, 6, 0)
			u.End = &wire.End{Why: gateway.WhyUncleanStop, AtMost: 5, T0: 604e6, T1: 611e6, Anchor: &wa}
			return []*wire.Update{wallRows(h, e, 1, 5, 600), u}
		},
		"readings of a boot, then rows, then a gap": func(h *cloudtest.History, e gateway.EpochID) []*wire.Update {
			u := update(e, 1, 5)
			u.Blocks = [][]byte{h.Block(e, 1, 5, 600, anchor)}
			return []*wire.Update{u, wallRows(h, e, 6, 5, 605), lost(e, 11, 610)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := cloudtest.NewHistory()
			e := h.Epoch()
			h.Open("g", true, e)
			for _, u := range says(h, e) {
				h.Send("g", u)
			}
			c := isComplete(t, h, -1, -1, &e)
			if got := c.Epochs[0]; c.Complete || got.First == nil || !got.First.Equal(cloudtest.At(600)) ||
				got.Last == nil || got.Last.After(cloudtest.At(611)) {
				t.Errorf("the epoch is said to be of %v to %v; want within %v to %v", got.First, got.Last, cloudtest.At(600), cloudtest.At(611))
			}
			for _, seconds := range []int{30 * 365 * 24 * 3600, -20 * 365 * 24 * 3600} { // halfway to the sum, and to the difference, of both clocks
				if c := isComplete(t, h, seconds, seconds+3600, nil); c.Complete {
					t.Errorf("complete at %v, where nothing is known: %+v", cloudtest.At(seconds), c)
				}
			}
			if c := isComplete(t, h, 599, 612, nil); c.Complete || len(c.Epochs) != 1 {
				t.Errorf("of the time itself: %+v", c)
			}
			for _, wants := range []string{`"type":"gap"`, `"type":"end"`} {
				url := "/v1/gateways/g/readings?from=" + cloudtest.At(599).Format(time.RFC3339) + "&to=" + cloudtest.At(612).Format(time.RFC3339)
				all := fetch(t, h, &cloudtest.KV{}, "/v1/gateways/g/readings").Body.String()
				if got := fetch(t, h, &cloudtest.KV{}, url).Body.String(); strings.Contains(all, wants) && !strings.Contains(got, wants) {
					t.Errorf("%s is left out of the lines of its time:\n%s", wants, got)
				}
			}
		})
	}
}

// isComplete says whether gateway g is complete from second a to b of its
// boots; -1 is no bound.
func isComplete(t *testing.T, h *cloudtest.History, a, b int, only *gateway.EpochID) *ledger.Completeness {
	t.Helper()
	var span ledger.TimeRange
	if a >= 0 {
		span.From = cloudtest.At(a)
	}
	if b >= 0 {
		span.To = cloudtest.At(b)
	}
	g, err := ledger.Open(t.Context(), h, &cloudtest.KV{}, "g")
	if err != nil {
		t.Fatal(err)
	}
	c, err := g.Complete(t.Context(), span, only, nil, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
