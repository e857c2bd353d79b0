package bh1750

import (
	"fmt"
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
)

// The instructions that the driver does not send.
func TestInstructions(t *testing.T) {
	now := time.Duration(0)
	c := simulate(drivers.Simulation{
		Clock:  func() time.Duration { return now },
		Curves: map[string]drivers.Curve{"illuminance": func(at time.Duration) float64 { return 100 * at.Seconds() }},
	})
	for i, s := range []struct {
		after time.Duration
		w, r  string
	}{
		{0, "", "0000"},
		{0, "10", "0000"}, {119 * time.Millisecond, "", "0000"},
		{time.Millisecond, "", "000e"},       // 12 lx at 0.12 s
		{240 * time.Millisecond, "", "002b"}, // two measurements later
		{0, "11", "002b"},                    // another mode keeps the data
		{120 * time.Millisecond, "", "0073"}, // half steps: 48 lx
		{0, "07", "0000"},                    // reset of the data
		{120 * time.Millisecond, "00", "0090"},
		{time.Second, "07", "0090"},                            // nothing happens in power-down mode
		{0, "13", "0090"}, {16 * time.Millisecond, "", "00c0"}, // 161.6 lx, in steps of 4
		{0, "47", ""}, {0, "7e", ""}, {0, "20", "00c0"}, // one measurement, at a time of 254
		{441 * time.Millisecond, "", "00c0"}, {time.Millisecond, "", "038d"},
		{time.Minute, "", "038d"},
	} {
		now += s.after
		var w []byte
		if _, err := fmt.Sscanf(s.w, "%x", &w); s.w != "" && err != nil {
			t.Fatal(err)
		}
		r := make([]byte, len(s.r)/2)
		if err := c.Tx(w, r); err != nil || fmt.Sprintf("%x", r) != s.r {
			t.Errorf("step %d at %v, %s: %x, %v, want %s", i, now, s.w, r, err, s.r)
		}
	}
	if c.Reset(); c.(*chip).time != usualTime {
		t.Error("a power cycle keeps the measurement time")
	}
}
