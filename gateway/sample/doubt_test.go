package sample_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
	"github.com/fieldgate/fieldgate/gateway"
)

// What a driver doubts is stored as suspect, its neighbours as good. Begin and
// end are told once, however often the value comes back for a moment.
func TestValuesInDoubt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := &chip{}
		d := device("adc", "i2c-1", c)
		d.Quality = gateway.Good
		d.Quantities = append(d.Quantities, drivers.Quantity{Name: "voltage", Unit: "V"})
		say := func(doubt string) {
			c.set(func(c *chip) {
				c.values = []drivers.Value{{Quantity: "temperature", Value: 20}, {Quantity: "voltage", Value: 2.048, Doubt: doubt}}
			})
		}
		say("")
		r := start(t, d)
		for range 3 { // two visits in doubt, two not
			wait(2 * time.Second)
			say("input clipped")
			wait(2 * time.Second)
			say("")
		}
		told := r.lines()
		if strings.Count(told, "level=WARN") != 1 || !strings.Contains(told, "condition=sensor_suspect subject=adc") ||
			!strings.Contains(told, "The voltage of device adc (lm75 on i2c-1) may be wrong: input clipped.") {
			t.Errorf("the log says %s", told)
		}
		for _, x := range r.all() {
			want := gateway.Good
			if x.Channel.Quantity == "voltage" && x.after/time.Second%4 >= 2 {
				want = gateway.Suspect
			}
			// At the moment of a change, either is right.
			if x.Quality != want && x.after%(2*time.Second) != 0 {
				t.Errorf("%s after %v is %v, want %v", x.Channel.Quantity, x.after, x.Quality, want)
			}
		}
		wait(10 * time.Second)
		if told := r.lines(); strings.Count(told, "are good again") != 1 {
			t.Errorf("the log says %s", told)
		}
		if list := r.health.List(); len(list) != 0 {
			t.Errorf("conditions are left: %v", list)
		}
	})
}
