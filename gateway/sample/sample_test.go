package sample_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/sample"
)

// bubble runs f in a synctest bubble.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func equal(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\ngot  %s\nwant %s", what, got, want)
	}
}

func TestFirstReadingAtOnceThenSpread(t *testing.T) {
	bubble(t, func(t *testing.T) {
		slow := device("c", "i2c-1", &chip{})
		slow.Interval = time.Hour
		r := start(t, device("a", "i2c-1", &chip{}), device("b", "i2c-1", &chip{}), slow, device("d", "", &chip{}))
		wait(2500 * time.Millisecond)
		equal(t, "a", r.times("a"), "0s 1s 2s")
		equal(t, "b", r.times("b"), "0s 333.333333ms 1.333333333s 2.333333333s")
		equal(t, "c", r.times("c"), "0s")
		equal(t, "d", r.times("d"), "0s 1s 2s")
		wait(3 * time.Hour)
		equal(t, "c", r.times("c"), "40m0s 1h40m0s 2h40m0s")
	})
}

func TestReadings(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := &chip{values: []drivers.Value{{Quantity: "pressure", Value: 1e5}, {Quantity: "temperature", Value: -3.5}}}
		d := device("bme", "sim-1", c)
		d.Quantities = append(d.Quantities, drivers.Quantity{Name: "pressure", Unit: "Pa"})
		d.Quality = gateway.Simulated
		r := start(t, d)
		wait(time.Second)
		states := r.States()
		if len(r.took) != 4 || len(states) != 1 || len(states[0].Channels) != 2 {
			t.Fatalf("got %v and %v", r.took, states)
		}
		first, third := r.took[0], r.took[2]
		if first.Channel != third.Channel || first.Channel != states[0].Channels[1] {
			t.Error("the readings of a channel do not share their channel")
		}
		if *first.Channel != (gateway.Channel{Device: "bme", Quantity: "pressure", Unit: "Pa"}) || first.Value != 1e5 ||
			first.Quality != gateway.Simulated {
			t.Errorf("got %+v of %+v", first, *first.Channel)
		}
		if r.took[1].Value != -3.5 || r.took[1].At != first.At || third.At.Sub(first.At) != time.Second {
			t.Errorf("got %+v", r.took)
		}
		s := states[0]
		if s.ID != "bme" || s.Driver != "lm75" || s.Bus != "sim-1" || s.State != sample.OK || s.Error != "" ||
			s.Interval != time.Second || !s.Since.Equal(r.began) {
			t.Errorf("state %+v", s)
		}
	})
}

// A visit that is slow makes its own bus late, by whole visits; they are
// counted and never made up for. Another bus notices nothing.
func TestSlowDevice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		slow := device("slow", "i2c-1", &chip{delay: 2300 * time.Millisecond})
		slow.Timeout = 5 * time.Second
		r := start(t, slow, device("beside", "i2c-1", &chip{}), device("other", "i2c-2", &chip{}))
		wait(7 * time.Second)
		equal(t, "slow", r.times("slow"), "2.3s 5.3s")
		equal(t, "beside", r.times("beside"), "2.3s 2.5s 5.3s 5.5s")
		equal(t, "other", r.times("other"), "0s 1s 2s 3s 4s 5s 6s 7s")
		if s := r.States(); s[0].Skipped != 4 || s[1].Skipped != 3 || s[2].Skipped != 0 {
			t.Errorf("skipped %d, %d and %d", s[0].Skipped, s[1].Skipped, s[2].Skipped)
		}
	})
}

