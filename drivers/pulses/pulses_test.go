package pulses_test

import (
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/drivers/drivertest"
	"github.com/fieldgate/fieldgate/drivers/pulses"
	"github.com/fieldgate/fieldgate/drivers/sim"
)

func low() gpio.Level { return gpio.Low }

func TestSuite(t *testing.T) {
	drivertest.Run(t, drivertest.Case{
		Driver: pulses.Driver(),
		Want:   map[string]float64{"count": 0},
		Target: func() drivers.Target { return drivers.Target{Pin: sim.NewPin("GPIO17", low)} },
		Break:  func(t drivers.Target, err error) { t.Pin.(*sim.Pin).Fail(err) },
	})
}

// A meter is a line with its counter.
type meter struct {
	t   *testing.T
	pin *sim.Pin
	drivers.Counter
}

func open(t *testing.T, options map[string]any) *meter {
	t.Helper()
	m := &meter{t: t, pin: sim.NewPin("GPIO17", low)}
	s, err := pulses.Driver().Open(t.Context(), drivers.Target{Pin: m.pin, Options: options})
	if err != nil {
		t.Fatal(err)
	}
	m.Counter = s.(drivers.Counter)
	return m
}

// send sends n pulses, one in every step.
func (m *meter) send(n int, step time.Duration) {
	for range n {
		m.pin.Set(gpio.High)
		time.Sleep(step / 2)
		m.pin.Set(gpio.Low)
		time.Sleep(step - step/2)
	}
}

func (m *meter) want(want ...drivers.Value) {
	m.t.Helper()
	got, err := m.Read(m.t.Context())
	if err != nil || len(got) != len(want) {
		m.t.Fatalf("read %v, %v, want %v", got, err, want)
	}
	for i := range want {
		if got[i] != want[i] {
			m.t.Errorf("read %+v, want %+v", got[i], want[i])
		}
	}
}

func TestCount(t *testing.T) {
	for _, edge := range []string{"rising", "falling"} {
		synctest.Test(t, func(t *testing.T) {
			options := pulses.Driver().Defaults()
			options["edge"] = edge
			m := open(t, options)
			m.want(drivers.Value{Quantity: "count"})
			m.send(1000, time.Millisecond)
			m.want(drivers.Value{Quantity: "count", Value: 1000}, drivers.Value{Quantity: "rate", Value: 1000})
			m.send(1, 20*time.Millisecond) // too short for a rate of its own
			m.want(drivers.Value{Quantity: "count", Value: 1001}, drivers.Value{Quantity: "rate", Value: 1000})
			m.send(1, 980*time.Millisecond)
			m.want(drivers.Value{Quantity: "count", Value: 1002}, drivers.Value{Quantity: "rate", Value: 2})
			m.send(3, time.Millisecond)
			if err := m.Halt(); err != nil {
				t.Fatal(err)
			}
			m.send(5, time.Millisecond) // nobody looks any more
			if got := m.Final(); len(got) != 1 || got[0].Value != 1005 {
				t.Errorf("at the end %v, want 1005", got)
			}
		})
	}
}

// What the kernel saw and could not keep is told, and not counted.
func TestLostEdges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := open(t, pulses.Driver().Defaults())
		m.send(10, 100*time.Millisecond)
		from := time.Now().Add(-100 * time.Millisecond)
		m.pin.Lose(7)
		m.send(12, 100*time.Millisecond)
		m.want(drivers.Value{Quantity: "count", Value: 15},
			drivers.Value{Quantity: "rate", Value: 15 / (2200 * time.Millisecond).Seconds(), Doubt: "edges were lost"})
		got := m.Missed()
		if got.N != 7 || !got.From.Equal(from) || got.To.Sub(got.From) != 800*time.Millisecond {
			t.Errorf("missed %+v, want 7 within 800 ms from %v", got, from)
		}
		if m.Missed().N != 0 {
			t.Error("told twice")
		}
		m.send(10, 100*time.Millisecond)
		m.want(drivers.Value{Quantity: "count", Value: 25}, drivers.Value{Quantity: "rate", Value: 10})
	})
}

// A line that moves by itself, as in the demo: 2 pulses a second.
func TestSimulatedLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := drivers.Simulation{Clock: sim.SinceStart(), Curves: map[string]drivers.Curve{"rate": sim.Steady(2)}}
		pin := sim.NewPin("GPIO17", func() gpio.Level { return pulses.Driver().SimulateLine(world) })
		s, err := pulses.Driver().Open(t.Context(), drivers.Target{Pin: pin, Options: pulses.Driver().Defaults()})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10*time.Second + 100*time.Millisecond)
		if vs, err := s.Read(t.Context()); err != nil || vs[0].Value != 20 {
			t.Errorf("read %v, %v, want 20 pulses", vs, err)
		}
		if err := s.Halt(); err != nil {
			t.Error(err)
		}
	})
}

func TestRefused(t *testing.T) {
	options := pulses.Driver().Defaults()
	for name, pin := range map[string]gpio.PinIO{
		"a pin without edges": struct{ gpio.PinIO }{sim.NewPin("GPIO17", low)},
		"a debounce below 0":  sim.NewPin("GPIO17", low),
	} {
		if name == "a debounce below 0" {
			options["debounce_ms"] = int64(-1)
		}
		if _, err := pulses.Driver().Open(t.Context(), drivers.Target{Pin: pin, Options: options}); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
