package max31865

import "math"

// The coefficients of IEC 60751 (2008, 4.2), for industrial platinum.
const (
	a = 3.9083e-3
	b = -5.775e-7
	c = -4.183e-12 // below 0 °C only
)

// ratio is the resistance at t Cel over that at 0 °C.
func ratio(t float64) float64 {
	r := 1 + t*(a+t*b)
	if t < 0 {
		r += c * (t - 100) * t * t * t
	}
	return r
}

// celsius is the temperature at which the ratio is r. From 0 °C on it solves
// the equation, below it follows the tangent until nothing changes: four steps
// from -200 °C.
func celsius(r float64) float64 {
	t := (math.Sqrt(a*a-4*b*(1-r)) - a) / (2 * b)
	if t >= 0 {
		return t
	}
	for range 6 {
		slope := a + 2*b*t + c*(4*t-300)*t*t
		t -= (ratio(t) - r) / slope
	}
	return t
}