func TestDeviceComesAndGoes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := &chip{err: fmt.Errorf("transfer with 0x48 on i2c-1: %w", drivers.ErrAbsent)}
		r := start(t, device("boiler", "i2c-1", c), device("tank", "i2c-1", &chip{}))
		wait(20 * time.Second)
		equal(t, "log", r.lines(), `level=ERROR msg="Device boiler (lm75 on i2c-1) gives no readings: open: transfer with 0x48 on i2c-1: no answer from the device. Check its power, wiring and address; it is tried again every 10s at most." condition=sensor_absent subject=boiler`+"\n")
		if s := r.States()[0]; s.State != sample.Absent || s.Error == "" || !s.Since.Equal(r.began) {
			t.Errorf("state %+v", s)
		}
		c.set(func(c *chip) { c.err = nil })
		wait(10 * time.Second)
		equal(t, "log", r.lines(),
			`level=INFO msg="Device boiler (lm75 on i2c-1) answers." condition=sensor_absent subject=boiler after=25s`+"\n")
		equal(t, "boiler", r.times("boiler"), "25s 26s 27s 28s 29s 30s")

		opens := c.opens
		c.set(func(c *chip) { c.err = drivers.ErrAbsent })
		wait(time.Second)
		equal(t, "log after one failed visit", r.lines(), "")
		wait(time.Second)
		equal(t, "log", r.lines(), `level=ERROR msg="Device boiler (lm75 on i2c-1) gives no readings: open: no answer from the device. Check its power, wiring and address; it is tried again every 10s at most." condition=sensor_absent subject=boiler`+"\n")
		c.set(func(c *chip) { c.err = nil })
		wait(4 * time.Second)
		equal(t, "boiler", r.times("boiler"), "34s 35s 36s")
		if c.opens != opens+2 || c.halts != 1 {
			t.Errorf("opened %d times and halted %d times, want 2 and 1", c.opens-opens, c.halts)
		}
		if got := strings.Count(r.times("tank"), " ") + 1; got != 1+36 {
			t.Errorf("the device beside it gave %d readings in 36 s", got)
		}
		if len(r.health.List()) != 0 {
			t.Errorf("conditions %v", r.health.List())
		}
	})
}

// One bad visit is made up for by the next; nothing is told.
func TestOneBadVisitIsNoCondition(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := &chip{}
		r := start(t, device("boiler", "i2c-1", c))
		wait(1500 * time.Millisecond)
		c.set(func(c *chip) { c.err = errors.New("checksum") })
		wait(time.Second)
		c.set(func(c *chip) { c.err = nil })
		wait(2 * time.Second)
		equal(t, "log", r.lines(), "")
		equal(t, "boiler", r.times("boiler"), "0s 1s 3s 4s")
	})
}

func TestFailingDevice(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(c *chip)
		words string
	}{
		"late":     {func(c *chip) { c.delay = time.Minute }, "read: no answer within 200ms"},
		"checksum": {func(c *chip) { c.err = errors.New("bad checksum") }, "bad checksum"},
		"no number": {func(c *chip) { c.values = []drivers.Value{{Quantity: "temperature", Value: math.NaN()}} },
			"no number for temperature"},
		"foreign quantity":  {func(c *chip) { c.values = []drivers.Value{{Quantity: "colour"}} }, `gave \"colour\", which`},
		"bus, but has none": {func(c *chip) { c.err = fmt.Errorf("chip: %w", drivers.ErrBus) }, "bus unusable"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				x := &chip{}
				r := start(t, device("boiler", "", x))
				wait(500 * time.Millisecond)
				x.set(c.spoil)
				wait(time.Minute)
				log := r.lines()
				if strings.Count(log, "\n") != 1 || !strings.Contains(log, c.words) ||
					!strings.Contains(log, "Device boiler (lm75) gives no readings") {
					t.Errorf("log:\n%s", log)
				}
				if s := r.States()[0]; s.State == sample.OK || s.Error == "" {
					t.Errorf("state %+v", s)
				}
				x.set(func(x *chip) {
					x.err, x.delay, x.values = nil, 0, []drivers.Value{{Quantity: "temperature"}}
				})
				wait(11 * time.Second)
				if log := r.lines(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "answers.") {
					t.Errorf("log after recovery:\n%s", log)
				}
			})
		})
	}
}

// A trouble that changes its nature is still the same trouble: told once.
func TestTroubleThatChangesIsToldOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := &chip{err: drivers.ErrAbsent}
		r := start(t, device("boiler", "i2c-1", c))
		for _, err := range []error{errors.New("checksum"), drivers.ErrAbsent, errors.New("checksum")} {
			wait(20 * time.Second)
			c.set(func(c *chip) { c.err = err })
		}
		wait(20 * time.Second)
		if log := r.lines(); strings.Count(log, "\n") != 1 {
			t.Errorf("log:\n%s", log)
		}
		list := r.health.List()
		if len(list) != 1 || list[0].Code != "sensor_absent" || !strings.Contains(list[0].Sentence, "checksum") ||
			r.States()[0].State != sample.Failing {
			t.Errorf("conditions %+v, state %+v", list, r.States()[0])
		}
	})
}

