package judges

import (
	"testing"
	"time"

	"gobot.io/x/gobot/v2/drivers/i2c"
	"tinygo.org/x/drivers/bmp388"
)

var bmp3Pressures = append([]float64{120000, 125000}, bmxPressures...)

var bmp3xxProofs = []proof{
	{chip: "BMP388", driver: "bmp388", judge: "A", by: tinygo, try: func(t *testing.T) {
		s := newSubject(t, "bmp388", nil)
		d := bmp388.New(s.bus)
		if !d.Connected() {
			t.Error("it does not find the chip")
		}
		ready := func() {
			if err := d.Configure(bmp388.Config{Mode: bmp388.Normal, Pressure: bmp388.Sampling4X}); err != nil {
				t.Error(err)
			}
			time.Sleep(20 * time.Millisecond)
		}
		s.agree("temperature", 0.011, bmxTemperatures, func() (float64, error) {
			ready()
			v, err := d.ReadTemperature()
			return float64(v) / 100, err
		})
		s.agree("pressure", 0.1, bmp3Pressures, func() (float64, error) {
			ready()
			v, err := d.ReadPressure()
			return float64(v) / 100, err
		})
	}},
	{chip: "BMP388", driver: "bmp388", judge: "A", by: gobot, try: func(t *testing.T) {
		s := newSubject(t, "bmp388", nil)
		d := i2c.NewBMP388Driver(gobotBus{s.bus}, i2c.WithAddress(0x77))
		if err := d.Start(); err != nil {
			t.Fatal(err)
		}
		// It does not wait for the measurement that it begins, and so it reads the one of ours.
		s.agree("temperature", 0.001, bmxTemperatures, func() (float64, error) {
			v, err := d.Temperature(i2c.BMP388AccuracyUltraLow)
			time.Sleep(20 * time.Millisecond)
			return float64(v), err
		})
		s.agree("pressure", 0.2, bmp3Pressures, func() (float64, error) {
			v, err := d.Pressure(i2c.BMP388AccuracyStandard)
			time.Sleep(20 * time.Millisecond)
			return float64(v), err
		})
	}},
	{chip: "BMP388", driver: "bmp388", judge: "E", by: "registers of a real chip in gobot's test: 22.906143 Cel, 98874.85 Pa",
		try: func(t *testing.T) {
			// The simulated chip has its calibration: at these values it must say the raw values of it.
			s := newSubject(t, "bmp388", nil)
			s.set("temperature", 22.906143)
			s.set("pressure", 98874.85)
			s.visit()
			var r [6]byte
			if err := s.bus.Tx(0x77, []byte{0x04}, r[:]); err != nil {
				t.Fatal(err)
			}
			p := int(r[0]) | int(r[1])<<8 | int(r[2])<<16
			c := int(r[3]) | int(r[4])<<8 | int(r[5])<<16
			if !near(float64(p), 0x714200, 8) || !near(float64(c), 0x7f1c00, 8) {
				t.Errorf("raw pressure %06x and temperature %06x, want 714200 and 7f1c00", p, c)
			}
		}},
}
