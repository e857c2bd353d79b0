package judges

import (
	"testing"
	"time"

	"periph.io/x/conn/v3/physic"
	periphscd4x "periph.io/x/devices/v3/scd4x"
	tinyscd4x "tinygo.org/x/drivers/scd4x"
)

var (
	co2s              = []float64{400e-6, 451e-6, 800e-6, 1234e-6, 2000e-6, 5000e-6}
	scd4xTemperatures = []float64{-10, -0.5, 0, 0.5, 21.5, 45, 60}
)

var scd4xProofs = []proof{
	{chip: "SCD4x", driver: "scd4x", judge: "A", by: tinygo, try: func(t *testing.T) {
		s := newSubject(t, "scd4x", nil)
		d := tinyscd4x.New(s.bus)
		if err := d.Configure(); err != nil {
			t.Fatal(err)
		}
		// It reads what was measured after the value was set: ours took the one before.
		fresh := func(read func() float64) func() (float64, error) {
			return func() (float64, error) {
				time.Sleep(5 * time.Second)
				if ready, err := d.DataReady(); err != nil || !ready {
					t.Errorf("ready %v, %v", ready, err)
				}
				err := d.ReadData()
				return read(), err
			}
		}
		s.agree("co2", 1e-6, co2s, fresh(func() float64 { return float64(d.CO2()) / 1e6 }))
		// It divides by 65536, ours by 65535 as Sensirion's own driver does: at most 0.003 apart.
		s.agree("temperature", 0.004, scd4xTemperatures, fresh(func() float64 { return float64(d.Temperature()) / 1000 }))
		s.agree("humidity", 0.012, humidities, fresh(func() float64 { return float64(d.Humidity()) / 100 }))
	}},
	{chip: "SCD4x", driver: "scd4x", judge: "A", by: periph, try: func(t *testing.T) { // it checks the checksums, too
		s := newSubject(t, "scd4x", nil)
		d, err := periphscd4x.NewI2C(s.bus, periphscd4x.SensorAddress)
		if err != nil {
			t.Fatal(err)
		}
		var e periphscd4x.Env
		s.agree("co2", 1e-6, co2s, func() (float64, error) {
			err := d.Sense(&e)
			return float64(e.CO2) / 1e6, err
		})
		s.agree("temperature", 0.002, scd4xTemperatures, func() (float64, error) {
			err := d.Sense(&e)
			return e.Temperature.Celsius(), err
		})
		s.agree("humidity", 0.002, humidities, func() (float64, error) {
			err := d.Sense(&e)
			return float64(e.Humidity) / float64(physic.PercentRH), err
		})
	}},
	{chip: "SCD4x", driver: "scd4x", judge: "B", by: "periph devices at 1752d1b: scd4x_test.go, a chip on its bus", try: func(t *testing.T) {
		// The words of the recording by the formulas of the datasheet.
		scd4xGives(t, "scd4x-periph.transcript", [][3]float64{
			{556, 25.4459, 30.0908}, {543, 24.3912, 32.5658}, {546, 24.1962, 33.3181}, {540, 23.9879, 33.9132},
			{543, 23.8224, 34.4472}, {543, 23.6835, 34.9386}, {543, 23.5473, 35.3719},
		}, 0.00006)
	}},
	{chip: "SCD4x", driver: "scd4x", judge: "E", by: "SCD4x datasheet 1.3 §3.5.2: 500 ppm, 25 Cel, 37 %RH", try: func(t *testing.T) {
		scd4xGives(t, "scd4x-datasheet.transcript", [][3]float64{{500, 25, 37}}, 0.005)
	}},
}

// scd4xGives compares ppm exactly, temperatures and humidities to a tolerance.
func scd4xGives(t *testing.T, file string, want [][3]float64, tolerance float64) {
	t.Helper()
	for i, vs := range replay(t, "scd4x", 0x62, nil, file, len(want)) {
		w := want[i]
		if vs[0].Doubt+vs[1].Doubt != "" || vs[0].Value != w[0]/1e6 || !near(vs[1].Value, w[1], tolerance) || !near(vs[2].Value, w[2],
			tolerance) {
			t.Errorf("visit %d: %v, want %v", i, vs, w)
		}
	}
}
