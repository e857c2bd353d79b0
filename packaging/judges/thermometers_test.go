package judges

import (
	"testing"
	"time"

	periphmcp "periph.io/x/devices/v3/mcp9808"
	"tinygo.org/x/drivers/ds3231"
	"tinygo.org/x/drivers/mcp9808"
)

var mcp9808Proofs = []proof{
	{chip: "MCP9808", driver: "mcp9808", judge: "A", by: periph, try: func(t *testing.T) {
		s := newSubject(t, "mcp9808", nil)
		d, err := periphmcp.New(s.bus, &periphmcp.DefaultOpts)
		if err != nil {
			t.Fatal(err)
		}
		s.agree("temperature", 1e-6, []float64{-40, -25.0625, -0.0625, 0, 0.0625, 21.5, 99.9375, 125}, func() (float64, error) {
			v, err := d.SenseTemp()
			return v.Celsius(), err
		})
	}},
	{chip: "MCP9808", driver: "mcp9808", judge: "A", by: tinygo,
		dispute: "below zero it drops the sign, against DS25095A equation 5-1", try: func(t *testing.T) {
			s := newSubject(t, "mcp9808", nil)
			d := mcp9808.New(s.bus)
			if !d.Connected() {
				t.Error("it does not find the chip")
			}
			s.agree("temperature", 1e-6, []float64{0, 0.0625, 21.5, 99.9375, 125}, d.ReadTemperature)
		}},
	{chip: "MCP9808", driver: "mcp9808", judge: "E", by: "datasheet DS25095A, equation 5-1 and the code below it: 0xc194 is 25.25 Cel",
		try: func(t *testing.T) { reads(t, "mcp9808", nil, 25.25, 0x05, 0xc1, 0x94) }},
	{chip: "TMP117", driver: "tmp117", judge: "E", by: "datasheet SNOSD82, table 7-1", try: func(t *testing.T) {
		for temp, raw := range map[float64]uint16{-25: 0xf380, -0.125: 0xfff0, -0.0078125: 0xffff, 0: 0, 0.0078125: 1, 25: 0x0c80, 100: 0x3200} {
			reads(t, "tmp117", nil, temp, 0x00, byte(raw>>8), byte(raw))
		}
	}},
	{chip: "LM75", driver: "lm75", judge: "E", by: "datasheet SNIS153, temperature register", try: func(t *testing.T) {
		for temp, raw := range map[float64]uint16{125: 0x0fa, 25: 0x032, 0.5: 0x001, 0: 0, -0.5: 0x1ff, -25: 0x1ce, -55: 0x192} {
			reads(t, "lm75", map[string]any{"model": "lm75"}, temp, 0, byte(raw>>1), byte(raw<<7))
		}
	}},
	{chip: "TMP105", driver: "lm75", judge: "E", by: "datasheet SBOS648, table 5", try: func(t *testing.T) {
		for temp, raw := range map[float64]uint16{100: 0x640, 80: 0x500, 75: 0x4b0, 50: 0x320, 25: 0x190, 0.25: 4, 0: 0, -0.25: 0xffc,
			-25: 0xe70, -55: 0xc90} {
			reads(t, "lm75", map[string]any{"model": "tmp105"}, temp, 0, byte(raw>>4), byte(raw<<4))
		}
	}},
	{chip: "DS3231", driver: "ds3231", judge: "A", by: tinygo, try: func(t *testing.T) {
		s := newSubject(t, "ds3231", nil)
		d := ds3231.New(s.bus)
		s.agree("temperature", 1e-6, []float64{-40, -25.25, -0.25, 0, 0.25, 21.5, 85}, func() (float64, error) {
			milli, err := d.ReadTemperature()
			return float64(milli) / 1000, err
		})
	}},
	{chip: "DS3231", driver: "ds3231", judge: "E", by: "datasheet 19-5170, temperature registers: 00011001 01b is 25.25 Cel",
		try: func(t *testing.T) { reads(t, "ds3231", nil, 25.25, 0x11, 0x19, 0x40) }},
}

// reads makes the temperature what an example says, and wants the register of
// that page and the same temperature from the driver. Flags above the sign of
// an MCP9808 are those of its limits, which are all 0 here.
func reads(t *testing.T, driver string, options map[string]any, temp float64, reg byte, want ...byte) {
	t.Helper()
	s := newSubject(t, driver, options)
	s.set("temperature", temp)
	time.Sleep(time.Minute + 4*time.Second) // so long a DS3231 keeps its last one
	if got := s.visit()["temperature"]; got.Value != temp || got.Doubt != "" {
		t.Errorf("ours reads %+v, want %v", got, temp)
	}
	r := make([]byte, len(want))
	if err := s.bus.Tx(s.driver.Address, []byte{reg}, r); err != nil || string(r) != string(want) {
		t.Errorf("%v: register 0x%02x is %x, want %x (%v)", temp, reg, r, want, err)
	}
}
