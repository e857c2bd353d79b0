package store_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/store"
)

// point is a reading as a person would write it down.
type point struct {
	channel *gateway.Channel
	at      time.Time
	ns      int64 // at, as UnixNano gives it
	value   float64
	quality gateway.Quality
}

// brute answers a query the slow way.
func brute(q gateway.HistoryQuery, points []point) gateway.History {
	var h gateway.History
	from, span := q.From.UnixNano(), q.To.Sub(q.From).Microseconds()
	for _, c := range q.Channels {
		series := gateway.Series{Channel: gateway.Channel{Device: c.Device, Quantity: c.Quantity}}
		for k := range q.Buckets {
			b := gateway.Bucket{Min: math.NaN(), Max: math.NaN(), Mean: math.NaN()}
			sum, finite := 0.0, 0
			for _, p := range points {
				since := (p.ns - from) / 1000
				if p.channel.Device != c.Device || p.channel.Quantity != c.Quantity || since < 0 || since >= span ||
					since*int64(q.Buckets)/span != int64(k) {
					continue
				}
				series.Unit = p.channel.Unit
				b.N++
				b.Worst = max(b.Worst, p.quality)
				if math.IsNaN(p.value) {
					continue
				}
				if !(b.Min <= p.value) {
					b.Min, b.MinAt = p.value, p.at
				}
				if !(b.Max >= p.value) {
					b.Max, b.MaxAt = p.value, p.at
				}
				sum += p.value
				finite++
			}
			if finite > 0 {
				b.Mean = sum / float64(finite)
			}
			if b.N > 0 {
				series.Buckets = append(series.Buckets, b)
			}
		}
		h.Series = append(h.Series, series)
	}
	return h
}

func sameBucket(a, b gateway.Bucket) bool {
	same := func(x, y float64) bool {
		return x == y || math.Abs(x-y) < 1e-9*math.Abs(x) || math.IsNaN(x) && math.IsNaN(y)
	}
	return a.N == b.N && a.Worst == b.Worst && same(a.Min, b.Min) && same(a.Max, b.Max) && same(a.Mean, b.Mean) &&
		a.MinAt.Equal(b.MinAt) && a.MaxAt.Equal(b.MaxAt)
}

// History gives what the slow way gives: out of head, journal and volumes,
// over openings, crashes and splits.
func TestHistoryAgainstBruteForce(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	channels := []*gateway.Channel{{Device: "a", Quantity: "temperature", Unit: "Cel"},
		{Device: "a", Quantity: "humidity", Unit: "%RH"}, {Device: "b", Quantity: "temperature", Unit: "Cel"}}
	inStore(t, func(o *store.Options) { o.Rate = 1e6 }, func(b *bench) {
		var points []point
		add := func(n int) {
			rs := make([]gateway.Reading, n)
			for i := range rs {
				at := b.clock.Stamp().Add(time.Duration(i) * time.Microsecond)
				rs[i] = gateway.Reading{Channel: channels[random.IntN(3)], Value: math.Round(random.NormFloat64()*100) / 10, At: at,
					Quality: gateway.Quality(random.IntN(40) / 36)}
				if random.IntN(200) == 0 {
					rs[i].Value = math.NaN()
				}
				wall := b.clock.Anchor().Wall(at)
				points = append(points, point{rs[i].Channel, wall, wall.UnixNano(), rs[i].Value, rs[i].Quality})
			}
			if _, err := b.s.Append(rs); err != nil {
				t.Fatal(err)
			}
		}
		began := b.clock.Anchor().Wall(b.clock.Stamp())
		for i := range 60 {
			add(1 + random.IntN(6000)/(1+random.IntN(20)))
			b.sleep(time.Duration(random.IntN(20_000)) * time.Millisecond)
			switch i % 15 {
			case 6:
				b.close()
				b.open()
			case 9:
				if err := b.s.Flush(); err != nil {
					t.Fatal(err)
				}
				b.crash()
				b.open()
			case 12:
				if _, err := b.s.Split(); err != nil {
					t.Fatal(err)
				}
			}
		}
		add(50)
		ended := b.clock.Anchor().Wall(b.clock.Stamp()).Add(time.Second)
		for range 25 {
			q := gateway.HistoryQuery{From: began, To: ended, Buckets: 1 + random.IntN(300)}
			if random.IntN(2) == 0 {
				q.From = began.Add(time.Duration(random.Int64N(int64(ended.Sub(began))))).Truncate(time.Microsecond)
				q.To = q.From.Add(time.Duration(1 + random.Int64N(int64(2*time.Minute)))).Add(time.Millisecond).Truncate(time.Microsecond)
			}
			for _, k := range random.Perm(3)[:1+random.IntN(3)] {
				q.Channels = append(q.Channels, *channels[k])
			}
			got, err := b.s.History(b.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			compareHistory(t, got, brute(q, points))
		}
	})
}

func compareHistory(t *testing.T, got, want gateway.History) {
	t.Helper()
	for i, w := range want.Series {
		g := got.Series[i]
		if g.Device != w.Device || g.Quantity != w.Quantity || len(g.Buckets) > 0 && g.Unit != w.Unit || len(g.Buckets) != len(w.Buckets) {
			t.Fatalf("series %d: %v with %d buckets, want %v with %d", i, g.Channel, len(g.Buckets), w.Channel, len(w.Buckets))
		}
		for k := range w.Buckets {
			if !sameBucket(g.Buckets[k], w.Buckets[k]) {
				t.Fatalf("bucket %d of %v is\n%+v, want\n%+v", k, w.Channel, g.Buckets[k], w.Buckets[k])
			}
		}
	}
}

// Lost readings are holes in the history, with their reason.
func TestHistoryTellsOfHoles(t *testing.T) {
	inStore(t, nil, func(b *bench) {
		began := b.clock.Anchor().Wall(b.clock.Stamp())
		b.append(10)
		b.sleep(6 * time.Second)
		b.append(10)
		b.crash()
		b.sleep(time.Minute)
		b.open()
		q := gateway.HistoryQuery{Channels: []gateway.Channel{*channel}, From: began, To: began.Add(time.Hour), Buckets: 10}
		got, err := b.s.History(b.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Holes) != 1 || got.Holes[0].Why != gateway.WhyUncleanStop || got.Holes[0].AtMost < 10 || !got.Holes[0].From.Equal(began) {
			t.Errorf("holes: %+v", got.Holes)
		}
		if n := len(got.Series[0].Buckets); n != 1 || got.Series[0].Buckets[0].N != 10 {
			t.Errorf("%d buckets: %+v", n, got.Series[0].Buckets)
		}
		ctx, cancel := context.WithCancel(b.Context())
		cancel()
		b.close()
		b.open()
		if _, err := b.s.History(ctx, q); !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that is over: %v", err)
		}
		q.Buckets = 0
		if _, err := b.s.History(b.Context(), q); err == nil {
			t.Error("no buckets are asked for, and no error is given")
		}
	})
}
