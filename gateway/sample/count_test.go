package sample_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/clock"
	"github.com/fieldgate/fieldgate/gateway/health"
	"github.com/fieldgate/fieldgate/gateway/sample"
)

// A meter counts as it is told.
type meter struct {
	mu     sync.Mutex
	n      float64
	err    error
	missed drivers.Missed
}

func (m *meter) pulse(n float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n += n
}

func (m *meter) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func (m *meter) miss(n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.missed = drivers.Missed{N: n, From: time.Now().Add(-time.Second), To: time.Now()}
}

func (m *meter) open(context.Context, io.Closer) (drivers.Sensor, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n = 0
	return m, m.err
}

func (m *meter) Read(context.Context) ([]drivers.Value, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return nil, m.err
	}
	return []drivers.Value{{Quantity: "count", Value: m.n}}, nil
}

func (m *meter) Final() []drivers.Value {
	m.mu.Lock()
	defer m.mu.Unlock()
	return []drivers.Value{{Quantity: "count", Value: m.n}}
}

func (m *meter) Missed() drivers.Missed {
	m.mu.Lock()
	defer m.mu.Unlock()
	told := m.missed
	m.missed = drivers.Missed{}
	return told
}

func (m *meter) Halt() error { return nil }

type sink func(rs []gateway.Reading)

func (s sink) Take(rs []gateway.Reading) { s(rs) }

// A total goes on from what it was given, over a device that comes and goes, to
// the last pulse before the stop; what was not counted is told before the next
// reading.
func TestTotal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &meter{}
		var told strings.Builder
		note := func(format string, args ...any) { fmt.Fprintf(&told, format, args...) }
		s := sample.New(sample.Options{
			Devices: []sample.Device{{
				ID: "water", Driver: "pulse-counter", Interval: 10 * time.Second, Timeout: time.Second,
				Quantities: []drivers.Quantity{{Name: "count", Unit: "count", Total: true}}, Totals: map[string]float64{"count": 100},
				Open: m.open,
			}},
			OpenBus: func(string) (io.Closer, error) { return nil, errors.New("no bus") },
			Sink:    sink(func(rs []gateway.Reading) { note("%v ", rs[0].Value) }),
			Stamp:   clock.NewFake(gateway.BootID{}).Stamp, Health: health.New(slog.New(slog.DiscardHandler)),
			Lost: func(l sample.Loss) {
				note("(%s: %d in %v from %v: %v) ", l.Channel.Quantity, l.N, l.To.Sub(l.From), l.From > 0, l.Total)
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		wait(time.Second)
		m.pulse(5)
		wait(10 * time.Second)
		m.miss(3)
		m.pulse(2)
		wait(10 * time.Second)
		m.miss(4) // soon after: told with the next
		wait(10 * time.Second)
		m.pulse(1)
		m.fail(errors.New("gone"))
		wait(15 * time.Second)
		m.fail(nil)
		wait(20 * time.Second)
		m.pulse(6)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		got := strings.TrimSpace(told.String())
		const want = "(count: 0 in 1m0s from false: 100) 100 105 (count: 3 in 1s from true: 107) 107 107 (count: 4 in 1s from true: 108) 108 " +
			"(count: 0 in 7s from true: 108) 108 108 108 114"
		if got != want {
			t.Errorf("told:\n%s\nwant:\n%s", got, want)
		}
	})
}
