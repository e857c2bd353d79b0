package store_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/gateway/timelinetest"
	"github.com/fieldgate/fieldgate/store"
)

// A setClock shows what a test sets.
type setClock struct {
	stamp  gateway.Stamp
	anchor gateway.Anchor
}

func (c *setClock) Stamp() gateway.Stamp   { return c.stamp }
func (c *setClock) Anchor() gateway.Anchor { return c.anchor }

func openAt(t testing.TB, dir string, c store.Clock) *store.Store {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	s, err := store.Open(store.Options{Dir: dir, FlushInterval: time.Hour, HistoryFlush: time.Hour, Rate: 100,
		Burst: 100, Clock: c, Conditions: health.New(log), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestWallTimesOnSite: the history on site tells the time of a reading by the
// same rule as the cloud and its database, whether the reading came before the
// anchors or behind them, before the store is opened again and after it. So do
// the timelines that an export of the store is written with.
func TestWallTimesOnSite(t *testing.T) {
	for n, c := range timelinetest.Cases(t) {
		t.Run(c.Name, func(t *testing.T) {
			dir, want := t.TempDir(), map[string]timelinetest.Wall{}
			for _, boot := range c.Boots() {
				onSite(t, dir, c, boot, n%2 == 0, want)
			}
		})
	}
}

// onSite plays one boot of a case: a run of the store, and another one that
// reads it. Readings come also before the anchors if early is true. want gets
// the devices.
func onSite(t *testing.T, dir string, c timelinetest.Case, boot gateway.BootID, early bool, want map[string]timelinetest.Wall) {
	clock := &setClock{}
	set := func(a gateway.Anchor) {
		clock.anchor, clock.stamp = a, max(clock.stamp, a.From)
	}
	set(c.First(boot))
	s := openAt(t, dir, clock)
	readings := func(device string) {
		var rs []gateway.Reading
		for i, w := range c.Walls {
			if w.Boot == boot {
				ch := &gateway.Channel{Device: fmt.Sprintf("%s%d", device, i), Quantity: "q"}
				rs, want[ch.Device] = append(rs, gateway.Reading{Channel: ch, At: w.Stamp}), w
			}
		}
		if _, err := s.Append(rs); err != nil {
			t.Fatal(err)
		}
	}
	if early {
		readings("before")
	}
	for _, a := range c.Anchors {
		if a.Boot != boot {
			continue
		}
		set(a)
		if _, err := s.AddEvent(gateway.Event{Kind: gateway.EventAnchor}); err != nil {
			t.Fatal(err)
		}
	}
	readings("behind")
	wantWalls(t, s, want)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, dir, clock)
	wantWalls(t, s, want)
	wantWalked(t, s, want)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// wantWalls wants one reading of each device, at this µs.
func wantWalls(t *testing.T, s *store.Store, want map[string]timelinetest.Wall) {
	t.Helper()
	for device, w := range want {
		wall := w.Wall
		for _, from := range []time.Time{time.UnixMicro(wall), time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)} {
			h, err := s.History(t.Context(), gateway.HistoryQuery{Channels: []gateway.Channel{{Device: device, Quantity: "q"}}, From: from,
				To: time.UnixMicro(wall + 1), Buckets: 1})
			if err != nil {
				t.Fatal(err)
			}
			if b := h.Series[0].Buckets; len(b) != 1 || b[0].N != 1 || b[0].MinAt.UnixMicro() != wall {
				t.Errorf("%s: buckets %+v, want one reading at %d", device, b, wall)
			}
		}
	}
}

// wantWalked wants the same of a walk through the store, with the quality of
// the clock.
func wantWalked(t *testing.T, s *store.Store, want map[string]timelinetest.Wall) {
	t.Helper()
	times, found := s.Timelines(), 0
	for _, e := range s.Epochs() {
		err := s.Walk(t.Context(), e.ID, func(b store.Stretch) error {
			clock := times.Clock(b.Header.Anchor)
			for _, r := range b.Readings {
				w := want[r.Channel.Device]
				if wall, q := clock.Wall(r.At); wall.UnixMicro() != w.Wall || q != w.Quality {
					t.Errorf("%s: a walk has %v (%s), want %d (%s)", r.Channel.Device, wall, q, w.Wall, w.Quality)
				}
				found++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found != len(want) {
		t.Errorf("a walk has %d readings, want %d", found, len(want))
	}
}

// TestHistoryOfAges: buckets of a range of centuries begin in it, each behind
// the one before, and the readings in them lie in them.
func TestHistoryOfAges(t *testing.T) {
	clock := &setClock{stamp: 1e6, anchor: gateway.Anchor{Boot: gateway.BootID{1},
		Offset: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro(), Quality: gateway.ClockNTP}}
	s := openAt(t, t.TempDir(), clock)
	defer s.Close()
	ch := &gateway.Channel{Device: "d", Quantity: "q"}
	if _, err := s.Append([]gateway.Reading{{Channel: ch, At: 1e6}, {Channel: ch, At: 2e6}}); err != nil {
		t.Fatal(err)
	}
	now := clock.anchor.Wall(3e6)
	for _, years := range []int{1, 291, 292, 293, 600, 2000} {
		for _, buckets := range []int{1, 3, 500, store.MaxBuckets} {
			q := gateway.HistoryQuery{Channels: []gateway.Channel{*ch}, From: now.AddDate(-years, 0, 0), To: now, Buckets: buckets}
			h, err := s.History(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			width := now.Sub(q.From)
			if years < 292 {
				width /= time.Duration(buckets)
			}
			b := h.Series[0].Buckets
			if len(b) != 1 || b[0].N != 2 || b[0].From.After(b[0].MinAt) || b[0].From.Before(q.From) ||
				years < 292 && b[0].MinAt.Sub(b[0].From) > width {
				t.Errorf("%d years in %d buckets: %+v", years, buckets, b)
			}
		}
	}
}

// TestHistoryExtremes: whatever stamps and anchors are, a history is given.
func TestHistoryExtremes(t *testing.T) {
	number := rapid.OneOf(rapid.Int64(),
		rapid.SampledFrom([]int64{math.MinInt64, math.MinInt64 + 1, -1, 0, 1, 1 << 53, math.MaxInt64 - 1, math.MaxInt64}))
	ch := &gateway.Channel{Device: "d", Quantity: "q"}
	rapid.Check(t, func(rt *rapid.T) {
		clock, dir := &setClock{}, t.TempDir()
		turn := func() {
			clock.stamp = max(clock.stamp, gateway.Stamp(number.Draw(rt, "stamp")))
			clock.anchor = gateway.Anchor{Boot: gateway.BootID{1}, From: gateway.Stamp(number.Draw(rt, "from")),
				Offset: number.Draw(rt, "offset"), Quality: gateway.ClockQuality(rapid.IntRange(0, 3).Draw(rt, "quality"))}
		}
		turn()
		s := openAt(t, dir, clock)
		for range rapid.IntRange(1, 4).Draw(rt, "turns") {
			if _, err := s.Append([]gateway.Reading{{Channel: ch, At: gateway.Stamp(number.Draw(rt, "at"))}}); err != nil {
				rt.Fatal(err)
			}
			turn()
			if _, err := s.AddEvent(gateway.Event{Kind: gateway.EventAnchor}); err != nil {
				rt.Fatal(err)
			}
		}
		for range 2 {
			h, err := s.History(t.Context(), gateway.HistoryQuery{Channels: []gateway.Channel{*ch}, From: time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC),
				To: time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC), Buckets: 100})
			if err != nil {
				rt.Fatal(err)
			}
			if _, err := json.Marshal(h.Holes); err != nil {
				rt.Fatal(err)
			}
			if err := s.Close(); err != nil {
				rt.Fatal(err)
			}
			s = openAt(t, dir, clock)
		}
		_ = s.Close()
	})
}
