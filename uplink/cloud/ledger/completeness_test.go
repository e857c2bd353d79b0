package ledger

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/uplink/cloud/cloudtest"
	"github.com/fieldgate/fieldgate/uplink/cloud/record"
	"github.com/fieldgate/fieldgate/uplink/wire"
)

// ask says whether gateway g is complete from second a to b of its boots; -1
// is no bound.
func ask(t *testing.T, h *cloudtest.History, a, b int, only *gateway.EpochID) *Completeness {
	t.Helper()
	var span TimeRange
	if a >= 0 {
		span.From = cloudtest.At(a)
	}
	if b >= 0 {
		span.To = cloudtest.At(b)
	}
	book := newGateway("g", h, nil)
	for _, e := range h.Entries {
		if err := book.enter(t.Context(), e.Record); err != nil {
			t.Fatal(err)
		}
	}
	c, err := book.Complete(t.Context(), span, only, nil, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestComplete(t *testing.T) {
	h := cloudtest.NewHistory()
	ended, growing := h.Epoch(), gateway.EpochID{9}
	h.Open("g", true, ended)
	h.Send("g", h.Data(ended, 1, 100)) // a reading a second
	h.Send("g", cloudtest.Gap(ended, 101, 50, gateway.WhyDropped))
	h.Send("g", h.Data(ended, 151, 50))
	h.Send("g", h.Thinned(ended, 201, 100)) // from 201 to 261
	h.Send("g", h.Data(ended, 301, 100))
	h.Send("g", cloudtest.End(ended, 400, false)) // from 400 to 405
	h.Open("g", true, growing)
	h.Send("g", h.Data(growing, 1001, 1)) // refused: not contiguous
	h.Send("g", h.DataAt(growing, 1, 100, 1000))
	for name, c := range map[string]struct {
		from, to      int
		complete      bool
		gaps, thinned int
		epochs        int
		sentence      string
	}{
		"before the first gap":       {0, 90, true, 0, 0, 1, "Complete: the cloud has every"},
		"over the gap":               {90, 120, false, 1, 0, 1, "Not complete: 1 gap."},
		"behind the gap":             {160, 190, true, 0, 0, 1, "Complete: the cloud has every"},
		"thinned":                    {190, 300, false, 0, 1, 1, "Not complete: 1 range of which only summaries are left."},
		"the end that nobody saw":    {310, 403, false, 1, 0, 1, "Not complete: 1 gap."},
		"between the epochs":         {500, 900, true, 0, 0, 0, "Complete: the gateway took no readings"},
		"what grows":                 {1005, 1050, true, 0, 0, 1, "Complete: the cloud has every"},
		"what grows, up to the last": {1005, -1, true, 0, 0, 1, "Complete: the cloud has every"},
		"what grows, and more":       {1005, 2000, false, 0, 0, 1, "Complete up to 2026-10-01T00:18:19.000Z"},
		"what is to come":            {1500, 2000, false, 0, 0, 1, "Complete up to 2026-10-01T00:18:19.000Z"},
		"all of it":                  {-1, -1, false, 2, 1, 2, "Not complete: 2 gaps, 1 range of which only summaries are left."},
	} {
		got := ask(t, h, c.from, c.to, nil)
		gaps, thinned := 0, 0
		for _, e := range got.Epochs {
			gaps, thinned = gaps+len(e.Gaps), thinned+len(e.Thinned)
		}
		if got.Complete != c.complete || gaps != c.gaps || thinned != c.thinned || len(got.Epochs) != c.epochs ||
			!strings.HasPrefix(got.Sentence, c.sentence) {
			b, _ := json.MarshalIndent(got, "", " ")
			t.Errorf("%s: %s", name, b)
		}
	}
	only := ask(t, h, -1, -1, &ended)
	if len(only.Epochs) != 1 || len(only.Epochs[0].Gaps) != 2 || only.Epochs[0].Held != 250 {
		t.Errorf("one epoch: %+v", only)
	}
	g := only.Epochs[0].Gaps[1]
	if *g.After != 400 || *g.AtMost != 410 || g.Why != gateway.WhyUncleanStop || !g.T1.Equal(cloudtest.At(405)) ||
		!strings.HasPrefix(g.Sentence, "At most 410 readings, taken between 2026-10-01T00:06:40.000Z and") {
		t.Errorf("open gap %+v", g)
	}
}

// What the cloud had acknowledged and lost is shown as its own loss.
func TestTheCloudsOwnLoss(t *testing.T) {
	h := cloudtest.NewHistory()
	e := h.Epoch()
	h.Open("g", true, e)
	h.Send("g", cloudtest.Gap(e, 1, 10, gateway.WhyForgottenAfterAck))
	h.Send("g", cloudtest.Gap(e, 11, 10, gateway.WhyDropped))
	c := ask(t, h, -1, -1, &e)
	if g := c.Epochs[0].Gaps; c.Complete || len(g) != 2 || g[0].By != "cloud" || g[1].By != "gateway" ||
		!strings.Contains(c.Sentence, "1 gap, 1 range that the cloud itself has lost") {
		t.Errorf("%+v", c)
	}
}

// While the gateway was off nothing was taken, and nothing is missing; unless
// the epoch before has not arrived.
func TestCompleteBetweenEpochs(t *testing.T) {
	h := cloudtest.NewHistory()
	first, second := h.Epoch(), gateway.EpochID{9}
	h.Open("g", true, first)
	h.Send("g", h.Data(first, 1, 100))
	h.Open("g", false, second)
	h.Send("g", h.DataAt(second, 1, 10, 500))
	if c := ask(t, h, 200, 300, nil); c.Complete || len(c.Epochs) != 1 || c.Epochs[0].Epoch != first || !c.Epochs[0].Undelivered {
		t.Errorf("the first epoch has not ended: %+v", c)
	}
	if c := ask(t, h, 505, 508, nil); !c.Complete || len(c.Epochs) != 1 {
		t.Errorf("the second goes on: %+v", c)
	}
	h.Send("g", cloudtest.End(first, 100, true))
	if c := ask(t, h, 200, 300, nil); !c.Complete || len(c.Epochs) != 0 || !strings.Contains(c.Sentence, "took no readings") {
		t.Errorf("the gateway was off: %+v", c)
	}
	if c := ask(t, h, 20000, 30000, nil); c.Complete {
		t.Errorf("the future: %+v", c)
	}
}

// A board that never knew the time: its epoch lies between its neighbours, and
// before its readings arrived.
func TestCompleteWithoutAClock(t *testing.T) {
	h := cloudtest.NewHistory()
	before, lost, after := h.Epoch(), gateway.EpochID{7}, gateway.EpochID{8}
	h.Open("g", true, before)
	h.Send("g", h.Data(before, 1, 100))
	h.Send("g", cloudtest.End(before, 100, true))
	h.Open("g", true, lost)
	u := h.Data(lost, 1, 50)
	u.Blocks[0] = h.Block(lost, 1, 50, 0, gateway.Anchor{Boot: gateway.BootID(lost)})
	h.Send("g", u)
	g := cloudtest.Gap(lost, 51, 5, gateway.WhyCardFailed)
	g.Gap.Anchor = wire.Anchor{Boot: gateway.BootID(lost)}
	h.Send("g", g)
	h.Send("g", cloudtest.End(lost, 55, true))
	h.Open("g", true, after)
	h.Send("g", h.DataAt(after, 1, 10, 5000))
	c := ask(t, h, 1000, 2000, nil)
	if c.Complete || len(c.Epochs) != 1 || c.Epochs[0].Epoch != lost || len(c.Epochs[0].Gaps) != 1 {
		t.Fatalf("%+v", c)
	}
	if e := c.Epochs[0]; e.TimeKnown || e.Time != "none" || !e.First.Equal(cloudtest.At(100)) ||
		!e.Last.Equal(cloudtest.At(5000)) || !strings.Contains(e.Sentence, "clock was not set") {
		t.Errorf("%+v", e)
	}
	if c := ask(t, h, 10, 90, nil); len(c.Epochs) != 1 || !c.Complete {
		t.Errorf("long before: %+v", c)
	}
	// Later it turns out what time it was.
	ev, err := wire.Encode(&wire.Event{Epoch: lost, Seq: 1, Kind: gateway.EventAnchor, Anchor: wire.Anchor{
		Boot: gateway.BootID(lost), From: 40e6, Offset: cloudtest.At(3000).UnixMicro(), Quality: gateway.ClockSession}})
	if err != nil {
		t.Fatal(err)
	}
	h.Write("g", record.Record{Kind: record.KindEvent, State: h.Gateway("g").State.String(), Epoch: lost, First: 1, Body: ev})
	if c := ask(t, h, 1000, 2000, nil); !c.Complete || len(c.Epochs) != 0 {
		t.Errorf("with the time known later, another time: %+v", c)
	}
	if c := ask(t, h, 3000, 3040, nil); !c.Complete || len(c.Epochs) != 1 || c.Epochs[0].Time != "session" ||
		!c.Epochs[0].First.Equal(cloudtest.At(3000)) {
		t.Errorf("with the time known later: %+v", c)
	}
}

// A card cannot be read during a start, which sends from memory and has no boot event. Then the card is mended, and an
// epoch without a clock comes that is older than that start: it lies behind the epochs of the card alone.
func TestCompleteWithoutAClockBehindARunFromMemory(t *testing.T) {
	h := cloudtest.NewHistory()
	before, old, memory := h.Epoch(), gateway.EpochID{7}, gateway.EpochID{8}
	event := func(e gateway.EpochID, kind gateway.EventKind, at int) {
		body, err := wire.Encode(&wire.Event{Epoch: e, Seq: 1, Kind: kind, Anchor: wire.Anchor{
			Boot: gateway.BootID(e), Offset: cloudtest.At(at).UnixMicro(), Quality: gateway.ClockSession}})
		if err != nil {
			t.Fatal(err)
		}
		h.Write("g", record.Record{Kind: record.KindEvent, State: h.Gateway("g").State.String(), Epoch: e, First: 1, Body: body})
	}
	h.Open("g", true, before)
	event(before, gateway.EventBoot, 0)
	h.Send("g", h.Data(before, 1, 100))
	h.Send("g", cloudtest.End(before, 100, true))
	h.Open("g", false, memory)
	event(memory, gateway.EventAnchor, 0)
	h.Send("g", h.DataAt(memory, 1, 10, 5000))
	h.Send("g", cloudtest.End(memory, 10, true))
	h.Open("g", true, old)
	if c := ask(t, h, 1000, 2000, nil); c.Complete || len(c.Epochs) != 1 || c.Epochs[0].Epoch != old {
		t.Errorf("the old epoch has not come, and is not seen: %+v", c)
	}
	u := h.Data(old, 1, 50)
	u.Blocks[0] = h.Block(old, 1, 50, 0, gateway.Anchor{Boot: gateway.BootID(old)})
	h.Send("g", u)
	h.Send("g", cloudtest.End(old, 50, true))
	c := ask(t, h, 1000, 2000, nil)
	if !c.Complete || len(c.Epochs) != 1 || c.Epochs[0].Epoch != old || !c.Epochs[0].First.Equal(cloudtest.At(100)) {
		t.Errorf("the old epoch has come: %+v", c)
	}
}

// A restored card: the epoch that it forgot is not complete, whatever the time
// after it.
func TestUnlistedIsNotComplete(t *testing.T) {
	h := cloudtest.NewHistory()
	forgotten, next := h.Epoch(), gateway.EpochID{9}
	h.Open("g", true, forgotten)
	h.Send("g", h.Data(forgotten, 1, 100))
	h.Open("g", true, next)
	h.Send("g", h.DataAt(next, 1, 10, 500))
	c := ask(t, h, 200, 300, nil)
	if c.Complete || len(c.Epochs) != 1 || c.Epochs[0].End != "unlisted" || !strings.Contains(c.Epochs[0].Sentence, "no longer knows") {
		t.Errorf("%+v", c)
	}
	if c := ask(t, h, 10, 90, nil); !c.Complete {
		t.Errorf("what came of it: %+v", c)
	}
}

func TestParseRange(t *testing.T) {
	now := cloudtest.At(100)
	for text, want := range map[string]time.Time{"": {}, "-30s": cloudtest.At(70), "0s": now, "2026-10-01T02:00:05+02:00": cloudtest.At(5)} {
		if got, err := parseTime(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q is %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"yesterday", "10s", "5", "2026-10-01"} {
		if got, err := parseTime(text, now); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
	if _, err := ParseRange(map[string][]string{"from": {"-1s"}, "to": {"-5s"}}, now); err == nil {
		t.Error("a range that ends before it begins")
	}
}
