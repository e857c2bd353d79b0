package lm75

import (
	"testing"
	"time"

	"github.com/fieldgate/fieldgate/drivers"
)

// step is a transfer and what shall be read.
type step struct{ w, r string }

func play(t *testing.T, c drivers.Chip, steps []step) {
	t.Helper()
	for _, s := range steps {
		r := make([]byte, len(s.r))
		if err := c.Tx([]byte(s.w), r); err != nil || string(r) != s.r {
			t.Errorf("after % x: read % x, %v, want % x", s.w, r, err, s.r)
		}
	}
}

func simulated(model string, now *time.Duration, temp *float64) drivers.Chip {
	return simulate(drivers.Simulation{
		Clock:   func() time.Duration { return *now },
		Powered: *now,
		Curves:  map[string]drivers.Curve{"temperature": func(time.Duration) float64 { return *temp }},
		Options: map[string]any{"model": model},
	})
}

func TestLM75Registers(t *testing.T) {
	for _, c := range []struct {
		kind  string
		temp  float64
		steps []step
	}{
		{"tmp105", 23.456, []step{
			{"\x01", "\x00"}, {"\x02", "\x4b\x00"}, {"\x03", "\x50\x00"},
			{"\x00", "\x17\x00"},                   // 9 bits: 23.0
			{"\x01\x20", ""}, {"\x00", "\x17\x40"}, // 10 bits: 23.25
			{"\x01\x40", ""}, {"\x00", "\x17\x60"}, // 11 bits: 23.375
			{"\x01\x60", ""}, {"\x00", "\x17\x70"}, // 12 bits: 23.4375
			{"", "\x17\x70"}, {"\x01", "\x60"}, // the pointer stays
			{"\x03\x21\x80", ""}, {"\x03", "\x21\x80"}, // a limit
			{"\x00", "\x17\x70\x17\x70"}, // read on
		}},
		{"tmp105", -5.25, []step{{"\x00", "\xfa\x80"}, {"\x01\x60", ""}, {"\x00", "\xfa\xc0"}}},
		{"tmp105", -0.0625, []step{{"\x00", "\xff\x80"}, {"\x01\x60", ""}, {"\x00", "\xff\xf0"}}},
		{"lm75", 23.456, []step{{"\x01\xff", ""}, {"\x01", "\x1f"}, {"\x01\x00", ""}, {"\x00", "\x17\x00"}}},
		{"tmp102", 23.456, []step{{"\x01", "\x60\xa0"}, {"\x00", "\x17\x70"}, {"\x01\x00\x00", ""}, {"\x01", "\x60\x20"}}},
		{"tmp105", -0.001, []step{{"\x01\x60", ""}, {"\x00", "\xff\xf0"}}}, // down, not towards 0
		{"tmp105", 1000, []step{{"\x00", "\x7f\x80"}}},
		{"tmp105", -1000, []step{{"\x00", "\x80\x00"}}},
	} {
		now := time.Duration(0)
		chip := simulated(c.kind, &now, &c.temp)
		play(t, chip, []step{{"\x00", "\x00\x00"}}) // before the first conversion
		now = time.Second
		play(t, chip, c.steps)
		chip.Reset()
		play(t, chip, []step{{"", "\x00\x00"}})
	}
}

func TestLM75ShutdownKeepsTheLastTemperature(t *testing.T) {
	now, temp := time.Second, 20.0
	chip := simulated("tmp105", &now, &temp)
	now = 2 * time.Second
	play(t, chip, []step{{"\x00", "\x14\x00"}, {"\x01\x01", ""}})
	temp = 30
	play(t, chip, []step{{"\x00", "\x14\x00"}, {"\x01\x00", ""}, {"\x00", "\x1e\x00"}})
}
