package judges

import (
	"testing"

	tinysht4x "tinygo.org/x/drivers/sht4x"
)

var sht4xProofs = []proof{
	{chip: "SHT4x", driver: "sht4x", judge: "A", by: tinygo, try: func(t *testing.T) {
		s := newSubject(t, "sht4x", nil)
		d := tinysht4x.New(s.bus)
		// It divides by 65536 where the datasheet has 65535: at most 0.003 less.
		s.agree("temperature", 0.005, []float64{-40, -25, -10, -0.5, 0, 0.5, 21.5, 61.5, 100, 125}, func() (float64, error) {
			milli, _, err := d.ReadTemperatureHumidity()
			return float64(milli) / 1000, err
		})
		s.agree("humidity", 0.005, humidities, func() (float64, error) {
			_, milli, err := d.ReadTemperatureHumidity()
			return float64(milli) / 1000, err
		})
	}},
	{chip: "SHT4x", driver: "sht4x", judge: "B", by: "periph devices at 1752d1b: sht4xbustestrecording_test.go, a chip on its bus",
		try: func(t *testing.T) {
			replayed(t, "sht4x", 0x44, nil, 0.0001, "sht4x-periph.transcript", sht4xRecorded)
		}},
	{chip: "SHT4x", driver: "sht4x", judge: "E", by: "checksum of 0xBEEF, SHT4x datasheet §4.4", try: checksumOfBEEF},
}

// The words of the recording by the formulas of the datasheet.
var sht4xRecorded = [][]float64{
	{25.3792, 31.4056}, {25.3632, 31.4743}, {25.3098, 31.5582}, {25.3124, 31.5792}, {25.3098, 31.6669}, {25.2937, 31.7184},
	{25.2670, 31.7508}, {25.2243, 31.8138}, {25.2136, 31.8901}, {25.2056, 31.9339}, {25.2056, 31.9702}, {25.1495, 31.9911},
}
