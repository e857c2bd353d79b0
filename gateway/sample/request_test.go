package sample_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/gateway"
	"github.com/fieldgate/fieldgate/gateway/clock"
	"github.com/fieldgate/fieldgate/gateway/sample"
)

// A visit that somebody asks for comes between the planned ones, shifts none of
// them, and gives no reading to the sink.
func TestVisitOnRequest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := &chip{delay: 30 * time.Millisecond}
		r := start(t, device("a", "i2c-1", c), device("b", "i2c-1", &chip{delay: 100 * time.Millisecond}))
		wait(1400 * time.Millisecond)
		v, err := r.Visit(t.Context(), "a")
		if err != nil || len(v.Readings) != 1 || v.Readings[0].Value != 20 || v.Took != 30*time.Millisecond || v.Waited != 0 {
			t.Errorf("got %+v, %v", v, err)
		}
		wait(120 * time.Millisecond) // b is being visited, from 1.5 s to 1.6 s
		v, err = r.Visit(t.Context(), "a")
		if err != nil || v.Waited != 50*time.Millisecond || v.Took != 30*time.Millisecond {
			t.Errorf("behind another device: %+v, %v", v, err)
		}
		wait(2 * time.Second)
		equal(t, "a", r.times("a"), "30ms 1.03s 2.03s 3.03s")
		equal(t, "log", r.lines(), "")
		if c.opens != 1 {
			t.Errorf("opened %d times", c.opens)
		}
	})
}

// However often somebody asks, every planned visit takes place.
func TestManyRequestsLeaveThePlanAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, device("a", "i2c-1", &chip{delay: time.Millisecond}), device("b", "i2c-1", &chip{}))
		ctx, cancel := context.WithTimeout(t.Context(), 10500*time.Millisecond)
		defer cancel()
		asked := 0
		for ; ctx.Err() == nil; asked++ {
			if _, err := r.Visit(ctx, "a"); err != nil && ctx.Err() == nil {
				t.Fatal(err)
			}
		}
		wait(0)
		if got := strings.Count(r.times("b"), " ") + 1; asked < 9000 || got != 12 {
			t.Errorf("%d visits asked for; %d readings of the other device", asked, got)
		}
		if s := r.States(); s[0].Skipped+s[1].Skipped != 0 {
			t.Errorf("skipped %d and %d visits", s[0].Skipped, s[1].Skipped)
		}
	})
}

// Who mends a wire and asks has its readings back at once, not after the
// back-off.
func TestRequestFindsASickDeviceWell(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := &chip{err: drivers.ErrAbsent}
		r := start(t, device("a", "i2c-1", c))
		wait(20 * time.Second)
		_ = r.lines()
		if _, err := r.Visit(t.Context(), "a"); !errors.Is(err, drivers.ErrAbsent) {
			t.Errorf("a device that is absent: %v", err)
		}
		c.set(func(c *chip) { c.err = nil })
		if v, err := r.Visit(t.Context(), "a"); err != nil || len(v.Readings) != 1 {
			t.Errorf("a device that is back: %+v, %v", v, err)
		}
		wait(0)
		equal(t, "a", r.times("a"), "20s")
		if s := r.States()[0]; s.State != sample.OK {
			t.Errorf("state %+v", s)
		}
	})
}

// A request that fails is no condition: the plan finds out by itself.
func TestRequestThatFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := &chip{}
		r := start(t, device("a", "i2c-1", c))
		wait(500 * time.Millisecond)
		c.set(func(c *chip) { c.err = errors.New("checksum") })
		if _, err := r.Visit(t.Context(), "a"); err == nil || err.Error() != "read: checksum" {
			t.Errorf("got %v", err)
		}
		c.set(func(c *chip) { c.err = nil })
		wait(time.Second)
		equal(t, "a", r.times("a"), "0s 1s")
		equal(t, "log", r.lines(), "")
		if c.opens != 2 {
			t.Errorf("opened %d times", c.opens)
		}
		if _, err := r.Visit(t.Context(), "b"); !errors.Is(err, sample.ErrNoDevice) {
			t.Errorf("a device that is not there: %v", err)
		}
	})
}

