package judges

import (
	"testing"

	"gobot.io/x/gobot/v2/drivers/i2c"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/devices/v3/bmxx80"
	"tinygo.org/x/drivers/bme280"
	"tinygo.org/x/drivers/bmp280"
)

// Within what the chips are specified for.
var (
	bmxTemperatures = []float64{-40, -25.3, -5, -0.01, 0, 0.01, 21.5, 25.08, 48, 60, 85}
	bmxPressures    = []float64{30000, 50000.5, 87000, 100653, 101325, 108000, 110000}
	bmxHumidities   = []float64{0, 5, 20.5, 45, 62.5, 80, 99}
)

var bmx280Proofs = []proof{
	{chip: "BME280", driver: "bme280", judge: "A", by: periph, try: func(t *testing.T) { periphBMx280(t, "bme280") }},
	{chip: "BMP280", driver: "bmp280", judge: "A", by: periph, try: func(t *testing.T) { periphBMx280(t, "bmp280") }},
	{chip: "BME280", driver: "bme280", judge: "A", by: tinygo, try: func(t *testing.T) {
		s := newSubject(t, "bme280", nil)
		d := bme280.New(s.bus)
		d.Address = 0x76
		d.ConfigureWithSettings(bme280.Config{Mode: bme280.ModeForced, Temperature: bme280.Sampling1X,
			Pressure: bme280.Sampling4X, Humidity: bme280.Sampling1X})
		s.agree("temperature", 0.011, bmxTemperatures, func() (float64, error) {
			v, err := d.ReadTemperature()
			return float64(v) / 1000, err
		})
		s.agree("pressure", 2, bmxPressures, func() (float64, error) {
			v, err := d.ReadPressure()
			return float64(v) / 1000, err
		})
		s.agree("humidity", 0.05, bmxHumidities, func() (float64, error) {
			v, err := d.ReadHumidity()
			return float64(v) / 100, err
		})
	}},
	{chip: "BMP280", driver: "bmp280", judge: "A", by: tinygo, try: func(t *testing.T) {
		s := newSubject(t, "bmp280", nil)
		d := bmp280.New(s.bus)
		d.Address = 0x76
		d.Configure(bmp280.STANDBY_125MS, bmp280.FILTER_OFF, bmp280.SAMPLING_1X, bmp280.SAMPLING_4X, bmp280.MODE_FORCED)
		s.agree("temperature", 0.011, bmxTemperatures, func() (float64, error) {
			v, err := d.ReadTemperature()
			return float64(v) / 1000, err
		})
		s.agree("pressure", 2, bmxPressures, func() (float64, error) {
			v, err := d.ReadPressure()
			return float64(v) / 1000, err
		})
	}},
	{chip: "BME280", driver: "bme280", judge: "A", by: gobot, try: func(t *testing.T) {
		s := newSubject(t, "bme280", nil)
		d := i2c.NewBME280Driver(gobotBus{s.bus}, i2c.WithAddress(0x76), i2c.WithBME280HumidityOversampling(i2c.BME280CtrlHumidityOversampling1))
		if err := d.Start(); err != nil {
			t.Fatal(err)
		}
		gobotBMx280(s, d.BMP280Driver)
		s.agree("humidity", 0.05, bmxHumidities, func() (float64, error) {
			v, err := d.Humidity()
			return float64(v), err
		})
	}},
	{chip: "BMP280", driver: "bmp280", judge: "A", by: gobot, try: func(t *testing.T) {
		s := newSubject(t, "bmp280", nil)
		d := i2c.NewBMP280Driver(gobotBus{s.bus}, i2c.WithAddress(0x76))
		if err := d.Start(); err != nil {
			t.Fatal(err)
		}
		gobotBMx280(s, d)
	}},
	{chip: "BMP280", driver: "bmp280", judge: "E", by: "datasheet BST-BMP280-DS001, 3.12: 25.08 Cel, 100653.27 Pa", try: func(t *testing.T) {
		// The simulated chip has the calibration of that page: at these values it
		// must say the raw values of the page.
		s := newSubject(t, "bmp280", nil)
		s.set("temperature", 25.0825)
		s.set("pressure", 100653.27)
		s.visit()
		var r [6]byte
		if err := s.bus.Tx(0x76, []byte{0xf7}, r[:]); err != nil {
			t.Fatal(err)
		}
		p := int(r[0])<<12 | int(r[1])<<4 | int(r[2])>>4
		c := int(r[3])<<12 | int(r[4])<<4 | int(r[5])>>4
		if !near(float64(p), 415148, 8) || !near(float64(c), 519888, 8) {
			t.Errorf("raw pressure %d and temperature %d, want 415148 and 519888", p, c)
		}
	}},
}

func periphBMx280(t *testing.T, driver string) {
	s := newSubject(t, driver, nil)
	d, err := bmxx80.NewI2C(s.bus, 0x76, &bmxx80.Opts{Temperature: bmxx80.O1x, Pressure: bmxx80.O4x, Humidity: bmxx80.O1x})
	if err != nil {
		t.Fatal(err)
	}
	var env physic.Env
	s.agree("temperature", 0.011, bmxTemperatures, func() (float64, error) {
		err := d.Sense(&env)
		return env.Temperature.Celsius(), err
	})
	s.agree("pressure", 1, bmxPressures, func() (float64, error) {
		err := d.Sense(&env)
		return float64(env.Pressure) / float64(physic.Pascal), err
	})
	if driver == "bme280" {
		s.agree("humidity", 0.05, bmxHumidities, func() (float64, error) {
			err := d.Sense(&env)
			return float64(env.Humidity) / float64(physic.PercentRH), err
		})
	}
}

func gobotBMx280(s *subject, d *i2c.BMP280Driver) {
	s.agree("temperature", 0.011, bmxTemperatures, func() (float64, error) {
		v, err := d.Temperature()
		return float64(v), err
	})
	s.agree("pressure", 2, bmxPressures, func() (float64, error) {
		v, err := d.Pressure()
		return float64(v), err
	})
}
