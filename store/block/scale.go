package block

import "math"

const maxDecimals = 12

var powers = [maxDecimals + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12}

// exact is the magnitude up to which every integer is a float64.
const exact = 1 << 53

// scaled tells whether every value is i/10^decimals for an integer i, with
// the fewest decimals, and appends the integers to dst. Where i/10^d is exact
// with d decimals, 10i/10^(d+1) is too, so one walk finds the number.
func scaled(dst []int64, values []float64) (ints []int64, decimals int, ok bool) {
	for _, v := range values {
		for {
			if _, ok := integer(v, decimals); ok {
				break
			}
			if decimals++; decimals > maxDecimals {
				return dst, 0, false
			}
		}
	}
	for _, v := range values {
		i, ok := integer(v, decimals)
		if !ok {
			return dst, 0, false // too large with the decimals that a later value needs
		}
		dst = append(dst, i)
	}
	return dst, decimals, true
}

// integer gives the integer that stands for v, if one does exactly.
func integer(v float64, decimals int) (int64, bool) {
	p := powers[decimals]
	f := math.RoundToEven(v * p)
	if !(math.Abs(f) <= exact) || f/p != v || f == 0 && math.Signbit(v) {
		return 0, false
	}
	return int64(f), true
}
