package sample_test

import (
	"context"
	"io"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/gateway/sample"
)

// steady is a sensor that always answers; it is its own sink.
type steady struct {
	values []drivers.Value
	left   int
	done   chan struct{}
}

func (s *steady) Read(ctx context.Context) ([]drivers.Value, error) { return s.values, ctx.Err() }
func (s *steady) Halt() error                                       { return nil }

// Take counts down to done.
func (s *steady) Take([]gateway.Reading) {
	if s.left--; s.left == 0 {
		close(s.done)
	}
}

// visits runs a sampler for n visits with real timers and gives what they
// allocated.
func visits(tb testing.TB, n int) uint64 {
	s := &steady{values: []drivers.Value{{Quantity: "a"}, {Quantity: "b"}}, left: n, done: make(chan struct{})}
	r := sample.New(sample.Options{
		Devices: []sample.Device{{
			ID: "x", Driver: "steady", Interval: 10 * time.Microsecond, Timeout: time.Minute,
			Quantities: []drivers.Quantity{{Name: "a"}, {Name: "b"}},
			Open:       func(context.Context, io.Closer) (drivers.Sensor, error) { return s, nil },
		}},
		Sink: s, Stamp: func() gateway.Stamp { return 0 }, Health: health.New(slog.New(slog.DiscardHandler)),
	})
	ctx, cancel := context.WithCancel(tb.Context())
	defer cancel()
	ended := make(chan error, 1)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	go func() { ended <- r.Run(ctx) }()
	<-s.done
	runtime.ReadMemStats(&after)
	cancel()
	if err := <-ended; err != nil {
		tb.Error(err)
	}
	return after.Mallocs - before.Mallocs
}

// Starting costs some allocations; a visit costs none.
func TestVisitsDoNotAllocate(t *testing.T) {
	const n = 5000
	if got := visits(t, n); got > n/10 {
		t.Errorf("%d allocations in %d visits", got, n)
	} else {
		t.Logf("%d allocations in %d visits", got, n)
	}
}

func BenchmarkVisit(b *testing.B) {
	n := max(b.N, 100)
	b.ReportMetric(float64(visits(b, n))/float64(n), "allocs/visit")
}