// Devices without a bus do not wait for each other.
func TestDevicesWithoutABusAreOnTheirOwn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		slow := device("slow", "", &chip{delay: time.Minute})
		slow.Timeout = time.Hour
		r := start(t, slow, device("board", "", &chip{}))
		wait(3 * time.Second)
		equal(t, "board", r.times("board"), "0s 1s 2s 3s")
	})
}

// The bus is taken away: one condition for the bus, none for its devices. When
// it returns, readings do within seconds, and every device was opened anew.
func TestBusGoneAndBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := &chip{}, &chip{}
		r := start(t, device("a", "i2c-1", a), device("b", "i2c-1", b), device("other", "i2c-2", &chip{}))
		wait(2600 * time.Millisecond)
		opens := r.wire.opens
		gone := fmt.Errorf("transfer with 0x48 on i2c-1: %w: no such device", drivers.ErrBus)
		a.set(func(c *chip) { c.err = gone })
		b.set(func(c *chip) { c.err = gone })
		wait(30 * time.Second)
		equal(t, "log", r.lines(), `level=ERROR msg="Bus i2c-1 cannot be used, so none of its devices is read (a, b): read: transfer with 0x48 on i2c-1: bus unusable: no such device. Check that it is enabled and wired; it is tried again every 10s at most." condition=bus_gone subject=i2c-1`+"\n")
		for _, s := range r.States()[:2] {
			if s.State != sample.Absent || s.Error == "" {
				t.Errorf("state %+v", s)
			}
		}
		if n := r.wire.opens - opens; n+1 != r.wire.closes || n < 4 || n > 6 || a.halts != 1 || b.halts != 1 {
			t.Errorf("opened %d times, closed %d times, halted %d and %d times", n, r.wire.closes, a.halts, b.halts)
		}
		_, _, _ = r.times("a"), r.times("b"), r.times("other")
		a.set(func(c *chip) { c.err = nil })
		b.set(func(c *chip) { c.err = drivers.ErrAbsent })
		wait(10 * time.Second)
		log := strings.Split(r.lines(), "\n")
		equal(t, "log", log[0], `level=INFO msg="Bus i2c-1 works again." condition=bus_gone subject=i2c-1 after=35s`)
		if len(log) != 3 || !strings.Contains(log[1], "condition=sensor_absent subject=b") {
			t.Errorf("log:\n%s", strings.Join(log, "\n"))
		}
		equal(t, "a", r.times("a"), "38s 39s 40s 41s 42s")
		if n := strings.Count(r.times("other"), " ") + 1; n != 10 {
			t.Errorf("the other bus gave %d readings in 10 s", n)
		}
	})
}

func TestBusThatCannotBeOpenedAtStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t)
		if err := r.stop(); err != nil {
			t.Errorf("without devices: %v", err)
		}
		w := &wire{err: errors.New("permission denied")}
		c := &chip{}
		r = startOn(t, w, device("a", "i2c-1", c))
		wait(5 * time.Second)
		if log := r.lines(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "(a): open i2c-1: bus unusable: permission denied.") {
			t.Errorf("log:\n%s", log)
		}
		w.set(fmt.Errorf("%w: /dev/i2c-1: no such file", drivers.ErrBus))
		wait(2 * time.Second)
		if s := r.States()[0]; s.Error != "open i2c-1: bus unusable: /dev/i2c-1: no such file" {
			t.Errorf("state %+v", s)
		}
		w.set(nil)
		wait(9 * time.Second)
		equal(t, "a", r.times("a"), "15s 16s")
		if c.opens != 1 {
			t.Errorf("opened %d times", c.opens)
		}
	})
}

