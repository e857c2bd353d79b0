package judges

import (
	"testing"

	"periph.io/x/conn/v3/physic"
	periphaht20 "periph.io/x/devices/v3/aht20"
	tinyaht20 "tinygo.org/x/drivers/aht20"
)

var aht20Temperatures = []float64{-40, -25, -10, -0.5, 0, 0.5, 21.5, 61.5, 85}

var aht20Proofs = []proof{
	{chip: "AHT20", driver: "aht20", judge: "A", by: tinygo, try: func(t *testing.T) {
		s := newSubject(t, "aht20", nil)
		d := tinyaht20.New(s.bus)
		d.Configure()
		s.agree("temperature", 0.001, aht20Temperatures, func() (float64, error) {
			err := d.Read()
			return float64(d.Celsius()), err
		})
		s.agree("humidity", 0.001, humidities, func() (float64, error) {
			err := d.Read()
			return float64(d.RelHumidity()), err
		})
	}},
	{chip: "AHT20", driver: "aht20", judge: "A", by: periph, try: func(t *testing.T) { // it checks the checksum, too
		s := newSubject(t, "aht20", nil)
		d, err := periphaht20.NewI2C(s.bus, nil)
		if err != nil {
			t.Fatal(err)
		}
		var e physic.Env
		s.agree("temperature", 0.001, aht20Temperatures, func() (float64, error) {
			err := d.Sense(&e)
			return e.Temperature.Celsius(), err
		})
		s.agree("humidity", 0.001, humidities, func() (float64, error) {
			err := d.Sense(&e)
			return float64(e.Humidity) / float64(physic.PercentRH), err
		})
	}},
	{chip: "AHT20", driver: "aht20", judge: "B", by: "log of a chip in bilbobg/aht20, README.md: 31.674576 Cel, 23.191071 %RH",
		try: func(t *testing.T) {
			replayed(t, "aht20", 0x38, nil, 0.000001, "aht20-bilbobg.transcript", [][]float64{{31.674576, 23.191071}})
		}},
}
