package judges

import (
	"testing"

	gobotsht3x "gobot.io/x/gobot/v2/drivers/i2c"
	tinysht3x "tinygo.org/x/drivers/sht3x"

	"github.com/fieldgate/fieldgate/drivers"
)

// Humidities for every chip that measures them.
var humidities = []float64{0.5, 5, 20, 45, 62.5, 80, 99.5}

var sht3xProofs = []proof{
	{chip: "SHT3x", driver: "sht3x", judge: "A", by: tinygo,
		dispute: "above 118.8 Cel its product overflows, and it reads about -208 Cel. By the datasheet (§4.13) words go to 130 Cel",
		try: func(t *testing.T) {
			s := newSubject(t, "sht3x", nil)
			d := tinysht3x.New(s.bus)
			temperature := func() (float64, error) {
				milli, err := d.ReadTemperature()
				return float64(milli) / 1000, err
			}
			s.agree("temperature", 0.004, []float64{-40, -25, -10, -0.5, 0, 0.5, 21.5, 61.5, 100, 118}, temperature)
			s.agree("humidity", 0.012, humidities, func() (float64, error) {
				hundredths, err := d.ReadHumidity()
				return float64(hundredths) / 100, err
			})
			s.disagree("temperature", 1, 120, temperature)
		}},
	{chip: "SHT3x", driver: "sht3x", judge: "A", by: gobot,
		dispute: "below 0 Cel it subtracts without a sign, and reads about 1.8e15 Cel. By the datasheet (§4.13) words go to -45 Cel",
		try: func(t *testing.T) {
			s := newSubject(t, "sht3x", nil)
			d := gobotsht3x.NewSHT3xDriver(gobotBus{s.bus})
			if err := d.Start(); err != nil {
				t.Fatal(err)
			}
			temperature := func() (float64, error) {
				v, _, err := d.Sample()
				return float64(v), err
			}
			s.agree("temperature", 0.002, []float64{0.01, 0.5, 21.5, 61.5, 100, 118, 125}, temperature)
			s.agree("humidity", 0.002, humidities, func() (float64, error) {
				_, rh, err := d.Sample()
				return float64(rh), err
			})
			s.disagree("temperature", 1, -10, temperature)
			if on, err := d.Heater(); on || err != nil {
				t.Errorf("heater %v, %v", on, err)
			}
		}},
	{chip: "SHT3x", driver: "sht3x", judge: "B", by: "sigrok-dumps: sensirion_sht31_25rh_28rh.sr, 12 frames", try: func(t *testing.T) {
		// The words of the capture by the formulas of the datasheet; the capture's notes say about 25 Cel and 28 %RH.
		replayed(t, "sht3x", 0x45, nil, 0.0001, "sht31-sigrok.transcript", [][]float64{
			{25.8438, 28.3192}, {25.8732, 28.2536}, {25.8999, 28.2033}, {25.9293, 28.1209}, {25.9720, 28.0720}, {26.0121, 28.0751},
			{26.0121, 27.9698}, {26.0681, 27.9927}, {26.0548, 27.7150}, {26.1830, 27.7272}, {26.1696, 27.5532}, {26.2417, 27.6448},
		})
	}},
	{chip: "SHT3x", driver: "sht3x", judge: "E", by: "checksum of 0xBEEF, SHT3x-DIS datasheet table 20", try: checksumOfBEEF},
}

func checksumOfBEEF(t *testing.T) {
	if got := drivers.CRC8([]byte{0xbe, 0xef}, 0x31, 0xff); got != 0x92 {
		t.Errorf("checksum of 0xBEEF is %02x", got)
	}
}
