package drivers

import "math"

// decimals are what values of a unit are rounded to, unless a quantity says
// more: a tenth of what the usual chips resolve, or finer. 4,000 readings of a
// BME280 take 0.7 bytes each with three decimals, and 7.8 with the noise of
// float64 behind them.
var decimals = map[string]int{
	"Cel": 3, "%RH": 2, "Pa": 1, "V": 6, "A": 6, "W": 5, "Ohm": 3, "lx": 2, "/": 7, "Hz": 4, "1/s": 4, "T": 11, "m/s2": 5,
}

// Round rounds a value of the quantity to its decimals. A value of another
// unit, or one that is too great for them, stays as it is.
func (q Quantity) Round(v float64) float64 {
	n := q.Decimals
	if n == 0 {
		n = decimals[q.Unit]
	}
	if n == 0 {
		return v
	}
	scale := math.Pow10(n)
	scaled := math.Round(v * scale)
	switch {
	case scaled == 0:
		return 0 // not -0
	case math.Abs(scaled) >= 1<<53:
		return v
	}
	return scaled / scale
}
