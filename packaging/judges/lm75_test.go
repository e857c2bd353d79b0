package judges

import (
	"testing"

	"periph.io/x/conn/v3/physic"
	devices "periph.io/x/devices/v3/tmp102"
	"tinygo.org/x/drivers/tmp102"
)

var temperatures = []float64{-55, -40.0625, -25, -0.5, -0.0625, 0, 0.0625, 21.5, 61.5, 100, 127.9375}

var lm75Proofs = []proof{
	{chip: "TMP102", driver: "lm75", judge: "A", by: tinygo, try: func(t *testing.T) {
		s := newSubject(t, "lm75", map[string]any{"model": "tmp102"})
		d := tmp102.New(s.bus)
		d.Configure(tmp102.Config{})
		// It gives thousandths, cut: 0.0625 is 62.
		s.agree("temperature", 0.001, temperatures, func() (float64, error) {
			milli, err := d.ReadTemperature()
			return float64(milli) / 1000, err
		})
	}},
	{chip: "TMP102", driver: "lm75", judge: "A", by: periph, try: func(t *testing.T) {
		s := newSubject(t, "lm75", map[string]any{"model": "tmp102"})
		d, err := devices.NewI2C(s.bus, 0x48, nil)
		if err != nil {
			t.Fatal(err)
		}
		s.agree("temperature", 1e-6, temperatures, func() (float64, error) {
			var env physic.Env
			err := d.Sense(&env)
			return env.Temperature.Celsius(), err
		})
	}},
}
