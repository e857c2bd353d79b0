package sample_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
)

// A partialChip is a chip that may lack quantities.
type partialChip struct {
	*chip
	missing error
}

func (c *partialChip) Missing() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.missing
}

func (c *partialChip) lack(err error) { c.set(func(*chip) { c.missing = err }) }

// A chip that lacks one quantity is told of once, goes on giving the others,
// and its recovery is told. One visit that lacks it is no condition.
func TestQuantitiesThatAreMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &partialChip{chip: &chip{}}
		d := device("rack", "", c.chip)
		d.Open = func(ctx context.Context, bus io.Closer) (drivers.Sensor, error) {
			_, err := c.open(ctx, bus)
			return c, err
		}
		r := start(t, d)
		wait(100 * time.Millisecond)
		c.lack(errors.New("temperature2: its sensor is open"))
		wait(time.Second)
		c.lack(nil)
		wait(time.Second)
		if got := r.lines(); strings.Contains(got, "level=WARN") {
			t.Errorf("one visit without a quantity was told: %s", got)
		}
		c.lack(errors.New("temperature2: its sensor is open"))
		wait(10 * time.Second)
		got := r.lines()
		if strings.Count(got, "level=WARN") != 1 || !strings.Contains(got, "temperature2: its sensor is open. The others are read.") ||
			!strings.Contains(got, "condition=sensor_partial subject=rack") {
			t.Errorf("the log says %s", got)
		}
		if n := len(strings.Fields(r.times("rack"))); n != 13 {
			t.Errorf("%d readings of the others, want 13", n)
		}
		c.lack(nil)
		wait(time.Second)
		if got := r.lines(); !strings.Contains(got, "gives all of its quantities again") {
			t.Errorf("the end was not told: %s", got)
		}
		if list := r.health.List(); len(list) != 0 {
			t.Errorf("conditions are left: %v", list)
		}
	})
}
