package sample_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/gateway/sample"
)

// A mains is a line that switches a chip, and notes when it did.
type mains struct {
	chip  *chip
	began time.Time

	mu    sync.Mutex // guards what follows
	heals bool       // the chip answers when its power came back
	err   error
	told  []string
}

func (m *mains) set(f func(m *mains)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(m)
}

// switched says when the line was switched, and how.
func (m *mains) switched() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.told)
}

func (m *mains) change(on bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	m.noteLocked(map[bool]string{true: "on", false: "off"}[on])
	m.chip.set(func(c *chip) {
		if on && m.heals && len(m.told) > 1 {
			c.err = nil
		}
	})
	return nil
}

func (m *mains) release() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.noteLocked("released")
	return nil
}

func (m *mains) noteLocked(what string) {
	m.told = append(m.told, fmt.Sprint(time.Since(m.began).Round(time.Second), " ", what))
}

// on gives a device behind the line. Its supply is switched off for 2 s after 3
// times in vain, at most once in a minute.
func (m *mains) on(id string) sample.Device {
	m.began = time.Now()
	d := device(id, "i2c-1", m.chip)
	d.Supply = &sample.Supply{Line: "GPIO5", Switch: m.change, Release: m.release, Off: 2 * time.Second, After: 3, Most: 1,
		Within: time.Minute}
	return d
}

// A chip that hangs is switched off and on, and answers. Its neighbour sees
// nothing of it.
func TestSupplyOfASickDevice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &mains{chip: &chip{}, heals: true}
		r := start(t, m.on("sick"), device("well", "i2c-1", &chip{}))
		wait(10 * time.Second)
		r.events()
		m.chip.set(func(c *chip) { c.err = errors.New("data line held down") })
		wait(time.Minute)
		equal(t, "switched", fmt.Sprint(m.switched()), "[0s on 18s off 20s on]")
		equal(t, "events", r.events(), "sick failing; sick cut GPIO5; sick ok; ")
		if s := r.States(); s[0].State != sample.OK || s[1].State != sample.OK || s[1].Skipped > 0 {
			t.Errorf("states %+v", s)
		}
		var last time.Duration
		for _, x := range r.all() {
			if x.Channel.Device != "well" {
				continue
			}
			if x.after-last > time.Second {
				t.Errorf("the neighbour was not read from %v to %v", last, x.after)
			}
			last = x.after
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		equal(t, "at the end", m.switched()[3], "1m10s released")
	})
}

// A chip that is broken is switched off once a minute, and no oftener; the
// line is left on.
func TestSupplyIsNotSwitchedOftenerThanAllowed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &mains{chip: &chip{err: drivers.ErrAbsent}}
		r := start(t, m.on("broken"))
		wait(10 * time.Minute)
		off := 0
		for _, s := range m.switched() {
			if s[len(s)-3:] == "off" {
				off++
			}
		}
		if off < 9 || off > 10 {
			t.Errorf("switched off %d times in 10 minutes: %v", off, m.switched())
		}
		if n := len(slices.Collect(eachEvent(r, "broken absent"))); n != 1 {
			t.Errorf("told absent %d times", n)
		}
	})
}

// A stop while the supply is off switches it on.
func TestSupplyIsLeftOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &mains{chip: &chip{err: drivers.ErrAbsent}}
		r := start(t, m.on("broken"))
		for len(m.switched()) < 2 {
			wait(100 * time.Millisecond)
		}
		wait(time.Second)
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		equal(t, "line", fmt.Sprint(m.switched()[2:]), "[4s on 4s released]")
	})
}

// A bus that is taken away by a chip on it counts as well.
func TestSupplyOfADeviceWhoseBusIsGone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &mains{chip: &chip{}}
		r := start(t, m.on("sick"))
		wait(5 * time.Second)
		m.chip.set(func(c *chip) { c.err = drivers.ErrBus })
		m.set(func(m *mains) { m.heals = true })
		wait(time.Minute)
		equal(t, "events", r.events(), "i2c-1 gone; sick cut GPIO5; i2c-1 back; ")
	})
}

// A line that cannot be taken is told once, and the device is read.
func TestSupplyThatCannotBeSwitched(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &mains{chip: &chip{}, err: errors.New("in use by \"pump\"")}
		r := start(t, m.on("well"))
		wait(time.Minute)
		equal(t, "events", r.events(), "well stuck GPIO5; ")
		if s := r.States()[0]; s.State != sample.OK || len(r.health.List()) != 1 {
			t.Errorf("%+v, told %v", s, r.health.List())
		}
		m.set(func(m *mains) { m.err = nil })
		wait(2 * time.Second)
		if len(r.health.List()) != 0 || len(m.switched()) != 1 {
			t.Errorf("told %v, switched %v", r.health.List(), m.switched())
		}
	})
}