// A visit that ignores its end stops its own bus only; that it does is told,
// and when it returns after all the bus goes on.
func TestVisitThatDoesNotReturn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		stuck := make(chan struct{})
		c := &chip{}
		r := start(t, device("a", "i2c-1", c), device("beside", "i2c-1", &chip{}), device("other", "i2c-2", &chip{}))
		wait(1200 * time.Millisecond)
		c.set(func(c *chip) { c.stuck = stuck })
		wait(time.Minute)
		equal(t, "log", r.lines(), `level=ERROR msg="Device a (lm75 on i2c-1) gives no readings: the visit does not return, and all of i2c-1 waits for it. Check its wiring and that the driver is the right one; it is tried again every 10s at most." condition=sensor_failing subject=a`+"\n")
		if n := strings.Count(r.times("other"), " ") + 1; n != 62 {
			t.Errorf("the other bus gave %d readings in 61 s", n)
		}
		if s := r.States()[0]; s.State != sample.Failing {
			t.Errorf("state %+v", s)
		}
		c.set(func(c *chip) { c.stuck = nil })
		close(stuck)
		wait(time.Second)
		if log := r.lines(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "answers.") {
			t.Errorf("log after it returned:\n%s", log)
		}
	})
}

func TestStopHaltsAndCloses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b, gone := &chip{}, &chip{delay: time.Hour}, &chip{err: drivers.ErrAbsent}
		slow := device("b", "i2c-2", b)
		slow.Timeout = time.Hour
		r := start(t, device("a", "i2c-1", a), slow, device("gone", "", gone))
		wait(1500 * time.Millisecond)
		stopped := time.Now()
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		if d := time.Since(stopped); d != 0 {
			t.Errorf("it took %v to stop", d)
		}
		if a.halts != 1 || b.halts != 1 || gone.halts != 0 || r.wire.closes != 2 {
			t.Errorf("halted %d, %d and %d times, closed %d buses", a.halts, b.halts, gone.halts, r.wire.closes)
		}
		if log := r.lines(); strings.Count(log, "\n") != 1 {
			t.Errorf("stopping was told:\n%s", log)
		}
	})
}

func TestStopNamesTheBusThatDoesNotEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		stuck := make(chan struct{})
		r := start(t, device("a", "i2c-1", &chip{stuck: stuck}), device("b", "i2c-2", &chip{}))
		wait(time.Second)
		stopped := time.Now()
		err := r.stop()
		if err == nil || err.Error() != "stop sampling: a visit does not return: i2c-1" || time.Since(stopped) != 2*time.Second {
			t.Errorf("got %v after %v", err, time.Since(stopped))
		}
		close(stuck)
	})
}

// lister is a chip that says what it has once it is open.
type lister struct{ *chip }

func (l lister) Quantities() []drivers.Quantity {
	var qs []drivers.Quantity
	for _, v := range l.values {
		qs = append(qs, drivers.Quantity{Name: v.Quantity, Unit: "1"})
	}
	return qs
}

func (l lister) openLister(ctx context.Context, bus io.Closer) (drivers.Sensor, error) {
	if _, err := l.open(ctx, bus); err != nil {
		return nil, err
	}
	return l, nil
}

func TestSensorThatListsItsQuantities(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := &chip{values: []drivers.Value{{Quantity: "load"}}}
		d := device("board", "", c)
		d.Quantities = nil
		d.Open = lister{c}.openLister
		r := start(t, d)
		wait(0)
		first := r.States()[0].Channels
		if len(first) != 1 || *first[0] != (gateway.Channel{Device: "board", Quantity: "load", Unit: "1"}) {
			t.Fatalf("channels %v", first)
		}
		// It is lost, and has more quantities than allowed when it returns.
		c.set(func(c *chip) { c.err = drivers.ErrAbsent })
		wait(time.Second)
		c.set(func(c *chip) {
			c.err = nil
			for i := range 100 {
				c.values = append(c.values, drivers.Value{Quantity: fmt.Sprint("q", i)})
			}
		})
		wait(time.Second)
		channels := r.States()[0].Channels
		if len(channels) != sample.MaxListed || channels[0] != first[0] {
			t.Errorf("%d channels, the first %p, before %p", len(channels), channels[0], first[0])
		}
		if n := len(r.took); n != 1+sample.MaxListed {
			t.Errorf("%d readings", n)
		}
		equal(t, "log", r.lines(), "")
	})
}