// A visit that does not return holds up who asks no longer than that wants to
// wait; after the end of sampling nobody waits at all.
func TestRequestDoesNotWaitForEver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		stuck := make(chan struct{})
		c := &chip{stuck: stuck}
		r := start(t, device("a", "i2c-1", c), device("b", "i2c-1", &chip{}))
		wait(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := r.Visit(ctx, "b")
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "i2c-1 is busy with another visit") {
			t.Errorf("behind a visit that does not return: %v", err)
		}
		c.set(func(c *chip) { c.stuck = nil })
		close(stuck)
		wait(0)
		again := make(chan struct{})
		c.set(func(c *chip) { c.stuck = again })
		ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := r.Visit(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "the visit does not return") {
			t.Errorf("a visit that does not return: %v", err)
		}
		close(again)
		wait(0)
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		if _, err := r.Visit(t.Context(), "b"); err == nil || err.Error() != "sampling has stopped" {
			t.Errorf("after the stop: %v", err)
		}
	})
}

func TestWithBus(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := &wire{}
		r := startOn(t, w, device("a", "i2c-1", &chip{}), device("alone", "", &chip{}))
		wait(500 * time.Millisecond)
		ran := 0
		err := r.WithBus(t.Context(), "i2c-1", func(bus io.Closer) error {
			if bus != io.Closer(w) {
				t.Errorf("got another bus: %v", bus)
			}
			ran++
			return errors.New("as it says")
		})
		if err == nil || err.Error() != "as it says" || ran != 1 || w.opens != 1 {
			t.Errorf("%v, ran %d times, opened %d times", err, ran, w.opens)
		}
		for _, name := range []string{"i2c-2", ""} {
			if err := r.WithBus(t.Context(), name, func(io.Closer) error { return nil }); !errors.Is(err, sample.ErrNoBus) {
				t.Errorf("bus %q: %v", name, err)
			}
		}
	})
}

// Without a sampler the device and the bus are opened for the one visit.
func TestOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, w := &chip{}, &wire{}
		o := sample.Options{Devices: []sample.Device{device("a", "i2c-1", c)}, OpenBus: w.open, Stamp: clock.NewFake(gateway.BootID{}).Stamp}
		v, err := sample.Once(t.Context(), o)
		if err != nil || len(v.Readings) != 1 || v.Readings[0].Value != 20 || c.opens != 1 || c.halts != 1 || w.opens != 1 || w.closes != 1 {
			t.Errorf("%+v, %v, %+v, %+v", v, err, c, w)
		}
		c.err = fmt.Errorf("transfer: %w", drivers.ErrAbsent)
		if _, err := sample.Once(t.Context(), o); err == nil || err.Error() != "open: transfer: no answer from the device" || w.closes != 2 {
			t.Errorf("%v, %+v", err, w)
		}
	})
}

// A chip that measures for a while is read in two steps also for a request, and
// holds up nobody. Plan and requests never start it while it measures.
func TestRequestOfAChipThatTakesAWhile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := &slowChip{chip: &chip{}, takes: 700 * time.Millisecond, t: t}
		slow := device("slow", "i2c-1", c.chip)
		slow.Open = func(context.Context, io.Closer) (drivers.Sensor, error) { return c, nil }
		r := start(t, slow, device("fast", "i2c-1", &chip{}))
		wait(1800 * time.Millisecond) // it was read at 0.7 s and 1.7 s
		var asking sync.WaitGroup
		for range 2 {
			asking.Go(func() {
				if v, err := r.Visit(t.Context(), "slow"); err != nil || len(v.Readings) != 1 {
					t.Errorf("got %+v, %v", v, err)
				}
			})
		}
		began := time.Now()
		asking.Wait()
		if d := time.Since(began); d < 1400*time.Millisecond || d > 2200*time.Millisecond {
			t.Errorf("two requests took %v", d)
		}
		// Who goes away after the start is not waited for longer than patience.
		wait(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
		defer cancel()
		_, err := r.Visit(ctx, "slow")
		if err == nil {
			ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, err = r.Visit(ctx, "slow")
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who went away was told %v", err)
		}
		_ = r.times("slow")
		wait(10 * time.Second)
		if n := len(strings.Fields(r.times("slow"))); n < 8 {
			t.Errorf("%d readings in 10 s after that", n)
		}
		equal(t, "log", r.lines(), "")
		equal(t, "fast", r.times("fast")[:26], "0s 500ms 1.5s 2.5s 3.5s 4.")
	})
}
